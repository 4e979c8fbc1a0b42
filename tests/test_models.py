"""The models inside the package: whole, small, with cards, and able to separate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import read
from dttnet import Separator, store
from dttnet.cli import main
from dttnet.runtime.onnx import read_card

EXAMPLE = Path(__file__).parents[1] / "examples" / "potassium.ogg"
VOCALS = Path(__file__).parent / "audio" / "potassium-vocals.ogg"


def test_the_default_model_is_in_the_package() -> None:
    assert store.DEFAULT_MODEL in store.shipped()


def test_shipped_models_verify() -> None:
    result = CliRunner().invoke(main, ["models", "verify"])
    assert result.exit_code == 0, result.output
    assert all(f"{name}: ok" in result.output for name in store.shipped())


@pytest.mark.parametrize("name", store.shipped())
def test_every_shipped_model_has_a_card_a_licence_and_measured_quality(name: str) -> None:
    model = store.find(name)
    assert sum(file.stat().st_size for file in model.files) <= 12e6
    text = (model.files[0].parent / "CARD.md").read_text(encoding="utf-8")
    for file in model.files:
        card = read_card(file)
        assert card.licence == "Apache-2.0"
        assert card.training_data
        assert card.quality
        assert card.quality in text


def test_all_shipped_models_together_are_small() -> None:
    files = [file for name in store.shipped() for file in store.find(name).files]
    assert sum(file.stat().st_size for file in files) <= 24e6


def test_companions_give_the_same_stems_of_the_same_bins() -> None:
    model = store.find("default", companions=True)
    assert model.companions == store.find("fast").files
    assert Separator("default", quality="best", threads=2).model == model
    cards = [read_card(file) for file in (*model.files, *model.companions)]
    assert len({(card.transform, frozenset(card.stems)) for card in cards}) == 1


def test_the_list_says_whose_networks_join_a_model() -> None:
    output = CliRunner().invoke(main, ["models", "list"]).output
    assert output.count("with --quality best: the mean of what it and fast give") == 1


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_other_qualities_do_without_companions(quality: str) -> None:
    assert Separator("default", quality=quality, threads=2).model == store.find("default")


@pytest.mark.parametrize("name", store.shipped())
def test_a_song_turned_down_gives_the_same_stems_turned_down(name: str) -> None:
    source, rate = read(EXAMPLE)
    some = source[: 4 * rate].T.astype(np.float32)
    separator = Separator(name, threads=2)
    expected = separator.separate(some, rate)
    for stem, samples in separator.separate(some / 64, rate).items():
        # A power of two changes no digit; engines may take sums in another order.
        np.testing.assert_allclose(64 * samples, expected[stem], atol=1e-5)


def test_a_changed_file_of_a_shipped_model_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    name = store.DEFAULT_MODEL
    changed = {"shipped": {name: {"sha256": {f"{name}.onnx": "0" * 64, "lost.onnx": "1" * 64}}}, "published": []}
    monkeypatch.setattr(store, "registry", lambda: changed)
    result = CliRunner().invoke(main, ["models", "verify", name])
    assert result.exit_code == 3
    assert "sha256 is not the one this package was released with" in result.output
    assert "lost.onnx: missing" in result.output


def test_the_example_song_comes_apart(tmp_path: Path) -> None:
    report = Separator(threads=2).separate_file(EXAMPLE, tmp_path)
    source, rate = read(EXAMPLE)
    stems = {stem: read(path)[0] for stem, path in report.outputs.items()}
    assert list(stems) == ["vocals", "drums", "bass", "other"]
    assert all(samples.shape == source.shape for samples in stems.values())
    assert report.duration_s == len(source) / rate
    # 24-bit files: four roundings of half a step.
    assert np.abs(sum(stems.values()) - report.gain * source).max() <= 4 * 2.0**-24 + 1e-7
    # 8.09 dB when the model was made, -1.2 for the mixture itself; other processors round differently in the 6th digit.
    vocals, _ = read(VOCALS)
    error = vocals - stems["vocals"] / report.gain
    assert 10 * np.log10(np.sum(vocals**2) / np.sum(error**2)) > 7.9
    # The low notes are in the bass.
    energy = {stem: np.abs(np.fft.rfft(samples[:, 0]))[: 100 * len(source) // rate] for stem, samples in stems.items()}
    low = {stem: float(np.sum(values**2)) for stem, values in energy.items()}
    assert low["bass"] > max(low["vocals"], low["other"])
