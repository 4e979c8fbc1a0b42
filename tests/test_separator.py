"""The separator on arrays: identity, adding up, blocks, batches, threads, channels, and what it refuses."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from conftest import gain_model, identity_model, noise
from dttnet import AudioError, DeviceError, ModelError, Separator, UsageError, store
from dttnet.config import Transform
from dttnet.errors import OutOfMemoryError
from dttnet.runtime.onnx import OnnxNetwork, read_card
from dttnet.separator import QUALITIES
from dttnet.stft import istft, stft

TRANSFORM = Transform(n_fft=512, hop=128, n_bins=200)
FRAMES = 16
CORE = (FRAMES - 1) * 128 - 512
LENGTHS = [0, 1, 2, 127, 128, CORE - 1, CORE, CORE + 1, 3 * CORE + 7]
OVERLAPS = [0.0, 0.1, 0.25, 0.5, 0.9]
# float32: the samples are below 1, and go through two transforms and the weights of the overlap-add.
ROUNDING = 1e-6


def mixture(n_samples: int, n_channels: int = 2) -> NDArray[np.float32]:
    return noise(n_samples, n_channels).T.astype(np.float32)


def band_limited(mix: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is left of a whole track when the bins above the band are dropped: no chunks here."""
    n_samples = mix.shape[1]
    n_frames = -(-n_samples // 128) + 5
    # Frames are centred on multiples of the hop, from two before the start to two after the end.
    padded = np.pad(mix, ((0, 0), (512, n_frames * 128 + 512 - n_samples)))
    return istft(stft(padded, TRANSFORM), TRANSFORM)[:, 256 : 256 + n_samples]


def through(model: Path, mix: NDArray[np.float32], **options: object) -> dict[str, NDArray[np.float32]]:
    return Separator(str(model), device="cpu", chunk_frames=FRAMES, **options).separate(mix, 44100)  # type: ignore[arg-type]  # of several types


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_an_identity_network_returns_its_band_limited_input(one_stem: Path, n_samples: int, overlap: float) -> None:
    mix = mixture(n_samples)
    out = through(one_stem, mix, overlap=overlap, stems=["vocals"], adds_up=False)["vocals"]
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, band_limited(mix), atol=ROUNDING)


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_whoever_has_the_upper_end_of_the_band_has_what_is_above_it(
    one_stem: Path, n_samples: int, overlap: float
) -> None:
    mix = mixture(n_samples)
    out = through(one_stem, mix, overlap=overlap, stems=["vocals"])["vocals"]
    np.testing.assert_allclose(out, mix, atol=ROUNDING)


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_an_identity_network_that_sees_all_bins_returns_its_input(tmp_path: Path, n_samples: int) -> None:
    mix = mixture(n_samples)
    out = through(identity_model(tmp_path, n_bins=257), mix, stems=["vocals"])["vocals"]
    np.testing.assert_allclose(out, mix, atol=ROUNDING)


@pytest.mark.parametrize("rate", [44100, 48000, 22050])
@pytest.mark.parametrize("block", [1, 100, 128, CORE, 5000])
def test_how_the_input_is_cut_into_blocks_changes_nothing(four_stems: Path, block: int, rate: int) -> None:
    mix = mixture(3 * CORE + 7)
    separator = Separator(str(four_stems), device="cpu", chunk_frames=FRAMES)
    whole = separator.separate(mix, rate)
    blocks = (mix[:, start : start + block] for start in range(0, mix.shape[1], block))
    parts = list(separator.stream(blocks, rate))
    for stem in separator.stems:
        joined = np.concatenate([part[stem] for part in parts], axis=1)
        assert joined.shape == mix.shape
        np.testing.assert_array_equal(joined, whole[stem])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_how_many_chunks_are_worked_on_at_once_changes_nothing(four_stems: Path, threads: int) -> None:
    mix = mixture(7 * CORE + 7, 3)
    expected = through(four_stems, mix, threads=threads, low_memory=True)  # one at a time
    for stem, samples in through(four_stems, mix, threads=threads).items():
        np.testing.assert_array_equal(samples, expected[stem])


