"""What the bass and the accompanying instruments play in a song. No sound is made here.

A part is written section by section. Sections of the same name draw from the same generator, so they are played alike;
what a player does not repeat exactly (looseness, loudness) comes from another.
"""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dttnet.songs.score import STEPS, Chord, Note, Section, Song

GUITAR = (40, 45, 50, 55, 59, 64)
"""Open strings, low to high."""

_DEGREES_MINOR, _DEGREES_MAJOR = (0, 3, 5, 7, 10, 12), (0, 2, 4, 7, 9, 12)


@dataclass(frozen=True)
class Line:
    """A part.

    Attributes:
        notes: In order of their beginning.
        bends: (seconds, semitones) of the pitch wheel, only of parts that play one note at a time.
    """

    notes: tuple[Note, ...]
    bends: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class _Stroke:
    """Notes that are struck together.

    Attributes:
        bar: Of the song.
        step: In the bar, 0 to 15.
        length: In steps.
        pitches: In the order in which they are struck.
        velocity: 0 to 1, before the section's energy.
        spread_s: Between one pitch and the next.
        bend: The note starts so many semitones off and slides to its pitch.
        vibrato: Semitones, of long notes.
    """

    bar: int
    step: float
    length: float
    pitches: tuple[int, ...]
    velocity: float = 0.8
    spread_s: float = 0.0
    bend: float = 0.0
    vibrato: float = 0.0


@dataclass(frozen=True)
class _Passage:
    """A section to write for.

    Attributes:
        energy: Of the first section of this name, so that all of them are written alike.
        rng: The same for all sections of this name.
        low: Lowest pitch.
        high: Highest pitch.
        is_open: Whether guitars prefer open strings.
    """

    song: Song
    section: Section
    energy: float
    rng: np.random.Generator
    low: int
    high: int
    is_open: bool = False

    @property
    def bars(self) -> range:
        return range(self.section.first_bar, self.section.first_bar + self.section.n_bars)

    @property
    def steps(self) -> tuple[int, ...]:
        """A pentatonic scale, for riffs."""
        return _DEGREES_MINOR if self.song.is_minor or self.rng.random() < 0.2 else _DEGREES_MAJOR

    def chord(self, bar: int) -> Chord:
        return self.song.chords[min(bar, self.song.n_bars - 1)]

    def root(self, bar: int) -> int:
        """Pitch class."""
        return (self.song.key + self.chord(bar).root) % 12

    def tones(self, bar: int) -> tuple[int, ...]:
        """Pitch classes from the root on."""
        return tuple((self.root(bar) + interval) % 12 for interval in self.chord(bar).intervals)

    def base(self, bar: int) -> int:
        """The root in the lowest octave."""
        return fit(self.root(bar), self.low, self.low + 11)


Writer = Callable[[_Passage], list[_Stroke]]


def write_part(
    role: str,
    song: Song,
    rng: np.random.Generator,
    *,
    low: int,
    high: int,
    names: Collection[str] | None = None,
    is_open: bool = False,
) -> Line:
    """What an instrument plays.

    Args:
        role: One of `ROLES`.
        song: The plan.
        rng: Draws figures, and the player.
        low: Lowest pitch. Guitars' chords know their own range.
        high: Highest pitch.
        names: Sections in which it plays; None is all in which the stem other does.
        is_open: Guitars prefer open strings (with a capo where that helps).
    """
    return _perform(song, rng, "other", lambda _: ROLES[role], low=low, high=high, names=names, is_open=is_open)


def write_bass(song: Song, rng: np.random.Generator, *, figures: Mapping[str, str], low: int = 28) -> Line:
    """A bass line that never sounds two notes at once.

    Args:
        song: The plan.
        rng: Draws what the figures leave open, and the player.
        figures: One of `FIGURES` for each name of a section.
        low: Lowest note; all lie within two octaves and a half above.
    """
    line = _perform(song, rng, "bass", lambda name: FIGURES[figures[name]], low=low, high=min(low + 29, 58))
    notes = sorted(line.notes, key=lambda note: note.start_s)
    ends = [note.start_s for note in notes[1:]] + [np.inf]
    alone = [
        replace(note, length_s=min(note.length_s, end - note.start_s))
        for note, end in zip(notes, ends, strict=True)
        if end - note.start_s > 0.02
    ]
    return Line(tuple(alone), line.bends)


def fit(pitch: int, low: int, high: int) -> int:
    """A pitch moved by octaves into low..high, which has to span an octave."""
    return low + (pitch - low) % 12 if pitch < low or pitch > high else pitch


def _perform(
    song: Song,
    rng: np.random.Generator,
    stem: str,
    writer: Callable[[str], Writer],
    *,
    low: int,
    high: int,
    names: Collection[str] | None = None,
    is_open: bool = False,
) -> Line:
    seed = int(rng.integers(1 << 31))
    late_s, loose_s, feel = rng.normal(0, 0.004), rng.uniform(0.001, 0.009), rng.uniform(0.02, 0.1)
    first = {section.name: section for section in reversed(song.sections)}
    notes: list[Note] = []
    bends: list[tuple[float, float]] = []
    for section in song.sections:
        if stem not in section.plays or (names is not None and section.name not in names):
            continue
        own = np.random.default_rng([seed, zlib.crc32(section.name.encode())])
        passage = _Passage(song, section, first[section.name].energy, own, low, high, is_open)
        for stroke in writer(section.name)(passage):
            if not song.has(stroke.step):
                continue
            start_s = max(0.0, song.time_s(stroke.bar, stroke.step) + late_s + rng.normal(0, loose_s))
            end_s = song.time_s(stroke.bar, stroke.step + stroke.length)
            loud = (0.5 + 0.5 * section.energy) * stroke.velocity * (1 + rng.normal(0, feel))
            for place, pitch in enumerate(stroke.pitches):
                at_s = start_s + place * stroke.spread_s + (rng.uniform(0, 0.004) if place else 0.0)
                velocity = float(np.clip(loud * (rng.uniform(0.88, 1.0) if place else 1.0), 0.05, 1.0))
                notes.append(Note(at_s, max(0.03, end_s - at_s), pitch, velocity))
            if stroke.bend or stroke.vibrato:
                bends += _bend(stroke, start_s, end_s)
    return Line(tuple(sorted(notes, key=lambda note: note.start_s)), tuple(_in_order(bends)))


