"""Notes on sound fonts, by tinysoundfont."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from dttnet.errors import DeviceError
from dttnet.songs.library import Library, Source
from dttnet.songs.score import Note
from dttnet.songs.signals import RATE, Float, seconds

_DRUMS = 128
"""The bank of drum kits."""

_LAST_KIT = 47
"""From 48 on there are orchestral and marching kits, in which most pieces are missing."""


@dataclass(frozen=True)
class Part:
    """Notes for one program of a sound font.

    Attributes:
        notes: In any order; of a drum kit the pitches are General MIDI's keys.
        program: 0 to 127, or a kit.
        is_drums: Whether it is a kit.
        volume: 0 to 1.
        pan: -1 (left) to 1.
        bends: (seconds, semitones) at which the pitch wheel is moved, at most two semitones up or down.
    """

    notes: Sequence[Note]
    program: int
    is_drums: bool = False
    volume: float = 0.8
    pan: float = 0.0
    bends: Sequence[tuple[float, float]] = field(default=())


def sounding_s(notes: Sequence[Note], duration_s: float) -> float:
    """Lengths of all notes, chords' too, up to the end: what they count for in the shares of the sources."""
    return sum(max(0.0, min(note.length_s, duration_s - note.start_s)) for note in notes)


class Fonts:
    """The sound fonts of a library, each loaded when first played."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.sources = library.sources("soundfont")
        self._load = functools.cache(self._open)

    def programs(self, source: Source, programs: Sequence[int]) -> list[int]:
        """Those of the programs (0 to 127) that the font has and this split may play."""
        synth, font = self._load(source)
        return [
            program
            for program in programs
            if self._library.is_in_use(source, f"0:{program}") and synth.sfpreset_name(font, 0, program)
        ]

    def kits(self, source: Source) -> list[int]:
        """Drum kits that the font has and this split may play."""
        synth, font = self._load(source)
        return [
            kit
            for kit in range(_LAST_KIT + 1)
            if self._library.is_in_use(source, f"{_DRUMS}:{kit}") and synth.sfpreset_name(font, _DRUMS, kit)
        ]

    def render(self, source: Source, parts: Sequence[Part], duration_s: float, *, counted: bool = True) -> Float:
        """(2, N): the parts together, on one font, cut at the end."""
        synth, font = self._load(source)
        events: list[tuple[int, int, int, int, int]] = []  # sample, kind (0 off, 1 bend, 2 on), channel, values
        for channel, part in enumerate(parts):
            bank = _DRUMS if part.is_drums else 0
            synth.program_select(channel, font, bank, part.program, part.is_drums)
            synth.control_change(channel, 7, int(127 * part.volume))
            synth.control_change(channel, 10, int(64 + 63 * part.pan))
            synth.pitchbend(channel, 8192)
            for note in part.notes:
                velocity = int(np.clip(note.velocity * 127, 1, 127))
                events.append((seconds(note.start_s), 2, channel, note.pitch, velocity))
                events.append((seconds(note.start_s + note.length_s), 0, channel, note.pitch, 0))
            for at_s, semitones in part.bends:
                events.append((seconds(at_s), 1, channel, int(np.clip(8192 + 4096 * semitones, 0, 16383)), 0))
        n_samples = seconds(duration_s)
        blocks, now = [np.zeros(0, np.float32)], 0
        for at, kind, channel, value, velocity in sorted(events):
            if at >= n_samples:
                break
            if at > now:
                blocks.append(np.frombuffer(synth.generate(at - now), np.float32).copy())
                now = at
            if kind == 2:
                synth.noteon(channel, value, velocity)
            elif kind == 1:
                synth.pitchbend(channel, value)
            else:
                synth.noteoff(channel, value)
        blocks.append(np.frombuffer(synth.generate(n_samples - now), np.float32).copy())
        # What still sounds must not be heard in the next song.
        synth.sounds_off()
        synth.generate(RATE // 20)
        if counted:
            self._library.count(source, sum(sounding_s(part.notes, duration_s) for part in parts))
        return np.ascontiguousarray(np.concatenate(blocks).reshape(-1, 2).T)

    def _open(self, source: Source) -> tuple[Any, int]:
        synth = load_player().Synth(gain=-12.0, samplerate=RATE)
        return synth, synth.sfload(str(self._library.path(source)))


def load_player() -> ModuleType:
    """The module tinysoundfont.

    Raises:
        DeviceError: It is not installed.
    """
    try:
        return importlib.import_module("tinysoundfont")
    except ImportError as error:
        # It is not part of an extra: it asks for PyAudio, for live playback, which only compiles where PortAudio is.
        raise DeviceError(
            "playing sound fonts needs tinysoundfont: pip install --no-deps tinysoundfont; or leave them out with "
            "--without fonts"
        ) from error
