"""The classes of the open set of clips, and a clip of one: a player's sound through a desk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dttnet.errors import AudioError
from dttnet.songs import clip_hands, clip_lines, clip_synths, clip_voices
from dttnet.songs.clip_lines import Facts
from dttnet.songs.draws import log_uniform
from dttnet.songs.effects import Band, RoomKind, compress, delay, double, equalise, lossy, place, reverb, saturate
from dttnet.songs.signals import Float, active_db, envelope, fade, highpass, mono, peak, seconds, stereo
from dttnet.songs.studio import Studio

SHORTEST_S, LONGEST_S = 1.5, 8.0

_TRIES = 20
"""Draws for a clip, of which the first that is long and loud enough counts."""

_QUIET_DB = -45.0
"""Below its loudest moment a clip has not begun, or is over."""

Player = Callable[[Studio, str, np.random.Generator], tuple[Float, Facts]]
"""(C, N) of a variant, and what was drawn."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A class of clips.

    Attributes:
        stem: That its sounds belong to.
        play: Makes a sound.
        variants: What `play` knows; clips have them in turn.
        needs: Uses of sources, of which one of each group must be there.
        reverses: It is as good backwards.
        wet: How often it is in a room.
    """

    name: str
    stem: str
    play: Player
    variants: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...] = ()
    reverses: bool = False
    wet: float = 0.65


@dataclass(frozen=True)
class Clip:
    """A clip.

    Attributes:
        audio: (2, N) at 44.1 kHz, SHORTEST_S to LONGEST_S, not silent and not clipped.
        facts: What was drawn for it.
        used: Seconds of each source, by id.
    """

    audio: Float
    facts: Facts
    used: dict[str, float]


_VOICE = (clip_voices.VOICES,)
_FONT = (("soundfont",),)

KINDS: tuple[Kind, ...] = (
    Kind(
        name="vocal_chops",
        stem="vocals",
        play=clip_voices.play_vocal_chops,
        variants=tuple(clip_voices.VOCAL_CHOPS),
        needs=_VOICE,
    ),
    Kind(
        name="vocoder",
        stem="vocals",
        play=clip_voices.play_vocoder,
        variants=tuple(clip_voices.VOCODER),
        needs=_VOICE,
    ),
    Kind(name="guitar", stem="other", play=clip_lines.play_guitar, variants=tuple(clip_lines.GUITAR), needs=_FONT),
    Kind(name="horn", stem="other", play=clip_lines.play_horn, variants=tuple(clip_lines.HORN), needs=_FONT),
    Kind(
        name="saxophone",
        stem="other",
        play=clip_lines.play_saxophone,
        variants=tuple(clip_lines.SAXOPHONE),
        needs=_FONT,
    ),
    Kind(name="violin", stem="other", play=clip_lines.play_violin, variants=tuple(clip_lines.VIOLIN), needs=_FONT),
    Kind(name="flute", stem="other", play=clip_lines.play_flute, variants=tuple(clip_lines.FLUTE), needs=_FONT),
    Kind(name="whistle", stem="other", play=clip_synths.play_whistle, variants=tuple(clip_synths.WHISTLE), needs=_FONT),
    Kind(name="theremin", stem="other", play=clip_synths.play_theremin, variants=tuple(clip_synths.THEREMIN)),
    Kind(name="siren", stem="other", play=clip_synths.play_siren, variants=tuple(clip_synths.SIREN)),
    Kind(name="riser", stem="other", play=clip_synths.play_riser, variants=tuple(clip_synths.RISER), reverses=True),
    Kind(
        name="scratch",
        stem="other",
        play=clip_hands.play_scratch,
        variants=tuple(clip_hands.SCRATCH),
        needs=_VOICE,
        wet=0.3,
    ),
    Kind(name="claps", stem="drums", play=clip_hands.play_claps, variants=tuple(clip_hands.CLAPS)),
    Kind(
        name="crowd",
        stem="other",
        play=clip_hands.play_crowd,
        variants=tuple(clip_hands.CROWD),
        needs=(*_VOICE, *_FONT),
        wet=0.2,
    ),
)


def make_clip(studio: Studio, kind: Kind, number: int, seed: int) -> Clip:
    """Clip `number` of a kind. It depends on these and the sources of the studio alone.

    Raises:
        UsageError: A source that it needs is not there.
        AudioError: A source cannot be read, or gives only silence.
    """
    variant = kind.variants[number % len(kind.variants)]
    for attempt in range(_TRIES):
        rng = np.random.default_rng([seed, attempt, number, *kind.name.encode()])
        studio.library.used.clear()
        x, facts = kind.play(studio, variant, rng)
        audio = finish(x, rng, wet=kind.wet)
        if audio is not None:
            used = {name: round(duration_s, 2) for name, duration_s in sorted(studio.library.used.items())}
            return Clip(audio, {"variant": variant, **facts}, used)
    raise AudioError(f"{kind.name} {number} ({variant}): {_TRIES} draws were too short or silent: check the sources")


def finish(x: Float, rng: np.random.Generator, *, wet: float) -> Float | None:
    """(2, N) of a sound as it is on a record: through a desk, dry or in a room, narrow or wide.

    It begins with the sound and ends when that is over, at the latest after LONGEST_S. None if it is too short, silent
    or broken.
    """
    if not np.isfinite(x).all():
        return None
    x = _sounding(x)
    if x.shape[1] < seconds(0.5):
        return None
    x = highpass(x * np.float32(0.5 / peak(x)), rng.uniform(20, 60))
    if rng.random() < 0.6:
        bands = [
            Band("low", rng.uniform(100, 300), rng.normal(-1, 3)),
            Band("peak", log_uniform(rng, 300, 5000), rng.normal(0, 3.5), 0.8),
            Band("high", rng.uniform(3000, 9000), rng.normal(0, 3.5)),
        ]
        x = equalise(x, bands)
    if rng.random() < 0.4:
        threshold_db = active_db(x) + rng.uniform(-2, 6)
        x = compress(x, threshold_db=threshold_db, ratio=rng.uniform(2, 6), attack_s=0.01, release_s=0.12)
    if rng.random() < 0.15:
        x = saturate(x * np.float32(0.6 / max(peak(x), 1e-6)), rng.uniform(2, 10))
    x = _placed(x, rng)
    is_wet = rng.random() < wet
    tail_s = rng.uniform(0.5, 2.5) if is_wet else 0.0
    x = np.pad(x, ((0, 0), (0, seconds(tail_s))))
    if is_wet and rng.random() < 0.35:
        x = delay(
            x, time_s=rng.uniform(0.09, 0.55), feedback=rng.uniform(0.1, 0.55), wet=rng.uniform(0.1, 0.45),
            ping_pong=bool(rng.random() < 0.4), hz=rng.uniform(1500, 7000),
        )  # fmt: skip  # many settings, few lines
    if is_wet:
        kind: RoomKind = ("room", "hall", "plate", "plate", "spring")[int(rng.integers(5))]
        x = reverb(
            x, rng, decay_s=log_uniform(rng, 0.3, 4), wet=rng.uniform(0.05, 0.5),
            pre_s=rng.uniform(0, 0.05), kind=kind,
        )  # fmt: skip  # many settings, few lines
    if rng.random() < 0.08:  # from a compressed file
        x = lossy(x, format="mp3", level=rng.uniform(0.3, 1.0))
    x = _sounding(stereo(x))[:, : seconds(LONGEST_S)]
    if x.shape[1] < seconds(SHORTEST_S):
        return None
    x = fade(x, start=30, end=seconds(0.03))
    return x * np.float32(rng.uniform(0.35, 0.85) / peak(x))


def _placed(x: Float, rng: np.random.Generator) -> Float:
    """In the middle, at a side, or wide."""
    drawn = rng.random()
    if drawn < 0.3:
        return mono(x)
    if drawn < 0.5:
        return place(x, pan=float(rng.uniform(-0.9, 0.9)), width=rng.uniform(0, 1))
    if drawn < 0.7:
        return double(x, rng, n=int(rng.integers(1, 4)), spread=rng.uniform(0.4, 1.0))
    return place(x, pan=float(rng.normal(0, 0.1)), width=rng.uniform(0.6, 1.5))


def _sounding(x: Float) -> Float:
    """From the first moment that sounds to the last; nothing of silence."""
    hop = 441
    level = envelope(x, hop=hop)
    if peak(x) < 1e-4 or not len(level):
        return x[:, :0]
    loud = np.flatnonzero(level > level.max() * 10 ** (_QUIET_DB / 20))
    return np.ascontiguousarray(x[:, max(0, loud[0] * hop - 200) : (loud[-1] + 1) * hop])
