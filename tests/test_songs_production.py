"""Production: what is promised of every song, whatever is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from dttnet.dataset import STEMS
from dttnet.songs import production
from dttnet.songs.production import PEAK, balance, loudness, mix, produce, record
from dttnet.songs.score import Chord, Section, Song
from dttnet.songs.signals import RATE, highpass, level_db, lowpass, peak
from dttnet.songs.styles import STYLES

Stems = Mapping[str, np.ndarray]


def song(style: str = "rock") -> Song:
    """Four bars of two seconds."""
    names = (("verse", 0.4), ("chorus", 0.9))
    sections = tuple(Section(name, 2 * k, 2, energy, frozenset(STEMS)) for k, (name, energy) in enumerate(names))
    return Song(style, 0.5, 0.0, 0, False, (Chord(0, (0, 4, 7)),) * 4, sections)


def band(seed: int = 0, duration_s: float = 10.0) -> dict[str, np.ndarray]:
    """Strokes, a bass line, a bright chord and a voice-like tone that pauses."""
    rng = np.random.default_rng(seed)
    n_samples = round(duration_s * RATE)
    time_s = np.arange(n_samples) / RATE
    noise = rng.standard_normal((2, n_samples))
    kick = np.sin(2 * np.pi * 60 * time_s) * np.exp(-(time_s % 1) / 0.1)
    strokes = 0.3 * noise * np.exp(-(time_s % 0.5) / 0.05) + kick
    bass = np.sign(np.sin(2 * np.pi * 55 * time_s)) * np.exp(-(time_s % 0.25) / 0.2) * 0.4
    chord = sum(np.sin(2 * np.pi * hz * time_s + rng.uniform(0, 6, (2, 1))) for hz in (220, 277, 330, 1760)) * 0.15
    voice = np.sin(2 * np.pi * 300 * time_s + 5 * np.sin(2 * np.pi * 300 * time_s)) * (time_s % 4 < 2.5) * 0.4
    parts = {"vocals": voice, "drums": strokes, "bass": bass, "other": chord}
    stems = {stem: np.broadcast_to(x, (2, n_samples)).astype(np.float32) for stem, x in parts.items()}
    return {stem: np.ascontiguousarray(stems[stem]) for stem in STEMS}


def make(stems: Stems, style: str, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    produced = {
        stem: produce(stem, x, song(style), own) for (stem, x), own in zip(stems.items(), rng.spawn(4), strict=True)
    }
    return record(mix(produced, song(style), rng), rng)


def total(stems: Stems) -> np.ndarray:
    return np.sum([x.astype(np.float64) for x in stems.values()], axis=0)


# ------------------------------------------------------------------------------------------------------- promises


@pytest.mark.parametrize("seed", range(12))
def test_songs_are_whole_and_below_the_peak(seed: int) -> None:
    made = make(band(seed, 2.3), list(STYLES)[2 * seed % len(STYLES)], seed)
    assert list(made) == list(STEMS)
    for x in made.values():
        assert x.shape == (2, round(2.3 * RATE))
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
        assert peak(x) <= PEAK
        assert peak(x) > 1e-3
    assert np.abs(total(made)).max() <= PEAK + 1e-6


def test_songs_depend_on_the_generator_alone() -> None:
    stems = band(0, 1.5)
    before = {stem: x.copy() for stem, x in stems.items()}
    one, two = make(stems, "pop", 5), make(stems, "pop", 5)
    make(stems, "metal", 6)
    three = make(stems, "pop", 5)
    for stem in STEMS:
        np.testing.assert_array_equal(one[stem], two[stem])
        np.testing.assert_array_equal(one[stem], three[stem])
        np.testing.assert_array_equal(stems[stem], before[stem])
    assert not np.array_equal(one["vocals"], make(stems, "pop", 7)["vocals"])


@pytest.mark.parametrize("style", ["house", "folk", "unheard of"])
def test_silence_stays_silent_in_each_stem(style: str) -> None:
    stems = band(1, 1.0) | {"vocals": np.zeros((2, RATE), np.float32)}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        produced = {stem: produce(stem, x, song(style), rng) for stem, x in stems.items()}
        assert not mix(produced, song(style), rng)["vocals"].any()
    nothing = {stem: np.zeros((2, RATE), np.float32) for stem in STEMS}
    assert not any(x.any() for x in mix(nothing, song(style), np.random.default_rng(0)).values())
    assert not any(x.any() for x in balance(nothing, np.random.default_rng(0)).values())


def test_lengths_of_almost_nothing() -> None:
    for n_samples in (0, 1, 65):
        stems = {stem: np.full((2, n_samples), 0.5, np.float32) for stem in STEMS}
        for seed in range(30):
            assert all(x.shape == (2, n_samples) for x in make(stems, "pop", seed).values())


@pytest.mark.parametrize("stem", STEMS)
def test_produce_takes_mono_and_returns_stereo(stem: str) -> None:
    x = band(2, 2.0)[stem][:1]
    for seed in range(8):
        assert produce(stem, x, song(), np.random.default_rng(seed)).shape == (2, 2 * RATE)


@pytest.mark.parametrize("stem", STEMS)
def test_produce_does_not_care_for_the_level(stem: str) -> None:
    x = band(3, 2.0)[stem]
    one, two = (produce(stem, x * np.float32(gain), song(), np.random.default_rng(3)) for gain in (1, 0.0625))
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_produced_stems_differ_from_song_to_song() -> None:
    """Spectra, widths and crests are spread, as records are."""
    x = 0.1 * np.random.default_rng(4).standard_normal((2, RATE)).astype(np.float32)
    made = [produce("other", x, song(), np.random.default_rng(seed)) for seed in range(24)]
    sides_db = [20 * np.log10(np.std(y[0] - y[1]) / np.std(y[0] + y[1]) + 1e-6) for y in made]
    assert np.std(sides_db) > 2
    bright_db = [20 * np.log10(np.std(highpass(y, 4000)) / np.std(lowpass(y, 500))) for y in made]
    assert np.std(bright_db) > 1


@pytest.mark.parametrize("side_db", [-15.0, -6.0, -2.0])
def test_spread_is_as_wide_as_wanted(side_db: float) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    x[1] = 0.6 * x[0] + 0.4 * x[1]
    for seed in range(4):
        y = production._spread(x, np.random.default_rng(seed), side_db=side_db, mono_share=0.0)
        assert level_db(y[:1] - y[1:]) - level_db(y[:1] + y[1:]) == pytest.approx(side_db, abs=0.3)
        np.testing.assert_allclose(y[0] + y[1], x[0] + x[1], atol=1e-6)
    one = production._spread(x, np.random.default_rng(0), side_db=side_db, mono_share=1.0)
    np.testing.assert_array_equal(one[0], one[1])


def test_tame_takes_the_highest_peaks_and_no_more_than_allowed() -> None:
    x = 0.1 * np.random.default_rng(1).standard_normal((2, RATE)).astype(np.float32)
    x[:, 20_000] = 0.9
    tamed = production._tame(x, np.random.default_rng(0), most_db=6)
    assert peak(tamed) == pytest.approx(0.45, rel=0.05)
    np.testing.assert_allclose(tamed[:, :15_000], x[:, :15_000], rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------ mix


def test_loudness_of_the_standards_tone() -> None:
    """BS.1770: 997 Hz at full scale in one channel is -3.01 LUFS; compliance is +-0.1."""
    x = np.zeros((2, 5 * RATE), np.float32)
    x[0] = np.sin(2 * np.pi * 997 / RATE * np.arange(5 * RATE))
    assert loudness(x) == pytest.approx(-3.01, abs=0.05)
    assert loudness(0.1 * x) == pytest.approx(-23.01, abs=0.05)
    # Pauses do not count.
    assert loudness(np.pad(x, ((0, 0), (0, 20 * RATE)))) == pytest.approx(-3.01, abs=0.3)
    assert loudness(0 * x) == -np.inf


def test_loudness_equals_the_filters_of_the_standard() -> None:
    """The standard's coefficients are for 48 kHz: pass the same frequencies through them."""
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585]
    cut = [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621]
    for hz in (40.0, 100.0, 500.0, 2000.0, 8000.0):
        _, response = signal.sosfreqz(np.array([shelf, cut]), [hz], fs=48000)
        x = np.sin(2 * np.pi * hz / RATE * np.arange(4 * RATE))[None].astype(np.float32)
        expected = -0.691 + 20 * np.log10(np.abs(response[0])) - 3.01
        assert loudness(x) == pytest.approx(expected, abs=0.1)


