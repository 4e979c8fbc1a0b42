"""Clips of instruments that play phrases: guitars, horns, saxophones, violins, flutes.

A player takes a `Studio`, the name of a variant and a generator, and returns (C, N) and what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dttnet.errors import UsageError
from dttnet.songs.amplifiers import Gain, amplify_guitar
from dttnet.songs.compose import compose
from dttnet.songs.effects import chorus, late, phaser, place, saturate, tremolo
from dttnet.songs.fonts import Part
from dttnet.songs.library import Source
from dttnet.songs.parts import Line, fit, write_part
from dttnet.songs.samplers import read_samplers
from dttnet.songs.score import Note, Section, Song
from dttnet.songs.signals import RATE, Float, add, envelope, fade, highpass, lowpass, mono, peak, seconds, silence
from dttnet.songs.studio import Studio
from dttnet.songs.synths import sweep

Facts = dict[str, str | float]
"""What was drawn for a clip."""

TAIL_S = 0.8
"""That instruments ring after their last bar."""

FIGURES = "lead riff slow run trill staccato harmony".split()
"""What `write_figure` knows."""

GUITAR = "lead bends slides muted power riff clean wah run".split()
HORN = "stabs falls riff fanfare swell solo doits".split()
SAXOPHONE = "lead slow riff run staccato growl harmony".split()
VIOLIN = "lead slow run trill staccato harmony pizzicato tremolo".split()
FLUTE = "lead slow run trill staccato breathy harmony".split()
"""The variants of each class."""

# MIDI programs with the lowest and highest pitch of each.
_HORNS = {56: (55, 82), 58: (29, 53), 59: (55, 82), 60: (43, 74), 61: (46, 79), 62: (43, 80), 63: (43, 80)}
_SAXOPHONES = {64: (57, 86), 65: (50, 80), 66: (46, 76), 67: (38, 66)}
_VIOLINS = {40: (55, 96), 41: (48, 84)}
_FLUTES = {72: (74, 103), 73: (60, 94), 74: (65, 93), 75: (60, 91), 77: (55, 84)}
_TREMOLO, _PIZZICATO = 44, 45


# -------------------------------------------------------------------------------------------------------------- phrases


def draw_passage(rng: np.random.Generator, *, style: str | None = None) -> Song:
    """A bar or more of a song in a random key, 2 to 7 s, in which the stem other plays."""
    song = compose(rng, style=style, duration_s=rng.uniform(2.0, 6.5))
    n_bars = max(1, min(song.n_bars, int(7 / song.bar_s)))
    section = Section("solo", 0, n_bars, float(rng.uniform(0.5, 1.0)), frozenset({"vocals", "other"}))
    return replace(song, chords=song.chords[:n_bars], sections=(section,), lines_s=())


def write_figure(figure: str, song: Song, rng: np.random.Generator, *, low: int, high: int) -> Line:
    """A phrase on a melody instrument: one of the `FIGURES`, in a register of it that is drawn."""
    low = int(rng.integers(low, max(low + 1, high - 16)))
    high = min(high, low + 22)
    if figure in ("lead", "riff"):
        line = write_part(figure, song, rng, low=low, high=high)
        return Line(_one_voice(line.notes), line.bends)
    if figure == "harmony":
        notes = _one_voice(write_part("lead", song, rng, low=low, high=high).notes)
        steps = int(rng.choice([2, 2, 5, -3, 7]))
        return Line(tuple(sorted([*notes, *(moved(note, song, steps) for note in notes)], key=_start)))
    ladder = [pitch for pitch in range(low, high + 1) if (pitch - song.key) % 12 in song.scale]
    draw = {"slow": _slow, "run": _run, "trill": _trill, "staccato": _staccato}[figure]
    notes = tuple(note for note in draw(song, ladder, rng) if note.start_s < song.duration_s)
    vibrato = float(rng.choice([0.0, rng.uniform(0.1, 0.3), rng.uniform(0.3, 0.6)]))
    return Line(notes, express(notes, rng, vibrato=vibrato, slides=float(rng.uniform(0, 0.6)), from_=(-2.0, -0.5)))


def express(
    notes: Sequence[Note], rng: np.random.Generator, *, vibrato: float, slides: float, from_: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """Bends for notes of one voice: some of them slide to their pitch from `from_` semitones, long ones sway."""
    rate_hz, bends = rng.uniform(4.6, 6.6), []
    for note in notes:
        end_s = note.start_s + note.length_s
        begin_s = note.start_s
        if rng.random() < slides and note.length_s > 0.12:
            start, slide_s = rng.uniform(*from_), min(rng.uniform(0.06, 0.35), 0.6 * note.length_s)
            bends += [(begin_s + slide_s * part, start * (1 - part) ** 1.3) for part in np.linspace(0, 1, 12)]
            begin_s += slide_s
        begin_s += rng.uniform(0.1, 0.3)
        if vibrato and end_s > begin_s + 0.25:
            times = np.arange(begin_s, end_s - 0.02, 0.012)
            sway = vibrato * np.minimum(1, (times - begin_s) / 0.3) * np.sin(2 * np.pi * rate_hz * (times - begin_s))
            bends += list(zip(times.tolist(), sway.tolist(), strict=True))
        bends.append((max(end_s - 0.004, bends[-1][0] + 0.001) if bends else end_s, 0.0))
    return tuple((float(at), float(value)) for at, value in bends)


def _start(note: Note) -> float:
    return note.start_s


def _one_voice(notes: Sequence[Note]) -> tuple[Note, ...]:
    """The highest of what begins together, each until the next."""
    tops: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.start_s, -note.pitch)):
        if not tops or note.start_s > tops[-1].start_s + 0.03:
            tops.append(note)
    ends = [note.start_s for note in tops[1:]] + [np.inf]
    return tuple(
        replace(note, length_s=min(note.length_s, end - note.start_s)) for note, end in zip(tops, ends, strict=True)
    )


def moved(note: Note, song: Song, steps: int) -> Note:
    """The same note so many steps of the song's scale higher, and softer."""
    ladder = [pitch for pitch in range(note.pitch - 24, note.pitch + 25) if (pitch - song.key) % 12 in song.scale]
    nearest = int(np.argmin(np.abs(np.array(ladder) - note.pitch)))
    return replace(note, pitch=ladder[int(np.clip(nearest + steps, 0, len(ladder) - 1))], velocity=0.85 * note.velocity)


