"""Synthesisers: pitch, aliases, envelopes."""

from __future__ import annotations

import numpy as np
import pytest

from dttnet.songs.score import Note
from dttnet.songs.signals import RATE
from dttnet.songs.synths import BASSES, LINES, TONES, frequency, play, play_bass, play_line, rotate, sawtooth, sweep


def share_at_harmonics(x: np.ndarray, pitch: int) -> float:
    """Energy of x within half a semitone of multiples of half the fundamental."""
    middle = x[4000:34000] * np.hanning(30000)
    power = np.abs(np.fft.rfft(middle)) ** 2
    multiple = np.arange(len(power)) * RATE / 30000 / (0.5 * frequency(pitch))
    near = np.abs(multiple - np.round(multiple)) < 0.06 * np.round(multiple).clip(1, 6)
    return power[near & (multiple > 0.9)].sum() / power.sum()


@pytest.mark.parametrize("tone", [tone for tone in TONES if tone not in ("fm bell", "glass")])
def test_tones_have_the_pitch_of_their_notes(tone):
    for pitch in (50, 64):
        x = play([Note(0, 1, pitch, 0.8)], np.random.default_rng(1), 1.0, tone=tone)
        assert x.shape == (2, RATE)
        assert share_at_harmonics(x[0], pitch) > 0.95
        assert abs(x.mean()) < 0.01


@pytest.mark.parametrize("tone", TONES)
def test_tones_are_silent_before_and_after(tone):
    x = play([Note(0.2, 0.3, 60, 0.8)], np.random.default_rng(0), 3.0, tone=tone)
    assert not x[:, : int(0.2 * RATE)].any()
    assert np.abs(x).max() > 0.03
    # The longest release is half a second, and filters ring.
    assert np.abs(x[:, int(1.2 * RATE) :]).max() < 1e-3


@pytest.mark.parametrize("tone", BASSES)
def test_basses_have_their_fundamental(tone):
    x = play_bass([Note(0, 1, 40, 0.9)], np.random.default_rng(0), 1.2, tone=tone, is_steady=True)
    assert x.shape == (1, round(1.2 * RATE))
    assert share_at_harmonics(x[0], 40) > 0.9
    assert np.abs(x).max() < 3
    assert abs(x.mean()) < 0.005


def test_some_basses_die_away_at_once_but_for_those_that_shall_not():
    def share_at_the_end(seed, *, is_steady):
        x = play_bass([Note(0, 1, 40, 0.9)], np.random.default_rng(seed), 1.2, tone="sub", is_steady=is_steady)[0]
        return np.std(x[RATE // 2 : RATE * 9 // 10]) / np.std(x[RATE // 50 : RATE // 5])

    # Some 0.58 s lie between: of plucked notes exp(-0.58 / 0.4) is left at most, of others exp(-0.58 / 0.6) at least.
    plucked = [share_at_the_end(seed, is_steady=False) < 0.3 for seed in range(40)]
    assert 5 < sum(plucked) < 25
    assert not any(share_at_the_end(seed, is_steady=True) < 0.3 for seed in range(40))


@pytest.mark.parametrize("tone", LINES)
def test_lines_play_the_last_note_that_began(tone):
    notes = [Note(0, 2, 60, 0.8), Note(0.5, 1, 67, 0.8)]
    x = play_line(notes, np.random.default_rng(0), 2.0, tone=tone)
    assert share_at_harmonics(x[0, int(0.6 * RATE) :], 67) > 0.9
    assert np.abs(x[:, int(1.7 * RATE) :]).max() < 1e-3


@pytest.mark.parametrize("player", [play_bass, play_line])
def test_no_notes_are_silence(player):
    assert not player([], np.random.default_rng(0), 0.5, tone="saw").any()


def test_sawtooths_have_few_aliases():
    hz = 1237.0
    phase = np.arange(RATE) * hz / RATE
    power = np.abs(np.fft.rfft(sawtooth(phase, hz / RATE) * np.blackman(RATE))) ** 2
    bins = np.arange(len(power))
    aliased = np.abs((bins + hz / 2) % hz - hz / 2) > 5
    low = bins < 8000
    # polyBLEP: 40 dB better than nothing where it is heard
    assert 10 * np.log10(power[aliased & low].sum() / power.sum()) < -50


def test_a_sweep_that_stands_still_is_a_low_pass():
    noise = np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    y = sweep(noise, np.full(RATE, 500.0))
    power = np.abs(np.fft.rfft(y[0])) ** 2
    assert power[2000:].sum() < 1e-3 * power[:500].sum()
    moving = sweep(noise, np.linspace(300, 3000, RATE))
    early, late = (np.abs(np.fft.rfft(half)) ** 2 for half in (moving[0, : RATE // 4], moving[0, -RATE // 4 :]))
    assert late[250:500].sum() > 20 * early[250:500].sum()  # 1 to 2 kHz


def test_rotary_speakers_move_between_the_sides():
    tone = np.sin(2 * np.pi * 2000 * np.arange(2 * RATE) / RATE)[None].astype(np.float32)
    y = rotate(tone, np.random.default_rng(0))
    assert y.shape == (2, 2 * RATE)
    levels = np.sqrt((y.reshape(2, -1, RATE // 20) ** 2).mean(axis=2))
    assert np.ptp(levels[0] / levels[1]) > 0.1


def test_synthesisers_depend_on_the_generator_alone():
    notes = [Note(0, 0.5, 60, 0.8), Note(0.2, 0.5, 64, 0.8)]
    first, again = (play(notes, np.random.default_rng(5), 1.0, tone="supersaw") for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_pads_are_held_for_nine_seconds():
    x = play([Note(0, 9, 60, 0.8)], np.random.default_rng(0), 10.0, tone="organ")
    second = (x.reshape(2, 10, RATE) ** 2).mean(axis=(0, 2))
    # Drawbars stand still; their beating is less than 1 % in a second.
    assert second[8] == pytest.approx(second[1], rel=0.01)