def _bend(stroke: _Stroke, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """The pitch wheel for one note: from below into it, then swaying."""
    glide_s = min(0.12, 0.5 * (end_s - start_s))
    points = [(start_s - 0.003, 0.0), (start_s - 0.002, stroke.bend)]
    points += [(start_s + glide_s * part, stroke.bend * (1 - part) ** 1.5) for part in (0.2, 0.4, 0.6, 0.8, 1.0)]
    begin_s = start_s + max(0.22, glide_s)
    if stroke.vibrato and end_s > begin_s + 0.15:
        times = np.arange(begin_s, end_s - 0.02, 0.015)
        depth = stroke.vibrato * np.minimum(1, (times - begin_s) / 0.25)
        points += list(zip(times.tolist(), (depth * np.sin(2 * np.pi * 5.4 * (times - begin_s))).tolist(), strict=True))
    return [*points, (end_s - 0.004, 0.0)]


def _in_order(bends: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without what goes back in time: a note that is cut off by the next."""
    out: list[tuple[float, float]] = []
    for point in sorted(bends):
        if not out or point[0] > out[-1][0] + 0.0005:
            out.append(point)
    return out


# ---------------------------------------------------------------------------------------------------------- voicings


@functools.lru_cache(4096)
def voicings(tones: tuple[int, ...], n_voices: int, low: int, high: int) -> tuple[tuple[int, ...], ...]:
    """Chords of so many voices between two pitches: close position, and with the second voice an octave lower."""
    kept = list(dict.fromkeys(tones))
    # The fifth says least, and the bass has the root.
    for place in (2, 0):
        if len(kept) > n_voices:
            kept.pop(place)
    found = []
    for bottom in range(low, high + 1):
        if bottom % 12 not in kept:
            continue
        stack = [pitch for pitch in range(bottom, bottom + 37) if pitch % 12 in kept][:n_voices]
        if stack[-1] <= high:
            found.append(tuple(stack))
        if n_voices > 3 and stack[-2] - 12 >= low and stack[-1] <= high + 5:
            found.append(tuple(sorted([*stack[:-2], stack[-2] - 12, stack[-1]])))
    return tuple(found) or (tuple(fit(tone, low, low + 11) for tone in kept),)


def next_voicing(
    previous: tuple[int, ...] | None, choices: Sequence[tuple[int, ...]], centre: float
) -> tuple[int, ...]:
    """The one to which the voices move least, with a pull to the middle of the register."""

    def cost(choice: tuple[int, ...]) -> float:
        away = abs(float(np.mean(choice)) - centre)
        if previous is None or len(previous) != len(choice):
            return away
        return sum(abs(a - b) for a, b in zip(previous, choice, strict=True)) + 0.4 * away

    return min(choices, key=cost)


@functools.lru_cache(4096)
def guitar_chord(root: int, tones: tuple[int, ...], *, is_open: bool) -> tuple[int, ...]:
    """Pitches of a chord that a hand can hold on six strings, low to high, the root lowest.

    Args:
        root: Pitch class.
        tones: Pitch classes.
        is_open: In the first position with open strings, if it can be; else a shape that can be moved.
    """
    best: tuple[int, ...] = (fit(root, 40, 51),)
    least = np.inf
    for position in (0, *range(1, 10)) if is_open else range(1, 10):
        for lowest in (0, 1, 2):
            for pitches, frets in _grips(root, tones, position, lowest):
                missing = {tone % 12 for tone in tones} - {pitch % 12 for pitch in pitches}
                price = 8.0 * len(missing - {(root + 7) % 12}) + 2 * len(missing)
                price += (
                    6 * max(0, _fingers(frets) - 4) + 0.25 * position + lowest * 0.6 + 0.15 * sum(frets) / len(frets)
                )
                if price < least:
                    best, least = pitches, price
    return best


def _grips(
    root: int, tones: tuple[int, ...], position: int, lowest: int
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(pitches, frets) of all ways to hold a chord within four frets, from one string upwards."""
    allowed = {tone % 12 for tone in tones}
    options: list[list[int]] = []
    for string in range(lowest, 6):
        frets = range(4) if position == 0 else range(position, position + 4)
        wanted = {root % 12} if string == lowest else allowed
        fitting = [fret for fret in frets if (GUITAR[string] + fret) % 12 in wanted]
        if not fitting:
            return []
        options.append(fitting)
    return [
        (tuple(GUITAR[lowest + place] + fret for place, fret in enumerate(frets)), frets)
        for frets in itertools.product(*options)
    ]


def _fingers(frets: tuple[int, ...]) -> int:
    """How many fingers it takes; the first can lie across all strings."""
    pressed = [fret for fret in frets if fret]
    if not pressed:
        return 0
    across = pressed.count(min(pressed))
    return len(pressed) - (across - 1 if 0 not in frets else 0)


def _capo(song: Song) -> int:
    """The fret of a capo with which most chords are among those that beginners know."""
    easy = {0, 2, 4, 7, 9}  # C, D, E, G, A
    roots = [(song.key + chord.root) % 12 for chord in song.chords]
    return max(range(6), key=lambda fret: sum((root - fret) % 12 in easy for root in roots) - 0.3 * fret)


def _grip(passage: _Passage, bar: int) -> tuple[int, ...]:
    """The guitar's chord of a bar."""
    if not passage.is_open:
        return guitar_chord(passage.root(bar), passage.tones(bar), is_open=False)
    capo = _capo(passage.song)
    tones = tuple((tone - capo) % 12 for tone in passage.tones(bar))
    return tuple(pitch + capo for pitch in guitar_chord((passage.root(bar) - capo) % 12, tones, is_open=True))


# ----------------------------------------------------------------------------------------------------------- rhythms

_CELLS = ((4,), (2, 2), (8,), (6, 2), (3, 3, 2), (1, 1, 2), (2, 1, 1), (1, 1, 1, 1), (3, 1), (4, 4))
_CELL_WEIGHTS = np.array([2, 3, 2, 1, 2, 1, 1, 1, 1, 1.0])


def _rhythm(rng: np.random.Generator, busy: float) -> list[tuple[int, int]]:
    """A bar of (step, length); busy from 0 to 1."""
    weights = _CELL_WEIGHTS * np.array([len(cell) for cell in _CELLS]) ** (3 * busy - 1)
    out: list[tuple[int, int]] = []
    now = 0
    while now < STEPS:
        for length in _CELLS[rng.choice(len(_CELLS), p=weights / weights.sum())]:
            if now < STEPS:
                out.append((now, min(length, STEPS - now)))
            now += length
    return out


def _steps(text: str) -> list[tuple[int, int, str]]:
    """(step, length until the next, mark) of a bar such as "x..x..x."."""
    marks = [(step, mark) for step, mark in enumerate(text) if mark != "."]
    ends = [*(step for step, _ in marks), len(text)][1:]
    return [(step, end - step, mark) for (step, mark), end in zip(marks, ends, strict=True)]


def _pick(rng: np.random.Generator, texts: Sequence[str]) -> str:
    return texts[int(rng.integers(len(texts)))]


def _accent(step: float) -> float:
    return 0.12 if step % 8 == 0 else 0.04 if step % 4 == 0 else 0.0


# ------------------------------------------------------------------------------------------------------------- roles


def _chords(passage: _Passage, n_voices: int) -> dict[int, tuple[int, ...]]:
    """A chord for each bar, the voices moving as little as they can."""
    out: dict[int, tuple[int, ...]] = {}
    previous: tuple[int, ...] | None = None
    centre = passage.low + (passage.high - passage.low) * (0.35 + 0.25 * passage.energy)
    for bar in passage.bars:
        choices = voicings(passage.tones(bar), n_voices, passage.low, passage.high)
        previous = next_voicing(previous, choices, centre)
        out[bar] = previous
    return out


def _pad(passage: _Passage) -> list[_Stroke]:
    """Long chords; where the chord stays, it is held."""
    chords = _chords(passage, int(passage.rng.integers(3, 5)) + (passage.energy > 0.6))
    out: list[_Stroke] = []
    longest = int(passage.rng.choice([1, 2, 2]))
    for bar in passage.bars:
        last = out[-1] if out else None
        if last and last.pitches == chords[bar] and last.length < longest * STEPS - 2:
            out[-1] = replace(last, length=last.length + STEPS)
        else:
            out.append(_Stroke(bar, 0, STEPS - 0.3, chords[bar], 0.75))
    return out


_COMPS = (
    "x...............",
    "x.......x.......",
    "x...x...x...x...",
    "x.x.x.x.x.x.x.x.",
    "..x...x...x...x.",
    "x.....x...x.....",
    "x..x..x...x.x...",
    "x.....xx......x.",
    "......x.......x.",
    "x..x...x..x..x..",
    "x.x..x.x..x.x.x.",
)


def _comp(passage: _Passage) -> list[_Stroke]:
    """Chords in a rhythm; a piano's left hand may add the root."""
    rng = passage.rng
    order = sorted(_COMPS, key=lambda text: text.count("x"))
    place = np.clip(rng.normal(len(order) * (0.15 + 0.6 * passage.energy), 2.2), 0, len(order) - 1)
    figures = [order[int(place)]] * 2
    if rng.random() < 0.4:
        figures[1] = _pick(rng, order)
    cut, has_left = rng.uniform(0.4, 1.0), rng.random() < 0.4 and passage.low >= 48
    chords = _chords(passage, int(rng.integers(3, 5)))
    spread_s = float(rng.choice([0.0, 0.0, 0.004, 0.012]))
    out = []
    for index, bar in enumerate(passage.bars):
        for step, length, _ in _steps(figures[index % 2]):
            pitches = chords[bar]
            if has_left and step % 8 == 0:
                pitches = (fit(passage.root(bar), 41, 52), *pitches)
            out.append(_Stroke(bar, step, max(0.7, length * cut), pitches, 0.7 + _accent(step), spread_s))
    return out


_STRUMS = (
    "D...............",
    "D.......D.......",
    "D...D...D...D...",
    "D.D.D.D.D.D.D.D.",
    "D...D.U...U.D.U.",
    "D...D.U.D...D.U.",
    "D...D.U..UD.D.U.",
    "D..UD..UD..UD..U",
    "D..D..U.D..D..U.",
    "D.DUD.DUD.DUD.DU",
    "D.mUD.mUD.mUD.mU",
    "D.DUDUDUD.DUDUDU",
    "DmmUDmDUmmDUDmDU",
)


def _strum(passage: _Passage) -> list[_Stroke]:
    """Down and up strokes over the strings; m is a stroke on damped strings."""
    rng = passage.rng
    place = np.clip(rng.normal(len(_STRUMS) * (0.1 + 0.65 * passage.energy), 2.5), 0, len(_STRUMS) - 1)
    figure = _STRUMS[int(place)]
    if passage.song.beat_s < 0.42:  # nobody strums sixteenths that fast
        figure = "".join(mark if step % 2 == 0 else "." for step, mark in enumerate(figure))
    spread_s = rng.uniform(0.004, 0.016)
    out = []
    for bar in passage.bars:
        grip = _grip(passage, bar)
        for step, length, mark in _steps(figure):
            is_bass_only = step % 8 == 0 and rng.random() < 0.1
            strings = grip[:3] if is_bass_only else grip if mark == "D" else grip[::-1][: int(rng.integers(3, 5))]
            if mark == "m":
                out.append(_Stroke(bar, step, 0.3, grip[-4:], 0.45, 0.4 * spread_s))
            else:
                velocity = (0.72 if mark == "D" else 0.6) + _accent(step)
                out.append(_Stroke(bar, step, length * 0.98, strings, velocity, spread_s))
    return out


def _arpeggio(passage: _Passage) -> list[_Stroke]:
    """Chord tones one after the other in eighths or sixteenths."""
    rng = passage.rng
    grid = 1 if passage.energy > 0.5 and rng.random() < 0.4 and passage.song.beat_s > 0.4 else 2
    n_tones = int(rng.choice([3, 4, 4, 5, 6]))
    orders = (
        np.arange(STEPS),
        np.abs((np.arange(STEPS) + n_tones - 1) % (2 * n_tones - 2) - n_tones + 1),
        -np.arange(STEPS),
        np.array([0, 2, 1, 3] * 4),
        rng.integers(0, n_tones, STEPS),
    )
    order = orders[rng.integers(len(orders))]
    ring, chords = rng.uniform(0.7, 3.0), _chords(passage, n_tones)
    out = []
    for bar in passage.bars:
        tones = chords[bar]
        for place, step in enumerate(range(0, STEPS, grid)):
            pitch = tones[int(order[place]) % len(tones)]
            out.append(_Stroke(bar, step, grid * ring, (pitch,), 0.66 + _accent(step)))
    return out


_PICKINGS = (  # b bass, f the other bass, 1 to 3 the high strings from above
    "b...3.2.f...1.2.",
    "b.2.f.1.b.2.f.1.",
    "b.3.2.1.f.1.2.3.",
    "b..2f.1.b.2.f1..",
    "b.3.1.3.2.3.1.3.",
    "b...2...f...1...",
    "b.21f.2.b.21f.2.",
    "p...2.1.f...p.2.",
)


def _picking(passage: _Passage) -> list[_Stroke]:
    """Thumb and fingers: basses in turn below a pattern on the high strings; p is a pinch of both."""
    rng = passage.rng
    figure, ring = _pick(rng, _PICKINGS), rng.uniform(1.5, 4.0)
    if passage.song.beat_s < 0.4:
        figure = "".join(mark if step % 2 == 0 else "." for step, mark in enumerate(figure))
    out = []
    for bar in passage.bars:
        grip = _grip(passage, bar)
        for step, length, mark in _steps(figure):
            pitches = {
                "b": (grip[0],),
                "f": (grip[min(len(grip) - 1, 1 + (len(grip) > 5))],),
                "p": (grip[0], grip[-1]),
            }.get(mark) or (grip[-min(int(mark), len(grip))],)
            velocity = (0.75 if mark in "bfp" else 0.62) + _accent(step)
            out.append(_Stroke(bar, step, min(length * ring, 16.0), pitches, velocity))
    return out


def _ladder(passage: _Passage) -> list[int]:
    """Pitches of a melody: the scale, or five of its tones."""
    scale: Collection[int] = passage.song.scale
    if passage.rng.random() < 0.55:
        scale = (0, 3, 5, 7, 10) if passage.song.is_minor else (0, 2, 4, 7, 9)
    return [p for p in range(passage.low, passage.high + 1) if (p - passage.song.key) % 12 in scale]


def _lead(passage: _Passage) -> list[_Stroke]:
    """A melody of two motifs that answer each other, resting on chord tones, with bends and vibrato."""
    rng, ladder = passage.rng, _ladder(passage)
    busy, expressive = rng.uniform(0.15, 0.55) + 0.35 * passage.energy, rng.uniform(0, 1)
    motifs = [_rhythm(rng, busy) for _ in range(2)]
    shapes = [rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4], len(motif)) for motif in motifs]
    rests = [rng.random(len(motif)) < rng.uniform(0.05, 0.3) for motif in motifs]
    place = int(len(ladder) * (0.25 + 0.4 * passage.energy))
    # A fill at the ends of lines, or a melody all the time.
    sparse = rng.random() < 0.35 and passage.section.name == "verse"
    out = []
    for index, bar in enumerate(passage.bars):
        if sparse and index % 4 < 2:
            continue
        motif, shape, rest = motifs[index % 2], shapes[index % 2], rests[index % 2]
        tones = set(passage.tones(bar))
        for (step, length), move, is_rest in zip(motif, shape, rest, strict=True):
            place = int(np.clip(place + move, 0, len(ladder) - 1))
            if step % 8 == 0:
                goal = place
                place = min(range(len(ladder)), key=lambda i: abs(i - goal) + 9 * (ladder[i] % 12 not in tones))
            if is_rest:
                continue
            bend = float(rng.choice([-2, -1, -1])) if length >= 2 and rng.random() < 0.35 * expressive else 0.0
            vibrato = rng.uniform(0.1, 0.45) * expressive if length >= 4 else 0.0
            velocity = rng.uniform(0.7, 0.9) + _accent(step)
            out.append(_Stroke(bar, step, length * 0.96, (ladder[place],), velocity, bend=bend, vibrato=vibrato))
    return out