def _step(place: int, ladder: Sequence[int], rng: np.random.Generator, moves: Sequence[int]) -> int:
    return int(np.clip(place + rng.choice(moves), 0, len(ladder) - 1))


def _slow(song: Song, ladder: Sequence[int], rng: np.random.Generator) -> list[Note]:
    """Long notes that touch each other."""
    now_s, place, notes = 0.0, int(rng.integers(len(ladder))), []
    while now_s < song.duration_s - 0.3:
        length_s = min(song.beat_s * float(rng.choice([0.5, 1, 1.5, 2, 3, 4])), song.duration_s - now_s)
        notes.append(Note(now_s, 0.98 * length_s, ladder[place], float(rng.uniform(0.55, 0.95))))
        now_s += length_s
        place = _step(place, ladder, rng, [-4, -2, -1, -1, 1, 1, 2, 3])
    return notes


def _run(song: Song, ladder: Sequence[int], rng: np.random.Generator) -> list[Note]:
    """Scales up and down, each ending on a long note."""
    step_s = max(song.beat_s / float(rng.choice([3, 4, 6])), 0.06)
    now_s, place, notes = 0.0, int(rng.integers(len(ladder))), []
    while now_s < song.duration_s - 0.3:
        way = 1 if place < len(ladder) / 2 else -1
        for _ in range(int(rng.integers(4, 13))):
            notes.append(Note(now_s, 0.9 * step_s, ladder[place], float(rng.uniform(0.6, 0.85))))
            now_s += step_s
            place = _step(place, ladder, rng, [way, way, way, 2 * way, -way])
        length_s = song.beat_s * float(rng.choice([0.5, 1, 2]))
        notes.append(Note(now_s, 0.95 * length_s, ladder[place], float(rng.uniform(0.75, 0.95))))
        now_s += length_s + song.beat_s * float(rng.choice([0, 0, 0.5]))
    return notes


