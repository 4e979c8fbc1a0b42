"""Clips of sounds that separators mistake, laid over training examples."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from numpy.typing import NDArray

from conftest import noise
from dttnet import patterns
from dttnet.dataset import STEMS, Dataset, load_dataset
from dttnet.errors import UsageError
from dttnet.patterns import RATE, Plan
from dttnet.training.clips import ClipConfig, Clips
from dttnet.training.data import DataConfig, Examples
from dttnet.training.experiment import load_experiment

STEM_OF = {"vocal_chops": "vocals", "guitar": "other", "riser": "other"}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("songs")
    for number, stem in enumerate(STEMS):
        (root / "one").mkdir(exist_ok=True)
        soundfile.write(root / "one" / f"{stem}.wav", 0.1 * noise(9 * RATE, seed=number), RATE, subtype="FLOAT")
    return root


@pytest.fixture(scope="module")
def sets(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of three recordings of 5 s, noise of their own each. Not to be changed."""
    root = tmp_path_factory.mktemp("sets")
    classes = {name: {"stem": stem, "reverses": name == "riser"} for name, stem in STEM_OF.items()}
    for position, name in enumerate(classes):
        (root / "clips" / name).mkdir(parents=True)
        for number in range(3):
            recording = 0.3 * noise(5 * RATE, seed=100 + 10 * position + number)
            soundfile.write(root / "clips" / name / f"{number}.wav", recording, RATE, subtype="FLOAT")
    (root / "clips" / "classes.yaml").write_text(yaml.safe_dump(classes))
    patterns.build(Plan(clips=root / "clips", songs=songs, out=root / "sets", split="all"))
    return root / "sets"


@pytest.fixture
def make_examples(songs: Path) -> Callable[..., Examples]:
    dataset: Dataset = load_dataset(songs, cache=False)

    def make(clips: ClipConfig, *, targets: tuple[str, ...] = ("vocals",), n_samples: int = 1000) -> Examples:
        config = DataConfig(clips=clips)
        config.augment.probability = 0
        return Examples(
            [(dataset, 1.0)],
            targets=targets,
            n_samples=n_samples,
            sample_rate=RATE,
            seed=3,
            config=config,
            n_examples=60,
        )

    return make


def clip_of(sets: Path, name: str) -> NDArray[np.float32]:
    """(2, N) of the only training clip of a class: of three recordings one is for training."""
    (path,) = patterns.clip_files(sets, name, "train")
    return patterns.read_clip(path, RATE, is_reversed=False)


def holds(clip: NDArray[np.float32], piece: NDArray[np.float32]) -> bool:
    first = np.flatnonzero(clip[0] == piece[0, 0])
    return any(np.array_equal(clip[:, n : n + piece.shape[1]], piece) for n in first)


def test_clips_are_added_to_their_stem_and_the_music_stays(sets: Path, make_examples: Callable[..., Examples]) -> None:
    plain = make_examples(ClipConfig())
    with_clips = make_examples(ClipConfig(sets=str(sets), share=1.0))
    of_vocals = 0
    for before, after in zip(plain, with_clips, strict=True):
        added = after["mixture"] - before["mixture"]
        assert np.abs(added).max() > 0.1
        to_target = after["stems"][0] - before["stems"][0]
        is_chop = bool(to_target.any())
        of_vocals += is_chop
        # Sums of float32 below 1.
        np.testing.assert_allclose(to_target, added if is_chop else 0, atol=3e-7)
    # A third of 60; 20 plus and minus four standard deviations.
    assert 6 <= of_vocals <= 34


def test_each_class_is_drawn_as_it_lies_on_the_disk_and_backwards_where_that_is_as_good(sets: Path) -> None:
    clips = Clips(ClipConfig(sets=str(sets), share=1.0), stems=STEMS, sample_rate=RATE)
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(80):
        drawn = clips.draw(rng, 500)
        assert drawn is not None
        stem, piece = drawn
        for name in STEM_OF:
            for is_reversed in (False, True):
                clip = clip_of(sets, name)
                if holds(clip[:, ::-1] if is_reversed else clip, piece):
                    assert stem == STEM_OF[name]
                    found.add((name, is_reversed))
    assert found == {("vocal_chops", False), ("guitar", False), ("riser", False), ("riser", True)}