class Recorder:
    """Networks that give what they get, and note what that was; what is left of `calls` fail."""

    engine, device, precision, n_parallel = "test", "test", "float32", 2

    def __init__(self, path: Path, *, calls: int = 10**9) -> None:
        self.card = read_card(path)
        self.seen: list[NDArray[np.float32]] = []
        self._left = calls

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(packed)
        self._left -= 1
        if self._left < 0:
            raise ModelError("it broke")
        return packed[:, None]


def test_a_network_that_fails_in_the_middle_is_an_error_and_nothing_goes_on(one_stem: Path) -> None:
    network = Recorder(one_stem, calls=3)
    with pytest.raises(ModelError, match="it broke"):
        Separator([network], chunk_frames=FRAMES).separate(mixture(50 * CORE), 44100)
    n_seen = len(network.seen)
    assert n_seen <= 6  # the fourth fails; no more than those that were waiting beside it are begun
    time.sleep(0.05)
    assert len(network.seen) == n_seen


class Uneven(Recorder):
    """Gives its input, and half of it, in turns."""

    n_parallel = 1  # or whose turn it is would be a matter of threads

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        out = super().__call__(packed)
        return out if len(self.seen) % 2 else out / 2


@pytest.mark.parametrize("options", [{"quality": name} for name in QUALITIES] + [{"low_memory": True}])
def test_no_quality_clicks_where_chunks_that_differ_meet(one_stem: Path, options: dict[str, Any]) -> None:
    tone = np.sin(0.06 * np.arange(20 * CORE, dtype=np.float32))[np.newaxis].repeat(2, 0)

    def highest_step(**options: Any) -> float:
        separator = Separator([Uneven(one_stem)], chunk_frames=FRAMES, stems=["vocals"], **options)
        return float(np.abs(np.diff(separator.separate(tone, 44100)["vocals"])).max())

    # Of the tone a sample differs from the next by 0.06 at most; a fade over a hop of 128 adds 0.5 / 128.
    assert highest_step(**options) < 0.065
    assert highest_step(overlap=0.0) > 0.2


def test_a_stream_that_nobody_finishes_leaves_no_thread(one_stem: Path) -> None:
    before = threading.active_count()
    stream = Separator([Recorder(one_stem)], chunk_frames=FRAMES).stream([mixture(50 * CORE)], 44100)
    next(stream)
    assert threading.active_count() > before
    stream.close()
    assert threading.active_count() == before


def test_the_best_quality_averages_a_song_and_the_swapped_one(one_stem: Path) -> None:
    mix = mixture(CORE)
    network = Recorder(one_stem)
    plain = Separator([network], chunk_frames=FRAMES).separate(mix, 44100)
    (as_it_is,) = network.seen
    network = Recorder(one_stem)
    best = Separator([network], chunk_frames=FRAMES, quality="best").separate(mix, 44100)
    assert len(network.seen) == 2
    np.testing.assert_array_equal(network.seen[0], as_it_is)
    np.testing.assert_array_equal(network.seen[1], as_it_is[:, [2, 3, 0, 1]])
    # Undone again: a network that treats all alike gives the same.
    for stem, samples in best.items():
        np.testing.assert_allclose(samples, plain[stem], atol=ROUNDING)


@pytest.mark.parametrize("batch_size", [2, 3, 16])
def test_the_batch_size_changes_nothing(four_stems: Path, batch_size: int) -> None:
    mix = mixture(7 * CORE + 7, 3)
    one = through(four_stems, mix)
    for stem, samples in through(four_stems, mix, batch_size=batch_size).items():
        np.testing.assert_allclose(samples, one[stem], atol=ROUNDING)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("n_samples", [1, 999, 20000])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 6])
def test_stems_add_up_to_the_source_also_above_the_band(
    four_stems: Path, n_channels: int, n_samples: int, rate: int
) -> None:
    mix = mixture(n_samples, n_channels)
    stems = Separator(str(four_stems), device="cpu", chunk_frames=FRAMES).separate(mix, rate)
    assert list(stems) == ["vocals", "drums", "bass", "other"]
    assert all(samples.shape == mix.shape for samples in stems.values())
    # Three float32 subtractions.
    np.testing.assert_allclose(sum(stems.values()), mix, atol=ROUNDING)


