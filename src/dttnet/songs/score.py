"""What is played: notes, chords and the sections of a song. No sound is made here.

Times are in seconds, pitches in MIDI numbers (60 is middle C), levels from 0 to 1. All parts are written in bars of
four beats, of four steps (sixteenths) each; songs in another metre leave some steps of each bar out.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS = 16
"""Steps of a bar."""

METRES = {"4/4": (STEPS, STEPS), "3/4": (8, 12), "7/8": (14, STEPS)}
"""The steps of a bar that a metre leaves out, from ... to. Beat and backbeat without the third beat are a waltz."""


def steps_of_bar(metre: str) -> int:
    """Steps that a bar of a metre has."""
    first, last = METRES[metre]
    return STEPS - (last - first)


TAIL_S = 2.0
"""How long a stem rings after the last bar line: all stems last `Song.duration_s + TAIL_S`."""


@dataclass(frozen=True)
class Note:
    """A note of a pitched instrument.

    Attributes:
        start_s: Since the start of the song.
        length_s: Until the key is let go.
        pitch: MIDI number.
        velocity: 0 to 1.
    """

    start_s: float
    length_s: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Hit:
    """A stroke on a piece of a drum kit, such as "snare"."""

    start_s: float
    piece: str
    velocity: float


@dataclass(frozen=True)
class Chord:
    """A chord: its root in semitones above the key, and its tones in semitones above the root."""

    root: int
    intervals: tuple[int, ...]


@dataclass(frozen=True)
class Section:
    """Some bars of a song that belong together.

    Attributes:
        name: intro, verse, chorus, bridge, solo, break or outro. Sections of the same name are played alike.
        first_bar: Counted from 0.
        n_bars: How many.
        energy: 0 (a whisper) to 1 (all that is there).
        plays: The stems that sound.
    """

    name: str
    first_bar: int
    n_bars: int
    energy: float
    plays: frozenset[str]


@dataclass(frozen=True)
class Song:
    """The plan of a song.

    Attributes:
        style: A name in `dttnet.songs.styles.STYLES`.
        beat_s: Length of a quarter note, in the mean.
        swing: How late every second eighth comes, as a share of a step: 0 is straight, 0.66 a shuffle.
        key: Pitch class of the tonic, 0 (C) to 11.
        is_minor: Whether the scale is minor.
        chords: One for each bar.
        sections: In order, without gaps.
        metre: A name in `METRES`.
        lines_s: When each bar begins, and when the last ends, at `n_bars * bar_s`; empty if all are equally long.
    """

    style: str
    beat_s: float
    swing: float
    key: int
    is_minor: bool
    chords: tuple[Chord, ...]
    sections: tuple[Section, ...]
    metre: str = "4/4"
    lines_s: tuple[float, ...] = ()

    @property
    def bar_s(self) -> float:
        """Length of a bar, in the mean."""
        return steps_of_bar(self.metre) * self.beat_s / 4

    @property
    def n_bars(self) -> int:
        """Bars in all."""
        return len(self.chords)

    @property
    def duration_s(self) -> float:
        """From the first to the last bar line."""
        return self.n_bars * self.bar_s

    @property
    def scale(self) -> tuple[int, ...]:
        """Semitones of the scale above the key."""
        return (0, 2, 3, 5, 7, 8, 10) if self.is_minor else (0, 2, 4, 5, 7, 9, 11)

    def line_s(self, bar: int) -> float:
        """When a bar begins, also of those before and after the song."""
        if 0 <= bar < len(self.lines_s):
            return self.lines_s[bar]
        return bar * self.bar_s

    def time_s(self, bar: int, step: float) -> float:
        """When a step of a bar, or of one before or after it, is played: exactly, but for the swing.

        Looseness is the player's. All steps that the metre leaves out are where the next is that it has.
        """
        late = self.swing * ((step % 4 == 2) + 0.5 * (step % 2 == 1))
        whole, inside = divmod(step + late, STEPS)
        first, last = METRES[self.metre]
        if inside > first:
            inside = max(first, inside - (last - first))
        bar += int(whole)
        start_s, end_s = self.line_s(bar), self.line_s(bar + 1)
        return start_s + (end_s - start_s) * inside / steps_of_bar(self.metre)

    def has(self, step: float) -> bool:
        """Whether bars of the metre have a step: what is written for others is not played."""
        first, last = METRES[self.metre]
        return not first <= step % STEPS < last

    def section(self, bar: int) -> Section:
        """The section that a bar is in."""
        return next(section for section in reversed(self.sections) if section.first_bar <= bar)