def test_a_clip_shorter_than_an_example_lies_somewhere_in_it_whole(sets: Path) -> None:
    clips = Clips(ClipConfig(sets=str(sets), share=1.0, without=["riser", "guitar"]), stems=STEMS, sample_rate=RATE)
    clip = clip_of(sets, "vocal_chops")
    rng = np.random.default_rng(1)
    starts = set()
    for _ in range(3):
        drawn = clips.draw(rng, clip.shape[1] + 1000)
        assert drawn is not None
        start = int(np.flatnonzero(drawn[1][0])[0])
        np.testing.assert_array_equal(drawn[1][:, start : start + clip.shape[1]], clip)
        starts.add(start)
    assert len(starts) == 3


def test_some_classes_can_be_left_out_and_some_examples_left_alone(
    sets: Path, make_examples: Callable[..., Examples]
) -> None:
    plain = make_examples(ClipConfig())
    some = make_examples(ClipConfig(sets=str(sets), share=0.5, without=["vocal_chops"]))
    n_changed = 0
    for before, after in zip(plain, some, strict=True):
        np.testing.assert_array_equal(after["stems"], before["stems"])
        n_changed += not np.array_equal(after["mixture"], before["mixture"])
    # Half of 60, plus and minus four standard deviations.
    assert 15 <= n_changed <= 45


def test_examples_are_the_same_every_time(sets: Path, make_examples: Callable[..., Examples]) -> None:
    config = ClipConfig(sets=str(sets), share=1.0)
    for one, other in zip(make_examples(config), make_examples(config), strict=True):
        np.testing.assert_array_equal(one["mixture"], other["mixture"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ClipConfig(share=1.0), "data.clips.sets is missing"),
        (ClipConfig(sets="SETS"), "data.clips.share is 0"),
        (ClipConfig(sets="SETS", share=1.0, without=["horn"]), "names horn, .*there are guitar, riser, vocal_chops"),
        (ClipConfig(sets="SETS", share=1.0, without=list(STEM_OF)), "leaves none of the classes"),
        (ClipConfig(sets="nowhere", share=1.0), "nowhere: not a folder that `dttnet patterns build` made"),
    ],
)
def test_what_does_not_fit_is_refused(
    config: ClipConfig, message: str, sets: Path, make_examples: Callable[..., Examples]
) -> None:
    if config.sets == "SETS":
        config.sets = str(sets)
    with pytest.raises(UsageError, match=message):
        make_examples(config)


def test_sets_without_their_clips_are_refused(sets: Path, tmp_path: Path) -> None:
    shutil.copy(sets / "patterns.json", tmp_path)
    with pytest.raises(UsageError, match="there are no clips; make the sets anew"):
        Clips(ClipConfig(sets=str(tmp_path), share=1.0), stems=STEMS, sample_rate=RATE)
    with pytest.raises(UsageError, match="guitar belongs to other, which is no stem of the examples"):
        Clips(ClipConfig(sets=str(sets), share=1.0), stems=("vocals",), sample_rate=RATE)
    with pytest.raises(UsageError, match=r"data.clips.share is 2: give 0 to 1"):
        ClipConfig(share=2)


def test_the_papers_two_fine_tunes_differ_in_the_vocal_chops() -> None:
    with_chops, without = (load_experiment(name, ["data.clips.sets=sets"]) for name in ("finetune_vc", "finetune_nvc"))
    assert with_chops.data.clips == ClipConfig(sets="sets", share=1.0)
    assert without.data.clips == ClipConfig(sets="sets", share=1.0, without=["vocal_chops"])
    assert with_chops.stems == without.stems == ["vocals"]
