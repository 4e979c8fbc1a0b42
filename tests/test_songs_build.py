"""A folder of songs: whole, resumable, honest about what it is made of. What songs sound like is tested elsewhere."""

from __future__ import annotations

import errno
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from dttnet.cli import main
from dttnet.dataset import STEMS, load_dataset
from dttnet.errors import AudioError, UsageError
from dttnet.songs import build as builder
from dttnet.songs import library
from dttnet.songs.arrange import Take
from dttnet.songs.build import Job, Plan, build
from dttnet.songs.score import Chord, Section, Song
from dttnet.songs.studio import Features, Studio

RATE = 44100
SONG = Song(
    style="rock",
    beat_s=0.5,
    swing=0.0,
    key=0,
    is_minor=False,
    chords=(Chord(0, (0, 4, 7)),),
    sections=(Section("verse", 0, 1, 0.5, frozenset(STEMS)),),
)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    root = tmp_path / "sources"
    uses = {"voice.speech": "voice", "drums.machine": "drums", "bass.notes": "bass", "other.guitar": "guitar"}
    entries = []
    for use, folder in uses.items():
        for name in ("a_c3.wav", "held_d3.wav"):
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.3 * np.sin(np.arange(RATE // 2) * 0.05), RATE)
        entries.append(
            f"- {{id: {folder}, folder: {folder}, use: {use}, title: The {folder}, author: Me, "
            f"url: 'https://example.org', licence: CC0-1.0, held_out: ['held_*']}}"
        )
    (root / "sources.yaml").write_text("\n".join(entries))
    return root


@pytest.fixture(autouse=True)
def players(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(_: Studio, rng: np.random.Generator, *, styles: tuple[str, ...] = ()) -> Take:
        stems = {stem: rng.uniform(-0.2, 0.2, (2, 1000)).astype(np.float32) for stem in STEMS}
        used = {"vocals": {"voice": 3.0}, "drums": {}, "bass": {"bass": 1.0}, "other": {"guitar": 1.0, "voice": 3.0}}
        return Take(replace(SONG, style=styles[0]) if styles else SONG, stems, used)

    monkeypatch.setattr(builder, "render_song", render)
    builder._studio.cache_clear()


def plan_of(sources: Path, out: Path, **changes: object) -> Plan:
    options: dict[str, object] = {"n_songs": 2, "features": Features(fonts=False)}
    return Plan(sources=sources, out=out, **{**options, **changes})  # type: ignore[arg-type]  # of several types


def make(plan: Plan) -> list[str]:
    """The songs that were made, as split/number."""
    done: list[str] = []
    build(plan, n_workers=1, report=lambda job, _: done.append(f"{job.split}/{job.name}"))
    return done


def samples(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.flac"))}


def test_songs_are_tracks_of_a_data_set(sources: Path, tmp_path: Path) -> None:
    make(plan_of(sources, tmp_path / "out", n_valid=1))
    dataset = load_dataset(tmp_path / "out", cache=False)
    names = sorted((track.split, track.name) for track in dataset.tracks)
    assert names == [("train", "00000"), ("train", "00001"), ("valid", "00000")]
    assert all(set(track.stems) == set(STEMS) for track in dataset.tracks)
    assert not dataset.unused


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(sources: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(plan_of(sources, tmp_path / name, seed=seed))
    assert samples(tmp_path / "a") == samples(tmp_path / "b")
    assert samples(tmp_path / "a") != samples(tmp_path / "c")


def test_a_folder_grows_by_the_songs_that_it_lacks(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert make(plan_of(sources, out)) == ["train/00000", "train/00001"]
    before = samples(out)
    assert make(plan_of(sources, out, n_songs=3, n_valid=1)) == ["train/00002", "valid/00000"]
    assert before.items() <= samples(out).items()
    assert make(plan_of(sources, out, n_songs=1)) == []


@pytest.mark.parametrize(
    ("changes", "word"), [({"seed": 5}, "seed"), ({"features": Features(fonts=False, album=False)}, "features")]
)
def test_a_folder_does_not_go_on_in_another_way(
    sources: Path, tmp_path: Path, changes: dict[str, object], word: str
) -> None:
    out = tmp_path / "out"
    make(plan_of(sources, out))
    with pytest.raises(UsageError, match=f"was made with other {word}"):
        make(plan_of(sources, out, **changes))


def test_a_folder_does_not_go_on_with_other_sources(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(plan_of(sources, out))
    (sources / "bass/a_c3.wav").rename(sources / "bass/a_d3.wav")  # the same number and size: taken for the same
    make(plan_of(sources, out))
    (sources / "bass/a_d3.wav").unlink()
    soundfile.write(sources / "bass/a_d3.wav", np.zeros(5), RATE)
    with pytest.raises(UsageError, match="was made with other sources"):
        make(plan_of(sources, out))


def test_somebody_elses_folder_is_left_alone(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="was not made by this command"):
        make(plan_of(sources, out))
    assert [path.name for path in out.iterdir()] == ["letter.txt"]


def test_an_error_in_a_song_leaves_the_songs_before_it_and_nothing_of_it(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    whole = builder.write_audio

    def fail(path: Path, audio: np.ndarray, *, sample_rate: int) -> None:
        if path.parent.name == "00001" and path.stem == "bass":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, audio, sample_rate=sample_rate)

    monkeypatch.setattr(builder, "write_audio", fail)
    with pytest.raises(
        AudioError, match=r"00001: cannot be written \(No space left on device\); the songs that are done"
    ):
        make(plan_of(sources, out))
    assert sorted(path.name for path in (out / "train").iterdir()) == ["00000"]
    assert json.loads((out / "manifest.json").read_text())["splits"]["train"]["songs"] == 1
    monkeypatch.setattr(builder, "write_audio", whole)
    assert make(plan_of(sources, out)) == ["train/00001"]


def test_what_a_killed_process_left_is_cleared_away(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(plan_of(sources, out))
    for name in ("killed", "at work"):
        (out / f".dttnet-{name}/00002").mkdir(parents=True)
    os.utime(out / ".dttnet-killed", (0, 0))
    make(plan_of(sources, out, n_songs=3))
    assert [path.name for path in out.glob(".dttnet-*")] == [".dttnet-at work"]


def test_two_builds_of_the_same_folder_share_the_work(sources: Path, tmp_path: Path) -> None:
    """The song that another process has made meanwhile stays, and is no error."""
    plan = plan_of(sources, tmp_path / "out")
    make(plan)
    studio = builder.open_studio(plan, "train")
    before = sorted((path, path.stat().st_mtime_ns) for path in plan.out.rglob("*.flac"))
    builder.make_song(plan, builder.Job("train", 0), studio)
    assert sorted((path, path.stat().st_mtime_ns) for path in plan.out.rglob("*.flac")) == before
    assert not list(plan.out.glob(".dttnet-*"))


def test_a_full_disk_is_said_before_any_work(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 20e6})())
    with pytest.raises(UsageError, match=r"2 songs need about 0\.0 GB, and 0\.0 GB are free"):
        make(plan_of(sources, tmp_path / "out"))


def test_the_manifest_names_sources_with_licence_and_share(sources: Path, tmp_path: Path) -> None:
    make(plan_of(sources, tmp_path / "out"))
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["splits"] == {"train": {"songs": 2, "hours": 0.0}}
    assert set(manifest["sources"]) == {"voice", "bass", "guitar"}
    assert manifest["sources"]["voice"]["share"] == {"train": {"vocals": 1.0, "other": 0.75}}
    assert manifest["sources"]["voice"]["licence"] == "CC0-1.0"
    assert (
        "| The voice: [https://example.org](https://example.org) | Me | CC0-1.0 | train vocals 100.0%, other 75.0% |"
        in (tmp_path / "out/CREDITS.md").read_text()
    )


def test_sources_of_songs_that_are_there_stay_in_the_credits(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(plan_of(sources, out, n_valid=1))
    make(plan_of(sources, out, n_songs=3))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["splits"]["valid"]["songs"] == 1
    assert manifest["sources"]["voice"]["share"]["valid"] == {"vocals": 1.0, "other": 0.75}


def test_an_excerpt_of_an_album_has_no_invented_tempo_and_key() -> None:
    stems = {stem: np.zeros((2, 10), np.float32) for stem in STEMS}
    used = {stem: {"album": 1.0} for stem in STEMS}
    album = builder._describe(Take(SONG, stems, used, is_album=True))
    assert set(album) == {"kind", "duration_s", "sources"}
    assert {"style", "key", "sections"} < set(builder._describe(Take(SONG, stems, used)))


def test_a_stem_without_sources_is_an_error_that_says_what_to_add(sources: Path, tmp_path: Path) -> None:
    (sources / "voice/held_d3.wav").unlink()
    with pytest.raises(
        UsageError, match=r"nothing to make vocals of for the split 'valid'; add sung syllables or .*held_out"
    ):
        make(plan_of(sources, tmp_path / "out", n_valid=1))
    (sources / "voice/a_c3.wav").unlink()
    with pytest.raises(UsageError, match="nothing to make vocals of for the split 'train'"):
        make(plan_of(sources, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_songs_ask_for_a_number_and_a_seed_that_make_sense(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ask for at least one"):
        plan_of(tmp_path, tmp_path, n_songs=0)
    with pytest.raises(UsageError, match="the seed is -1"):
        plan_of(tmp_path, tmp_path, seed=-1)
    with pytest.raises(UsageError, match="reverb is no feature of songs; there are playing, fonts"):
        Features.without(("reverb",))


def test_songs_are_numbered_in_order() -> None:
    assert Job("train", 17).name == "00017"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "build-open", *map(str, arguments), "--workers", "1"])


def test_the_command_says_what_there_is_and_whose(sources: Path, tmp_path: Path) -> None:
    result = run(sources, tmp_path / "out", "--songs", 2, "--valid", 1, "--without", "fonts")
    assert result.exit_code == 0, result.output
    assert "train: 2 songs" in result.output
    assert "valid: 1 songs" in result.output
    assert "not there, and done without: everything-is-free/train, instruments/growlybass" in result.output
    assert f"3 sources; whose they are is in {tmp_path / 'out' / 'CREDITS.md'}" in result.output


def test_the_command_refuses_features_that_there_are_not(sources: Path, tmp_path: Path) -> None:
    result = run(sources, tmp_path / "out", "--without", "fun")
    assert result.exit_code == 2
    assert "fun is no feature of songs" in result.output
    assert not (tmp_path / "out").exists()


def test_the_command_makes_songs_in_some_styles(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(sources, out, "--songs", 1, "--without", "fonts", "--styles", "techno,house")
    assert result.exit_code == 0, result.output
    assert json.loads((out / "train/00000/song.json").read_text())["style"] == "techno"
    result = run(sources, out, "--songs", 2, "--without", "fonts", "--styles", "techno")
    assert result.exit_code == 2
    assert "was made with other styles" in result.output
    result = run(sources, tmp_path / "new", "--songs", 1, "--without", "fonts", "--styles", "polka")
    assert result.exit_code == 2
    assert "polka is no style of songs; there are rock" in result.output


def test_an_interrupted_command_keeps_whole_songs_and_goes_on(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out", builder.write_audio

    def interrupt(path: Path, audio: np.ndarray, *, sample_rate: int) -> None:
        if path.parent.name == "00001":
            raise KeyboardInterrupt
        whole(path, audio, sample_rate=sample_rate)

    monkeypatch.setattr(builder, "write_audio", interrupt)
    assert run(sources, out, "--songs", 3, "--without", "fonts").exit_code == 130
    assert sorted(path.name for path in (out / "train").iterdir()) == ["00000"]
    assert not list(out.glob(".dttnet-*"))
    monkeypatch.setattr(builder, "write_audio", whole)
    assert run(sources, out, "--songs", 3, "--without", "fonts").exit_code == 0
    assert sorted(path.name for path in (out / "train").iterdir()) == ["00000", "00001", "00002"]


def test_a_missing_player_of_sound_fonts_is_an_error_with_its_command(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    result = run(sources, tmp_path / "out")
    assert result.exit_code == 3
    assert "pip install --no-deps tinysoundfont" in result.output


def test_missing_sound_fonts_are_an_error_that_says_where_to_get_them(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "SOUNDFONT_FOLDERS", (tmp_path,))
    monkeypatch.setitem(sys.modules, "tinysoundfont", ModuleType("tinysoundfont"))
    result = run(sources, tmp_path / "out")
    assert result.exit_code == 2
    assert "apt-get install fluid-soundfont-gm" in result.output
