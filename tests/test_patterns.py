"""Test sets of complex patterns: clips are made alike, divided, and laid where the manifest says."""

from __future__ import annotations

import filecmp
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray

from conftest import gain_model
from dttnet import patterns
from dttnet.cli import main
from dttnet.dataset import STEMS, load_dataset
from dttnet.errors import AudioError, UsageError
from dttnet.pattern_report import change_energies
from dttnet.patterns import RATE, Plan, condition, place

YAML = "chop: vocals\nguitar: other\nriser: {stem: other, reverses: true}\n"
LENGTHS = {"chop": 0.7, "guitar": 5.0, "riser": 11.0}


def ramp(seconds: float, height: float) -> NDArray[np.float32]:
    """(N, 2): not the same backwards."""
    n = round(seconds * RATE)
    return (height * np.linspace(0.1, 1, n)[:, None] * np.sin(np.arange(n) / 9)[:, None]).repeat(2, 1).astype("f")


def make_clips(root: Path) -> Path:
    for number in range(9):
        for name, seconds in LENGTHS.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(root / name / f"{number}.wav", ramp(seconds + number / 10, 0.2 + number / 20), RATE)
    (root / "classes.yaml").write_text(YAML)
    return root


def make_songs(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        folder = root / "test" / name
        folder.mkdir(parents=True)
        for stem in STEMS[1:]:  # nobody sings
            soundfile.write(folder / f"{stem}.flac", 0.1 * rng.standard_normal((40 * RATE, 2)), RATE)
    return root


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return make_clips(tmp_path / "clips")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    return make_songs(tmp_path / "songs")


@dataclass(frozen=True)
class Built:
    clips: Path
    songs: Path
    out: Path
    manifest: dict[str, Any]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Not to be changed."""
    root = tmp_path_factory.mktemp("patterns")
    clips, songs, out = make_clips(root / "clips"), make_songs(root / "songs"), root / "sets"
    return Built(clips, songs, out, patterns.build(Plan(clips=clips, songs=songs, out=out)))


def test_there_is_a_set_for_each_class_one_of_all_and_one_untouched(built: Built) -> None:
    out, manifest = built.out, built.manifest
    assert list(manifest["sets"]) == ["chop", "guitar", "riser", "all", "untouched"]
    assert json.loads((out / "patterns.json").read_text()) == manifest
    for name, of_songs in manifest["sets"].items():
        assert [track.name for track in load_dataset(out / name).tracks] == ["one", "two"]
        for placements in of_songs.values():
            classes = {placement["class"] for placement in placements}
            assert classes <= {name} if name not in ("all", "untouched") else bool(classes) == (name == "all")


def test_clips_lie_where_the_manifest_says_in_the_stem_of_their_class_and_nothing_else_changes(built: Built) -> None:
    out, manifest = built.out, built.manifest
    before = {track.name: track for track in load_dataset(built.songs).tracks}
    for name, of_songs in manifest["sets"].items():
        for track in load_dataset(out / name).tracks:
            expected = {stem: before[track.name].read(stem) for stem in STEMS}
            for placement in of_songs[track.name]:
                assert placement["stem"] == {"chop": "vocals"}.get(placement["class"], "other")
                clip = soundfile.read(out / placement["clip"], dtype="float32")[0].T
                clip = clip[:, ::-1] if placement["reversed"] else clip
                start = round(placement["start_s"] * RATE)
                assert round(placement["end_s"] * RATE) == start + clip.shape[1]
                expected[placement["stem"]][:, start : start + clip.shape[1]] += clip
            for stem in STEMS:
                np.testing.assert_array_equal(track.read(stem), expected[stem])
            # There is no other truth of the mixture than the sum.
            assert track.mixture is None


def test_clips_cover_the_wanted_share_without_overlap(built: Built) -> None:
    manifest = built.manifest
    for name, of_songs in manifest["sets"].items():
        for placements in of_songs.values():
            covered = sum(placement["end_s"] - placement["start_s"] for placement in placements)
            if name == "untouched":
                assert covered == 0
                continue
            # The last clip may reach beyond it.
            assert 0.45 * 40 <= covered < 0.45 * 40 + 8
            for one, following in itertools.pairwise(placements):
                assert one["end_s"] <= following["start_s"]
            assert placements[-1]["end_s"] <= 40


def test_only_classes_that_say_so_are_reversed_and_not_always(built: Built) -> None:
    manifest = built.manifest
    placements = [one for of_songs in manifest["sets"].values() for placed in of_songs.values() for one in placed]
    assert not any(one["reversed"] for one in placements if one["class"] != "riser")
    assert {one["reversed"] for one in placements if one["class"] == "riser"} == {False, True}


def test_recordings_are_divided_in_ninths_and_no_clip_is_of_two_splits(built: Built) -> None:
    out, manifest = built.out, built.manifest
    for name, parts in manifest["recordings"].items():
        assert [len(parts[split]) for split in ("train", "valid", "test")] == [5, 1, 3]
        assert len({path for paths in parts.values() for path in paths}) == 9
        for split in parts:
            assert list((out / "clips" / split / name).iterdir())
    used = {one["clip"] for of_songs in manifest["sets"].values() for placed in of_songs.values() for one in placed}
    assert all(clip.startswith("clips/test/") for clip in used)


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_places(built: Built, tmp_path: Path) -> None:
    out, manifest = built.out, built.manifest
    patterns.build(Plan(clips=built.clips, songs=built.songs, out=tmp_path / "again"))
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    _, different, errors = filecmp.cmpfiles(out, tmp_path / "again", files, shallow=False)
    assert (different, errors) == ([], [])
    other = patterns.build(Plan(clips=built.clips, songs=built.songs, out=tmp_path / "other", seed=1))
    assert other["sets"] != manifest["sets"]


def test_a_class_more_leaves_the_others_as_they_were(built: Built, songs: Path, clips: Path, tmp_path: Path) -> None:
    (clips / "classes.yaml").write_text("chop: vocals\nguitar: other\n")
    shutil.rmtree(clips / "riser")
    fewer = patterns.build(Plan(clips=clips, songs=songs, out=tmp_path / "fewer"))
    assert fewer["sets"]["chop"] == built.manifest["sets"]["chop"]


@pytest.mark.parametrize("seconds", [[0.5], [3.9, 3.9], [4.0], [8.0], [8.1], [20.0], [1.0, 30.0, 2.0, 0.3]])
def test_clips_have_4_to_8_seconds_and_all_that_was_recorded(seconds: list[float]) -> None:
    recordings = [ramp(length, 0.3).T for length in seconds]
    clips = condition(recordings)
    for clip in clips:
        assert 4 * RATE <= clip.shape[1] <= 8 * RATE
    assert sum(clip.shape[1] for clip in clips) >= sum(recording.shape[1] for recording in recordings)
    # Of one recording at least the loudest part; joined ones are all at the same peak.
    assert max(float(np.abs(clip).max()) for clip in clips) == pytest.approx(0.5, abs=1e-6)


def test_places_are_random_and_never_overlap() -> None:
    lengths = [30, 10, 20]
    starts = np.array([place(np.random.default_rng(seed), lengths, 100) for seed in range(2000)])
    assert (starts[:, 0] >= 0).all()
    assert (starts[:, :-1] + lengths[:-1] <= starts[:, 1:]).all()
    assert (starts[:, -1] + lengths[-1] <= 100).all()
    # 40 are free, in four equal parts on average; a standard error of 2000 draws is 0.2.
    assert starts[:, 0].mean() == pytest.approx(10, abs=1)
    assert place(np.random.default_rng(0), [60, 40], 100) == [0, 60]
    assert place(np.random.default_rng(0), [], 100) == []


def silent(clips: Path) -> None:
    soundfile.write(clips / "guitar" / "3.wav", np.zeros((RATE, 2)), RATE)


def clipped(clips: Path) -> None:
    soundfile.write(clips / "guitar" / "3.wav", np.clip(3 * ramp(1, 1), -1, 1), RATE)


def broken(clips: Path) -> None:
    (clips / "guitar" / "3.wav").write_bytes(b"RIFF")


def few(clips: Path) -> None:
    for number in range(7):
        (clips / "guitar" / f"{number}.wav").unlink()


def unnamed(clips: Path) -> None:
    (clips / "classes.yaml").write_text("chop: vocals\nriser: other\n")


def absent(clips: Path) -> None:
    (clips / "classes.yaml").write_text(YAML + "horn: other\n")


def no_stem(clips: Path) -> None:
    (clips / "classes.yaml").write_text(YAML.replace("guitar: other", "guitar: strings"))


def no_yaml(clips: Path) -> None:
    (clips / "classes.yaml").write_text("a: [")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (silent, AudioError, r"guitar/3.wav: is silent \(peak -180 dBFS\).*nothing was made"),
        (clipped, AudioError, r"guitar/3.wav: is clipped \(\d+ samples flat at full scale\)"),
        (broken, AudioError, r"guitar/3.wav"),
        (few, UsageError, r"guitar: has 2 recordings, too few to divide .* at least 3, better 9"),
        (unnamed, UsageError, r"says nothing of the stem of guitar"),
        (absent, UsageError, r"there is no folder horn"),
        (no_stem, UsageError, r"guitar: 'strings' is no stem of the songs \(vocals, drums, bass, other\)"),
        (no_yaml, UsageError, r"classes.yaml: cannot be read"),
    ],
)
def test_bad_clips_are_named_and_nothing_is_written(
    clips: Path, songs: Path, tmp_path: Path, spoil: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    spoil(clips)
    with pytest.raises(error, match=message):
        patterns.build(Plan(clips=clips, songs=songs, out=tmp_path / "sets"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "songs"]


def test_songs_shorter_than_a_clip_are_named(clips: Path, songs: Path, tmp_path: Path) -> None:
    for stem in STEMS[1:]:
        soundfile.write(songs / "test" / "two" / f"{stem}.flac", np.zeros((5 * RATE, 2)), RATE)
    with pytest.raises(UsageError, match=r"two has 5.0 s, less than a clip may have \(8 s\)"):
        patterns.build(Plan(clips=clips, songs=songs, out=tmp_path / "sets"))


def test_songs_whose_truth_is_not_known_are_refused(clips: Path, songs: Path, tmp_path: Path) -> None:
    soundfile.write(songs / "test" / "one" / "mixture.flac", np.zeros((40 * RATE, 2)), RATE)
    with pytest.raises(UsageError, match="one has a mixture but no vocals: its truth is not known"):
        patterns.build(Plan(clips=clips, songs=songs, out=tmp_path / "sets"))


def test_a_mixture_of_another_rate_and_length_changes_nothing(built: Built, clips: Path, tmp_path: Path) -> None:
    songs = make_songs(tmp_path / "songs")
    soundfile.write(songs / "test" / "one" / "vocals.flac", np.zeros((40 * RATE, 2)), RATE)
    for folder in (songs / "test").iterdir():
        silence = np.zeros((41 * 48000, 2))
        soundfile.write(folder / "vocals.flac", silence[: 40 * RATE], RATE)
        soundfile.write(folder / "mixture.flac", silence, 48000)
    patterns.build(Plan(clips=clips, songs=songs, out=tmp_path / "sets"))
    for name in built.manifest["sets"]:
        for before, after in zip(
            load_dataset(built.out / name).tracks, load_dataset(tmp_path / "sets" / name).tracks, strict=True
        ):
            assert (after.sample_rate, after.n_samples) == (RATE, 40 * RATE)
            for stem in STEMS:
                np.testing.assert_array_equal(after.read(stem), before.read(stem))


def test_an_interrupted_build_leaves_nothing(clips: Path, songs: Path, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        patterns.build(Plan(clips=clips, songs=songs, out=tmp_path / "sets"), report=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "songs"]


def test_the_command_says_what_it_made_and_replaces_nothing(clips: Path, songs: Path, tmp_path: Path) -> None:
    arguments = ["patterns", "build", str(clips), str(songs), str(tmp_path / "sets")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "riser (other): recordings 5 train, 1 valid, 3 test" in result.output
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "is there; give a folder that is not" in again.stderr


def test_what_clips_change_is_counted_inside_and_outside_them() -> None:
    rng = np.random.default_rng(0)
    before, clip = rng.standard_normal((2, 100)).astype("f"), rng.standard_normal((2, 20)).astype("f")
    after = before.copy()
    after[:, 30:50] += 0.5 * clip
    after[:, 90] += 2
    energy = float(np.sum(clip.astype(float) ** 2))
    found = change_energies(after, before, [(30, clip)], is_own=False)
    # float32 samples.
    assert found == pytest.approx((0.25 * energy, 8, energy), rel=1e-5)
    assert change_energies(after, before, [(30, clip)], is_own=True) == pytest.approx(
        (0.25 * energy, 8, energy), rel=1e-5
    )


def test_a_report_has_all_sets_and_what_leaks_of_each_class(built: Built, tmp_path: Path) -> None:
    # Every stem is a share of the mixture, so that this share of every clip is in it.
    shares = {"vocals": 0.5, "drums": 0.1, "bass": 0.2, "other": 0.2}
    models = [str(gain_model(tmp_path / name, shares, name=name)) for name in ("a", "b")]
    arguments = ["patterns", "report", str(built.out), "-o", str(tmp_path / "report"), "--model", models[0]]
    result = CliRunner().invoke(main, [*arguments, "--model", models[1]])
    assert result.exit_code == 0, result.output
    first, second = json.loads((tmp_path / "report" / "report.json").read_text())
    assert list(first["sets"]) == ["chop", "guitar", "riser", "all", "untouched"]
    assert first["sets"]["untouched"]["usdr"]["vocals"] is None  # nobody sings
    assert first["sets"] == second["sets"]
    leaks = {(one["class"], one["stem"]): one for one in first["leaks"]}
    assert len(leaks) == 3 * 4
    for (name, stem), leak in leaks.items():
        is_own = stem == {"chop": "vocals"}.get(name, "other")
        assert leak["own"] == is_own
        # A hundredth of a dB: the ends of clips are above the band of the network.
        assert leak["inside_db"] == pytest.approx(20 * np.log10(1 - shares[stem] if is_own else shares[stem]), abs=0.05)
        assert leak["outside_db"] < -30
    text = (tmp_path / "report" / "report.md").read_text()
    assert text.strip() == result.stdout.strip()
    assert "| riser | a | -6.0 / " in text
    assert (tmp_path / "report" / "report.png").stat().st_size > 0


def test_a_report_of_what_is_no_folder_of_sets_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["patterns", "report", str(tmp_path), "--model", "fast", "-o", str(tmp_path / "report")]
    )
    assert result.exit_code == 2
    assert "not a folder that `dttnet patterns build` made" in result.stderr


def test_a_report_of_a_stem_that_the_sets_have_not_is_refused(built: Built, tmp_path: Path) -> None:
    arguments = ["patterns", "report", str(built.out), "-o", str(tmp_path / "report"), "-n", "fast", "--stem", "vocal"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "--stem vocal: the sets have vocals, " in result.stderr
    assert not (tmp_path / "report").exists()


def test_a_report_of_two_models_of_one_name_is_refused(built: Built, tmp_path: Path) -> None:
    models = [str(gain_model(tmp_path / folder / "mine", {"vocals": 1.0}, name="mine")) for folder in ("a", "b")]
    arguments = ["patterns", "report", str(built.out), "-o", str(tmp_path / "report"), "-n", models[0], "-n", models[1]]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "several models are named" in result.stderr
    assert not (tmp_path / "report").exists()
