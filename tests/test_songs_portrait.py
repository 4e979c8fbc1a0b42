"""Portraits: what is measured is known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from dttnet.dataset import MIXTURE, STEMS, load_dataset
from dttnet.songs.portrait import (
    STATISTICS,
    THIRDS_HZ,
    Statistics,
    compare,
    describe,
    draw_sheet,
    draw_spectra,
    draw_statistics,
    read_song,
    values_of,
)
from dttnet.songs.signals import RATE, highpass

SECONDS = 12


def noise(seed: int, *, seconds: int = SECONDS) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((1, seconds * RATE))).astype(np.float32)


def beats(per_s: float, *, late_s: float = 0.0) -> np.ndarray:
    """Strokes of noise, in bursts of unequal length so that they are not like themselves later."""
    rng = np.random.default_rng(5)
    time_s = np.arange(SECONDS * RATE) / RATE - late_s
    is_played = rng.random(200) < 0.6
    played = is_played[(time_s * per_s).astype(int)] & (time_s >= 0)
    strokes = 0.3 * rng.standard_normal(SECONDS * RATE) * np.exp(-(time_s % (1 / per_s)) / 0.03) * played
    return np.stack([strokes, strokes]).astype(np.float32)


def tone(hz: float, gain: float = 0.2) -> np.ndarray:
    wave = gain * np.sin(2 * np.pi * hz / RATE * np.arange(SECONDS * RATE))
    return np.stack([wave, wave]).astype(np.float32)


def one_value(x: np.ndarray, statistic: str) -> float:
    return describe({"other": x}).values["other"][statistic]


def test_levels_are_beside_the_mixture() -> None:
    stems = {"vocals": tone(1000), "other": tone(3000, 0.02), "drums": np.zeros((2, SECONDS * RATE), np.float32)}
    found = describe(stems).values
    assert found["vocals"]["level"] == pytest.approx(0, abs=0.2)
    assert -20.5 < found["other"]["level"] < -14  # 20 dB less, and up to 4 dB more by the weighting
    assert found["drums"] == {"share": 0.0}
    assert set(found) == {"vocals", "drums", "other", MIXTURE, "vocals, other"}


def test_a_mixture_that_is_given_is_taken() -> None:
    found = describe({"vocals": tone(1000), MIXTURE: 2 * tone(1000)}).values
    assert found["vocals"]["level"] == pytest.approx(-6.02, abs=0.01)


def test_crest_of_a_sine_is_three_decibels() -> None:
    assert one_value(tone(1000), "crest") == pytest.approx(3.01, abs=0.02)


def test_crest_and_share_are_of_what_sounds() -> None:
    x = tone(1000)
    x[:, : 9 * RATE] = 0
    assert one_value(x, "share") == pytest.approx(0.25, abs=0.01)
    assert one_value(x, "crest") == pytest.approx(3.01, abs=0.1)


def test_range_of_loudness() -> None:
    x = tone(1000)
    x[:, : 6 * RATE] *= 0.316
    assert one_value(x, "range") == pytest.approx(10, abs=0.5)
    assert one_value(tone(1000), "range") == pytest.approx(0, abs=0.1)


def test_white_noise_has_no_slope_and_all_of_the_band() -> None:
    x = np.repeat(noise(0), 2, axis=0)
    found = describe({"other": x})
    assert found.values["other"]["tilt"] == pytest.approx(0, abs=0.15)
    assert found.values["other"]["top"] == pytest.approx(21.8, abs=0.1)
    assert found.values["other"]["noise"] > -0.5
    # White noise gains 1 dB from each third octave to the next.
    steps = np.diff(found.spectra_db["other"][THIRDS_HZ < 18_000])
    # 31 Hz has a bin or two, and 60 frames: noise itself is as uneven as that.
    np.testing.assert_allclose(steps[14:], 1.0, atol=0.4)
    assert steps.mean() == pytest.approx(1.0, abs=0.1)
    assert 10 * np.log10(np.sum(10 ** (found.spectra_db["other"] / 10))) == pytest.approx(0, abs=0.5)


def test_a_tone_is_in_its_third_octave() -> None:
    found = describe({"other": tone(1000)})
    assert THIRDS_HZ[found.spectra_db["other"].argmax()] == pytest.approx(1000)
    assert found.spectra_db["other"].max() == pytest.approx(0, abs=0.05)
    assert one_value(tone(1000), "top") == pytest.approx(1.0, abs=0.02)
    assert found.values["other"]["noise"] < -20


def test_widths() -> None:
    a, b = noise(1), noise(2)
    assert one_value(np.concatenate([a, a]), "side") == -60
    assert one_value(np.concatenate([a, b]), "side") == pytest.approx(0, abs=0.2)
    assert one_value(np.concatenate([a, 0 * a]), "side") == pytest.approx(0, abs=0.01)
    # Wide above 4 kHz only.
    wide = np.concatenate([a, a]) + highpass(np.concatenate([b, -b]), 6000, order=8)
    found = describe({"other": wide})
    assert found.values["other"]["side high"] > -2
    assert found.values["other"]["side low"] < -30
    assert found.widths_db["other"][-3] > -1


@pytest.mark.parametrize("per_s", [2, 4])
def test_onsets_are_counted(per_s: int) -> None:
    time_s = np.arange(SECONDS * RATE) / RATE
    clicks = noise(3)[0] * np.exp(-(time_s % (1 / per_s)) / 0.03)
    x = np.stack([clicks, clicks]).astype(np.float32)
    assert len(x[0]) == SECONDS * RATE
    found = describe({"drums": x}).values["drums"]
    assert found["onsets"] * found["share"] == pytest.approx(per_s, rel=0.05)


def test_stems_that_move_together_are_told_from_those_that_do_not() -> None:
    together = describe({"drums": beats(4), "bass": beats(4)}).values["drums, bass"]
    apart = describe({"drums": beats(4), "bass": np.roll(beats(4), round(5.4 * RATE), axis=1)}).values["drums, bass"]
    assert together["moves"] > 0.8
    assert abs(apart["moves"]) < 0.3


def test_stems_that_take_turns_do_not_play_together() -> None:
    one, two = tone(500), tone(700)
    one[:, : 6 * RATE] = 0
    two[:, 6 * RATE :] = 0
    assert describe({"vocals": one, "other": two}).values["vocals, other"]["plays"] == pytest.approx(-1, abs=0.01)
    assert describe({"vocals": one, "other": one}).values["vocals, other"]["plays"] == pytest.approx(1)


@pytest.mark.parametrize("n_samples", [0, 1, 1000, RATE])
def test_describe_takes_short_and_silent_songs(n_samples: int) -> None:
    for gain in (0.0, 0.5):
        found = describe({stem: np.full((2, n_samples), gain, np.float32) for stem in STEMS})
        assert set(found.values) >= {*STEMS, MIXTURE}


def sets() -> dict[str, list[Statistics]]:
    loud, soft = describe({"vocals": tone(1000), "drums": beats(4)}), describe({"vocals": tone(1000, 0.05)})
    return {"one": [loud, soft], "two": [soft], "none": []}


def test_compare_has_a_column_for_each_set_and_the_medians() -> None:
    table = compare(sets())
    rows = [line.split("|")[1:-1] for line in table.splitlines()]
    assert {len(row) for row in rows} == {4}
    assert rows[0][1:] == [" one (2) ", " two (1) ", " none (0) "]
    assert all(f"**{statistic}**" in table for statistic in STATISTICS)
    crest = next(i for i, row in enumerate(rows) if "**crest**" in row[0])
    assert rows[crest + 1][0].strip() == "vocals"
    assert rows[crest + 1][2].strip() == "3.0 (3.0 to 3.0)" or rows[crest + 1][2].strip() == "3.01 (3.01 to 3.01)"
    assert rows[crest + 1][3].strip() == ""
    np.testing.assert_allclose(values_of(sets()["one"], "vocals", "crest"), 3.01, atol=0.02)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    draw_statistics(sets(), tmp_path / "statistics.png")
    draw_spectra(sets(), tmp_path / "spectra.png")
    draw_sheet([("made", {"vocals": tone(1000), "drums": beats(4)})], tmp_path / "sheet.png", duration_s=2)
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_read_song_takes_the_middle(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "song"
    folder.mkdir(parents=True)
    x = noise(0, seconds=3)
    for stem in ("vocals", "drums"):
        soundfile.write(folder / f"{stem}.wav", x.T, RATE, subtype="FLOAT")
    (track,) = load_dataset(tmp_path, cache=False).tracks
    song = read_song(track, duration_s=1)
    assert list(song) == ["vocals", "drums", MIXTURE]
    np.testing.assert_array_equal(song["vocals"], np.repeat(x[:, RATE : 2 * RATE], 2, axis=0))
    np.testing.assert_allclose(song[MIXTURE], 2 * song["vocals"], atol=1e-7)
    assert read_song(track, duration_s=60)["drums"].shape == (2, 3 * RATE)
