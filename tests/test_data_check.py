"""What the check of a folder of stems says, and what it does not say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr
from click.testing import CliRunner
from numpy.typing import NDArray

from conftest import noise
from dttnet.cli import main
from dttnet.data_check import Report, check
from dttnet.dataset import STEMS, load_dataset

MakeAudio = Callable[..., Path]
RATE = 16000
SECONDS = 3


def music(seed: int, *, seconds: float = SECONDS, gain: float = 0.1) -> NDArray[np.float64]:
    """Sines (N, 2) an octave apart whose levels move at random, as different from another seed's as two songs are."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    knots = np.arange(0, seconds + 1, 0.3)
    audio = np.zeros(len(times))
    for hz in 85 * 2 ** np.arange(7):
        level_db = np.interp(times, knots, rng.uniform(-30, 0, len(knots)))
        audio += 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * times + rng.uniform(0, 6))
    hiss = rng.uniform(-0.01, 0.01, (len(times), 2))
    return gain * (audio[:, None] / np.abs(audio).max() * [1, 0.7] + hiss)


def as_written(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """What 16 bits keep of it."""
    return np.rint(samples * 32768) / 32768


@pytest.fixture
def make_track(make_audio: MakeAudio) -> Callable[..., dict[str, NDArray[np.float64]]]:
    """make_track("train/a", seed=1): a track without fault under data/; keywords replace files, or leave them out."""

    def make(name: str, *, seed: int = 0, **changed: NDArray[np.float64] | None) -> dict[str, NDArray[np.float64]]:
        files = {stem: as_written(music(10 * seed + number)) for number, stem in enumerate(STEMS)}
        files["mixture"] = np.sum(list(files.values()), axis=0)
        for stem, samples in {**files, **changed}.items():
            if samples is not None:
                make_audio(f"data/{name}/{stem}.wav", samples, RATE, subtype="PCM_16")
        return files

    return make


MakeTrack = Callable[..., dict[str, NDArray[np.float64]]]


def run(root: Path) -> Report:
    return check([load_dataset(root, cache=False)], threads=1)


def said(report: Report, level: str | None = None) -> list[tuple[str, str]]:
    """Kind and place of the findings."""
    return [(each.kind, each.where) for each in report.findings if level in (None, each.level)]


def test_a_folder_without_fault_gives_no_findings_and_the_durations(make_track: MakeTrack, tmp_path: Path) -> None:
    for seed, name in enumerate(("train/a", "train/b", "valid/c", "test/d")):
        make_track(name, seed=seed)
    report = run(tmp_path / "data")
    assert report.findings == []
    assert report.n_problems == 0
    assert report.n_tracks == {"train": 2, "valid": 1, "test": 1}
    assert report.duration_s["train"] == dict.fromkeys((*STEMS, "mixture"), 2 * SECONDS)
    assert report.sounding_s["test"] == dict.fromkeys((*STEMS, "mixture"), SECONDS)


@pytest.mark.parametrize(
    ("factor", "level", "message"),
    [
        (1.5, "problem", r"mixture minus stems is at -9\.5 dB of the mixture, .*all stems changed by \+3\.52 dB"),
        (1.002, "note", r"mixture minus stems is at -5[34]\.\d dB of the mixture"),
    ],
)
def test_stems_that_do_not_sum_to_the_mixture(
    factor: float, level: str, message: str, make_track: MakeTrack, tmp_path: Path
) -> None:
    stems = make_track("train/a")
    make_track("train/a", mixture=factor * stems["mixture"])
    make_track("valid/b", seed=1)
    (finding,) = run(tmp_path / "data").findings
    assert (finding.level, finding.kind, finding.where) == (level, "sum", "train/a")
    assert re.match(message, finding.message)


def test_a_lost_stem_shows_in_the_sum(make_track: MakeTrack, tmp_path: Path) -> None:
    make_track("a", drums=None)
    report = run(tmp_path / "data")
    assert said(report, "problem") == [("sum", "a")]
    assert said(report, "note") == [("missing stem", str(tmp_path / "data")), ("missing stem", "a")]


def test_silence_mono_and_one_sided_files_are_noted(make_track: MakeTrack, tmp_path: Path) -> None:
    n_samples = SECONDS * RATE
    mono, left = as_written(music(1)[:, :1]), as_written(music(2) * [1, 0])
    other = as_written(music(3))
    twice = np.repeat(other[:, :1], 2, axis=1)
    make_track(
        "a",
        vocals=np.zeros((n_samples, 2)),
        drums=mono,
        bass=left,
        other=twice,
        mixture=mono + left + twice,
    )
    report = run(tmp_path / "data")
    assert report.n_problems == 0
    assert said(report) == [
        ("silence", "a/vocals"),
        ("mono", "a/drums"),
        ("one-sided", "a/bass"),
        ("mono", "a/other"),
    ]
    assert report.sounding_s["no split"]["vocals"] == 0


def test_a_track_of_silence_is_a_problem(make_track: MakeTrack, tmp_path: Path) -> None:
    silence = np.zeros((RATE, 2))
    make_track("a", **dict.fromkeys((*STEMS, "mixture"), silence))
    assert said(run(tmp_path / "data"), "problem") == [("silence", "a")]


def test_clipped_samples_are_counted(make_audio: MakeAudio, tmp_path: Path) -> None:
    samples = 0.1 * noise(RATE)
    samples[100:105, 0] = 1.2
    samples[200:203, 1] = -1.5
    samples[300, 1] = 1.0  # one sample at full scale is a peak, not a clip
    make_audio("data/vocals/a.wav", samples, RATE, subtype="FLOAT")
    (finding,) = (each for each in run(tmp_path / "data").findings if each.kind == "clipping")
    assert finding.where == "vocals/a.wav"
    assert finding.message == "8 samples at full scale or above (peak +3.5 dB)"


def test_samples_that_are_no_numbers_are_a_problem(make_audio: MakeAudio, tmp_path: Path) -> None:
    samples = 0.1 * noise(RATE)
    samples[10:12, 0] = np.nan
    samples[20, 1] = np.inf
    make_audio("data/vocals/a.wav", samples, RATE, subtype="FLOAT")
    (finding,) = (each for each in run(tmp_path / "data").findings if each.level == "problem")
    assert finding.message == "3 samples are NaN or infinite: export it again"


def test_lengths_that_differ(make_track: MakeTrack, tmp_path: Path) -> None:
    stems = make_track("with its mixture")
    # The mixture proves that the others fit.
    make_track(
        "with its mixture",
        vocals=stems["vocals"][: 2 * RATE],
        mixture=stems["mixture"] - np.concatenate([np.zeros((2 * RATE, 2)), stems["vocals"][2 * RATE :]]),
    )
    make_track("without", seed=1, drums=music(11)[: 2 * RATE], mixture=None)
    make_track("a little", seed=2, drums=music(21)[:-100], mixture=None)
    report = run(tmp_path / "data")
    assert said(report) == [("lengths", "without"), ("lengths", "a little"), ("lengths", "with its mixture")]
    assert report.n_problems == 1
    assert report.findings[0].message.startswith("shorter than the longest file: drums by 1 s")


def test_rates_that_differ_are_noted_and_the_sum_is_right_all_the_same(make_audio: MakeAudio, tmp_path: Path) -> None:
    # Of a sine that both rates hold.
    wave = 0.3 * np.sin(2 * np.pi * 300 * np.arange(SECONDS * RATE) / RATE) * np.hanning(SECONDS * RATE)
    slow = soxr.resample(wave, RATE, 8000, quality="VHQ")
    make_audio("data/a/vocals.wav", slow, 8000, subtype="PCM_24")
    make_audio("data/a/mixture.wav", wave, RATE, subtype="PCM_24")
    report = run(tmp_path / "data")
    assert said(report, "problem") == []
    rates = [each.message for each in report.findings if each.kind == "rates"]
    assert rates == [
        "8000 Hz: 1 files, 16000 Hz: 1 files; they are resampled as they are read",
        "vocals 8000 Hz, mixture 16000 Hz: resampled as they are read",
    ]
    assert "sum" not in {each.kind for each in report.findings}


def test_a_file_that_breaks_off_is_a_problem(make_track: MakeTrack, tmp_path: Path) -> None:
    make_track("a", mixture=None)
    path = tmp_path / "data" / "a" / "vocals.wav"
    path.write_bytes(path.read_bytes()[:-40_000])
    report = run(tmp_path / "data")
    assert ("damaged file", "a/vocals") in said(report, "problem")


def test_files_that_nobody_asked_for_are_noted(make_track: MakeTrack, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_track("a")
    make_audio("data/a/guitar.wav", rate=RATE)
    (finding,) = run(tmp_path / "data").findings
    assert (finding.kind, finding.message) == ("unused files", "guitar.wav: not used, no stem is called so")


def test_training_without_validation_tracks_is_noted(make_track: MakeTrack, tmp_path: Path) -> None:
    make_track("train/a", seed=1)
    make_track("test/b", seed=2)
    assert said(run(tmp_path / "data")) == [("splits", str(tmp_path / "data"))]


def test_a_short_copy_in_another_split_is_found_by_its_samples(make_track: MakeTrack, tmp_path: Path) -> None:
    stems = make_track("train/a", seed=1)
    make_track("valid/b", seed=2)
    make_track("test/c", seed=3, vocals=stems["vocals"], mixture=None)
    (finding,) = run(tmp_path / "data").findings
    assert (finding.level, finding.kind, finding.where) == ("problem", "same audio", "train/a/vocals")
    assert finding.message.startswith("has exactly the samples of test/c/vocals")


def test_one_file_under_two_names_is_found(make_track: MakeTrack, tmp_path: Path) -> None:
    stems = make_track("a", mixture=None)
    make_track("a", drums=stems["bass"], mixture=None)
    (finding,) = run(tmp_path / "data").findings
    assert finding.where == "a/drums"
    assert finding.message == "has exactly the samples of a/bass: one of them is mislabelled"


LONG = 30


@pytest.fixture(scope="module")
def long() -> NDArray[np.float64]:
    return music(1, seconds=LONG, gain=0.5)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("quieter.wav", lambda audio: 0.1 * audio, r"\(correlation 1\.00\)"),
        ("lossy.ogg", lambda audio: audio, r"\(correlation (1\.00|0\.9\d)\)"),
        ("later.wav", lambda audio: np.pad(audio, ((RATE * 5 + 801, 0), (0, 0))), r", there 5\.\d s earlier"),
        ("cut out.wav", lambda audio: audio[12 * RATE + 700 : 25 * RATE], r", there 12\.\d s later"),
        ("clipped.wav", lambda audio: np.clip(4 * audio, -0.5, 0.5), r"\(correlation 0\.\d\d\)"),
        ("noisy.wav", lambda audio: audio + 0.005 * noise(len(audio)), r"\(correlation (1\.00|0\.\d\d)\)"),
    ],
)
def test_copies_that_are_not_the_same_samples_are_found(
    name: str,
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    message: str,
    long: NDArray[np.float64],
    make_audio: MakeAudio,
    tmp_path: Path,
) -> None:
    make_audio(f"train/vocals/{name}", change(long), RATE)
    make_audio("test/test/song/vocals.wav", long, RATE)
    report = check([load_dataset(tmp_path / part, cache=False) for part in ("train", "test")], threads=2)
    (finding,) = (each for each in report.findings if each.kind == "same audio")
    assert finding.level == "problem"
    assert re.search(message, finding.message)