_POWERS = (
    "X...............",
    "X.......X.......",
    "X.x.x.x.X.x.x.x.",
    "X.m.m.m.m.m.m.m.",
    "X.x.X.x.X.x.X.x.",
    "X..mX..mX..mX..m",
    "X..X..X.X..X..X.",
    "X.mmX.mmX.mmX.mm",
    "X.....X.....X...",
    "XmmmmmmmXmmmmmmm",
    "X..m..X..m..X.m.",
)


def _power(passage: _Passage) -> list[_Stroke]:
    """Root, fifth and octave: held, in eighths, or between strokes that the palm damps (m)."""
    rng = passage.rng
    figure = _pick(rng, _POWERS[:2] if passage.energy < 0.4 else _POWERS[2:] if rng.random() < 0.75 else _POWERS)
    if passage.song.beat_s < 0.38:
        figure = "".join(mark if step % 2 == 0 else "." for step, mark in enumerate(figure))
    has_octave, cut = rng.random() < 0.75, rng.uniform(0.55, 0.98)
    out = []
    for bar in passage.bars:
        base = passage.base(bar)
        intervals = passage.chord(bar).intervals
        fifth = 6 if 6 in intervals and 7 not in intervals else 7
        pitches = (base, base + fifth, base + 12) if has_octave else (base, base + fifth)
        for step, length, mark in _steps(figure):
            if mark == "m":
                out.append(_Stroke(bar, step, 0.75, pitches[:1] if rng.random() < 0.3 else pitches[:2], 0.6, 0.002))
            else:
                velocity = (0.86 if mark == "X" else 0.78) + _accent(step)
                out.append(_Stroke(bar, step, length * cut, pitches, velocity, 0.003))
    return out


