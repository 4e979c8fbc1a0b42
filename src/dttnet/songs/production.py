"""From stems as they are played to a song as it is published: channel strips, the mix, the master, the medium.

Whatever is done, the stems still add up to the mixture: filters are the same for all stems, and what dynamics do to the
mixture is a gain that all stems get alike. Nothing is above `PEAK` in the end, neither a stem nor the mixture.

Loudness is that of ITU-R BS.1770-4, in LUFS: only what sounds is measured, weighted as ears do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft, signal

from dttnet.dataset import STEMS
from dttnet.songs import effects
from dttnet.songs.draws import log_uniform
from dttnet.songs.effects import Band, RoomKind, Shape
from dttnet.songs.score import Song
from dttnet.songs.signals import RATE, Float, highpass, level_db, lowpass, mono, peak, seconds, stereo

PEAK = 0.98
"""The highest sample of a mixture, and of a stem."""

_SILENCE = 1e-3
"""Peak of a stem that is not there, but for dither or the end of a room: it must not be made as loud as a stem."""

Strip = Callable[[Float, Song, np.random.Generator], Float]


@dataclass(frozen=True)
class _Manner:
    """How records of some styles are made.

    Attributes:
        levels_db: Usual loudness beside the drums.
        loudness: Of the master, in LUFS from ... to.
        drive: How much is saturated, as a factor.
        wet: How much room there is, as a factor.
        pump: Share of songs in which the kick pushes everything else down.
    """

    levels_db: Mapping[str, float] = field(default_factory=lambda: {"bass": -3.5, "other": 0.5, "vocals": 1.5})
    loudness: tuple[float, float] = (-17.0, -9.0)
    drive: float = 1.0
    wet: float = 1.0
    pump: float = 0.0


_BAND = _Manner()
_LOUD = _Manner({"bass": -4.5, "other": 1.5, "vocals": 0.5}, (-13.0, -8.0), drive=1.6, wet=0.7)
_QUIET = _Manner({"bass": -3.0, "other": 1.5, "vocals": 5.0}, (-23.0, -12.0), drive=0.5, wet=1.2)
_ISLAND = _Manner({"bass": -0.5, "other": -1.0, "vocals": 1.5}, (-18.0, -10.0), drive=0.8, wet=1.2)
_GROOVE = _Manner({"bass": -2.5, "other": 0.0, "vocals": 2.0}, (-18.0, -10.0), drive=0.8)
_POP = _Manner({"bass": -3.5, "other": 0.0, "vocals": 3.0}, (-15.0, -8.0), pump=0.15)
_BEATS = _Manner({"bass": -2.0, "other": -2.0, "vocals": 3.0}, (-14.0, -8.0), wet=0.7, pump=0.2)
_DANCE = _Manner({"bass": -3.0, "other": -1.5, "vocals": -0.5}, (-13.0, -8.0), wet=1.1, pump=0.65)
_CALM = _Manner({"bass": -1.0, "other": 4.0, "vocals": 4.0}, (-23.0, -13.0), drive=0.5, wet=2.0)

_MANNERS = {
    "hard rock": _LOUD,
    "metal": _LOUD,
    "punk": _LOUD,
    "pop": _POP,
    "synth pop": _POP,
    "ballad": _QUIET,
    "country": _QUIET,
    "folk": _QUIET,
    "blues": _QUIET,
    "jazz": _QUIET,
    "gospel": _QUIET,
    "reggae": _ISLAND,
    "ska": _ISLAND,
    "soul": _GROOVE,
    "funk": _GROOVE,
    "disco": _GROOVE,
    "latin": _GROOVE,
    "hip hop": _BEATS,
    "trap": _BEATS,
    "house": _DANCE,
    "techno": _DANCE,
    "drum and bass": _DANCE,
    "ambient": _CALM,
}
"""Other styles (rock, indie, ...) are those of a band."""

_SPREAD_DB = {"vocals": 2.3, "drums": 0.0, "bass": 2.5, "other": 3.0}
"""Standard deviation of the levels between songs."""


@dataclass(frozen=True)
class _Ride:
    """How the level of a stem moves within a song.

    Attributes:
        sections_db: Standard deviation between kinds of sections.
        energy_db: From the softest to the loudest section there can be.
        bars_db: Standard deviation between bars of a section.
    """

    sections_db: float
    energy_db: float
    bars_db: float


_RIDES = {
    "vocals": _Ride(2.2, 4.5, 2.2),
    "drums": _Ride(1.2, 5.5, 0.5),
    "bass": _Ride(0.8, 2.0, 0.5),
    "other": _Ride(1.5, 4.0, 1.2),
}


# ------------------------------------------------------------------------------------------------- channel strips


def produce(stem: str, x: Float, song: Song, rng: np.random.Generator) -> Float:
    """(2, N) a stem through its channel strip, as (1 or 2, N) comes from the player.

    Its level means nothing, unless its peak is below -60 dB: then nothing is left of it. Players have made their own
    sound and room already; a tenth of the stems stay as they come, but for their width.
    """
    loudest = peak(x)
    if loudest < _SILENCE:
        return np.zeros((2, x.shape[1]), np.float32)
    x = x * np.float32(0.5 / loudest)
    if rng.random() < 0.1:
        y = effects.place(highpass(x, rng.uniform(20, 40)), width=float(rng.choice([0.0, 0.5, 1.0])))
    else:
        y = _STRIPS[stem](x, song, rng)
    return y * np.float32(0.9 / max(peak(y), 1e-6))


def _vocals(x: Float, song: Song, rng: np.random.Generator) -> Float:
    manner = _manner(song)
    bands = [
        Band("highpass", rng.uniform(60, 150)),
        Band("low", rng.uniform(150, 300), rng.uniform(-4, 2)),
        Band("peak", rng.uniform(250, 600), rng.uniform(-4, 1), rng.uniform(0.7, 1.5)),
        Band("peak", rng.uniform(2000, 5000), rng.uniform(-1.5, 4), rng.uniform(0.6, 1.2)),
        Band("high", rng.uniform(6000, 11000), rng.uniform(-2, 7)),
    ]
    x = effects.equalise(x, bands)
    x = _level(x, rng, reduction_db=rng.uniform(2, 8), attack_s=(0.001, 0.015), release_s=(0.05, 0.25))
    if rng.random() < 0.85:
        x = _tame(x, rng, most_db=rng.uniform(2, 8))
    if rng.random() < 0.35:
        x = _warm(x, rng, manner.drive * rng.uniform(0.5, 8 if rng.random() < 0.85 else 18))
    x = _noisy(x, rng, share=0.15)
    if rng.random() < 0.3:
        x = effects.double(x, rng, n=2, spread=rng.uniform(0.3, 1.0))
    x = effects.place(x, width=rng.uniform(0.5, 1.6), pan=_pan(rng, 0.06))
    echoes = _throws(x, song, rng) if rng.random() < 0.3 else None
    kinds: tuple[RoomKind, ...] = ("plate", "hall", "room", "spring")
    x = _ambience(
        x,
        rng,
        wet=manner.wet * log_uniform(rng, 0.04, 0.5),
        decay_s=(0.4, 2.8),
        kinds=kinds,
        shares=(0.4, 0.25, 0.3, 0.05),
    )
    if rng.random() < 0.2:
        time_s = (
            song.beat_s * float(rng.choice([0.25, 0.5, 0.75, 1.0])) if rng.random() < 0.7 else rng.uniform(0.07, 0.15)
        )
        x = effects.delay(
            x, time_s=time_s, feedback=rng.uniform(0, 0.4), wet=rng.uniform(0.05, 0.25), ping_pong=rng.random() < 0.3
        )
    return x if echoes is None else x + echoes


def _drums(x: Float, song: Song, rng: np.random.Generator) -> Float:
    manner = _manner(song)
    bands = [
        Band("highpass", rng.uniform(20, 45)),
        Band("low", rng.uniform(60, 110), rng.uniform(-3, 4)),
        Band("peak", rng.uniform(250, 600), rng.uniform(-6, 1), rng.uniform(0.6, 1.4)),
        Band("peak", rng.uniform(2500, 6000), rng.uniform(-2, 3.5), rng.uniform(0.6, 1.2)),
        Band("high", rng.uniform(7000, 12000), rng.uniform(-5, 4)),
    ]
    x = effects.equalise(x, bands)
    if rng.random() < 0.65:
        x = _level(x, rng, reduction_db=rng.uniform(1, 6), attack_s=(0.005, 0.03), release_s=(0.05, 0.3))
    if rng.random() < 0.3:
        crushed = _level(x, rng, reduction_db=rng.uniform(10, 20), attack_s=(0.001, 0.01), release_s=(0.05, 0.2))
        x = x + np.float32(rng.uniform(0.2, 0.8) * peak(x) / max(peak(crushed), 1e-6)) * crushed
    if rng.random() < 0.35:
        x = _warm(x, rng, manner.drive * rng.uniform(0.5, 10))
    if rng.random() < 0.6:
        x = _tame(x, rng, most_db=manner.drive * rng.uniform(1, 8))
    x = _spread(x, rng, side_db=rng.normal(-12, 4), mono_share=0.1)
    x = effects.place(x, pan=_pan(rng, 0.05))
    if rng.random() < 0.08:
        return _gated_room(x, rng)
    if rng.random() < 0.2:
        return x
    return _ambience(
        x,
        rng,
        wet=manner.wet * rng.uniform(0.03, 0.3),
        decay_s=(0.2, 1.3),
        kinds=("room", "plate", "hall"),
        shares=(0.75, 0.15, 0.1),
    )


def _bass(x: Float, song: Song, rng: np.random.Generator) -> Float:
    manner = _manner(song)
    bands = [
        Band("highpass", rng.uniform(18, 38)),
        Band("low", rng.uniform(60, 120), rng.uniform(-4, 4)),
        Band("peak", rng.uniform(180, 450), rng.uniform(-5, 2), rng.uniform(0.6, 1.4)),
        Band("peak", rng.uniform(700, 1800), rng.uniform(-2, 6), rng.uniform(0.6, 1.2)),
        Band("high", rng.uniform(2500, 6000), rng.uniform(-7, 6)),
    ]
    x = effects.equalise(x, bands)
    x = _level(x, rng, reduction_db=rng.uniform(2, 10), attack_s=(0.003, 0.03), release_s=(0.08, 0.35))
    if rng.random() < 0.8:
        x = _tame(x, rng, most_db=rng.uniform(3, 10))
    if rng.random() < 0.45:
        x = _warm(x, rng, manner.drive * rng.uniform(0.5, 10))
    x = _noisy(x, rng, share=0.3)
    width = 0.0 if rng.random() < 0.6 else rng.uniform(0.1, 1.0)
    x = effects.place(x, width=width, pan=_pan(rng, 0.03))
    if rng.random() < 0.2:
        # Wide above, in the middle below: what a chorus or a second amplifier is for.
        low = lowpass(x, rng.uniform(150, 350), order=1)
        x = low + effects.double(x - low, rng, n=2, spread=rng.uniform(0.4, 1.0))
    if rng.random() < 0.25:
        x = _ambience(x, rng, wet=rng.uniform(0.02, 0.12), decay_s=(0.2, 0.8), kinds=("room",), shares=(1.0,))
    return x


def _other(x: Float, song: Song, rng: np.random.Generator) -> Float:
    manner = _manner(song)
    bands = [
        Band("highpass", rng.uniform(25, 110)),
        Band("low", rng.uniform(120, 350), rng.uniform(-5, 2)),
        Band("peak", rng.uniform(300, 900), rng.uniform(-4, 2), rng.uniform(0.6, 1.4)),
        # A place for the voice, or not.
        Band("peak", rng.uniform(1500, 4000), rng.uniform(-4, 2.5), rng.uniform(0.6, 1.2)),
        Band("high", rng.uniform(5000, 10000), rng.uniform(-5, 4)),
    ]
    x = effects.equalise(x, bands)
    if rng.random() < 0.55:
        x = _level(x, rng, reduction_db=rng.uniform(1, 5), attack_s=(0.005, 0.04), release_s=(0.08, 0.4))
    if rng.random() < 0.2:
        x = _warm(x, rng, manner.drive * rng.uniform(0.5, 7))
    x = _noisy(x, rng, share=0.15)
    x = _spread(x, rng, side_db=rng.normal(-5.0, 4), mono_share=0.06)
    x = effects.place(x, pan=_pan(rng, 0.08))
    if rng.random() < 0.06:
        x = effects.phaser(x, rng, rate_hz=rng.uniform(0.05, 0.6), wet=rng.uniform(0.3, 0.8))
    if rng.random() < 0.6:
        x = _ambience(
            x,
            rng,
            wet=manner.wet * rng.uniform(0.02, 0.22),
            decay_s=(0.3, 2.8),
            kinds=("room", "hall", "plate"),
            shares=(0.5, 0.3, 0.2),
        )
    return x


_STRIPS: Mapping[str, Strip] = {"vocals": _vocals, "drums": _drums, "bass": _bass, "other": _other}


def _manner(song: Song) -> _Manner:
    return _MANNERS.get(song.style, _BAND)


def _level(
    x: Float,
    rng: np.random.Generator,
    *,
    reduction_db: float,
    attack_s: tuple[float, float],
    release_s: tuple[float, float],
) -> Float:
    """Compressed so that its loud parts lose about so much, whatever the level of x is."""
    (loud_db,) = _loud_db(x, 85)
    ratio = float(rng.choice([2.0, 3.0, 4.0, 6.0, 10.0]))
    return effects.compress(
        x,
        threshold_db=loud_db - reduction_db / (1 - 1 / ratio),
        ratio=ratio,
        attack_s=rng.uniform(*attack_s),
        release_s=rng.uniform(*release_s),
    )


def _loud_db(x: Float, *percents: float) -> list[float]:
    """The levels that so many of the hops that sound do not reach."""
    levels_db = effects.hop_levels_db(x)
    if not len(levels_db):
        return [0.0] * len(percents)
    found: list[float] = np.percentile(levels_db[levels_db > levels_db.max() - 40], percents).tolist()
    return found


def _warm(x: Float, rng: np.random.Generator, drive_db: float) -> Float:
    """Saturated; it does not get much louder."""
    loudest = peak(x)
    kind: Shape = "tube" if rng.random() < 0.4 else "hard" if drive_db > 6 and rng.random() < 0.1 else "tanh"
    y = effects.saturate(x * np.float32(1 / max(loudest, 1e-6)), drive_db, kind=kind)
    return y * np.float32(loudest / max(peak(y), 1e-6))


def _tame(x: Float, rng: np.random.Generator, *, most_db: float) -> Float:
    """Without its highest peaks: what only few moments reach, and at most so much."""
    usual_db, highest_db = _loud_db(x, 95, 100)
    ceiling = 10 ** (max(usual_db, highest_db - most_db) / 20)
    return x * effects.limiting(x, ceiling=ceiling, release_s=rng.uniform(0.02, 0.15), ahead_s=0.0015)


def _noisy(x: Float, rng: np.random.Generator, *, share: float) -> Float:
    """With the hiss of a preamplifier that a gate lets through while something sounds, in some songs."""
    if rng.random() >= share:
        return x
    hiss = rng.standard_normal(x.shape, np.float32) * np.float32(10 ** (rng.uniform(-75, -52) / 20))
    open_ = effects.gating(x, threshold_db=-45, hold_s=rng.uniform(0.05, 0.3), release_s=rng.uniform(0.02, 0.2))
    return x + hiss * open_


def _pan(rng: np.random.Generator, hard_share: float) -> float:
    """Mostly the middle; some songs have a whole stem at the side, as early stereo has."""
    if rng.random() < hard_share:
        return float(rng.choice([-1, 1]) * rng.uniform(0.3, 1.0))
    return float(np.clip(rng.normal(0, 0.06), -0.25, 0.25))


def _spread(x: Float, rng: np.random.Generator, *, side_db: float, mono_share: float) -> Float:
    """(2, N) about as wide as wanted: side over middle in dB, at most even. What is mono is doubled at times."""
    if rng.random() < mono_share:
        return stereo(mono(x))
    middle, side = mono(stereo(x)), mono(stereo(x) * np.array([[1], [-1]], np.float32))
    now_db = level_db(side) - level_db(middle)
    if now_db < -30:
        return effects.double(middle, rng, n=2, spread=rng.uniform(0.5, 1.0)) if rng.random() < 0.5 else stereo(x)
    side = side * np.float32(np.clip(10 ** ((min(side_db, 0.0) - now_db) / 20), 0.3, 5.0))
    if rng.random() < 0.5:
        # The bass in the middle, as records have it.
        side = highpass(side, rng.uniform(60, 250), order=1)
    return np.concatenate([middle + side, middle - side])


def _ambience(
    x: Float,
    rng: np.random.Generator,
    *,
    wet: float,
    decay_s: tuple[float, float],
    kinds: tuple[RoomKind, ...],
    shares: tuple[float, ...],
) -> Float:
    """In a room that hears the sum of both sides, as a send does."""
    kind = kinds[rng.choice(len(kinds), p=shares)]
    decay = log_uniform(rng, *decay_s)
    response = effects.room_response(rng, decay_s=decay, kind=kind)
    response = np.pad(response, ((0, 0), (seconds(rng.uniform(0, 0.03)), 0)))
    return x + effects.convolve(mono(x), response * np.float32(wet))


def _gated_room(x: Float, rng: np.random.Generator) -> Float:
    """A big room that is shut off soon after each stroke, as in the eighties."""
    room = effects.convolve(mono(x), effects.room_response(rng, decay_s=rng.uniform(1.5, 3.0), kind="room"))
    gate = effects.gating(x, threshold_db=_loud_db(x, 100)[0] - 12, hold_s=rng.uniform(0.08, 0.25), release_s=0.01)
    return x + room * (gate * np.float32(rng.uniform(0.15, 0.5)))


def _throws(x: Float, song: Song, rng: np.random.Generator) -> Float:
    """(2, N) echoes of some half bars, more often of the last in a section."""
    ends = {section.first_bar + section.n_bars for section in song.sections}
    n_halves = 2 * song.n_bars + 2
    sent = [rng.random() < (0.6 if (half + 1) / 2 in ends else 0.06) for half in range(n_halves)]
    send = _steps(x.shape[1], song.bar_s / 2, np.array(sent, np.float32), ramp_s=0.02)
    time_s = song.beat_s * float(rng.choice([0.5, 0.75, 1.0]))
    thrown = x * send
    echoed = effects.delay(
        thrown,
        time_s=time_s,
        feedback=rng.uniform(0.3, 0.65),
        wet=rng.uniform(0.2, 0.5),
        ping_pong=rng.random() < 0.4,
        hz=rng.uniform(2000, 6000),
    )
    return highpass(echoed - thrown, rng.uniform(150, 400), order=1)


def _steps(n_samples: int, step_s: float, values: Float, *, ramp_s: float) -> Float:
    """(N,) values that hold for a step each, with straight lines between them."""
    starts_s = np.arange(len(values)) * step_s
    return _lines(n_samples, np.stack([starts_s, starts_s + step_s - ramp_s], 1).ravel(), np.repeat(values, 2))


def _lines(n_samples: int, times_s: NDArray[np.floating], values: NDArray[np.floating]) -> Float:
    """(N,) straight lines through points in time, on a grid of HOP samples."""
    n_hops = n_samples // effects.HOP + 2
    coarse = np.interp(np.arange(n_hops) * effects.HOP / RATE, times_s, values).astype(np.float32)
    ramp = np.arange(effects.HOP, dtype=np.float32) / np.float32(effects.HOP)
    lines: Float = (coarse[:-1, None] + np.diff(coarse)[:, None] * ramp).reshape(-1)[:n_samples]
    return lines


# ------------------------------------------------------------------------------------------------------------ mix


def loudness(x: Float) -> float:
    """LUFS of the parts that sound (ITU-R BS.1770-4), -inf for silence.

    Blocks of 0.4 s that are 10 dB softer than the mean of all are left out.
    """
    blocks = loudness_blocks(x, block_s=0.4)
    power = 10 ** (blocks[blocks > -70] / 10)
    if not len(power):
        return -np.inf
    return 10 * float(np.log10(power[power >= 0.1 * power.mean()].mean()))


def loudness_blocks(x: Float, *, block_s: float) -> NDArray[np.float64]:
    """(blocks,) LUFS of all blocks that begin at a tenth of a second; one, if the sound is shorter. Silence is -120.

    Weighted are the spectra of tenths of a second, which is three times as fast as the standard's filters and the same
    but for what leaks between bins.
    """
    tenth = RATE // 10
    n_tenths = x.shape[1] // tenth
    if not n_tenths:
        return np.zeros(0)
    spectra = fft.rfft(x[:, : n_tenths * tenth].reshape(len(x), n_tenths, tenth))
    power = (spectra.real**2 + spectra.imag**2).sum(axis=0) @ _k_weighting()
    n_block = min(round(10 * block_s), n_tenths)
    blocks = np.convolve(power.astype(np.float64), np.full(n_block, 1 / n_block), "valid")
    return -0.691 + 10 * np.log10(np.maximum(blocks, 1e-12))


def balance(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Levels as real mixes have them, and nothing else."""
    faders = _set_levels(stems, _BAND, rng)
    return fit({stem: stereo(x) * np.float32(faders[stem]) for stem, x in stems.items()})