def test_different_songs_are_not_called_the_same(make_audio: MakeAudio, tmp_path: Path) -> None:
    for seed in range(3):
        make_audio(f"train/vocals/{seed}.wav", music(seed, seconds=LONG), RATE)
        make_audio(f"test/test/{seed}/vocals.wav", music(10 + seed, seconds=LONG), RATE)
    report = check([load_dataset(tmp_path / part, cache=False) for part in ("train", "test")], threads=2)
    assert "same audio" not in {each.kind for each in report.findings}


def kit(seed: int) -> NDArray[np.float64]:
    """Four on the floor at 120 beats a minute, (N, 1): the pattern is always the same, the sounds are not."""
    rng = np.random.default_rng(seed)
    times = np.arange(RATE // 3) / RATE
    kick = np.sin(2 * np.pi * rng.uniform(45, 65) * times) * np.exp(-times * rng.uniform(8, 20))
    snare = 0.5 * rng.standard_normal(len(times)) * np.exp(-times * rng.uniform(15, 20))
    hat = 0.2 * np.diff(rng.standard_normal(len(times) + 1)) * np.exp(-60 * times)
    out = np.zeros(LONG * RATE + len(times))
    for half_beat in range(4 * LONG):
        place = out[half_beat * RATE // 4 :][: len(times)]
        place += hat
        if half_beat % 2 == 0:
            place += kick
        if half_beat % 4 == 2:
            place += snare
    return 0.3 * out[: LONG * RATE, None] / np.abs(out).max()


def burst(seed: int) -> NDArray[np.float64]:
    """A second of noise in half a minute."""
    out = np.zeros((LONG * RATE, 1))
    out[5 * RATE : 6 * RATE] = 0.3 * noise(RATE, 1, seed=seed)
    return out


@pytest.mark.parametrize("make", [kit, burst])
def test_other_sounds_at_the_same_times_are_not_called_the_same(
    make: Callable[[int], NDArray[np.float64]], make_audio: MakeAudio, tmp_path: Path
) -> None:
    for seed in range(3):
        make_audio(f"data/train/{seed}/drums.wav", make(seed), RATE)
        make_audio(f"data/test/{seed}/drums.wav", make(10 + seed), RATE)
    assert "same audio" not in {each.kind for each in run(tmp_path / "data").findings}


def test_a_copy_of_a_strict_rhythm_is_found_all_the_same(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("data/train/a/drums.ogg", -0.5 * kit(1), RATE)
    make_audio("data/train/b/drums.wav", kit(2), RATE)
    make_audio("data/test/c/drums.wav", kit(1), RATE)
    found = [each for each in run(tmp_path / "data").findings if each.kind == "same audio"]
    assert [each.where for each in found] == ["train/a/drums"]


def test_tracks_without_a_split_are_compared_across_folders(
    long: NDArray[np.float64], make_audio: MakeAudio, tmp_path: Path
) -> None:
    short = 0.1 * noise(RATE)
    for root, gain in (("mine", 1.0), ("yours", 0.3)):
        make_audio(f"{root}/song/vocals.wav", gain * long, RATE)
        make_audio(f"{root}/short/vocals.wav", short, RATE)
        make_audio(f"{root}/twice/vocals.wav", short, RATE)
        make_audio(f"{root}/drums/loop.wav", short[::-1], RATE)  # loose files are for training alone
    report = check([load_dataset(tmp_path / root, cache=False) for root in ("mine", "yours")], threads=1)
    found = [each for each in report.findings if each.kind == "same audio"]
    songs = sorted(each.where.removeprefix(str(tmp_path)) for each in found)
    assert songs == ["/mine/short/vocals"] * 2 + ["/mine/song/vocals"] + ["/mine/twice/vocals"] * 2
    assert all("if you train with one and test with the other" in each.message for each in found)


def test_a_song_of_one_stem_may_be_its_mixture(make_track: MakeTrack, tmp_path: Path) -> None:
    vocals = as_written(music(1))
    make_track("a", vocals=vocals, drums=None, bass=None, other=None, mixture=vocals)
    assert "same audio" not in {each.kind for each in run(tmp_path / "data").findings}


def test_the_rest_of_a_mixture_that_no_stem_has_is_a_problem(make_track: MakeTrack, tmp_path: Path) -> None:
    make_track("a", drums=None, bass=None, other=None)
    (problem,) = (each for each in run(tmp_path / "data").findings if each.level == "problem")
    assert (problem.kind, problem.where) == ("sum", "a")
    assert "Training uses the stems' sum, never the mixture file" in problem.message


def test_folders_with_audio_that_are_no_tracks_are_noted(
    make_track: MakeTrack, make_audio: MakeAudio, tmp_path: Path
) -> None:
    make_track("a")
    make_audio("data/album/b/vocals.wav", rate=RATE)
    (finding,) = run(tmp_path / "data").findings
    assert (finding.level, finding.kind) == ("note", "unused files")
    assert finding.where == str(tmp_path / "data" / "album" / "b")


def test_every_pair_of_a_large_set_is_compared(
    make_audio: MakeAudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dttnet.data_check._COMPARED_AT_ONCE", 2)
    for seed in range(5):
        make_audio(f"data/train/{seed}/vocals.wav", music(seed, seconds=12), RATE)
        make_audio(f"data/test/{seed}/vocals.wav", 0.5 * music(seed, seconds=12), RATE)
    found = [each.where for each in run(tmp_path / "data").findings if each.kind == "same audio"]
    assert sorted(found) == [f"train/{seed}/vocals" for seed in range(5)]


def test_the_same_audio_twice_in_one_split_is_nobodys_business(make_track: MakeTrack, tmp_path: Path) -> None:
    make_track("a", seed=1)
    make_track("b", seed=1)
    assert run(tmp_path / "data").findings == []


def test_progress_comes_to_all_of_the_audio(make_track: MakeTrack, tmp_path: Path) -> None:
    make_track("a")
    done: list[float] = []
    check([load_dataset(tmp_path / "data", cache=False)], threads=1, progress=done.append)
    assert sum(done) == pytest.approx(5 * SECONDS)


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)


@pytest.mark.usefixtures("no_cache")
def test_the_command_prints_a_report_and_ends_with_0_for_notes(make_track: MakeTrack, tmp_path: Path) -> None:
    make_track("train/a")
    result = CliRunner().invoke(main, ["data", "check", str(tmp_path / "data")])
    assert result.exit_code == 0
    assert "no validation tracks" in result.output
    assert "1 note\n" in result.output
    (row,) = (line for line in result.output.splitlines() if line.startswith("train"))
    assert row.split()[:5] == ["train", "1", "0.1", "of", "0.1"]


@pytest.mark.usefixtures("no_cache")
def test_the_command_ends_with_1_for_problems_and_speaks_json(make_track: MakeTrack, tmp_path: Path) -> None:
    stems = make_track("a")
    make_track("a", mixture=2 * stems["mixture"])
    result = CliRunner().invoke(main, ["data", "check", "--json", str(tmp_path / "data")])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["n_problems"] == 1
    assert report["findings"][0]["kind"] == "sum"
    assert report["duration_s"]["no split"]["mixture"] == SECONDS


@pytest.mark.usefixtures("no_cache")
def test_the_command_shortens_long_lists(make_audio: MakeAudio, tmp_path: Path) -> None:
    for number in range(12):
        make_audio(f"data/vocals/{number}.wav", noise(100, 1, seed=number), RATE)
    short = CliRunner().invoke(main, ["data", "check", "--stems", "vocals", str(tmp_path / "data")])
    full = CliRunner().invoke(main, ["data", "check", "--stems", "vocals", "--all", str(tmp_path / "data")])
    assert short.output.count("one channel") == 7
    assert "and 5 more" in short.output
    assert full.output.count("one channel") == 12


@pytest.mark.usefixtures("no_cache")
def test_the_command_names_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["data", "check", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "nowhere: there is no such folder" in result.output