def _riff(passage: _Passage) -> list[_Stroke]:
    """A motif of a bar or two on few notes, moved with the chords or not; sometimes with the fifth above."""
    rng = passage.rng
    steps, n_bars = passage.steps, int(rng.choice([1, 2, 2]))
    bars = [_rhythm(rng, 0.3 + 0.5 * passage.energy) for _ in range(n_bars)]
    tones = [[int(rng.choice(steps)) if rng.random() < 0.6 else 0 for _ in figure] for figure in bars]
    is_doubled, moves, damped = rng.random() < 0.35, rng.random() < 0.7, rng.uniform(0, 0.5)
    base_of_key = fit(passage.song.key, passage.low, passage.low + 11)
    out = []
    for index, bar in enumerate(passage.bars):
        base = passage.base(bar) if moves else base_of_key
        for (step, length), tone in zip(bars[index % n_bars], tones[index % n_bars], strict=True):
            pitch = min(base + tone, passage.high)
            pitches = (pitch, pitch + 7) if is_doubled else (pitch,)
            is_damped = tone == 0 and length <= 2 and rng.random() < damped
            out.append(_Stroke(bar, step, 0.7 if is_damped else length * 0.95, pitches, 0.78 + _accent(step)))
    return out


_SKANKS = ("....x.......x...", "..x...x...x...x.", "....xx......xx..", "..x...x...x..xx.")


