"""Random changes of stems: what is drawn, and what it does to the sound."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import noise
from dttnet.errors import MissingExtraError, UsageError
from dttnet.training.augment import (
    AugmentConfig,
    Change,
    change_pitch_and_tempo,
    change_sound,
    draw_bandwidth,
    draw_change,
    draw_noise,
    draw_pitch_and_tempo,
    limit_bandwidth,
    n_needed,
)

RATE = 44100
N = 2 * RATE


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def change(
    source: NDArray[np.float32], *, semitones: float = 0, tempo: float = 1, method: str = "stretch"
) -> NDArray[np.float32]:
    """Change a sound (C, M) that is long enough and starts a margin before its excerpt."""
    _, n_in = n_needed(N, tempo, sample_rate=RATE)
    return change_pitch_and_tempo(
        source[:, :n_in], semitones=semitones, tempo=tempo, method=method, n_samples=N, sample_rate=RATE
    )


def sine(hz: float, *, n_channels: int = 2) -> NDArray[np.float32]:
    wave = 0.5 * np.sin(2 * np.pi * hz / RATE * np.arange(3 * N))
    return np.repeat(wave[None], n_channels, axis=0).astype(np.float32)


def clicks(period: int) -> NDArray[np.float32]:
    """Short decaying clicks, the first at the first sample after the margin."""
    margin, _ = n_needed(1, 1, sample_rate=RATE)
    wave = np.zeros(3 * N, np.float32)
    for start in range(margin % period, len(wave) - 40, period):
        wave[start : start + 40] = np.hanning(40)
    return np.stack([wave, 0.5 * wave])


def find_peak_hz(audio: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(audio[0] * np.hanning(audio.shape[1])))
    return float(spectrum.argmax() * RATE / audio.shape[1])


@pytest.mark.parametrize("hz", [55, 440, 5000])
@pytest.mark.parametrize("semitones", [-2, -1, 0.5, 1, 2])
@pytest.mark.parametrize("tempo", [0.8, 1.0, 1.2])
def test_pitch_moves_a_sine_by_semitones_whatever_the_tempo(hz: float, semitones: float, tempo: float) -> None:
    changed = change(sine(hz), semitones=semitones, tempo=tempo)
    # The bins of two seconds are 0.5 Hz apart.
    assert find_peak_hz(changed) == pytest.approx(hz * 2 ** (semitones / 12), abs=0.3)
    assert np.abs(changed).max() == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("semitones", [-2, 0, 2])
@pytest.mark.parametrize("tempo", [0.8, 0.9, 1.0, 1.1, 1.2])
def test_tempo_changes_the_distance_of_clicks_and_keeps_the_first_in_its_place(semitones: float, tempo: float) -> None:
    if semitones == 0 and tempo == 1:
        return
    period = RATE // 4
    changed = change(clicks(period), semitones=semitones, tempo=tempo)
    power = np.square(changed[0].astype(np.float64))
    for number in range(1, 6):
        expected = number * period / tempo
        place = np.arange(round(expected) - 2000, round(expected) + 2000)
        centre = float((place * power[place]).sum() / power[place].sum())
        # 1.5 ms: a click of 1 ms is spread by the blocks of the phase vocoder.
        assert centre == pytest.approx(expected + 20 / tempo, abs=66)


@pytest.mark.parametrize("tempo", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("semitones", [-2, 0, 2])
def test_wsola_moves_pitch_and_tempo_too(semitones: float, tempo: float) -> None:
    changed = change(sine(440), semitones=semitones, tempo=tempo, method="wsola")
    assert find_peak_hz(changed) == pytest.approx(440 * 2 ** (semitones / 12), abs=0.5)
    assert np.abs(changed).max() == pytest.approx(0.5, rel=0.2)
    assert np.abs(changed[:, -100:]).max() > 0.4
    period = RATE // 4
    power = np.square(change(clicks(period), semitones=semitones, tempo=tempo, method="wsola")[0].astype(np.float64))
    for number in range(1, 6):
        expected = round(number * period / tempo)
        nearby = np.arange(expected - 2000, expected + 2000)
        centre = float((nearby * power[nearby]).sum() / power[nearby].sum())
        # 30 ms: about half of the pieces that WSOLA moves.
        assert centre == pytest.approx(expected, abs=1323)


def test_wsola_without_pyav_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"tempo with FFmpeg needs .*dttnet\[formats\]"):
        change(sine(440), tempo=0.9, method="wsola")


@pytest.mark.parametrize("tempo", [0.8, 1.25])
def test_resampling_moves_pitch_and_tempo_together(tempo: float) -> None:
    assert find_peak_hz(change(sine(440), tempo=tempo, method="resample")) == pytest.approx(440 * tempo, abs=0.3)
    period = RATE // 4
    changed = change(clicks(period), tempo=tempo, method="resample")
    peak = 4000 + int(changed[0, 4000 : round(1.5 * period / tempo)].argmax())
    assert peak == pytest.approx((period + 20) / tempo, abs=2)


@pytest.mark.parametrize("method", ["stretch", "wsola", "resample"])
def test_the_sound_goes_on_up_to_both_ends_of_an_excerpt(method: str) -> None:
    changed = change(sine(440), semitones=0 if method == "resample" else 1, tempo=1.1, method=method)
    assert changed.shape == (2, N)
    assert changed.dtype == np.float32
    for part in (changed[:, :1000], changed[:, -1000:]):
        # Ten periods of a sine of 0.5.
        assert np.sqrt(np.mean(np.square(part))) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_equal_channels_stay_equal_and_silence_stays_silence() -> None:
    changed = change(sine(440), semitones=1)
    np.testing.assert_array_equal(changed[0], changed[1])
    assert changed.any()
    assert not change(np.zeros((2, 3 * N), np.float32), semitones=1).any()
    assert not change(0.0001 * sine(440), semitones=1).any()
    assert change(0.0003 * sine(440), semitones=1).any()


@pytest.mark.parametrize("place_s", [0.1, 0.7, 1.6])  # the last is over before the end at all tempos
@pytest.mark.parametrize("tempo", [0.8, 1.0, 1.2])
def test_a_sound_alone_in_silence_comes_in_its_place(tempo: float, place_s: float) -> None:
    margin, _ = n_needed(1, 1, sample_rate=RATE)
    source = np.zeros((2, 3 * N), np.float32)
    start = round(place_s * RATE * tempo) + margin
    source[:, start : start + 40] = np.hanning(40)
    changed = change(source, semitones=1, tempo=tempo)
    power = np.square(changed[0].astype(np.float64))
    centre = float((np.arange(N) * power).sum() / power.sum())
    assert centre == pytest.approx(place_s * RATE + 20 / tempo, abs=66)  # 1.5 ms, as above
    assert not changed[:, : round((place_s - 0.2) * RATE) if place_s > 0.2 else 0].any()


@pytest.mark.parametrize("method", ["stretch", "wsola"])
def test_the_same_input_gives_the_same_bytes_in_any_process(method: str) -> None:
    script = (
        "import hashlib, numpy as np\n"
        "from dttnet.training.augment import change_pitch_and_tempo\n"
        "audio = np.random.default_rng(0).standard_normal((2, 30000), np.float32)\n"
        "out = change_pitch_and_tempo(audio, semitones=1, tempo=0.9, n_samples=9000, sample_rate=44100,"
        f" method={method!r})\n"
        "print(hashlib.sha256(out.tobytes()).hexdigest())\n"
    )
    hashes = {subprocess.check_output([sys.executable, "-c", script]) for _ in range(2)}
    assert len(hashes) == 1


def test_the_paper_has_25_pitches_and_tempos_that_are_equally_likely() -> None:
    generator = rng()
    drawn = [draw_pitch_and_tempo(generator, config=AugmentConfig()) for _ in range(5000)]
    values, counts = np.unique(np.round(drawn, 6), axis=0, return_counts=True)
    assert sorted(map(tuple, values.tolist())) == [
        (semitones, tempo) for semitones in (-2, -1, 0, 1, 2) for tempo in (0.8, 0.9, 1.0, 1.1, 1.2)
    ]
    # 200 each on average, with a standard deviation of 14: five of them.
    assert counts.min() > 130
    assert counts.max() < 270


def test_a_maximum_of_zero_needs_no_step_that_fits_and_other_steps_reach_the_maximum() -> None:
    generator = rng()
    config = AugmentConfig(semitones=0, tempo=0.3, tempo_step=0.1)  # 0.3 / 0.1 is not 3 in binary
    drawn = np.array([draw_pitch_and_tempo(generator, config=config) for _ in range(200)])
    assert not drawn[:, 0].any()
    np.testing.assert_allclose(np.unique(drawn[:, 1].round(6)), [0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])


def test_without_steps_any_pitch_and_tempo_is_drawn() -> None:
    config = AugmentConfig(semitone_step=0, tempo_step=0)
    generator = rng()
    drawn = np.array([draw_pitch_and_tempo(generator, config=config) for _ in range(1000)])
    assert len(np.unique(drawn[:, 0])) == 1000
    assert np.abs(drawn[:, 0]).max() <= 2
    assert np.abs(drawn[:, 0]).max() > 1.9
    assert np.abs(drawn[:, 1] - 1).max() <= 0.2
    assert np.abs(drawn[:, 1] - 1).max() > 0.19


def test_pitch_and_tempo_are_drawn_as_often_as_their_probability_says() -> None:
    config = AugmentConfig(probability=0.25, semitone_step=0)
    generator = rng()
    n_changed = sum(draw_pitch_and_tempo(generator, config=config) != (0, 1) for _ in range(2000))
    assert n_changed == pytest.approx(500, abs=100)  # five standard deviations


def test_resampling_has_no_pitch_of_its_own() -> None:
    generator = rng()
    config = AugmentConfig(method="resample")
    assert {draw_pitch_and_tempo(generator, config=config)[0] for _ in range(50)} == {0}


def test_level_polarity_sides_and_silence_are_drawn_as_configured() -> None:
    config = AugmentConfig(gain_db=10, polarity=0.5, swap=0.25, silence=0.1)
    generator = rng()
    drawn = [draw_change(generator, "vocals", (1, 0.9), config=config) for _ in range(2000)]
    gains = np.array([each.gain for each in drawn])
    assert np.mean(gains == 0) == pytest.approx(0.1, abs=0.035)  # five standard deviations here and below
    levels_db = 20 * np.log10(np.abs(gains[gains != 0]))
    assert levels_db.min() == pytest.approx(-10, abs=0.2)
    assert levels_db.max() == pytest.approx(10, abs=0.2)
    assert np.mean(gains[gains != 0] < 0) == pytest.approx(0.5, abs=0.06)
    assert np.mean([each.is_swapped for each in drawn]) == pytest.approx(0.25, abs=0.05)
    assert {(each.semitones, each.tempo) for each in drawn} == {(1, 0.9)}


def test_nothing_is_changed_by_default_but_pitch_and_tempo() -> None:
    assert draw_change(rng(), "vocals", (0, 1), config=AugmentConfig()) == Change()


def test_stems_can_keep_their_pitch() -> None:
    config = AugmentConfig(keep_pitch=["drums"])
    assert draw_change(rng(), "drums", (2, 0.9), config=config) == Change(semitones=0, tempo=0.9)
    assert draw_change(rng(), "bass", (2, 0.9), config=config) == Change(semitones=2, tempo=0.9)


def test_level_and_sides_are_applied_exactly() -> None:
    audio = noise(100).T.astype(np.float32)
    np.testing.assert_array_equal(change_sound(audio, Change(), sample_rate=RATE), audio)
    changed = change_sound(audio, Change(gain=-0.5, is_swapped=True), sample_rate=RATE)
    np.testing.assert_array_equal(changed, np.float32(-0.5) * audio[::-1])
    assert changed.dtype == np.float32


def test_width_changes_the_sides_and_leaves_the_middle() -> None:
    left, right = audio = noise(100).T.astype(np.float32)
    changed = change_sound(audio, Change(width=2), sample_rate=RATE)
    # Sums of float32 numbers below 1.
    np.testing.assert_allclose(changed[0] + changed[1], left + right, atol=1e-6)
    np.testing.assert_allclose(changed[0] - changed[1], 2 * (left - right), atol=1e-6)
    assert changed.dtype == np.float32


def test_a_tone_moves_a_sine_by_what_it_says_at_its_frequency_and_not_in_time() -> None:
    tone = Change(tone_db=(6, 0, -6, 0, 3))
    for hz, level_db in ((62.5, 6), (30, 6), (250, 0), (500, -3), (1000, -6), (4000, 0), (18000, 3)):
        wave = sine(hz)[:, :N]
        changed = change_sound(wave, tone, sample_rate=RATE)
        assert changed.dtype == np.float32
        # A quarter of a second from the ends the ringing of the bend at 62.5 Hz is 50 dB below the sine.
        inner = slice(RATE // 4, N - RATE // 4)
        np.testing.assert_allclose(changed[:, inner], 10 ** (level_db / 20) * wave[:, inner], atol=1.5e-3)


def test_tone_and_width_are_drawn_as_configured_and_change_nothing_else() -> None:
    plain = AugmentConfig(gain_db=5, polarity=0.5, swap=0.5, silence=0.1)
    shaped = replace(plain, tone_db=4, width_db=6)
    one, other = rng(), rng()
    drawn = [draw_change(one, "vocals", (0, 1), config=shaped) for _ in range(500)]
    assert [replace(each, tone_db=(), width=1) for each in drawn] == [
        draw_change(other, "vocals", (0, 1), config=plain) for _ in range(500)
    ]
    tones = np.array([each.tone_db for each in drawn])
    widths_db = 20 * np.log10([each.width for each in drawn])
    for values, highest in ((tones, 4), (widths_db, 6)):
        # The outermost of 500 uniform draws are closer than 3 % to the ends, but for one chance in 3000.
        assert 0.97 * highest < values.max() <= highest
        assert -highest <= values.min() < -0.97 * highest
    assert np.abs(np.corrcoef(tones.T) - np.eye(5)).max() < 0.25  # five standard deviations: levels are independent


def test_above_its_bandwidth_a_sine_is_gone_and_below_it_stays_in_its_place() -> None:
    wave = sine(1000)[:, :N]
    inner = slice(RATE // 4, N - RATE // 4)
    # Eighth order: an octave below the end it takes 7.6e-6 of the level, an octave above it leaves 48 dB less.
    kept = limit_bandwidth(wave, 2000, sample_rate=RATE)
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept[:, inner], wave[:, inner], atol=2e-5)
    np.testing.assert_allclose(limit_bandwidth(wave, 500, sample_rate=RATE)[:, inner], 0, atol=0.5 * 10 ** (-48 / 20))


def test_bandwidths_are_drawn_as_often_as_configured_from_telephones_to_compressed_files() -> None:
    generator = rng()
    drawn = [draw_bandwidth(generator, config=AugmentConfig(bandwidth=0.25)) for _ in range(2000)]
    ends = [hz for hz in drawn if hz is not None]
    assert abs(len(ends) - 500) < 80  # four standard deviations
    # The outermost of some 500 uniform draws are closer than 3 % to the ends, but for one chance in 10^6.
    assert 3500 <= min(ends) < 3500 * (16 / 3.5) ** 0.03
    assert 16000 * (3.5 / 16) ** 0.03 < max(ends) < 16000
    assert draw_bandwidth(rng(), config=AugmentConfig()) is None


def test_a_distorted_sine_is_as_loud_and_has_overtones_and_silence_stays_silent() -> None:
    wave = sine(200)[:, :N]
    driven = change_sound(wave, Change(drive_db=36), sample_rate=RATE)
    assert driven.dtype == np.float32
    # Sums of float32 numbers.
    assert np.std(driven) == pytest.approx(np.std(wave), rel=1e-4)
    spectrum = np.abs(np.fft.rfft(driven[0] * np.hanning(N), RATE))
    # Nearly a square wave, whose third harmonic has a third of the first; 5 % are for its slopes.
    assert spectrum[600] / spectrum[200] == pytest.approx(1 / 3, rel=0.05)
    silence = np.zeros((2, 100), np.float32)
    np.testing.assert_array_equal(change_sound(silence, Change(drive_db=36), sample_rate=RATE), silence)


def test_drives_are_drawn_as_often_as_configured_and_change_nothing_else() -> None:
    plain = AugmentConfig(gain_db=5, polarity=0.5, swap=0.5, silence=0.1, tone_db=4, width_db=6)
    one, other = rng(), rng()
    drawn = [draw_change(one, "other", (0, 1), config=replace(plain, drive=0.25)) for _ in range(2000)]
    assert [replace(each, drive_db=0) for each in drawn] == [
        draw_change(other, "other", (0, 1), config=plain) for _ in range(2000)
    ]
    drives = [each.drive_db for each in drawn if each.drive_db]
    assert abs(len(drives) - 500) < 80  # four standard deviations
    # The outermost of some 500 uniform draws are closer than 3 % to the ends, but for one chance in 10^6.
    assert 6 <= min(drives) < 6.9
    assert 35.1 < max(drives) < 36


def test_noises_are_drawn_as_often_as_configured_at_levels_below_that_of_the_music() -> None:
    generator, music = rng(), noise(RATE // 4).T.astype(np.float32)
    config = AugmentConfig(noise=0.25)
    drawn = [draw_noise(generator, music, config=config, sample_rate=RATE) for _ in range(400)]
    noises = [each for each in drawn if each is not None]
    assert abs(len(noises) - 100) < 35  # four standard deviations
    assert all(each.shape == music.shape and each.dtype == np.float32 for each in noises)
    levels_db = [20 * np.log10(np.std(each) / np.std(music)) for each in noises]
    # The outermost of some 100 uniform draws are closer than 10 % to the ends, but for one chance in 10^4.
    assert -30 - 1e-3 < min(levels_db) < -27
    assert -3 < max(levels_db) < 1e-3
    assert draw_noise(rng(), music, config=AugmentConfig(), sample_rate=RATE) is None
    assert draw_noise(rng(), 0 * music, config=AugmentConfig(noise=1), sample_rate=RATE) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probability": 1.5}, r"augment\.probability is 1\.5: a probability is from 0 to 1"),
        ({"silence": -0.1}, r"augment\.silence is -0\.1"),
        ({"bandwidth": 2}, r"augment\.bandwidth is 2"),
        ({"drive": -1}, r"augment\.drive is -1"),
        ({"noise": 1.1}, r"augment\.noise is 1\.1"),
        ({"semitones": 13}, r"augment\.semitones is 13: give 0 to 12"),
        ({"tempo": 0.6}, r"augment\.tempo is 0\.6"),
        ({"gain_db": -1}, r"augment\.gain_db is -1"),
        ({"tone_db": 21}, r"augment\.tone_db is 21: give 0 to 20"),
        ({"width_db": -1}, r"augment\.width_db is -1"),
        ({"tempo_step": -0.1}, r"augment\.tempo_step is -0\.1"),
        ({"semitone_step": -1}, r"augment\.semitone_step is -1"),
        ({"tempo": 0.05}, r"augment\.tempo is 0\.05, which is not a multiple of augment\.tempo_step, 0\.1"),
        ({"semitones": 2.5}, r"augment\.semitones is 2\.5, which is not a multiple of augment\.semitone_step, 1\.0"),
        ({"keep_pitch": ["drums"], "method": "resample"}, r"augment\.keep_pitch cannot be had with .*resample"),
        ({"method": "magic"}, r"augment\.method is 'magic': give stretch, wsola or resample"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AugmentConfig(**values)
