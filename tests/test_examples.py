"""Training examples: where their audio comes from, and that it is the same for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from conftest import noise
from dttnet.dataset import STEMS, Dataset, load_dataset
from dttnet.errors import AudioError, UsageError
from dttnet.training.augment import AugmentConfig, change_pitch_and_tempo, n_needed
from dttnet.training.data import DataConfig, Examples

MakeAudio = Callable[..., Path]
RATE = 8000
PLAIN = DataConfig(augment=AugmentConfig(probability=0))


def ramp(song: int, stem: int, n_samples: int) -> NDArray[np.float64]:
    """Samples (N, 2) that say which file they are from and where: song + stem/8 + place/2^17, over 16."""
    wave = (song + stem / 8 + np.arange(1, n_samples + 1) / 2**17) / 16
    return np.stack([wave, -wave], axis=1)


def read_ramp(audio: NDArray[np.float32]) -> tuple[int, int, int]:
    """Song, stem and first sample of an excerpt (2, N) of a `ramp`, which must be of one piece."""
    values = audio[0].astype(np.float64) * 16
    np.testing.assert_allclose(np.diff(values), 2.0**-17, atol=2e-7)  # float32 has steps of 2^-24 here
    song = int(values[0])
    stem = int((values[0] - song) * 8)
    return song, stem, round((values[0] - song - stem / 8) * 2**17) - 1


@pytest.fixture
def songs(make_audio: MakeAudio, tmp_path: Path) -> Dataset:
    """Four songs whose samples say where they are from; the last has no bass."""
    for song in range(4):
        for stem, name in enumerate(STEMS):
            if (song, name) != (3, "bass"):
                make_audio(f"songs/{song}/{name}.wav", ramp(song, stem, 4000), RATE, subtype="FLOAT")
    return load_dataset(tmp_path / "songs", cache=False)


@pytest.fixture
def noises(make_audio: MakeAudio, tmp_path: Path) -> Dataset:
    """Three songs of noise, of two seconds."""
    for song in range(3):
        for stem, name in enumerate(STEMS):
            make_audio(f"noises/{song}/{name}.wav", 0.2 * noise(2 * RATE, seed=4 * song + stem), RATE, subtype="FLOAT")
    return load_dataset(tmp_path / "noises", cache=False)


def make_examples(
    *datasets: Dataset | tuple[Dataset, float],
    targets: Sequence[str] = STEMS,
    n_samples: int = 1000,
    sample_rate: int = RATE,
    config: DataConfig = PLAIN,
    n_examples: int = 200,
    seed: int = 0,
) -> Examples:
    return Examples(
        [each if isinstance(each, tuple) else (each, 1.0) for each in datasets],
        targets=targets,
        n_samples=n_samples,
        sample_rate=sample_rate,
        seed=seed,
        config=config,
        n_examples=n_examples,
    )


EVERYTHING = DataConfig(
    same_track_ratio=0.5,
    tries=2,
    augment=AugmentConfig(gain_db=10, polarity=0.5, swap=0.5, silence=0.1, keep_pitch=["drums"]),
)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more than there are CPUs
@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_stream(n_workers: int, noises: Dataset) -> None:
    examples = make_examples(noises, config=EVERYTHING, n_samples=2000, n_examples=12)

    def stream(n_workers: int) -> list[dict[str, Any]]:
        return list(DataLoader(examples, batch_size=2, num_workers=n_workers))  # type: ignore[arg-type]  # len and [] will do

    for expected, batch in zip(stream(0), stream(n_workers), strict=True):
        for name in ("mixture", "stems"):
            assert batch[name].numpy().tobytes() == expected[name].numpy().tobytes()


def test_an_example_depends_on_seed_and_number_alone(noises: Dataset) -> None:
    first, second = (make_examples(noises, config=EVERYTHING, n_samples=2000) for _ in range(2))
    for index in (7, 3, 7):
        np.testing.assert_array_equal(first[index]["stems"], second[index]["stems"])
    assert not np.array_equal(first[3]["mixture"], first[4]["mixture"])
    other = make_examples(noises, config=EVERYTHING, n_samples=2000, seed=1)
    assert not np.array_equal(first[3]["mixture"], other[3]["mixture"])


@pytest.mark.parametrize(
    "config", [PLAIN, EVERYTHING, DataConfig(), DataConfig(augment=AugmentConfig(rest_together=False))]
)
@pytest.mark.parametrize("targets", [STEMS, ("bass",), ("other", "vocals")])
def test_shapes_and_the_mixture_of_all_stems(config: DataConfig, targets: Sequence[str], noises: Dataset) -> None:
    examples = make_examples(noises, config=config, targets=targets)
    assert len(examples) == 200
    for index in range(4):
        example = examples[index]
        assert example["mixture"].shape == (2, 1000)
        assert example["stems"].shape == (len(targets), 2, 1000)
        assert example["mixture"].dtype == example["stems"].dtype == np.float32
        if targets == STEMS:
            # Sums of four float32.
            np.testing.assert_allclose(example["mixture"], example["stems"].sum(axis=0), atol=1e-6)


def test_targets_come_in_the_order_asked_and_the_rest_is_in_the_mixture(songs: Dataset) -> None:
    examples = make_examples(songs, targets=("other", "drums"))
    for index in range(20):
        example = examples[index]
        assert read_ramp(example["stems"][0])[1] == STEMS.index("other")
        assert read_ramp(example["stems"][1])[1] == STEMS.index("drums")
    everything = make_examples(songs)
    np.testing.assert_allclose(example["mixture"], everything[19]["mixture"], atol=1e-6)


def test_random_mixing_draws_every_stem_from_its_own_track_and_place(songs: Dataset) -> None:
    examples = make_examples(songs)
    drawn = np.array([[read_ramp(stem) for stem in examples[index]["stems"]] for index in range(200)])
    songs_drawn, starts = drawn[:, :, 0], drawn[:, :, 2]
    for stem, name in enumerate(STEMS):
        # The song without a bass is not drawn for it: a random mix is not poorer for what tracks lack.
        assert set(songs_drawn[:, stem]) == ({0, 1, 2} if name == "bass" else {0, 1, 2, 3})
    assert starts.min() < 100
    assert 2900 < starts.max() <= 3000
    # Four of four from one song by chance: at most 1 in 27.
    assert np.mean([len(set(row)) == 1 for row in songs_drawn]) < 0.15
    assert abs(np.corrcoef(starts[:, 0], starts[:, 1])[0, 1]) < 0.3


def test_examples_of_one_track_are_aligned_and_a_missing_stem_is_silence(songs: Dataset) -> None:
    examples = make_examples(songs, config=DataConfig(same_track_ratio=1, augment=AugmentConfig(probability=0)))
    seen = set()
    for index in range(50):
        stems = examples[index]["stems"]
        places = {(read_ramp(stem)[0], read_ramp(stem)[2]) for stem in stems if stem.any()}
        assert len(places) == 1
        song = places.pop()[0]
        seen.add(song)
        assert stems[STEMS.index("bass")].any() == (song != 3)
    assert seen == {0, 1, 2, 3}


def test_the_ratio_of_examples_of_one_track(songs: Dataset) -> None:
    config = DataConfig(same_track_ratio=0.3, augment=AugmentConfig(probability=0))
    examples = make_examples(songs, config=config, n_examples=300)
    one_place = [
        len({(read_ramp(stem)[0], read_ramp(stem)[2]) for stem in examples[index]["stems"] if stem.any()}) == 1
        for index in range(300)
    ]
    assert np.mean(one_place) == pytest.approx(0.3, abs=0.13)  # five standard deviations


def test_stems_of_one_track_get_the_same_pitch_and_tempo(make_audio: MakeAudio, tmp_path: Path) -> None:
    for name in STEMS:  # the same audio four times: what happens to it is the same or not
        make_audio(f"same/song/{name}.wav", noise(3 * RATE), RATE)
    same = load_dataset(tmp_path / "same", cache=False)
    together = make_examples(same, config=DataConfig(same_track_ratio=1))
    for index in range(5):
        stems = together[index]["stems"]
        assert all(np.array_equal(stem, stems[0]) for stem in stems)
    alone = make_examples(same, config=DataConfig())
    assert not np.array_equal(alone[0]["stems"][0], alone[0]["stems"][1])


def test_the_rest_is_summed_and_changed_once(make_audio: MakeAudio, tmp_path: Path) -> None:
    n_samples = RATE  # all of the song: there is only one place to take a stem from
    parts = [0.2 * noise(n_samples, seed=seed) for seed in range(4)]
    for stem, samples in zip(STEMS, parts, strict=True):
        make_audio(f"song/song/{stem}.wav", samples, RATE, subtype="FLOAT")
    song = load_dataset(tmp_path / "song", cache=False)
    margin, _ = n_needed(n_samples, 1.0, sample_rate=RATE)
    rest = np.pad(np.sum(parts[1:], axis=0).T, ((0, 0), (margin, margin))).astype(np.float32)
    expected = [
        change_pitch_and_tempo(
            rest, semitones=semitones, tempo=1.0, method="stretch", n_samples=n_samples, sample_rate=RATE
        )
        for semitones in (-2, -1, 1, 2)
    ]
    expected.append(rest[:, margin:-margin])

    def n_summed(rest_together: bool) -> int:
        config = DataConfig(augment=AugmentConfig(tempo=0, rest_together=rest_together))
        examples = make_examples(song, targets=("vocals",), n_samples=n_samples, config=config)
        rests = [example["mixture"] - example["stems"][0] for example in map(examples.__getitem__, range(10))]
        # Sums in another order, and what a phase vocoder makes of their last bits.
        return sum(any(np.allclose(rest, each, atol=1e-3) for each in expected) for rest in rests)

    assert n_summed(rest_together=True) == 10
    assert n_summed(rest_together=False) < 5  # where three stems draw one pitch by chance, 1 in 25


def test_a_pair_of_vocals_and_mixture_is_not_drawn_whole(songs: Dataset, make_audio: MakeAudio, tmp_path: Path) -> None:
    # Its mixture is not the sum of its stems: the example would say that the mixture is the target.
    for name in ("vocals", "mixture"):
        make_audio(f"pair/song/{name}.wav", np.full((4000, 2), 0.9), RATE)
    pair = load_dataset(tmp_path / "pair", cache=False)
    config = DataConfig(same_track_ratio=1, augment=AugmentConfig(probability=0))
    examples = make_examples(songs, pair, targets=("vocals",), config=config)
    assert not any((examples[index]["stems"] > 0.8).any() for index in range(50))
    # In random mixing its vocals are as good as others.
    examples = make_examples(songs, pair, targets=("vocals",))
    assert any((examples[index]["stems"] > 0.8).any() for index in range(50))
    with pytest.raises(UsageError, match=r"there is only vocals, so there is nothing to separate it from; .*drums"):
        make_examples(pair, targets=("vocals",))


def test_a_silenced_stem_is_zero_and_missing_in_the_mixture(noises: Dataset) -> None:
    examples = make_examples(noises, config=DataConfig(augment=AugmentConfig(probability=0, silence=1)))
    assert not examples[0]["mixture"].any()


def test_a_bandwidth_is_that_of_all_stems_and_of_their_mixture(make_audio: MakeAudio, tmp_path: Path) -> None:
    rate = 44100
    for stem, name in enumerate(STEMS):
        make_audio(f"wide/song/{name}.wav", 0.2 * noise(rate, seed=stem), rate, subtype="FLOAT")
    wide = load_dataset(tmp_path / "wide", cache=False)

    def energies(config: DataConfig) -> list[NDArray[np.float64]]:
        """Of the stems and the mixture (5, 2, bins), for each example, in bands of a kilohertz."""
        examples = make_examples(wide, n_samples=rate, sample_rate=rate, config=config)
        found = []
        for example in (examples[index] for index in range(8)):
            np.testing.assert_allclose(example["stems"].sum(0), example["mixture"], atol=2e-6)  # sums of float32
            power = np.abs(np.fft.rfft(np.concatenate([example["stems"], example["mixture"][None]]))) ** 2
            found.append(power[..., :22000].reshape(5, 2, 22, 1000).sum(-1))
        return found

    ended = DataConfig(augment=AugmentConfig(probability=0, bandwidth=1))
    ends = set()
    for before, after in zip(energies(PLAIN), energies(ended), strict=True):
        left = after / before
        np.testing.assert_allclose(left[..., :2], 1, atol=1e-2)  # eighth order: 1.3e-4 at 2 kHz, and the ringing
        assert left[..., -1].max() < 0.02  # an octave above the highest end it would be 1e-5; here are 0.4 octaves
        n_bands = (left > 0.5).sum(-1)
        assert n_bands.max() - n_bands.min() <= 1  # the end may lie between two
        ends.add(n_bands.max())
    assert len(ends) > 3


def test_noise_is_of_the_other_stem_and_in_the_mixture(songs: Dataset) -> None:
    noisy = DataConfig(augment=AugmentConfig(probability=0, noise=1))
    for targets in (STEMS, ("vocals",)):
        before, after = (make_examples(songs, targets=targets, config=config)[0] for config in (PLAIN, noisy))
        added = after["mixture"] - before["mixture"]
        assert added.any()
        for name, one, other in zip(targets, before["stems"], after["stems"], strict=True):
            # Sums of float32 numbers below 1.
            np.testing.assert_allclose(other - one, added if name == "other" else 0, atol=1e-6)


def test_roots_are_drawn_by_weight(songs: Dataset, noises: Dataset) -> None:
    examples = make_examples((songs, 3.0), (noises, 1.0), targets=("vocals",))
    ramps = [bool(np.allclose(np.diff(examples[index]["stems"][0, 0]), 2**-21, atol=1e-7)) for index in range(200)]
    assert np.mean(ramps) == pytest.approx(0.75, abs=0.15)  # five standard deviations


def test_long_tracks_are_drawn_as_often_as_they_are_long(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("lengths/short/vocals.wav", np.full((2000, 2), 0.25), RATE)
    make_audio("lengths/long/vocals.wav", np.full((6000, 2), 0.5), RATE)
    found = load_dataset(tmp_path / "lengths", stems=["vocals"], cache=False)
    examples = make_examples(found, targets=("vocals",))
    is_long = [examples[index]["mixture"][0, 0] > 0.4 for index in range(200)]
    assert np.mean(is_long) == pytest.approx(0.75, abs=0.15)  # five standard deviations


def test_a_short_track_lies_somewhere_in_silence(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("short/song/vocals.wav", np.full((300, 2), 0.5), RATE)
    found = load_dataset(tmp_path / "short", stems=["vocals"], cache=False)
    examples = make_examples(found, targets=("vocals",))
    starts = set()
    for index in range(20):
        (places,) = np.nonzero(examples[index]["mixture"][0])
        assert len(places) == 300
        assert places[-1] - places[0] == 299
        starts.add(places[0])
    assert len(starts) > 10


def test_short_loose_files_follow_each_other(make_audio: MakeAudio, tmp_path: Path) -> None:
    for number in range(3):
        make_audio(f"hits/drums/{number}.wav", np.full((300, 1), (number + 1) / 8), RATE)
    found = load_dataset(tmp_path / "hits", stems=["drums"], cache=False)
    examples = make_examples(found, targets=("drums",))
    orders = set()
    for index in range(10):
        drums = examples[index]["stems"][0]
        np.testing.assert_array_equal(drums[0], drums[1])
        pieces = [set(drums[0, start : start + 300].tolist()) for start in (0, 300, 600, 900)]
        assert all(piece <= {1 / 8, 2 / 8, 3 / 8} and len(piece) == 1 for piece in pieces)
        orders.add(tuple(min(piece) for piece in pieces))
    assert len(orders) > 3


def test_loose_files_and_tracks_mix(songs: Dataset, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("more/drums/loop.wav", np.full((5000, 2), 0.9), RATE)
    more = load_dataset(tmp_path / "more", cache=False)
    examples = make_examples(songs, more)
    loops = [bool((examples[index]["stems"][1] > 0.8).any()) for index in range(100)]
    assert 25 < sum(loops) < 75  # half of 100, five standard deviations
    assert read_ramp(examples[0]["stems"][0])[1] == 0


def test_energetic_excerpts_are_chosen(make_audio: MakeAudio, tmp_path: Path) -> None:
    samples = np.zeros((8000, 2))
    samples[:2000] = noise(2000)
    make_audio("quiet/song/vocals.wav", samples, RATE)
    found = load_dataset(tmp_path / "quiet", stems=["vocals"], cache=False)

    def n_sounding(tries: int, same_track_ratio: float) -> int:
        config = DataConfig(tries=tries, same_track_ratio=same_track_ratio, augment=AugmentConfig(probability=0))
        examples = make_examples(found, targets=("vocals",), config=config, n_examples=60)
        return sum(bool(examples[index]["stems"].any()) for index in range(60))

    for same_track_ratio in (0.0, 1.0):
        assert n_sounding(1, same_track_ratio) < 35  # 2000 of 7000 places are
        assert n_sounding(20, same_track_ratio) > 57  # by chance, 1 in 800 is not


def test_other_rates_are_resampled(make_audio: MakeAudio, tmp_path: Path) -> None:
    wave = 0.5 * np.sin(2 * np.pi * 500 / 16000 * np.arange(16000))
    make_audio("fast/song/vocals.wav", wave, 16000)
    found = load_dataset(tmp_path / "fast", stems=["vocals"], cache=False)
    mixture = make_examples(found, targets=("vocals",), n_samples=4000)[0]["mixture"]
    spectrum = np.abs(np.fft.rfft(mixture[0] * np.hanning(4000)))
    assert spectrum.argmax() * RATE / 4000 == 500


def test_files_are_left_alone(noises: Dataset) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in noises.root.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    examples = make_examples(noises, config=EVERYTHING)
    for index in range(5):
        examples[index]
    assert state() == before


def test_what_cannot_be_trained_is_refused(songs: Dataset, make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("loose/vocals/a.wav")
    loose = load_dataset(tmp_path / "loose", cache=False)
    with pytest.raises(UsageError, match=r"no piano to train with in .*songs"):
        make_examples(songs, targets=("piano",))
    with pytest.raises(UsageError, match=r"no bass to train with in .*loose"):
        make_examples(loose, targets=("bass",))
    with pytest.raises(UsageError, match=r"augment\.keep_pitch names drum, which is no stem; there are vocals, drums"):
        make_examples(songs, config=DataConfig(augment=AugmentConfig(keep_pitch=["drum"])))
    with pytest.raises(UsageError, match="same_track_ratio is 1, but there are no tracks"):
        make_examples(loose, targets=("vocals",), config=DataConfig(same_track_ratio=1))
    with pytest.raises(UsageError, match="its weight is 0"):
        make_examples((songs, 0.0))
    with pytest.raises(UsageError, match="n_samples is 0"):
        make_examples(songs, n_samples=0)
    with pytest.raises(UsageError, match=r"data\.same_track_ratio is 2"):
        DataConfig(same_track_ratio=2)
    with pytest.raises(UsageError, match=r"data\.tries is 0"):
        DataConfig(tries=0)


def test_the_end_and_a_lost_file_are_errors(songs: Dataset) -> None:
    examples = make_examples(songs, targets=("vocals",), n_examples=3)
    with pytest.raises(IndexError, match="example 3 of 3"):
        examples[3]
    for song in range(4):
        (songs.root / str(song) / "vocals.wav").unlink()
    with pytest.raises(AudioError, match=r"vocals\.wav: cannot be read"):
        examples[0]