def _skank(passage: _Passage) -> list[_Stroke]:
    """Short chords on the high strings, off the beat; funk has sixteenths with damped strokes between."""
    rng = passage.rng
    if passage.song.style in ("funk", "disco", "soul"):
        figure = _pick(rng, ("x.m.xm.xm.xm.xm.", "m.x.m.xmm.x.m.xm", "mmxmmmxmmmxmmmxm", "x..xm.x.m.xm..x."))
    elif passage.song.beat_s < 0.5:
        figure = _SKANKS[1]
    else:
        figure = _pick(rng, _SKANKS)
    length = rng.uniform(0.5, 1.1) if passage.song.beat_s > 0.5 else rng.uniform(0.7, 1.3)
    is_guitar = passage.low < 46
    chords = {} if is_guitar else _chords(passage, 3)
    spread_s, out = rng.uniform(0.001, 0.005), []
    for bar in passage.bars:
        pitches = guitar_chord(passage.root(bar), passage.tones(bar), is_open=False)[-4:] if is_guitar else chords[bar]
        for step, _, mark in _steps(figure):
            velocity, held = (0.4, 0.25) if mark == "m" else (0.78, length)
            out.append(_Stroke(bar, step, held, pitches[::-1], velocity, spread_s))
    return out


_STABS = (
    "x...............",
    "x..x............",
    "......x.........",
    "..........x.x...",
    "x.....x.........",
    "..x..x..........",
    "x..x..x..x..x...",
    "............x.x.",
    "...x..x...x..x..",
)


def _stabs(passage: _Passage) -> list[_Stroke]:
    """Few short chords, the same every two bars."""
    rng = passage.rng
    busy = _STABS if passage.energy > 0.5 else _STABS[:5]
    figures = [_pick(rng, busy), _pick(rng, busy)]
    chords, length = _chords(passage, int(rng.integers(3, 5))), rng.uniform(0.6, 2.0)
    return [
        _Stroke(bar, step, min(length, following), chords[bar], 0.85 + _accent(step))
        for index, bar in enumerate(passage.bars)
        for step, following, _ in _steps(figures[index % 2])
    ]