def test_balance_changes_levels_only() -> None:
    stems = band(5, 4.0)
    balanced = balance(stems, np.random.default_rng(0))
    for stem in STEMS:
        gain = np.vdot(balanced[stem], stems[stem]) / np.vdot(stems[stem], stems[stem])
        np.testing.assert_allclose(balanced[stem], gain * stems[stem], atol=1e-6)


def test_levels_are_those_of_real_mixes() -> None:
    stems = band(6, 2.0)
    drawn = [balance(stems, np.random.default_rng(seed)) for seed in range(60)]
    beside = {stem: [loudness(m[stem]) - loudness(m["drums"]) for m in drawn] for stem in STEMS}
    # production._Manner's, within the error of the median of 60.
    assert np.median(beside["vocals"]) == pytest.approx(0.5, abs=1.5)
    assert np.median(beside["bass"]) == pytest.approx(-3.5, abs=1.5)
    assert 1.5 < np.std(beside["vocals"]) < 4


def test_masters_are_loud_and_less_so() -> None:
    stems = band(6, 2.0)
    mixes = [mix(stems, song("punk"), np.random.default_rng(seed)) for seed in range(20)]
    masters = [loudness(total(mixed).astype(np.float32)) for mixed in mixes]
    assert -20 < min(masters) < max(masters) < -5
    assert np.std(masters) > 1