def test_what_no_network_knows_goes_to_other(four_stems: Path) -> None:
    # 20 kHz lies above bin 200 of 512 at 44.1 kHz.
    tone = 0.5 * np.sin(2 * np.pi * 20000 / 44100 * np.arange(20000))
    mix = np.stack([tone, tone]).astype(np.float32)
    stems = through(four_stems, mix)
    inner = slice(1000, -1000)
    np.testing.assert_allclose(stems["other"][:, inner], mix[:, inner], atol=1e-4)  # the window's side lobes
    assert max(np.abs(stems[stem][:, inner]).max() for stem in ("vocals", "drums", "bass")) <= 1e-4


def test_what_is_missing_is_shared_equally_in_the_band_and_by_energy_above_it(four_stems: Path) -> None:
    mix = mixture(5000)
    stems = through(four_stems, mix)
    missing = (1 - (0.5 + 0.3 + 0.1 + 0.05)) / 4
    gains = {"vocals": 0.5 + missing, "drums": 0.3 + missing, "bass": 0.1 + missing, "other": 0.05 + missing}
    band = band_limited(mix)
    for stem, gain in gains.items():
        above = gain**2 / sum(other**2 for other in gains.values())
        np.testing.assert_allclose(stems[stem], gain * band + above * (mix - band), atol=ROUNDING)


class Leaning:
    """A network that gives most of the left to the vocals and most of the right to "other"."""

    engine, device, precision, n_parallel = "test", "cpu", "float32", 2

    def __init__(self, path: Path) -> None:
        self.card = replace(read_card(path), stems=("vocals", "other"))

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        gains = np.array([[0.8, 0.8, 0.3, 0.3], [0.2, 0.2, 0.7, 0.7]], np.float32)
        return packed[:, np.newaxis] * gains[:, :, np.newaxis, np.newaxis]


def test_stems_go_to_the_places_where_they_are(four_stems: Path) -> None:
    mix = mixture(20 * CORE)
    balanced, fast = (
        Separator([Leaning(four_stems)], quality=quality).separate(mix, 44100) for quality in ("balanced", "fast")
    )
    for stem, side, other in (("vocals", 0, 1), ("other", 1, 0)):
        leaks = [np.linalg.norm(stems[stem][other]) / np.linalg.norm(stems[stem][side]) for stems in (balanced, fast)]
        assert leaks[0] < 0.8 * leaks[1]
    np.testing.assert_allclose(sum(balanced.values()), mix, atol=ROUNDING)


def test_in_mono_and_in_one_place_nothing_is_moved(four_stems: Path) -> None:
    mono = np.repeat(mixture(3 * CORE)[:1], 2, axis=0)
    for mix, network in ((mono, Leaning(four_stems)), (mixture(3 * CORE), OnnxNetwork(four_stems))):
        balanced, fast = (
            Separator([network], quality=quality, overlap=0).separate(mix, 44100) for quality in ("balanced", "fast")
        )
        for stem, samples in balanced.items():
            np.testing.assert_allclose(samples, fast[stem], atol=ROUNDING)


def test_raw_estimates_are_those_of_the_network(four_stems: Path) -> None:
    mix = mixture(5000)
    stems = through(four_stems, mix, adds_up=False)
    for stem, gain in (("vocals", 0.5), ("drums", 0.3), ("bass", 0.1), ("other", 0.05)):
        np.testing.assert_allclose(stems[stem], gain * band_limited(mix), atol=ROUNDING)


@pytest.mark.parametrize("wanted", [["vocals"], ["other"], ["other", "drums"], ["bass", "vocals"]])
def test_a_stem_is_the_same_whatever_else_is_asked_for(four_stems: Path, wanted: list[str]) -> None:
    mix = mixture(5000)
    everything = through(four_stems, mix)
    some = through(four_stems, mix, stems=wanted)
    assert list(some) == wanted
    for stem in wanted:
        np.testing.assert_allclose(some[stem], everything[stem], atol=ROUNDING)