def _organ(passage: _Passage) -> list[_Stroke]:
    """Held chords, or reggae's bubble: the left hand between the right hand's offbeats."""
    rng = passage.rng
    if passage.song.style in ("reggae", "ska") and rng.random() < 0.75:
        chords = _chords(passage, 3)
        return [
            _Stroke(
                bar, step, 0.8, tuple(p - 12 * (step % 4 != 2) for p in chords[bar]), 0.75 if step % 4 == 2 else 0.6
            )
            for bar in passage.bars
            for step in (1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15)
            if step % 4 == 2 or (step % 2 == 1 and passage.song.beat_s > 0.5)
        ]
    return _pad(passage) if rng.random() < 0.6 else _comp(passage)


def _horns(passage: _Passage) -> list[_Stroke]:
    """A section of horns: hits, held chords that end in a hit, or a riff in parallel."""
    rng = passage.rng
    kind = rng.choice(["hits", "swells", "riff"], p=[0.4, 0.25, 0.35])
    chords = _chords(passage, 3)
    if kind == "riff":
        motif = [s for s in _rhythm(rng, 0.5) if rng.random() < 0.75] or [(0, 4)]
        moves = rng.integers(-2, 3, len(motif))
        out = []
        for index, bar in enumerate(passage.bars):
            if index % 2 and rng.random() < 0.6:
                continue
            for (step, length), move in zip(motif, moves, strict=True):
                pitches = tuple(_neighbour(passage.song, pitch, int(move)) for pitch in chords[bar])
                out.append(_Stroke(bar, step, length * 0.85, pitches, 0.8 + _accent(step), 0.003))
        return out
    figure = _pick(rng, _STABS[1:]) if kind == "hits" else "x...........x.x."
    return [
        _Stroke(bar, step, length if kind == "swells" else min(length, 1.5), chords[bar], 0.85, 0.003)
        for bar in passage.bars
        if kind == "hits" or (bar - passage.section.first_bar) % 2
        for step, length, _ in _steps(figure)
    ]


def _neighbour(song: Song, pitch: int, degrees: int) -> int:
    """The pitch of the scale so many steps away."""
    ladder = [p for p in range(pitch - 7, pitch + 8) if (p - song.key) % 12 in song.scale]
    nearest = min(range(len(ladder)), key=lambda index: abs(ladder[index] - pitch))
    return ladder[int(np.clip(nearest + degrees, 0, len(ladder) - 1))] if degrees else pitch


def _strings(passage: _Passage) -> list[_Stroke]:
    """Held chords, a high line above them, or chords in eighths."""
    rng = passage.rng
    kind = rng.choice(["pad", "line", "eighths"], p=[0.45, 0.35, 0.2])
    if kind == "pad":
        return _pad(passage)
    chords = _chords(passage, 4)
    if kind == "eighths":
        return [
            _Stroke(bar, step, 1.5, chords[bar][-3:], 0.65 + _accent(step))
            for bar in passage.bars
            for step in range(0, 16, 2)
        ]
    out = []
    for bar in passage.bars:
        top = chords[bar][-1]
        move = int(rng.choice([-1, 1, 2, -2]))
        for step, length, degrees in ((0, 8, 0), (8, 8, move)) if rng.random() < 0.6 else ((0, 16, 0),):
            pitch = _neighbour(passage.song, top, degrees)
            out.append(_Stroke(bar, step, length * 0.98, (pitch, pitch - 12) if pitch - 12 > 50 else (pitch,), 0.75))
    return out


def _ostinato(passage: _Passage) -> list[_Stroke]:
    """A short figure that goes on, whatever the chords do; clavé-like in Latin music."""
    rng = passage.rng
    ladder = _ladder(passage)
    n_steps = int(rng.choice([6, 8, 8, 12, 16, 16]))
    figure = [(step, length) for step, length in _rhythm(rng, rng.uniform(0.4, 0.9)) if step < n_steps]
    start = int(rng.integers(0, max(1, len(ladder) - 6)))
    places = [min(len(ladder) - 1, start + int(rng.integers(0, 6))) for _ in figure]
    cut, follows = rng.uniform(0.4, 1.2), rng.random() < 0.4
    out = []
    first = passage.section.first_bar * STEPS
    for begin in range(0, passage.section.n_bars * STEPS, n_steps):
        for (step, length), place in zip(figure, places, strict=True):
            bar, at = divmod(first + begin + step, STEPS)
            if bar not in passage.bars:
                continue
            pitch = ladder[place]
            if follows and pitch % 12 not in passage.tones(bar):
                pitch = min(
                    (p for p in ladder if p % 12 in passage.tones(bar)), key=lambda p: abs(p - pitch), default=pitch
                )
            out.append(_Stroke(bar, at, length * cut, (pitch,), 0.7 + _accent(at)))
    return out


ROLES: dict[str, Writer] = {
    "pad": _pad,
    "comp": _comp,
    "strum": _strum,
    "arpeggio": _arpeggio,
    "lead": _lead,
    "power": _power,
    "riff": _riff,
    "picking": _picking,
    "skank": _skank,
    "stabs": _stabs,
    "organ": _organ,
    "horns": _horns,
    "strings": _strings,
    "ostinato": _ostinato,
}
"""What accompanying instruments do."""

# -------------------------------------------------------------------------------------------------------------- bass