def mix(stems: Mapping[str, Float], song: Song, rng: np.random.Generator) -> dict[str, Float]:
    """(2, N) each: levels, rides, the kick that pushes the others, and the master, which is common to all stems."""
    manner = _manner(song)
    faders = _set_levels(stems, manner, rng)
    if "drums" in faders:
        # What the master will take from them, whose peaks are the highest.
        faders["drums"] *= 10 ** (1.0 / 20)
    fade_out = _fade_out(song, rng)
    mixed = {}
    for stem, x in stems.items():
        ride = _lines(x.shape[1], *_ride(stem, song, rng)) * np.float32(faders[stem])
        mixed[stem] = stereo(x) * (ride * _lines(x.shape[1], *fade_out))
    if rng.random() < manner.pump:
        mixed = _pump(mixed, rng)
    return _master(mixed, manner, rng)


def _set_levels(stems: Mapping[str, Float], manner: _Manner, rng: np.random.Generator) -> dict[str, float]:
    """Linear gain of each stem, so that each is as loud as it is usual beside the drums, more or less."""
    wanted = {stem: manner.levels_db.get(stem, 0.0) + rng.normal(0, _SPREAD_DB[stem]) for stem in STEMS}
    if rng.random() < 0.08:
        # A song in which something is buried or far in front.
        wanted[STEMS[rng.integers(len(STEMS))]] += rng.uniform(-9, 6)
    faders = {}
    for stem, x in stems.items():
        now = loudness(x)
        is_there = np.isfinite(now) and peak(x) >= _SILENCE
        faders[stem] = 10 ** ((wanted[stem] - 20 - now) / 20) if is_there else 0.0
    return faders


Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def _ride(stem: str, song: Song, rng: np.random.Generator) -> Points:
    """Times and gains of the fader of a stem: a level for each kind of section, more where the song is loud."""
    habit = _RIDES[stem]
    levels_db: dict[str, float] = {}
    times_s, values_db = [], []
    wander_db = rng.normal(0, habit.bars_db)
    for bar in range(song.n_bars):
        section = song.section(bar)
        base_db = levels_db.setdefault(section.name, rng.normal(0, habit.sections_db))
        own_db = base_db + habit.energy_db * (section.energy - 0.6) + wander_db
        times_s += [song.line_s(bar) + 0.05, song.line_s(bar + 1) - 0.15]
        values_db += [own_db, own_db]
        # Seven tenths of what a bar is off the middle stay for the next.
        wander_db = 0.7 * wander_db + rng.normal(0, 0.7 * habit.bars_db)
    return np.array([0.0, *times_s]), 10 ** (np.array([values_db[0], *values_db]) / 20)