def test_a_stem_is_the_same_beside_its_complement(four_stems: Path) -> None:
    mix = mixture(5000)
    everything = through(four_stems, mix)
    for stem in everything:
        pair = through(four_stems, mix, stems=[stem], complement="rest")
        assert list(pair) == [stem, "rest"]
        np.testing.assert_allclose(pair[stem], everything[stem], atol=ROUNDING)
        np.testing.assert_allclose(pair["rest"], mix - everything[stem], atol=ROUNDING)


def test_the_complement_is_the_source_minus_the_stems(four_stems: Path) -> None:
    mix = mixture(5000)
    stems = through(four_stems, mix, stems=["vocals", "bass"], complement="rest")
    assert list(stems) == ["vocals", "bass", "rest"]
    np.testing.assert_allclose(stems["rest"], mix - stems["vocals"] - stems["bass"], atol=ROUNDING)


def test_a_model_of_one_stem_gives_its_complement_too(one_stem: Path) -> None:
    assert Separator(str(one_stem)).stems == ("vocals", "no_vocals")
    assert Separator(str(one_stem), stems=["vocals"]).stems == ("vocals",)
    assert Separator(str(one_stem), adds_up=False).stems == ("vocals",)


def per_stem_model(folder: Path) -> Path:
    """Four networks of one stem each, with different bands."""
    for stem, gain, n_bins in (("vocals", 0.4, 200), ("drums", 0.3, 200), ("bass", 0.1, 80), ("other", 0.1, 200)):
        gain_model(folder, {stem: gain}, name=stem, n_bins=n_bins)
    return folder


def test_networks_of_one_stem_and_a_joint_network_are_used_alike(tmp_path: Path) -> None:
    mix = mixture(5000)
    separator = Separator(str(per_stem_model(tmp_path / "four")), device="cpu", chunk_frames=FRAMES)
    stems = separator.separate(mix, 44100)
    assert set(stems) == {"vocals", "drums", "bass", "other"}
    np.testing.assert_allclose(sum(stems.values()), mix, atol=ROUNDING)


def test_networks_of_stems_that_are_not_asked_for_are_not_even_loaded(tmp_path: Path) -> None:
    folder = per_stem_model(tmp_path / "four")
    separator = Separator(str(folder), stems=["bass"], device="cpu", chunk_frames=FRAMES)
    assert [network.card.stems for network in separator._networks] == [("bass",)]
    mix = mixture(3000)
    assert set(separator.separate(mix, 44100)) == {"bass"}


def test_networks_of_the_same_stems_give_their_mean_and_the_fast_quality_the_first_alone(tmp_path: Path) -> None:
    first, second = {"vocals": 0.5, "drums": 0.25}, {"drums": 0.75, "vocals": 0.25}
    gain_model(tmp_path / "two", first, name="a")
    gain_model(tmp_path / "two", second, name="b")
    model = tmp_path / "two"
    mix = mixture(5000)
    band = band_limited(mix)
    both = through(model, mix, adds_up=False)
    assert set(both) == {"vocals", "drums"}
    for stem, samples in both.items():
        np.testing.assert_allclose(samples, (first[stem] + second[stem]) / 2 * band, atol=ROUNDING)
    for stem, samples in through(model, mix, adds_up=False, quality="fast").items():
        np.testing.assert_allclose(samples, first[stem] * band, atol=ROUNDING)
    assert len(Separator(str(model), quality="fast")._networks) == 1  # the other one is not even loaded
    only = through(model, mix, stems=["drums"], adds_up=False)
    np.testing.assert_array_equal(only["drums"], both["drums"])


def test_the_best_quality_hears_companions_once_and_the_model_itself_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gain_model(tmp_path / "one", {"vocals": 0.5})
    gain_model(tmp_path / "two", {"vocals": 0.2})
    monkeypatch.setattr(store, "_weights", lambda: tmp_path)
    monkeypatch.setattr(store, "registry", lambda: {"shipped": {"one": {"companions": ["two"]}, "two": {}}})
    mix = mixture(5000)
    band = band_limited(mix)

    def vocals(model: str, quality: str) -> NDArray[np.float32]:
        options = {"quality": quality, "stems": ["vocals"], "adds_up": False}
        return Separator(model, device="cpu", chunk_frames=FRAMES, **options).separate(mix, 44100)["vocals"]

    np.testing.assert_allclose(vocals("one", "best"), (0.5 + 0.5 + 0.2) / 3 * band, atol=ROUNDING)
    np.testing.assert_allclose(vocals("one", "balanced"), 0.5 * band, atol=ROUNDING)
    np.testing.assert_allclose(vocals("two", "best"), 0.2 * band, atol=ROUNDING)
    assert store.find("one", companions=True).sha256 != store.find("one").sha256
    assert store.find(str(tmp_path / "one"), companions=True).companions == ()  # a folder is what is in it


