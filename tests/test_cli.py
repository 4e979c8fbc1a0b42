"""The command, run as a process on real files: exit codes, what it prints, what it leaves."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from conftest import gain_model, noise, read

MakeAudio = Callable[..., Path]
COMMAND = (sys.executable, "-m", "dttnet")


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def separate(four_stems: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """separate(INPUT, ...): by the four-stem model, in the test's folder, to "out" in it."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run("separate", "-n", four_stems, "-o", "out", *arguments, cwd=tmp_path)

    return call


Separate = Callable[..., subprocess.CompletedProcess[str]]


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def files(folder: Path) -> list[str]:
    """All files and folders below, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Imports


HEAVY = ("torch", "scipy", "librosa", "onnxruntime", "numpy", "soundfile", "soxr", "av", "tqdm")


@pytest.mark.parametrize(
    "code",
    [
        "import dttnet, dttnet.cli",
        "import dttnet.cli; dttnet.cli.main(['--help'], standalone_mode=False)",
        "import dttnet.cli; dttnet.cli.main(['separate', '--help'], standalone_mode=False)",
    ],
)
def test_help_loads_nothing_heavy(code: str) -> None:
    code += f"; import sys; print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_separating_loads_no_torch_scipy_or_librosa(four_stems: Path, make_audio: MakeAudio, tmp_path: Path) -> None:
    code = (
        "import sys, dttnet\n"
        "dttnet.Separator(sys.argv[1]).separate_file(sys.argv[2], sys.argv[3])\n"
        "print([name for name in ('torch', 'scipy', 'librosa', 'onnx', 'av') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(four_stems), str(make_audio("a.wav")), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command_says_its_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("dttnet, version ")


# Exit code 0


def test_songs_are_separated_to_the_default_layout(
    separate: Separate, four_stems: Path, make_audio: MakeAudio, tmp_path: Path
) -> None:
    source = make_audio("my song.flac", noise(48001, peak=0.4), 48000)
    make_audio("album/other.wav", noise(4410, 1))
    done = separate("my song.flac", "album", "--json")
    assert done.returncode == 0
    assert files(tmp_path / "out") == [
        "four",
        *("four/my song", *(f"four/my song/{stem}.wav" for stem in ("bass", "drums", "other", "vocals"))),
        *("four/other", *(f"four/other/{stem}.wav" for stem in ("bass", "drums", "other", "vocals"))),
    ]
    first, second = records(done)
    seconds, factor, peak, null_db = (first.pop(key) for key in ("seconds", "real_time_factor", "peak", "null_db"))
    outputs = {stem: f"out/four/my song/{stem}.wav" for stem in ("vocals", "drums", "bass", "other")}
    assert first == {
        "input": "my song.flac",
        "status": "done",
        "model": "four",
        "model_sha256": hashlib.sha256(four_stems.read_bytes()).hexdigest(),
        "engine": "onnxruntime",
        "device": "cpu",
        "outputs": outputs,
        "duration_s": 1.0,
        "gain": 1.0,
        "warnings": [],
    }
    assert factor == pytest.approx(seconds, abs=0.001)  # rounded, of one second
    written = {stem: read(tmp_path / path)[0] for stem, path in outputs.items()}
    assert peak == pytest.approx(max(np.abs(samples).max() for samples in written.values()), abs=2.0**-23)
    null = np.abs(read(source)[0] - sum(written.values())).max()
    assert null_db == pytest.approx(20 * np.log10(null), abs=2)  # an upper bound that is near
    assert null_db < -120
    assert (second["input"], second["status"]) == ("album/other.wav", "done")


def test_with_a_closed_standard_error_the_work_is_done_all_the_same(
    four_stems: Path, make_audio: MakeAudio, tmp_path: Path
) -> None:
    source = make_audio("a.wav")
    command = [*COMMAND, "separate", "-n", str(four_stems), str(source), "-o", str(tmp_path / "out")]
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], check=False, timeout=120)
    assert done.returncode == 0
    assert len(list((tmp_path / "out").rglob("*.wav"))) == 4


def test_without_a_terminal_there_are_plain_lines(separate: Separate, make_audio: MakeAudio) -> None:
    make_audio("a.wav")
    make_audio("b.wav", noise(4410, peak=0.2))
    done = separate("a.wav", "b.wav")
    assert done.returncode == 0
    assert done.stdout == ""
    lines = done.stderr.split("\n")
    assert [line.partition(" (")[0] for line in lines] == [
        "[1/2] a.wav: vocals, drums, bass, other in out/four/a",
        "[2/2] b.wav: vocals, drums, bass, other in out/four/b",
        "",
    ]
    assert "\r" not in done.stderr


def test_on_a_terminal_there_is_a_bar_with_the_time_left(
    four_stems: Path, make_audio: MakeAudio, tmp_path: Path
) -> None:
    make_audio("a.wav", noise(200000))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [*COMMAND, "separate", "-n", str(four_stems), "a.wav"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=theirs, stdout=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        while part := _read_terminal(ours):
            shown += part
    os.close(ours)
    assert process.returncode == 0
    updates = shown.decode().split("\r")
    assert updates[1].startswith("[1/1] a.wav:   0% |")
    assert updates[1].endswith(" left")
    assert updates[-2].startswith("[1/1] a.wav: vocals, drums, bass, other in separated/four/a (")


def _read_terminal(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that the other side is closed
        return b""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--stems", "drums, bass"], {"drums.wav": "PCM_24", "bass.wav": "PCM_24"}),
        (["--stems", "drums", "--rest"], {"drums.wav": "PCM_24", "rest.wav": "PCM_24"}),
        (["--two-stems", "vocals"], {"vocals.wav": "PCM_24", "no_vocals.wav": "PCM_24"}),
        (["--two-stems", "bass", "--float32"], {"bass.wav": "FLOAT", "no_bass.wav": "FLOAT"}),
        (["--stems", "bass", "--format", "flac"], {"bass.flac": "PCM_24"}),
        (["--stems", "bass", "--format", "flac", "--int24"], {"bass.flac": "PCM_24"}),
        (["--stems", "bass", "--format", "ogg"], {"bass.ogg": "VORBIS"}),
        (["--stems", "bass", "--format", "opus"], {"bass.opus": "OPUS"}),
        (["--stems", "bass", "--threads", "1", "--overlap", "0.5", "-d", "cpu"], {"bass.wav": "PCM_24"}),
    ],
)
def test_options_choose_stems_and_formats(
    separate: Separate, make_audio: MakeAudio, tmp_path: Path, arguments: list[str], expected: dict[str, str]
) -> None:
    make_audio("a.wav", noise(10000, peak=0.3), 48000)
    done = separate("a.wav", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    written = {path.name: soundfile.info(path) for path in (tmp_path / "out" / "four" / "a").iterdir()}
    assert {name: found.subtype for name, found in written.items()} == expected
    assert {(found.samplerate, found.frames) for found in written.values()} == {(48000, 10000)}


def test_raw_writes_the_bare_estimates(separate: Separate, make_audio: MakeAudio, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(20000) / 44100)
    make_audio("a.wav", tone, subtype="FLOAT")
    done = separate("a.wav", "--raw", "--json")
    (record,) = records(done)
    assert record["null_db"] is None
    vocals, _ = read(tmp_path / record["outputs"]["vocals"])
    # The model's gain is 0.5; away from the clicks at the ends, what float32 leaves of a transform and its inverse.
    np.testing.assert_allclose(vocals[1000:-1000, 0], 0.5 * tone[1000:-1000], rtol=0, atol=1e-6)


def test_mp3_has_the_bit_rate_asked_for(separate: Separate, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("a.wav", noise(2 * 44100, peak=0.3))
    done = separate("a.wav", "--stems", "vocals", "--format", "mp3", "--mp3-bitrate", "96")
    assert done.returncode == 0
    size = (tmp_path / "out" / "four" / "a" / "vocals.mp3").stat().st_size
    assert size * 8 / 2 / 1000 == pytest.approx(96, rel=0.1)  # whole frames, and one with the settings


def test_filename_places_the_files(separate: Separate, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("a.wav")
    assert separate("a.wav", "--stems", "vocals", "--filename", "{track} [{stem}].{ext}").returncode == 0
    assert files(tmp_path / "out") == ["four", "four/a [vocals].wav"]


def test_warnings_are_told_in_both_ways(separate: Separate, make_audio: MakeAudio) -> None:
    make_audio("a.wav", noise(44100, peak=0.3), 44100)
    done = separate("a.wav", "--stems", "vocals", "--format", "opus", "--json")
    warning = "opus has no sample rate of 44100 Hz: written at 48000 Hz"
    assert records(done)[0]["warnings"] == [warning]
    assert f"dttnet: warning: {warning}\n" in done.stderr
    assert done.returncode == 0


def test_skip_existing_leaves_songs_that_are_done(separate: Separate, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("a.wav")
    make_audio("b.wav")
    folder = tmp_path / "out" / "four"
    for name in ("a/vocals.wav", "a/no_vocals.wav", "b/vocals.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("older")
    done = separate("a.wav", "b.wav", "--two-stems", "vocals", "--skip-existing", "--json")
    assert done.returncode == 0
    assert [record["status"] for record in records(done)] == ["skipped", "done"]
    assert (folder / "a" / "vocals.wav").read_text() == "older"
    assert soundfile.info(folder / "b" / "vocals.wav").frames == 4410  # one file was missing


def test_a_second_run_over_a_folder_leaves_out_the_stems_of_the_first(
    four_stems: Path, make_audio: MakeAudio, tmp_path: Path
) -> None:
    make_audio("a.wav")
    for _ in range(2):
        done = run("separate", "-n", four_stems, ".", "--json", cwd=tmp_path)
        assert [record["input"] for record in records(done)] == ["a.wav"]


ODD_NAMES = ["with space", "[b] {c} 😀 é", "-dash", "new\nline", os.fsdecode(b"not utf-8 \xff")]


def test_odd_names_are_separated(separate: Separate, make_audio: MakeAudio, tmp_path: Path) -> None:
    for name in ODD_NAMES:
        make_audio(f"{name}.wav")
    done = separate("--json", "--", *(f"{name}.wav" for name in ODD_NAMES))
    assert done.returncode == 0
    assert [record["input"] for record in records(done)] == [f"{name}.wav" for name in ODD_NAMES]
    for record, name in zip(records(done), ODD_NAMES, strict=True):
        assert record["outputs"]["vocals"] == f"out/four/{name}/vocals.wav"
        assert soundfile.info(os.fsencode(tmp_path / record["outputs"]["vocals"])).frames == 4410


# Exit code 1


def test_one_bad_input_does_not_stop_the_others(separate: Separate, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("good.wav")
    make_audio("better.wav")
    (tmp_path / "text.wav").write_text("words")
    make_audio("nan.wav", np.full((100, 2), np.nan), subtype="FLOAT")
    (tmp_path / "video.m4a").write_bytes(b"")
    done = separate("good.wav", "text.wav", "missing.wav", "nan.wav", "video.m4a", "better.wav", "--json")
    assert done.returncode == 1
    good, text, missing, nan, video, better = records(done)
    assert [good["status"], better["status"]] == ["done", "done"]
    for record, name, reason in (
        (text, "text.wav", "not an audio or video file"),
        (missing, "missing.wav", "cannot be read (No such file or directory)"),
        (nan, "nan.wav", "sample 0 is not a finite number"),
        (video, "video.m4a", "the file is empty (0 bytes)"),
    ):
        assert (record["input"], record["status"]) == (name, "failed")
        assert record["error"].startswith(f"{name}: {reason}")
        assert f"dttnet: {record['error']}\n" in done.stderr
        assert "outputs" not in record
    assert done.stderr.endswith("dttnet: 4 of 6 songs failed\n")
    assert [name for name in files(tmp_path / "out") if name.count("/") < 2] == ["four", "four/better", "four/good"]


def test_a_network_that_gives_nan_fails_the_song_by_name(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("a.wav")
    done = run("separate", "-n", gain_model(tmp_path / "model", name="broken", nan=True), "a.wav", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "dttnet: a.wav: model 'broken': the network gave NaN or infinite values at 0.0 s\n"
    assert not (tmp_path / "separated").exists()


def test_an_output_folder_that_is_a_file_is_a_failure(
    separate: Separate, make_audio: MakeAudio, tmp_path: Path
) -> None:
    make_audio("a.wav")
    (tmp_path / "out").write_text("mine")
    done = separate("a.wav")
    assert done.returncode == 1
    assert done.stderr.startswith("dttnet: a.wav: out/four/a/vocals.wav: cannot be written (")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_full_disk_is_a_failure_that_leaves_nothing(four_stems: Path, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("a.wav", noise(100000))
    make_audio("short.wav", noise(1000))
    # No file may grow beyond 100 kB, which is where this disk is full.
    limited = ["sh", "-c", 'ulimit -f 200 && exec "$@"', "-", *COMMAND]
    command = [*limited, "separate", "-n", str(four_stems), "-o", "out", "a.wav", "short.wav"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("dttnet: a.wav: out/four/a/vocals.wav: cannot be written (File too large)\n")
    assert [name for name in files(tmp_path / "out") if name.count("/") < 2] == ["four", "four/short"]


# Exit code 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'INPUT...'"),
        (["a.wav", "--nonsense"], "No such option"),
        (["a.wav", "--format", "mp4"], "'mp4' is not one of"),
        (["a.wav", "--stems", "piano"], "has no stem 'piano': it has vocals, drums, bass, other"),
        (["a.wav", "--two-stems", "piano"], "has no stem 'piano'"),
        (["a.wav", "--stems", ""], "'': give names, separated by commas"),
        (["a.wav", "--two-stems", "vocals", "--stems", "drums"], "give --two-stems or --stems, not both"),
        (["a.wav", "--rest"], "--rest goes with --stems"),
        (["a.wav", "--format", "flac", "--float32"], "flac files hold no floating point samples"),
        (["a.wav", "--format", "mp3", "--int24"], "mp3 files have no bit depth"),
        (["a.wav", "--format", "mp3", "--mp3-bitrate", "100"], "MP3 has no bit rate of 100 kbit/s"),
        (["a.wav", "--overlap", "0.95"], "overlap is 0.95: give a number from 0 to 0.9"),
        (["a.wav", "--threads", "0"], "threads is 0: give at least 1"),
        (["a.wav", "--filename", "{song}"], "{song} is not known"),
        (["a.wav", "copy/a.wav"], "a.wav and copy/a.wav would both be written to out/four/a/"),
        (["nothing*.wav"], "nothing*.wav: no file matches"),
    ],
)
def test_wrong_usage_exits_with_2_before_any_work(
    separate: Separate, make_audio: MakeAudio, tmp_path: Path, arguments: list[str], message: str
) -> None:
    make_audio("a.wav")
    make_audio("copy/a.wav")
    done = separate(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert files(tmp_path) == ["a.wav", "copy", "copy/a.wav"]


# Exit code 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "nonsense"], "model 'nonsense': neither a model of this package"),
        (["-n", "a.wav"], "a.wav: not a model that onnxruntime can load"),
        (["-n", "."], "model '.': there is no .onnx file in ."),
        (["-d", "nonsense"], "onnxruntime on nonsense: there is no device 'nonsense' that it can use, only "),
        (["-d", "coreml"], "onnxruntime on coreml: there is no device 'coreml' that it can use, only "),
    ],
)
def test_what_the_machine_lacks_exits_with_3(
    separate: Separate, make_audio: MakeAudio, tmp_path: Path, arguments: Sequence[str], message: str
) -> None:
    make_audio("a.wav")
    done = separate("a.wav", *arguments)
    assert done.returncode == 3
    assert done.stderr.startswith(f"dttnet: {message}")
    assert done.stderr.count("\n") == 1
    assert files(tmp_path) == ["a.wav"]


# Exit code 130


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_work_leaves_what_is_whole_and_nothing_else(
    four_stems: Path, make_audio: MakeAudio, tmp_path: Path, sent: signal.Signals
) -> None:
    make_audio("a.wav")
    make_audio("long.wav", noise(60 * 44100))  # some seconds of work
    command = [*COMMAND, "separate", "-n", str(four_stems), "-o", "out", "--json", "a.wav", "long.wav"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        folder = tmp_path / "out" / "four" / "long"
        while not folder.exists():  # made when the work on the second song begins
            assert process.poll() is None
        process.send_signal(sent)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert first["status"] == "done"
    assert rest == ""
    assert errors.splitlines()[-1] == "dttnet: interrupted; unfinished files were removed"
    stems = ("bass", "drums", "other", "vocals")
    assert files(tmp_path / "out") == ["four", "four/a", *(f"four/a/{stem}.wav" for stem in stems)]