def _fade_out(song: Song, rng: np.random.Generator) -> Points:
    """Times and gains of a common fade at the end, which few songs have."""
    length_s = min(rng.uniform(5, 14), song.duration_s / 2)
    to = 0.0 if rng.random() < 0.1 else 1.0
    return np.array([0.0, song.duration_s - length_s, song.duration_s + 1]), np.array([1.0, 1.0, to])


def _pump(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Everything but the drums (and at times the voice) gives way to the kick."""
    if "drums" not in stems or not stems["drums"].any():
        return dict(stems)
    key = lowpass(mono(stems["drums"]), 120)
    gain = effects.compression(
        key,
        threshold_db=_loud_db(key, 100)[0] - rng.uniform(8, 20),
        ratio=rng.uniform(2, 8),
        attack_s=0.002,
        release_s=rng.uniform(0.06, 0.25),
    )
    spared = {"drums"} if rng.random() < 0.25 else {"drums", "vocals"}
    return {stem: x if stem in spared else x * gain for stem, x in stems.items()}


def _master(stems: Mapping[str, Float], manner: _Manner, rng: np.random.Generator) -> dict[str, Float]:
    """The same filter and the same gain for all stems."""
    if rng.random() < 0.4:
        bands = [
            Band("low", rng.uniform(60, 250), rng.uniform(-2.5, 2.5)),
            Band("peak", rng.uniform(300, 4000), rng.uniform(-2, 2), 0.5),
            Band("high", rng.uniform(4000, 12000), rng.uniform(-3, 3)),
        ]
        stems = {stem: effects.equalise(x, bands) for stem, x in stems.items()}
    mixture = _sum(stems)
    gain = np.ones(mixture.shape[1], np.float32)
    if rng.random() < 0.65:
        ratio = rng.uniform(1.5, 4)
        gain = effects.compression(
            mixture,
            threshold_db=_loud_db(mixture, 85)[0] - rng.uniform(0.5, 4) / (1 - 1 / ratio),
            ratio=ratio,
            attack_s=rng.uniform(0.005, 0.04),
            release_s=rng.uniform(0.08, 0.5),
        )
        mixture = mixture * gain
    gain = gain * _finish(mixture, manner, rng)
    return fit({stem: x * gain for stem, x in stems.items()})


def _finish(mixture: Float, manner: _Manner, rng: np.random.Generator) -> Float:
    """(N,) or (2, N) the gain of loudness, clipper and limiter."""
    now = loudness(mixture)
    wanted = rng.uniform(*manner.loudness)
    most_db = rng.uniform(4, 12) + 3 * manner.drive
    clipped_share = rng.uniform(0, 1) if rng.random() < 0.6 else 0.0
    release_s = rng.uniform(0.03, 0.2)
    if not np.isfinite(now):
        return np.ones(mixture.shape[1], np.float32)
    headroom_db = 20 * float(np.log10(PEAK / peak(mixture)))
    gain_db = min(wanted - now, headroom_db + most_db)
    gain = _limit(mixture, gain_db, gain_db - headroom_db, clipped_share, release_s)
    if gain_db <= headroom_db:
        return gain
    # What limiting took away is given back once; a second time would change little.
    more_db = min(gain_db + wanted - loudness(mixture * gain), headroom_db + most_db)
    return (
        gain if more_db < gain_db + 0.5 else _limit(mixture, more_db, more_db - headroom_db, clipped_share, release_s)
    )


def _limit(mixture: Float, gain_db: float, over_db: float, clipped_share: float, release_s: float) -> Float:
    """(N,) or (2, N) a gain after which the mixture would be `over_db` above PEAK, and what keeps it below."""
    gain = np.float32(10 ** (gain_db / 20))
    if over_db <= 0:
        return np.full(mixture.shape[1], gain, np.float32)
    # The clipper takes the points off, the limiter what is left.
    edge = PEAK * 10 ** ((1 - clipped_share) * over_db / 20)
    loud = mixture * gain
    limited: Float = gain * np.minimum(1, np.float32(edge) / np.maximum(np.abs(loud), np.float32(1e-6)))
    limited *= effects.limiting(mixture * limited, ceiling=PEAK, release_s=release_s)
    return limited


def _sum(stems: Mapping[str, Float]) -> Float:
    first, *others = stems.values()
    total = first.copy()
    for x in others:
        total += x
    return total


def fit(stems: Mapping[str, Float]) -> dict[str, Float]:
    """Softer, if a stem or the mixture is above PEAK."""
    loudest = max(peak(_sum(stems)), *(peak(x) for x in stems.values()))
    if loudest <= PEAK:
        return dict(stems)
    gain = np.float32(PEAK / loudest * (1 - 1e-6))
    return {stem: x * gain for stem, x in stems.items()}


# ---------------------------------------------------------------------------------------------------- the medium


def record(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """(2, N) each: what the medium does. To most songs, nothing.

    All of it is the same for all stems, so that none is known by its missing treble; rooms and codecs are alike, but
    each stem has its own. What a medium adds, hiss and hum, is in "other".
    """
    recorded = {stem: stereo(x) for stem, x in stems.items()}
    condition, extra = rng.spawn(2)
    if not any(x.size for x in recorded.values()):
        return recorded
    if condition.random() < 0.35:
        make = _CONDITIONS[condition.choice(len(_CONDITIONS), p=_CONDITION_SHARES)]
        recorded = make(recorded, condition)
    recorded = _channels(recorded, extra)
    if extra.random() < 0.06:
        recorded = _hiss(recorded, extra)
    return fit(recorded)


def _each(stems: Mapping[str, Float], apply: Callable[[Float], Float]) -> dict[str, Float]:
    return {stem: apply(x) for stem, x in stems.items()}


def _dull(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Nothing above 8 to 16 kHz, gently or at once."""
    hz, order = rng.uniform(8000, 16500), int(rng.choice([2, 4, 8, 12]))
    return _each(stems, lambda x: lowpass(x, hz, order=order))


def _half_rate(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """To 22.05, 24 or 32 kHz and back."""
    rate = int(rng.choice([22050, 24000, 32000]))
    quality = str(rng.choice(["LQ", "MQ", "HQ"]))

    def resample(x: Float) -> Float:
        there = soxr.resample(x.T, RATE, rate, quality=quality)
        back = soxr.resample(there, rate, RATE, quality=quality).T[:, : x.shape[1]]
        return np.pad(np.asarray(back, np.float32), ((0, 0), (0, x.shape[1] - back.shape[1])))

    return _each(stems, resample)


def _coded(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Each stem after the same codec."""
    format_ = effects.CODECS[rng.choice(3, p=(0.35, 0.5, 0.15))]
    level = rng.uniform(0.2, 1.0)
    return _each(stems, lambda x: effects.lossy(x, format=format_, level=level) if x.any() else x)


def _in_room(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Played in a room, each stem at another place in it: more room than in a mix, and less stereo."""
    decay_s, wet, width = log_uniform(rng, 0.12, 1.2), rng.uniform(0.2, 1.0), rng.uniform(0, 0.8)
    tone = [Band("peak", rng.uniform(120, 2500), rng.uniform(-5, 5), rng.uniform(1, 4)) for _ in range(3)]

    def hear(x: Float) -> Float:
        response = effects.room_response(rng, decay_s=decay_s) * np.float32(wet)
        near = effects.place(x, width=width, pan=rng.uniform(-0.3, 0.3))
        return effects.equalise(near + effects.convolve(mono(x), response), tone)

    return _each(stems, hear)


def _cheap(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """A telephone, a toy recorder, an old record: a narrow band with bumps, in mono, levelled."""
    low_hz, high_hz = rng.uniform(80, 400), log_uniform(rng, 2800, 8000)
    bumps = [Band("peak", log_uniform(rng, 300, 4000), rng.uniform(-6, 8), rng.uniform(1, 4)) for _ in range(3)]
    order = int(rng.choice([2, 4]))
    narrow = _each(
        stems,
        lambda x: stereo(
            effects.equalise(lowpass(highpass(mono(x), low_hz, order=order), high_hz, order=order), bumps)
        ),
    )
    mixture = _sum(narrow)
    gain = effects.compression(
        mixture, threshold_db=_loud_db(mixture, 90)[0] - 8, ratio=4, attack_s=0.01, release_s=0.4
    )
    narrow = {stem: x * gain for stem, x in narrow.items()}
    return _hiss(narrow, rng) if rng.random() < 0.5 else narrow


def _tape(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Wow and flutter, the same for all stems, and less treble."""
    n_samples = next(iter(stems.values())).shape[1]
    slow = rng.uniform(0.0005, 0.004) * effects.wander(rng, n_samples, hz=rng.uniform(0.3, 1.2))
    fast = rng.uniform(0, 0.00006) * effects.wander(rng, n_samples, hz=rng.uniform(5, 9))
    late_s = np.asarray(slow, np.float64) + fast
    late_s -= late_s.min(initial=0.0)
    hz = rng.uniform(7000, 15000)
    worn = _each(stems, lambda x: effects.late(lowpass(x, hz, order=1), late_s))
    return _hiss(worn, rng) if rng.random() < 0.5 else worn


def _mono(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Mono, or nearly."""
    width = 0.0 if rng.random() < 0.7 else rng.uniform(0.05, 0.4)
    return _each(stems, lambda x: effects.place(x, width=width))


def _quiet(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """A file that nobody brought to full level."""
    gain = np.float32(10 ** (rng.uniform(-20, -3) / 20))
    return _each(stems, lambda x: x * gain)


_CONDITIONS: tuple[Callable[[Mapping[str, Float], np.random.Generator], dict[str, Float]], ...] = (
    _dull,
    _half_rate,
    _coded,
    _in_room,
    _cheap,
    _tape,
    _mono,
    _quiet,
)
_CONDITION_SHARES = (0.22, 0.06, 0.09, 0.17, 0.09, 0.1, 0.12, 0.15)


def _channels(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """Sides changed over, of unequal level, or one upside down: by mistakes that happen."""
    signs, gains = np.ones((2, 1), np.float32), np.ones((2, 1), np.float32)
    is_swapped = rng.random() < 0.3
    if rng.random() < 0.04:
        gains[rng.integers(2)] = 10 ** (rng.uniform(-6, -0.5) / 20)
    if rng.random() < 0.01:
        signs[rng.integers(2)] = -1
    if rng.random() < 0.3:
        signs = -signs
    factors = signs * gains
    if not is_swapped and (factors == 1).all():
        return dict(stems)
    return _each(stems, lambda x: (x[::-1] if is_swapped else x) * factors)


def _hiss(stems: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    """With noise and at times the mains' hum in "other"."""
    if "other" not in stems:
        return dict(stems)
    shape = stems["other"].shape
    noise = rng.standard_normal(shape, np.float32)
    if rng.random() < 0.5:
        noise = noise[:1]
    noise = lowpass(noise, rng.uniform(3000, 16000), order=1) * np.float32(10 ** (rng.uniform(-72, -46) / 20))
    added = stems["other"] + noise
    if rng.random() < 0.4:
        time_s = np.arange(shape[1], dtype=np.float32) / RATE
        mains_hz = float(rng.choice([50.0, 60.0]))
        for harmonic in (1, 2, 3, 5, 7):
            gain = 10 ** (rng.uniform(-75, -48) / 20) / harmonic**0.5
            added += np.float32(gain) * np.sin(
                np.float32(2 * np.pi * mains_hz * harmonic) * time_s + np.float32(rng.uniform(0, 6))
            )
    return {**stems, "other": added}


@functools.cache
def _k_weighting() -> Float:
    """(F,) what the bins of a tenth of a second add to its mean square, after BS.1770's filter.

    That is a shelf for the head (+4 dB from 1.7 kHz on, where the cookbook puts the middle lower by the square root of
    its A), and a high-pass whose numerator the standard leaves at 1, -2, 1.
    """
    tenth = RATE // 10
    cut = effects.biquad(Band("highpass", 38.13547, q=0.500327))
    cut[:3] = 1, -2, 1
    sections = np.stack([effects.biquad(Band("high", 1500.66, 3.999844, 0.7071752)), cut])
    _, response = signal.sosfreqz(sections, fft.rfftfreq(tenth, 1 / RATE), fs=RATE)
    twice = np.full(len(response), 2.0)
    twice[0] = twice[-1] = 1
    weights: Float = (np.abs(response) ** 2 * twice / tenth**2).astype(np.float32)
    return weights