def test_files_for_one_stem_beside_different_others_are_refused(tmp_path: Path) -> None:
    identity_model(tmp_path, ["vocals"], name="a")
    identity_model(tmp_path, ["vocals", "drums"], name="b")
    with pytest.raises(ModelError, match="several of its files give vocals, beside different other stems"):
        Separator(str(tmp_path))


def test_networks_of_the_same_stems_must_hear_the_same(tmp_path: Path) -> None:
    identity_model(tmp_path, ["vocals"], name="a")
    identity_model(tmp_path, ["vocals"], name="b", n_bins=100)
    with pytest.raises(ModelError, match="its networks of the same stems hear different bins; remove one"):
        Separator(str(tmp_path))
    assert Separator(str(tmp_path), quality="fast").stems == ("vocals", "no_vocals")  # the first alone


def test_networks_with_different_transforms_are_refused(tmp_path: Path) -> None:
    identity_model(tmp_path, ["vocals"], name="a")
    identity_model(tmp_path, ["other"], name="b", hop=64)
    with pytest.raises(ModelError, match="different transforms"):
        Separator(str(tmp_path))


def test_silence_costs_no_network_call_and_gives_exact_zeros(four_stems: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    separator = Separator(str(four_stems), device="cpu", chunk_frames=FRAMES)
    calls: list[int] = []
    estimate = separator._estimate
    monkeypatch.setattr(separator, "_estimate", lambda audio: calls.append(len(audio)) or estimate(audio))
    mix = mixture(20 * CORE)
    mix[:, 5 * CORE : 15 * CORE] = 0
    stems = separator.separate(mix, 44100)
    n_chunks = len(list(separator.plan.chunks(mix.shape[1])))
    assert 0 < sum(calls) < 0.7 * n_chunks
    silent = slice(5 * CORE + 2048, 15 * CORE - 2048)
    assert all((samples[:, silent] == 0).all() for samples in stems.values())


def test_a_silent_pair_of_channels_beside_a_sounding_one_stays_zero(four_stems: Path) -> None:
    mix = mixture(5000, 4)
    mix[2:] = 0
    stems = through(four_stems, mix)
    assert all((samples[2:] == 0).all() for samples in stems.values())
    np.testing.assert_array_equal(stems["vocals"][:2], through(four_stems, mix[:2])["vocals"])


@pytest.mark.parametrize("side", [0, 1])
def test_a_song_on_one_side_is_heard_as_a_mono_one_and_stays_there(one_stem: Path, side: int) -> None:
    mix = np.zeros((2, CORE), np.float32)
    mix[side] = mixture(CORE, 1)
    network = Recorder(one_stem)
    stems = Separator([network], chunk_frames=FRAMES).separate(mix, 44100)
    (seen,) = network.seen
    np.testing.assert_array_equal(seen[:, :2], seen[:, 2:])
    assert seen.any()
    for samples in stems.values():
        assert samples[side].any()
        assert (samples[1 - side] == 0).all()


@pytest.mark.parametrize("n_channels", [3, 4, 5, 6])
def test_channels_are_processed_in_pairs(four_stems: Path, n_channels: int) -> None:
    mix = mixture(5000, n_channels)
    vocals = through(four_stems, mix)["vocals"]
    for first in range(0, n_channels, 2):
        pair = mix[first : first + 2]
        np.testing.assert_allclose(vocals[first : first + 2], through(four_stems, pair)["vocals"], atol=ROUNDING)


def test_values_that_are_not_numbers_are_an_error_and_say_where(tmp_path: Path) -> None:
    separator = Separator(str(gain_model(tmp_path, nan=True)), device="cpu", chunk_frames=FRAMES)
    with pytest.raises(ModelError, match=r"NaN or infinite values at 0\.0 s"):
        separator.separate(mixture(5000), 44100)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers_are_refused_with_their_place(four_stems: Path, value: float) -> None:
    mix = mixture(44100)
    mix[1, 22050] = value
    with pytest.raises(AudioError, match=r"sample 22050 is not a finite number .*0\.500 s"):
        through(four_stems, mix)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (np.zeros(100, np.float32), r"shape \(100,\): give \(channels, samples\)"),
        (np.zeros((44100, 2), np.float32), "Transpose it"),
        (np.zeros((0, 100), np.float32), "shape"),
        (np.zeros((2, 100), np.int16), "int16"),
        ([[0.0, 0.1]], "mix is a list: give a numpy array"),
        (np.full((2, 100), 1e300), "sample 0 is not a finite number"),
    ],
)
def test_arrays_of_the_wrong_kind_are_refused(four_stems: Path, mix: NDArray[np.float32], message: str) -> None:
    with pytest.raises(AudioError, match=message):
        through(four_stems, mix)