@dataclass(frozen=True)
class _Ground:
    """What a bass player knows of a bar: pitches of its chord in the lowest octave, and where it goes."""

    root: int
    third: int
    fifth: int
    sixth: int
    seventh: int
    octave: int
    following: int

    @classmethod
    def of(cls, passage: _Passage, bar: int) -> _Ground:
        root, intervals = passage.base(bar), passage.chord(bar).intervals
        third = next((i for i in intervals if i in (3, 4)), 5 if 5 in intervals else 2)
        fifth = next((i for i in intervals if i in (6, 7, 8)), 7)
        seventh = next((i for i in intervals if i in (10, 11)), 10)
        # A fifth that would be high lies below.
        down = 12 if root + fifth > passage.low + 17 else 0
        return cls(
            root,
            root + third,
            root + fifth - down,
            root + 9 - (third == 3),
            root + seventh,
            root + 12,
            passage.base(bar + 1),
        )

    def tone(self, mark: str) -> int:
        """R root, 3, 5, 6, 7, O octave, N the next bar's root, A below it."""
        return {
            "R": self.root,
            "3": self.third,
            "5": self.fifth,
            "6": self.sixth,
            "7": self.seventh,
            "O": self.octave,
            "N": self.following,
            "A": self.following - 1,
        }[mark]


def _figure(texts: Sequence[str], *, cut: tuple[float, float] = (0.7, 1.0), velocity: float = 0.8) -> Writer:
    """A writer of bars such as "R..R..5.": marks of `_Ground.tone`; x is a dead note, - goes on sounding.

    Two bars are separated by a slash.
    """

    def write(passage: _Passage) -> list[_Stroke]:
        rng = passage.rng
        bars = _pick(rng, texts).split("/")
        share, is_legato = rng.uniform(*cut), rng.random() < 0.3
        out = []
        for index, bar in enumerate(passage.bars):
            ground = _Ground.of(passage, bar)
            for step, length, mark in _steps(bars[index % len(bars)]):
                if mark == "-":
                    continue
                if mark == "x":
                    out.append(_Stroke(bar, step, 0.25, (ground.root,), 0.4))
                    continue
                pitch = max(passage.low, min(ground.tone(mark), passage.high))
                slide = -2.0 if is_legato and length > 3 and rng.random() < 0.12 else 0.0
                out.append(_Stroke(bar, step, length * share, (pitch,), velocity + _accent(step), bend=slide))
        return _with_turns(passage, out)

    return write


def _with_turns(passage: _Passage, strokes: list[_Stroke]) -> list[_Stroke]:
    """With a run into the next chord in some bars: at least the last one of four."""
    rng, likely = passage.rng, 0.15 + 0.45 * passage.energy
    for index, bar in enumerate(passage.bars):
        draws = rng.random(2)
        if draws[0] > (likely if index % 4 == 3 else 0.12 * likely):
            continue
        goal = passage.base(bar + 1)
        n_notes = 2 if draws[1] < 0.6 else 4
        below = [p for p in range(goal - 9, goal) if (p - passage.song.key) % 12 in passage.song.scale]
        above = [p for p in range(goal + 9, goal, -1) if (p - passage.song.key) % 12 in passage.song.scale]
        run = (below if goal - 9 >= passage.low or draws[1] < 0.3 else above)[-n_notes:]
        start = STEPS - 2 * len(run)
        kept = [s for s in strokes if s.bar != bar or s.step < start]
        cut = [replace(s, length=start - s.step) if s.bar == bar and s.step + s.length > start else s for s in kept]
        strokes = cut + [
            _Stroke(bar, start + 2 * place, 1.8, (max(pitch, passage.low),), 0.78) for place, pitch in enumerate(run)
        ]
    return strokes


def _walking(passage: _Passage) -> list[_Stroke]:
    """A note on each beat, by steps towards the next root; now and then a skip between."""
    rng, out = passage.rng, []
    now = passage.base(passage.section.first_bar)
    for bar in passage.bars:
        ground = _Ground.of(passage, bar)
        tones = sorted({ground.root, ground.third, ground.fifth, ground.octave, ground.seventh})
        goal = ground.following + (
            12 if ground.following + 12 <= passage.high - 5 and now > ground.following + 8 else 0
        )
        first = ground.root if rng.random() < 0.85 else ground.third
        approach = goal + int(rng.choice([-1, 1, -2, 2, -5], p=[0.35, 0.3, 0.12, 0.13, 0.1]))
        middle = sorted(rng.choice(tones, 2, replace=False).tolist(), reverse=bool(approach < first))
        for beat, pitch in enumerate((first, *middle, approach)):
            pitch = fit(pitch, passage.low, passage.high) if pitch < passage.low else min(pitch, passage.high)
            out.append(_Stroke(bar, 4 * beat, 3.7, (pitch,), 0.74 + 0.06 * (beat % 2)))
            if rng.random() < 0.12:
                out.append(_Stroke(bar, 4 * beat + 2, 0.5, (pitch,), 0.45))
            now = pitch
    return out


def _riff_bass(passage: _Passage) -> list[_Stroke]:
    """A motif of a bar or two on a pentatonic scale that moves with the chords."""
    rng = passage.rng
    steps, n_bars = passage.steps, int(rng.choice([1, 2, 2]))
    bars = [_rhythm(rng, 0.25 + 0.45 * passage.energy) for _ in range(n_bars)]
    tones = [
        [0 if not step else int(rng.choice(steps)) if rng.random() < 0.65 else 0 for step, _ in bar] for bar in bars
    ]
    cut = rng.uniform(0.65, 1.0)
    out = []
    for index, bar in enumerate(passage.bars):
        for (step, length), tone in zip(bars[index % n_bars], tones[index % n_bars], strict=True):
            pitch = passage.base(bar) + tone
            out.append(_Stroke(bar, step, length * cut, (min(pitch, passage.high),), 0.78 + _accent(step)))
    return out