def _trill(song: Song, ladder: Sequence[int], rng: np.random.Generator) -> list[Note]:
    """Notes that alternate with the one above, and then stay."""
    now_s, place, notes = 0.0, int(rng.integers(len(ladder) - 1)), []
    while now_s < song.duration_s - 0.3:
        end_s = now_s + max(0.4, song.beat_s * float(rng.choice([1, 2, 3])))
        turn_s, stop_s = rng.uniform(0.055, 0.1), now_s + rng.uniform(0.4, 1.0) * (end_s - now_s)
        is_upper = False
        while now_s < stop_s:
            pitch = ladder[min(place + is_upper, len(ladder) - 1)]
            notes.append(Note(now_s, 0.95 * turn_s, pitch, float(rng.uniform(0.6, 0.8))))
            now_s, is_upper = now_s + turn_s, not is_upper
        if end_s - now_s > 0.05:
            notes.append(Note(now_s, end_s - now_s, ladder[place], 0.8))
        now_s = max(now_s, end_s)
        place = _step(place, ladder[:-1], rng, [-3, -2, -1, 1, 2, 3])
    return notes


def _staccato(song: Song, ladder: Sequence[int], rng: np.random.Generator) -> list[Note]:
    """Short notes, each pitch some times."""
    step_s = song.beat_s / float(rng.choice([2, 3, 4]))
    now_s, place, notes = 0.0, int(rng.integers(len(ladder))), []
    share, silent, times = rng.uniform(0.25, 0.7), rng.uniform(0, 0.3), int(rng.integers(1, 5))
    while now_s < song.duration_s - 0.1:
        for _ in range(times):
            if rng.random() >= silent:
                notes.append(Note(now_s, max(0.04, share * step_s), ladder[place], float(rng.uniform(0.6, 1.0))))
            now_s += step_s
        place = _step(place, ladder, rng, [-4, -2, -1, 1, 2, 4])
    return notes


# -------------------------------------------------------------------------------------------------------------- playing


def choose_preset(studio: Studio, programs: Sequence[int], rng: np.random.Generator) -> tuple[Source, int]:
    """A sound font, and one of the programs that it has.

    Raises:
        UsageError: No sound font has any of them.
    """
    presets = studio.presets(programs)
    if not presets:
        numbers = ", ".join(map(str, programs))
        raise UsageError(f"the sound fonts have none of the programs {numbers}: name a General MIDI font")
    return presets[int(rng.integers(len(presets)))]


def on_font(
    studio: Studio, preset: tuple[Source, int], line: Line, rng: np.random.Generator, duration_s: float
) -> tuple[Float, str]:
    """(2, N) of a line, a little out of tune, and the name of what played it."""
    source, program = preset
    cents = float(rng.normal(0, 0.05))
    bends = [(at, semitones + cents) for at, semitones in line.bends] or [(0.0, cents)]
    x = studio.fonts.render(source, [Part(line.notes, program, volume=1.0, bends=bends)], duration_s)
    return x, f"{source.id} {program}"