@pytest.mark.parametrize("rate", [0, 7999, 192001])
def test_rates_outside_the_contract_are_refused(four_stems: Path, rate: int) -> None:
    with pytest.raises(AudioError, match=f"sample_rate is {rate}"):
        Separator(str(four_stems)).separate(mixture(100), rate)


def test_blocks_must_agree_in_channels(four_stems: Path) -> None:
    with pytest.raises(AudioError, match="2 and then 1 channels"):
        list(Separator(str(four_stems)).stream([mixture(10, 2), mixture(10, 1)], 44100))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stems": ["piano"]}, UsageError, "no stem 'piano'.* it has vocals, drums, bass, other"),
        ({"stems": []}, UsageError, "it has vocals"),
        ({"stems": ["vocals"], "complement": "vocals"}, UsageError, "complement"),
        ({"stems": ["vocals"], "complement": ""}, UsageError, "complement cannot be named ''"),
        ({"stems": ["vocals"], "complement": "a/b"}, UsageError, "complement cannot be named 'a/b'"),
        ({"overlap": 1.0}, UsageError, "from 0 to 0.9"),
        ({"threads": 0}, UsageError, "threads"),
        ({"threads": 100_000}, UsageError, "threads is 100000: there are"),
        ({"batch_size": 0}, UsageError, "batch_size"),
        ({"chunk_frames": 3}, UsageError, "give at least"),
        ({"chunk_edges": "zeros"}, UsageError, "chunk_edges"),
        ({"quality": "superb"}, UsageError, "quality is .superb.: give fast, balanced, best"),
        ({"device": "abacus"}, DeviceError, "there is no device 'abacus' that it can use"),
        ({"device": "cuda"}, DeviceError, "there is no device 'cuda' that it can use"),
        ({"engine": "abacus"}, UsageError, "engine is 'abacus': give auto, onnxruntime, openvino, torch"),
        ({"precision": "int3"}, UsageError, "precision is 'int3': give float32, bfloat16, float16"),
        ({"engine": "onnxruntime", "precision": "bfloat16"}, DeviceError, "it computes in float32, not in bfloat16"),
    ],
)
def test_impossible_options_are_refused(
    four_stems: Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Separator(str(four_stems), **options)  # type: ignore[arg-type]  # of several types


def test_a_model_may_be_given_as_a_path(four_stems: Path) -> None:
    assert Separator(four_stems).stems == Separator(str(four_stems)).stems


def test_files_are_wanted_for_each_stem_and_no_other(one_stem: Path, tmp_path: Path) -> None:
    separator = Separator(one_stem)
    for names in ([], ["vocals"], ["vocals", "no_vocals", "drums"]):
        with pytest.raises(UsageError, match="give one for each of vocals, no_vocals"):
            separator.separate_file("a.wav", {name: tmp_path / f"{name}.wav" for name in names})


def test_numpy_without_memory_is_told_as_engines_are(one_stem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("Unable to allocate 3 GiB")

    separator = Separator(one_stem)
    monkeypatch.setattr(separator, "_estimate", fail)
    with pytest.raises(OutOfMemoryError, match=r"cpu: out of memory \(Unable to allocate 3 GiB"):
        separator.separate(mixture(1000), 44100)


def test_auto_says_which_device_it_took(four_stems: Path) -> None:
    assert Separator(str(four_stems)).device == "cpu"


def test_input_is_not_modified_and_blocks_may_be_reused_by_the_caller(four_stems: Path) -> None:
    mix = mixture(3 * CORE)
    kept = mix.copy()
    separator = Separator(str(four_stems), device="cpu", chunk_frames=FRAMES)
    expected = separator.separate(mix, 44100)
    np.testing.assert_array_equal(mix, kept)

    def one_buffer() -> Iterator[NDArray[np.float32]]:
        buffer = np.empty((2, 100), np.float32)
        for start in range(0, mix.shape[1], 100):
            block = mix[:, start : start + 100]
            buffer[:, : block.shape[1]] = block
            yield buffer[:, : block.shape[1]]

    parts = list(separator.stream(one_buffer(), 44100))
    np.testing.assert_array_equal(np.concatenate([part["vocals"] for part in parts], axis=1), expected["vocals"])


def test_several_threads_may_use_one_separator(four_stems: Path) -> None:
    separator = Separator(str(four_stems), device="cpu", chunk_frames=FRAMES)
    mixes = [mixture(n) for n in (1000, 5000, 9000, 3000)]
    expected = [separator.separate(mix, 48000) for mix in mixes]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda mix: separator.separate(mix, 48000), mixes * 3))
    for index, result in enumerate(results):
        for stem, samples in result.items():
            np.testing.assert_array_equal(samples, expected[index % 4][stem])