def test_the_master_is_one_gain_for_all_stems() -> None:
    """Twice the same stem stays so: what the mixture's dynamics do, all stems get alike."""
    x = band(7, 3.0)["drums"]
    mixed = production._master(dict.fromkeys(STEMS, x), production._LOUD, np.random.default_rng(1))
    for stem in STEMS:
        np.testing.assert_array_equal(mixed[stem], mixed["vocals"])


def test_stems_are_louder_where_the_song_is() -> None:
    """A verse of energy 0.4 and a chorus of 0.9: on average over songs, half of what there is from 0 to 1."""
    for stem, habit in production._RIDES.items():
        steps_db = []
        for seed in range(400):
            times_s, gains = production._ride(stem, song(), np.random.default_rng(seed))
            verse, chorus = np.interp([3.0, 5.0], times_s, 20 * np.log10(gains))
            steps_db.append(chorus - verse)
        # Two sections and two bars are drawn for each: a standard error of (sections + bars) * sqrt(2 / 400) at most.
        error = (habit.sections_db + habit.bars_db) * (2 / 400) ** 0.5
        assert np.mean(steps_db) == pytest.approx(0.5 * habit.energy_db, abs=4 * error)


def test_sections_of_the_same_name_are_ridden_alike() -> None:
    plan = song()
    twice = replace(plan, sections=tuple(replace(section, name="verse", energy=0.6) for section in plan.sections))
    steps_db = [
        np.ptp(20 * np.log10(production._ride("drums", twice, np.random.default_rng(seed))[1])) for seed in range(50)
    ]
    # What is left is the wander of 0.4 dB between bars: the range of four such is below 5 times that.
    assert max(steps_db) < 5 * production._RIDES["drums"].bars_db


