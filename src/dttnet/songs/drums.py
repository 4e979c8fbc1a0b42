"""The drums of a song: a drummer plays a kit, and an engineer records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np

from dttnet.songs.draws import choose, log_uniform
from dttnet.songs.effects import Band, compress, equalise, reverb, saturate
from dttnet.songs.grooves import HATS, play_drums
from dttnet.songs.kits import Voice, draw_kit
from dttnet.songs.library import Library
from dttnet.songs.score import TAIL_S, Hit, Song
from dttnet.songs.signals import RATE, Float, add, fade, highpass, peak, seconds, silence
from dttnet.songs.studio import Studio
from dttnet.songs.styles import STYLES

_DECADE = ("synth pop", "pop", "ballad", "hard rock", "disco", "rock")
"""Styles that were played with gated rooms on snares once."""

_ELECTRONIC = ("house", "techno", "trap", "synth pop", "drum and bass")

_ROOMS: dict[str, float] = {"room": 5.0, "plate": 1.5, "hall": 1.0}


def render_drums(song: Song, studio: Studio, rng: np.random.Generator) -> Float:
    """(2, N) of the drums and percussion, N as long as the song and its tail. Peak 0.3 to 0.9, or silent."""
    player, builder, engineer = rng.spawn(3)
    kind = choose(builder, STYLES[song.style].kits)
    is_quantised = kind == "machine" or (kind == "hybrid" and builder.random() < 0.5)
    hits = play_drums(song, player, is_machine=is_quantised)
    n_samples = seconds(song.duration_s + TAIL_S)
    if not hits:
        return silence(n_samples / RATE)
    kit = draw_kit(kind, studio, song, (hit.piece for hit in hits), builder)
    dry, room = _strike(hits, kit, n_samples, player, studio.library)
    x = dry + room * np.float32(engineer.uniform(0, 1.1) * (engineer.random() < 0.75))
    if studio.features.production:
        x = _produce(x, hits, kit, song, engineer)
    x = highpass(x, engineer.uniform(22, 42))  # no drum is lower
    highest = peak(x)
    return fade(x * np.float32(engineer.uniform(0.3, 0.9) / highest), end=seconds(0.3)) if highest else x


def _strike(
    hits: Sequence[Hit],
    kit: Mapping[str, Voice],
    n_samples: int,
    rng: np.random.Generator,
    counting: Library | None = None,
) -> tuple[Float, Float]:
    """(2, N) of the close microphones and overheads, and (2, N) of the room microphones."""
    dry = np.zeros((2, n_samples), np.float32)
    room = np.zeros((2, n_samples), np.float32)
    last: dict[str, int] = {}
    for hit, until in zip(hits, _ends(hits, n_samples), strict=True):
        voice = kit[hit.piece]
        index = _choose_layer(len(voice.sounds), hit.velocity, last.get(hit.piece, -1), rng)
        last[hit.piece] = index
        gain = voice.gain * 10 ** (-voice.dynamics_db * (1 - hit.velocity) / 20)
        start = seconds(hit.start_s)
        x = _choked(voice.sounds[index], until - start)
        add(dry, x, start, gain=gain, pan=voice.pan)
        if counting:
            for source in voice.sources[index]:
                counting.count(source, x.shape[1] / RATE)
        heard = voice.rooms[index]
        if heard is not None:
            later = start + seconds(voice.room_s)
            add(room, _choked(heard, until - later), later, gain=gain, pan=0.3 * voice.pan)
    return dry, room


def _ends(hits: Sequence[Hit], n_samples: int) -> list[int]:
    """The sample at which each stroke is damped by the next on the same hi-hat; else the end."""
    ends = [n_samples] * len(hits)
    following = n_samples
    for index in range(len(hits) - 1, -1, -1):
        if hits[index].piece in HATS:
            ends[index] = following
            following = seconds(hits[index].start_s) + RATE // 200
    return ends


def _choked(x: Float, n_samples: int) -> Float:
    return x if n_samples >= x.shape[1] else fade(x[:, : max(1, n_samples)], end=RATE // 60)


def _choose_layer(n_layers: int, velocity: float, last: int, rng: np.random.Generator) -> int:
    """A stroke that was about as hard, but not the last one again if there are several."""
    place = velocity * n_layers - 0.5 + rng.normal(0, 0.5 + n_layers / 16)
    index = int(np.clip(round(place), 0, n_layers - 1))
    if index == last and n_layers > 1:
        index += 1 if index == 0 or (index < n_layers - 1 and rng.random() < 0.5) else -1
    return index


def _produce(x: Float, hits: Sequence[Hit], kit: Mapping[str, Voice], song: Song, rng: np.random.Generator) -> Float:
    """What is done to the drums as a whole: their room, compression beside the dry sound, and so on."""
    x = x * np.float32(0.8 / (peak(x) + 1e-9))
    if song.style in _DECADE and rng.random() < 0.12:
        x = x + _gated_room(x.shape[1], hits, kit, rng)
    is_electronic = song.style in _ELECTRONIC
    if rng.random() < (0.35 if is_electronic else 0.75):
        kind = cast(Literal["room", "plate", "hall"], choose(rng, _ROOMS))
        longest = 1.0 if kind == "room" else 2.2
        decay_s = log_uniform(rng, 0.18, longest)
        x = reverb(
            x,
            rng,
            decay_s=decay_s,
            wet=float(rng.uniform(0.05, 0.5 if kind == "room" else 0.22)),
            pre_s=float(rng.uniform(0, 0.02)),
            kind=kind,
        )
    if rng.random() < 0.45:
        squashed = compress(
            x,
            threshold_db=float(rng.uniform(-36, -20)),
            ratio=float(rng.choice([4, 8, 20])),
            attack_s=float(rng.uniform(0.001, 0.015)),
            release_s=float(rng.uniform(0.06, 0.25)),
        )
        x = x + squashed * np.float32(rng.uniform(0.2, 0.9) * peak(x) / (peak(squashed) + 1e-9))
    elif rng.random() < 0.5:
        x = compress(
            x,
            threshold_db=float(rng.uniform(-18, -6)),
            ratio=float(rng.uniform(1.5, 4)),
            attack_s=float(rng.uniform(0.008, 0.04)),
            release_s=float(rng.uniform(0.08, 0.3)),
        )
    if rng.random() < 0.5:
        x = equalise(
            x,
            [
                Band("low", float(rng.uniform(60, 160)), float(rng.uniform(-4, 3))),
                Band("peak", float(rng.uniform(300, 900)), float(rng.uniform(-4, 2)), 0.8),
                Band("high", float(rng.uniform(5000, 10000)), float(rng.uniform(-4, 4))),
            ],
        )
    if rng.random() < 0.6:
        loud = x / np.float32(peak(x) + 1e-9)
        x = saturate(loud, float(rng.uniform(2, 9)), kind="tanh" if rng.random() < 0.5 else "tube")
    return x


def _gated_room(n_samples: int, hits: Sequence[Hit], kit: Mapping[str, Voice], rng: np.random.Generator) -> Float:
    """(2, N): a large room that snares and toms open for a moment."""
    struck = [hit for hit in hits if hit.piece in ("snare", "tom1", "tom2", "tom3", "tom4") and hit.velocity > 0.5]
    dry, _ = _strike(struck, kit, n_samples, rng)
    decay_s = float(rng.uniform(1.2, 2.5))
    wet = reverb(dry, rng, decay_s=decay_s, wet=float(rng.uniform(0.5, 1.0)), pre_s=0.005, kind="hall") - dry
    shape = fade(np.ones((1, seconds(rng.uniform(0.18, 0.35))), np.float32), start=60, end=seconds(0.03))[0]
    gate = np.zeros(n_samples, np.float32)
    for hit in struck:
        start = seconds(hit.start_s)
        part = gate[start : start + len(shape)]
        np.maximum(part, shape[: len(part)], out=part)
    return wet * gate * np.float32(rng.uniform(0.12, 0.35) / (peak(wet * gate) + 1e-9))