def test_the_same_input_gives_the_same_bits(four_stems: Path) -> None:
    mix = mixture(9000)
    first, second = through(four_stems, mix), through(four_stems, mix)
    for stem in first:
        np.testing.assert_array_equal(first[stem], second[stem])


def test_progress_counts_up_to_the_length(four_stems: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    mix = mixture(9000)
    separator = Separator(str(four_stems), device="cpu", chunk_frames=FRAMES)
    separator.separate(mix, 44100, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (9000, 9000)
    assert all(before[0] <= after[0] for before, after in pairwise(calls))
    assert len(calls) > 3


@pytest.mark.parametrize("rate", [44100, 48000])
def test_memory_does_not_grow_with_the_length(four_stems: Path, rate: int) -> None:
    separator = Separator(str(four_stems), device="cpu", chunk_frames=FRAMES)
    block = mixture(10 * CORE)

    def peak(n_blocks: int) -> int:
        tracemalloc.start()
        for _ in separator.stream((block for _ in range(n_blocks)), rate):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(1)  # what is made once and kept, such as windows
    # Which chunks are at which point of their work at the same moment varies, on a busy machine by 0.5 MB; to keep
    # eighty more blocks would take 9 MB.
    assert abs(peak(84) - peak(4)) < 2_000_000


def test_a_stream_of_nothing_gives_nothing(four_stems: Path) -> None:
    separator = Separator(str(four_stems))
    assert list(separator.stream([], 44100)) == []
    (part,) = separator.stream([np.zeros((2, 0), np.float32)], 44100)
    assert part["vocals"].shape == (2, 0)


def test_models_that_are_not_there_or_not_ours_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'nothing': neither a model of this package"):
        Separator("nothing")
    with pytest.raises(ModelError, match=r"no \.onnx file"):
        Separator(str(tmp_path))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.onnx: not a model"):
        Separator(str(broken))


def test_hidden_files_and_folders_beside_the_networks_are_none(tmp_path: Path) -> None:
    path = gain_model(tmp_path)
    (tmp_path / "._network.onnx").write_bytes(b"what macOS leaves on other file systems")
    (tmp_path / "folder.onnx").mkdir()
    assert store.find(str(tmp_path)).files == (path,)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_network_that_gives_less_than_its_card_promises_is_an_error(tmp_path: Path, engine: str) -> None:
    path = gain_model(tmp_path, {"vocals": 1.0, "other": 0.5})
    model = onnx.load(path)
    (entry,) = model.metadata_props
    entry.value = entry.value.replace('"other"', '"drums", "other"')
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"vocals, drums, other gave an array .*: export it anew"):
        through(path, mixture(5000), engine=engine)