def _groove(passage: _Passage) -> list[_Stroke]:
    """Syncopated, with dead notes between: a figure of its own for each section."""
    rng = passage.rng
    n_bars = int(rng.choice([1, 2, 2]))
    bars: list[list[tuple[int, int, str]]] = []
    for _ in range(n_bars):
        figure = []
        for step, length in _rhythm(rng, 0.35 + 0.45 * passage.energy):
            weights = [4, 2, 1.2, 1.2, 1, 1.5, 1.2] if step else [1, 0, 0, 0, 0, 0, 0]
            mark = "R5O763x"[int(rng.choice(7, p=np.array(weights) / sum(weights)))]
            if rng.random() < 0.15 and step:
                continue
            figure.append((step, length, mark))
        bars.append(figure)
    cut = rng.uniform(0.5, 0.95)
    out = []
    for index, bar in enumerate(passage.bars):
        ground = _Ground.of(passage, bar)
        for step, length, mark in bars[index % n_bars]:
            if mark == "x":
                out.append(_Stroke(bar, step, 0.25, (ground.root,), 0.42))
            else:
                pitch = min(ground.tone(mark), passage.high)
                out.append(_Stroke(bar, step, max(0.6, length * cut), (pitch,), 0.77 + _accent(step)))
    return _with_turns(passage, out)


def _drone(passage: _Passage) -> list[_Stroke]:
    """808: long notes where a kick would be, sometimes sliding to the octave."""
    rng = passage.rng
    figure = _pick(
        rng, ("R.........R.....", "R.....R...R.....", "R..R......R..R..", "R...............", "R......R..R.....")
    )
    out = []
    for index, bar in enumerate(passage.bars):
        ground = _Ground.of(passage, bar)
        for step, length, _ in _steps(figure):
            is_high = index % 4 == 3 and step > 8 and rng.random() < 0.4
            out.append(_Stroke(bar, step, length * 0.97, (ground.octave if is_high else ground.root,), 0.88))
    return out


def _octave_line(passage: _Passage) -> list[_Stroke]:
    """Eighths, root and octave in turn; disco."""
    return _figure(("R.O.R.O.R.O.R.O.", "R.OOR.O.R.OOR.O.", "R..OR..OR..OR.OO"), cut=(0.5, 0.9))(passage)


FIGURES: dict[str, Writer] = {
    "root": _figure(("R...............", "R.......R.......", "R..........R....", "R...........R.R."), cut=(0.85, 1.0)),
    "fifth": _figure(("R.......5.......", "R.....R.5.....5.", "R.....5.R.....5.", "R.......5...R.A."), cut=(0.7, 1.0)),
    "eighths": _figure(
        ("R.R.R.R.R.R.R.R.", "R.R.R.R.R.R.R.A.", "R.RR.RR.R.RR.RR.", "R.R.R.R.R.R.5.5."), cut=(0.6, 1.0)
    ),
    "octaves": _octave_line,
    "walking": _walking,
    "reggae": _figure(
        (
            "..R.R...5.R.3...",
            "....R.R.5...R...",
            "R..R..5...R.3.5.",
            "R.....R.3.5...../....R.R.5.3.R...",
            "..R...5.R...5.3./R.....R.....5...",
            "R.R...3.5.......",
            "....R..R5...5.3.",
        ),
        cut=(0.7, 1.0),
    ),
    "riff": _riff_bass,
    "groove": _groove,
    "slap": _figure(
        (
            "R.xOR.x.R.xO.R7O",
            "R..O.xR.x.RO.x.O",
            "RxRO.xR.5xR7.xOx",
            "R.R.xO..R.xR.O7.",
            "R..xOx.R..R.xO.x/R..xOx.R.757.xO.",
        ),
        cut=(0.4, 0.8),
    ),
    "dub": _figure(
        (
            "R.....R.5.......",
            "R..R..3.....5...",
            "....R...R.5.R.../R.......5.......",
            "R...R.5...7.5...",
            "R.....5.R......./................",
        ),
        cut=(0.8, 1.0),
    ),
    "sixteenths": _figure(
        ("RRRRRRRRRRRRRRRR", "R.RRR.RRR.RRR.RR", "RR.RRR.RRR.RRR.R", "RRORRRORRRORRROR"), cut=(0.5, 0.9)
    ),
    "drone808": _drone,
    "synth": _figure(
        (
            "..R...R...R...R.",
            ".RRR.RRR.RRR.RRR",
            "R..R..R.R..R..R.",
            "R.R.R.R.R.R.R.R.",
            "..RO..RO..RO..RO",
            "R.....R...R..R../R.....R...5..7..",
            "R...............",
            "R.RR.R.RR.RR.R.O",
        ),
        cut=(0.5, 1.0),
        velocity=0.85,
    ),
    "ska": _figure(
        ("R.3.5.3.R.3.5.6.", "R.R.3.3.5.5.6.5.", "R.5.6.5.R.5.3.5.", "R.3.5.6.O.6.5.3.", "R.5.R.5.3.5.N.A."),
        cut=(0.6, 0.9),
    ),
    "country": _figure(
        ("R.......5.......", "R...x...5...x...", "R.....R.5.....R.", "R...R...5...5..."), cut=(0.55, 0.9)
    ),
    "latin": _figure(
        (
            "......5.....N...",
            "R.....5.....N...",
            "R.....5.R.....5.",
            "R..R..5...R.5...",
            "R.....R.5.....5.",
            "......5.....R.../......5.....N...",
        ),
        cut=(0.7, 1.0),
    ),
}
"""What basses do."""
