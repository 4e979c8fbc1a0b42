"""Sounds laid one after the other at random: no music, and the least that a network can be trained with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dttnet.songs.kits import piece_of
from dttnet.songs.library import Library, Source
from dttnet.songs.other import is_texture
from dttnet.songs.score import TAIL_S, Song
from dttnet.songs.signals import RATE, Float, add, peak, seconds, silence
from dttnet.songs.studio import Studio

_USES = {
    "vocals": ("voice.sung", "voice.vowels", "voice.phrases", "voice.speech", "voice.growled"),
    "drums": ("drums.acoustic", "drums.machine", "drums.hands"),
    "bass": ("bass.notes",),
    "other": ("other.guitar", "other.piano", "other.texture"),
}
_LAYERS = {"vocals": 1, "drums": 3, "bass": 1, "other": 3}
"""That sound at once."""

_LONGEST_S = {"vocals": 8.0, "drums": 2.0, "bass": 1.5, "other": 2.0}
_LONGEST_GAP_S = 0.3
_GAIN_DB = 6.0


def render_loose(stem: str, song: Song, studio: Studio, rng: np.random.Generator) -> Float:
    """(2, N) as long as the song: files of the stem's sources, each as likely as another source's, with short gaps."""
    library = studio.library
    found = [(source, names) for use in _USES[stem] for source, names in _sounds(library, use)]
    out = silence(song.duration_s + TAIL_S)
    for _ in range(_LAYERS[stem] if found else 0):
        now = seconds(rng.uniform(0, 1))
        while now < out.shape[1]:
            source, names = found[rng.integers(len(found))]
            x = library.hit(source, names[rng.integers(len(names))], longest_s=_LONGEST_S[stem])
            add(out, x, now, gain=10 ** (-rng.uniform(0, _GAIN_DB) / 20), pan=rng.uniform(-0.5, 0.5))
            now += x.shape[1] + seconds(rng.uniform(0, _LONGEST_GAP_S)) + RATE // 100
    highest = peak(out)
    return out * np.float32(0.8 / highest) if highest else out


def _sounds(library: Library, use: str) -> list[tuple[Source, list[str]]]:
    """The sources for a use and those of their files that the players take too: some folders hold other things."""
    if use.startswith("drums."):
        fits: Callable[[str], object] = piece_of
    elif use == "other.texture":
        fits = is_texture
    else:
        fits = bool
    found = [(source, [name for name in library.files(source) if fits(name)]) for source in library.sources(use)]
    return [(source, names) for source, names in found if names]