def play_saxophone(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """One or two saxophones; growled, the player sings into it."""
    x, facts = _solo(studio, variant if variant in FIGURES else "lead", _SAXOPHONES, rng)
    if variant == "growl":
        x = tremolo(x, rate_hz=rng.uniform(24, 42), depth=rng.uniform(0.4, 0.8))
        x = saturate(x * np.float32(0.7 / max(peak(x), 1e-6)), rng.uniform(6, 15), kind="tube")
    return x, facts


def play_violin(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """A fiddle alone, or two of them; plucked and trembling ones are a section's."""
    if variant in ("pizzicato", "tremolo"):
        program, figure = (_PIZZICATO, "staccato") if variant == "pizzicato" else (_TREMOLO, "slow")
        return _solo(studio, figure, {program: (55, 91)}, rng)
    return _solo(studio, variant, _VIOLINS, rng)


def play_flute(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """A flute, piccolo, recorder, pan flute or shakuhachi; breathy ones are heard to be blown."""
    x, facts = _solo(studio, variant if variant in FIGURES else str(rng.choice(["slow", "lead"])), _FLUTES, rng)
    return (breathe_along(x, rng, share=rng.uniform(0.3, 1.0)) if variant == "breathy" else x), facts


def breathe_along(x: Float, rng: np.random.Generator, *, share: float) -> Float:
    """x with air as loud as it is, times `share`."""
    level = np.repeat(envelope(x), 441)
    level = np.pad(level, (0, x.shape[1] - len(level)))
    air = highpass(rng.standard_normal((1, x.shape[1]), np.float32), rng.uniform(900, 2500))
    return x + np.float32(share) * lowpass(air, rng.uniform(5000, 10000)) * level


def _solo(
    studio: Studio, figure: str, ranges: Mapping[int, tuple[int, int]], rng: np.random.Generator
) -> tuple[Float, Facts]:
    song = draw_passage(rng)
    programs = [program for program in ranges if studio.presets([program])] or list(ranges)
    program = programs[int(rng.integers(len(programs)))]
    low, high = ranges[program]
    line = write_figure(figure, song, rng, low=low, high=high)
    loud = rng.uniform(0.7, 1.15)
    line = replace(line, notes=tuple(replace(n, velocity=min(1.0, loud * n.velocity)) for n in line.notes))
    x, played = on_font(studio, choose_preset(studio, [program], rng), line, rng, song.duration_s + TAIL_S)
    return x, {**describe(song), "program": played}


def describe(song: Song) -> Facts:
    """Style, tempo and key of a passage."""
    return {"style": song.style, "bpm": round(60 / song.beat_s, 1), "key": song.key, "minor": float(song.is_minor)}


def play_horn(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """Trumpets, horns, a section, or brass synthesisers: hits, falls, fanfares, swells."""
    song = draw_passage(rng)
    duration_s = song.duration_s + TAIL_S
    if variant in ("falls", "doits"):
        x, played = _bent_hits(studio, song, rng, -1 if variant == "falls" else 1)
    elif variant == "solo":
        program = int(rng.choice([56, 59, 60, 62]))
        figure = str(rng.choice(["lead", "slow", "staccato", "riff"]))
        low, high = _HORNS[program]
        line = write_figure(figure, song, rng, low=low, high=high)
        x, played = on_font(studio, choose_preset(studio, [program], rng), line, rng, duration_s)
    else:
        low = int(rng.integers(48, 60))
        if variant == "fanfare":
            line = Line(_fanfare(song, low, rng))
        elif variant == "swell":
            line = Line(_chords(song, low))
        else:
            role = "stabs" if variant == "stabs" else "horns"
            line = write_part(role, song, rng, low=low, high=low + int(rng.integers(19, 27)))
        x, played = on_font(studio, choose_preset(studio, (56, 60, 61, 61, 62, 63), rng), line, rng, duration_s)
        if variant == "swell":
            rise = np.linspace(0.05, 1, max(1, seconds(song.bar_s)), dtype=np.float32) ** 2
            x = x * np.resize(rise, x.shape[1])
    return x, {**describe(song), "program": played}


def _chord(song: Song, bar: int, low: int) -> list[int]:
    """Tones from a root in low..low+11 on."""
    chord = song.chords[bar]
    root = fit((song.key + chord.root) % 12, low, low + 11)
    return [root + interval for interval in chord.intervals[:4]]


def _chords(song: Song, low: int) -> tuple[Note, ...]:
    return tuple(
        Note(bar * song.bar_s, 0.97 * song.bar_s, pitch, 0.85)
        for bar in range(song.n_bars)
        for pitch in _chord(song, bar, low)
    )


def _fanfare(song: Song, low: int, rng: np.random.Generator) -> tuple[Note, ...]:
    """Triads in parallel: short upbeats, and what they lead to."""
    notes, now_s = [], 0.0
    while now_s < song.duration_s - 0.2:
        tones = _chord(song, min(int(now_s / song.bar_s), song.n_bars - 1), low)
        n_up, step_s = int(rng.choice([1, 2, 3, 3])), song.beat_s / float(rng.choice([3, 4, 2]))
        turn = int(rng.integers(len(tones)))
        lengths_s = [step_s] * n_up + [song.beat_s * float(rng.choice([1, 1, 2]))]
        for index, length_s in enumerate(lengths_s):
            inversion = sorted(tone + 12 * (place < turn) for place, tone in enumerate(tones))
            loud = 1.0 if index == n_up else 0.8
            notes += [Note(now_s, 0.85 * length_s, pitch, loud * float(rng.uniform(0.9, 1))) for pitch in inversion]
            now_s += length_s
            if index == n_up - 1 and rng.random() < 0.6:
                turn = (turn + 1) % (len(tones) + 1)
    return tuple(notes)


def _bent_hits(studio: Studio, song: Song, rng: np.random.Generator, way: int) -> tuple[Float, str]:
    """Chords that are let fall, or pushed up, at their ends."""
    out = silence(song.duration_s + TAIL_S)
    low, played = int(rng.integers(48, 62)), ""
    preset = choose_preset(studio, (56, 60, 61, 62, 63), rng)
    now_s = 0.0
    while now_s < song.duration_s - 0.3:
        tones = _chord(song, min(int(now_s / song.bar_s), song.n_bars - 1), low)
        hold_s, turn_s = rng.uniform(0.08, 0.5), rng.uniform(0.25, 0.8)
        length_s = hold_s + turn_s
        hit = Line(tuple(Note(0.0, 3 * length_s, pitch, 0.95) for pitch in tones))
        x, played = on_font(studio, preset, hit, rng, 2.2 * length_s)
        turn = np.clip((np.arange(seconds(length_s)) / RATE - hold_s) / turn_s, 0, 1)
        x = bent(x, way * rng.uniform(3, 12) * turn**1.2)[:, : seconds(length_s)]
        add(out, fade(x * (1 - turn.astype(np.float32)) ** 0.7, end=800), seconds(now_s))
        now_s += song.beat_s * float(rng.choice([1, 1.5, 2, 3, 4]))
    return out, played


def bent(x: Float, semitones: NDArray[np.float64]) -> Float:
    """(C, N) of a longer x, read at a speed that raises it by (N,) semitones."""
    places = np.cumsum(2 ** (semitones / 12)) / RATE
    now = np.arange(len(semitones)) / RATE
    n_samples = max(x.shape[1], len(now))
    padded = np.pad(x, ((0, 0), (0, n_samples - x.shape[1])))
    delay_s = np.zeros(n_samples)
    delay_s[: len(now)] = now - (places - places[:1])
    return late(padded, delay_s)[:, : len(now)]


# -------------------------------------------------------------------------------------------------------------- guitars


def play_guitar(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """Electric guitars: solos with bends and slides, damped strings, chords, clean or distorted."""
    song = draw_passage(rng)
    line = _write_guitar(variant, song, rng)
    gains: dict[str, tuple[Gain, ...]] = {
        "power": ("high", "high", "crunch"),
        "muted": ("clean", "crunch", "high"),
        "clean": ("clean",),
        "riff": ("crunch", "high", "clean"),
        "wah": ("clean", "crunch"),
    }
    choice = gains.get(variant, ("crunch", "high", "high"))
    gain = choice[int(rng.integers(len(choice)))]
    seed, n_takes = int(rng.integers(1 << 31)), 2 if variant == "power" and rng.random() < 0.6 else 1
    takes, played = [], ""
    for take in range(n_takes):
        x, played = _pluck(studio, variant, line, np.random.default_rng([seed, take]), song.duration_s + TAIL_S, seed)
        if variant == "muted":
            x = lowpass(x, rng.uniform(400, 1600), order=1)
        if variant == "wah":
            x = _wah(x, song, rng)
        takes.append(amplify_guitar(x, rng, gain=gain))
    x = takes[0] if n_takes == 1 else place(takes[0], pan=-0.9) + place(takes[1], pan=0.9)
    drawn = rng.random()
    if drawn < 0.12:
        x = chorus(x, rng, rate_hz=rng.uniform(0.3, 2), depth_s=rng.uniform(0.0005, 0.003), wet=rng.uniform(0.3, 0.8))
    elif drawn < 0.2:
        x = phaser(x, rng, rate_hz=rng.uniform(0.2, 1.5), wet=rng.uniform(0.4, 0.9))
    elif drawn < 0.25:
        x = tremolo(x, rate_hz=rng.uniform(3, 9), depth=rng.uniform(0.4, 0.9))
    return x, {**describe(song), "instrument": played, "gain": gain}


def _write_guitar(variant: str, song: Song, rng: np.random.Generator) -> Line:
    if variant in ("bends", "slides"):
        notes = write_figure(str(rng.choice(["slow", "lead"])), song, rng, low=50, high=82).notes
        # Strings are bent up to the pitch, by a tone or more; slides come from either side.
        from_ = (-3.0, -0.9) if variant == "bends" else (-7.0, 5.0)
        return Line(notes, express(notes, rng, vibrato=float(rng.uniform(0.1, 0.6)), slides=0.9, from_=from_))
    if variant == "muted":
        line = write_part(str(rng.choice(["power", "riff"])), song, rng, low=38, high=62)
        notes = tuple(replace(note, length_s=min(note.length_s, rng.uniform(0.06, 0.16))) for note in line.notes)
        return Line(notes)
    if variant in ("power", "riff", "wah"):
        role = "power" if variant == "power" else str(rng.choice(["riff", "lead"])) if variant == "wah" else "riff"
        low = int(rng.integers(38, 53)) if variant != "power" else int(rng.integers(37, 43))
        return write_part(role, song, rng, low=low, high=low + 24)
    if variant == "clean":
        role = str(rng.choice(["arpeggio", "skank", "strum", "picking", "comp"]))
        return Line(write_part(role, song, rng, low=45, high=76).notes)
    return write_figure("run" if variant == "run" else "lead", song, rng, low=52, high=86)


def _pluck(
    studio: Studio, variant: str, line: Line, rng: np.random.Generator, duration_s: float, seed: int
) -> tuple[Float, str]:
    """(1, N) of the strings alone, and of which guitar. The same seed plays on the same one."""
    chooser = np.random.default_rng(seed)
    samplers = [sampler for sampler in read_samplers(studio.library, "other.guitar") if "acoustic" not in sampler.name]
    if samplers and chooser.random() < 0.65:
        sampler = samplers[int(chooser.integers(len(samplers)))]
        x = sampler.render(studio.library, line.notes, rng, duration_s, release_s=0.06, bends=line.bends)
        return mono(x), sampler.name
    programs = (28, 27) if variant == "muted" else (27,) if variant == "clean" else (27, 27, 30, 31)
    x, played = on_font(studio, choose_preset(studio, programs, chooser), line, chooser, duration_s)
    return mono(x), played


def _wah(x: Float, song: Song, rng: np.random.Generator) -> Float:
    """A foot on a pedal, or an envelope: a resonance that goes up and down with the beat."""
    beats = np.arange(x.shape[1]) / RATE / song.beat_s * float(rng.choice([0.5, 1, 2]))
    turn = 0.5 - 0.5 * np.cos(2 * np.pi * (beats + rng.random()))
    low_hz, high_hz = rng.uniform(350, 550), rng.uniform(1400, 2400)
    return highpass(sweep(x, low_hz * (high_hz / low_hz) ** turn, resonance=rng.uniform(0.75, 0.95)), 0.7 * low_hz)