def test_the_kick_pushes_the_others_but_not_itself() -> None:
    stems = band(8, 3.0)
    pumped = production._pump(stems, np.random.default_rng(0))
    np.testing.assert_array_equal(pumped["drums"], stems["drums"])
    time = np.arange(RATE, 3 * RATE) % RATE / RATE
    other = np.abs(pumped["other"][0, RATE:]) / (np.abs(stems["other"][0, RATE:]) + 1e-6)
    assert other[(time > 0.01) & (time < 0.03)].mean() < 0.8 * other[time > 0.9].mean()


def test_echoes_are_thrown_and_come_after_what_they_repeat() -> None:
    x = np.zeros((2, 2 * RATE), np.float32)
    x[:, 1000:1100] = 1
    heard = [production._throws(x, song(), np.random.default_rng(seed)) for seed in range(60)]
    thrown = [y for y in heard if peak(y) > 1e-3]
    assert 0 < len(thrown) < 30
    for y in thrown:
        assert np.abs(y[:, : 1000 + round(0.25 * RATE) - 1]).max() < 1e-6


# ---------------------------------------------------------------------------------------------------- the medium

LINEAR = [
    production._dull,
    production._half_rate,
    production._in_room,
    production._tape,
    production._mono,
    production._quiet,
]


@pytest.mark.parametrize("condition", LINEAR)
def test_media_are_linear_in_what_is_recorded(condition) -> None:
    stems = band(9, 2.0)

    def without_hiss(scaled: Stems) -> dict[str, np.ndarray]:
        return condition(scaled, np.random.default_rng(2))

    one = without_hiss(stems)
    two = without_hiss({stem: 0.5 * x for stem, x in stems.items()})
    for stem in ("vocals", "drums", "bass"):
        np.testing.assert_allclose(two[stem], 0.5 * one[stem], atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_tape_bends_all_stems_alike(seed: int) -> None:
    x = band(10, 3.0)["other"]
    worn = production._tape({"vocals": x, "drums": x}, np.random.default_rng(seed))
    np.testing.assert_array_equal(worn["vocals"], worn["drums"])
    assert not np.allclose(worn["vocals"], x, atol=1e-2)


def test_a_dull_medium_takes_the_treble_of_all_stems() -> None:
    rng = np.random.default_rng(0)
    stems = {stem: 0.1 * rng.standard_normal((2, RATE)).astype(np.float32) for stem in STEMS}
    dull = production._dull(stems, np.random.default_rng(1))
    hz = np.fft.rfftfreq(RATE, 1 / RATE)
    for x in dull.values():
        spectrum = np.abs(np.fft.rfft(x[0]))
        assert spectrum[hz > 20_000].mean() < 0.2 * spectrum[hz < 5000].mean()


def test_codecs_keep_stems_in_time() -> None:
    stems = band(11, 0.7)
    for seed in range(5):
        coded = production._coded(stems, np.random.default_rng(seed))
        for stem in ("vocals", "drums"):
            a, b = stems[stem][0], coded[stem][0]
            assert np.argmax(signal.correlate(b, a, method="fft")) == len(a) - 1


def test_most_songs_are_left_as_they_are_but_for_their_sides() -> None:
    stems = {stem: 0.2 * x for stem, x in band(12, 0.5).items()}
    same = 0
    for seed in range(60):
        recorded = record(stems, np.random.default_rng(seed))
        x, y = stems["drums"], recorded["drums"]
        same += any(np.array_equal(y, sign * x[::step]) for sign in (1, -1) for step in (1, -1))
    assert 24 <= same <= 50


def test_hiss_and_hum_are_other() -> None:
    stems = band(13, 1.0)
    noisy = production._hiss(stems, np.random.default_rng(0))
    for stem in ("vocals", "drums", "bass"):
        np.testing.assert_array_equal(noisy[stem], stems[stem])
    added = noisy["other"] - stems["other"]
    assert 1e-4 < np.std(added) < 0.02
