"""Melodies, and voices that sing them.

A `Singer` is a source of `voices` in other proportions: a longer or shorter vocal tract, higher or lower, with more
breath or rasp, another vibrato. It sings a `Phrase` of notes to some `Run`s of recorded syllables: vowels begin with
their notes and are held as long as these last, consonants keep their length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from dttnet.songs.library import Source
from dttnet.songs.score import Section, Song
from dttnet.songs.signals import RATE, Float, highpass, seconds
from dttnet.songs.voices import FRAME_S, Bank, Double, Recording, Roughness, Syllable, by_envelope, by_grains

LEVEL = 0.1
"""RMS of a vowel that is sung at velocity 1."""

_LONGEST_LINK_S = 0.28
"""Between two vowels that are sung as they follow each other in a recording: beyond, there is a pause or a hiss."""


@dataclass(frozen=True)
class SungNote:
    """A note of a melody.

    Attributes:
        start_s: Since the start of the song.
        length_s: Until the next one, or a rest.
        pitch: MIDI number.
        velocity: 0 to 1.
        is_slurred: It is sung to the syllable of the note before.
    """

    start_s: float
    length_s: float
    pitch: float
    velocity: float
    is_slurred: bool = False


@dataclass(frozen=True)
class Phrase:
    """What is sung in one breath."""

    notes: tuple[SungNote, ...]

    @property
    def n_syllables(self) -> int:
        """That are needed."""
        return sum(not note.is_slurred for note in self.notes)

    @property
    def end_s(self) -> float:
        """Of its last note."""
        return self.notes[-1].start_s + self.notes[-1].length_s

    def transposed(self, semitones: float) -> Phrase:
        """The same, higher."""
        return Phrase(tuple(replace(note, pitch=note.pitch + semitones) for note in self.notes))


@dataclass(frozen=True)
class Run:
    """Syllables of a recording that follow each other: from `first` to before `last`."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Singer:
    """Who sings, and how.

    Attributes:
        source: Whose voice it is made of.
        names: Files of the source that are sung.
        low: Lowest MIDI number.
        high: Highest.
        formant: Factor of the formants' frequencies.
        is_modelled: By `by_envelope`; else `by_grains`.
        breath: Share of breath in the voice, 0 to 1.
        rasp: 0 to 1.
        is_whispered: Sings without pitch.
        vibrato_hz: Rate.
        vibrato: Depth in semitones, either way.
        vibrato_after_s: How long a note has to last before it begins.
        glide_s: Time from a note to the next.
        scoop: How often notes begin below.
        fall: How often phrases end with a fall.
        looseness_s: How far notes begin from their times.
        detune: Standard deviation of the notes' pitches, in semitones.
        own: Share of the recording's own intonation that is kept.
        is_tuned: Steps from note to note like a machine.
        colour: (taps,) filter.
    """

    source: Source
    names: tuple[str, ...]
    low: float
    high: float
    formant: float
    is_modelled: bool = False
    breath: float = 0.0
    rasp: float = 0.0
    is_whispered: bool = False
    vibrato_hz: float = 5.5
    vibrato: float = 0.3
    vibrato_after_s: float = 0.3
    glide_s: float = 0.06
    scoop: float = 0.2
    fall: float = 0.1
    looseness_s: float = 0.015
    detune: float = 0.08
    own: float = 0.3
    is_tuned: bool = False
    colour: Float


Manner = Literal["sung", "rap", "shouted", "choir", "whispered", "growled"]


# ------------------------------------------------------------------------------------------------------------- singers


def draw_singer(
    bank: Bank,
    sources: Sequence[Source],
    rng: np.random.Generator,
    *,
    is_low: bool,
    manner: str = "sung",
    n_files: int = 10,
) -> Singer | None:
    """A singer with a man's (`is_low`) or a woman's range and proportions; None if no source has a syllable.

    Any source may become either: that makes few voices sound like many.
    """
    # Sources in random order, the better suited ones first more often.
    voiced = [source for source in sources if bank.median_hz(source) > 0]
    while voiced:
        distances = np.array([abs(np.log2(bank.median_hz(s) / (150.0 if is_low else 270.0))) for s in voiced])
        sizes = np.sqrt([len(bank.library.files(source)) for source in voiced])
        weights = sizes * np.exp(-1.5 * distances)
        source = voiced[int(rng.choice(len(voiced), p=weights / weights.sum()))]
        names = _songbook(bank, source, rng, n_files)
        if names:
            return _proportioned(bank, source, names, rng, is_low=is_low, manner=manner)
        voiced.remove(source)
    return None


def like(singer: Singer, rng: np.random.Generator, *, formant: float = 0.0) -> Singer:
    """The same singer at another time: a take for doubling. `formant` is the deviation of another person."""
    shift = float(np.exp(rng.normal(0, formant))) if formant else 1.0
    return replace(
        singer,
        formant=float(np.clip(singer.formant * shift, 0.75, 1.3)),
        vibrato_hz=singer.vibrato_hz * float(rng.uniform(0.93, 1.07)),
        vibrato=singer.vibrato * float(rng.uniform(0.6, 1.2)),
        detune=singer.detune + 0.03,
        looseness_s=singer.looseness_s + 0.008,
        colour=draw_colour(rng, spread_db=2.0) if formant else singer.colour,
    )


def draw_colour(
    rng: np.random.Generator,
    *,
    bright_db: float = 0.0,
    ring_db: float = 0.0,
    nasal_db: float = 0.0,
    spread_db: float = 3.0,
) -> Float:
    """(512,) minimum-phase filter of a throat and a microphone.

    Args:
        rng: For the smooth random curve of a person.
        bright_db: Level at 8 kHz against that at 500 Hz.
        ring_db: Of the singer's formant, near 3 kHz.
        nasal_db: Near 1 kHz.
        spread_db: Standard deviation of the random curve.
    """
    n = 2048
    hz = np.fft.rfftfreq(n, 1 / RATE)
    octave = np.log2(np.maximum(hz, 60))
    knots = np.log2([60, 150, 350, 700, 1300, 2200, 3500, 5500, 9000, 14000, 22000])
    values = rng.normal(0, spread_db, len(knots))
    values[[0, -1]] *= 0.5
    curve = np.interp(octave, knots, values)
    curve = ndimage.gaussian_filter1d(curve, 3)
    curve += bright_db * np.clip((octave - np.log2(500)) / 4, -0.5, 1.2)
    curve += ring_db * np.exp(-0.5 * ((octave - np.log2(rng.uniform(2700, 3300))) / 0.22) ** 2)
    curve += nasal_db * np.exp(-0.5 * ((octave - np.log2(rng.uniform(850, 1250))) / 0.2) ** 2)
    curve -= 10 * np.log10(np.mean(10 ** (curve[(hz > 200) & (hz < 4000)] / 10)))
    cepstrum = np.fft.irfft(curve * np.log(10) / 20)
    cepstrum[1 : n // 2] *= 2
    cepstrum[n // 2 + 1 :] = 0
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[:512]
    taps[-64:] *= np.linspace(1, 0, 64)
    return taps.astype(np.float32)


def _songbook(bank: Bank, source: Source, rng: np.random.Generator, n_files: int) -> tuple[str, ...]:
    names = bank.library.files(source)
    order = rng.permutation(len(names))[: 2 * n_files]
    found: list[str] = []
    for index in order:
        recording = bank.recording(source, names[index])
        if any(_is_singable(syllable) for syllable in recording.syllables):
            found.append(names[index])
        if len(found) == n_files:
            break
    return tuple(found)


def _is_singable(syllable: Syllable) -> bool:
    return syllable.level > 0.01 and syllable.vowel_end_s - syllable.vowel_s >= 0.03


def _proportioned(
    bank: Bank, source: Source, names: tuple[str, ...], rng: np.random.Generator, *, is_low: bool, manner: str
) -> Singer:
    """A singer made of a source, as a manner of singing wants."""
    is_loud = manner == "shouted"
    voice = str(rng.choice(["plain", "falsetto", "belted", "deep", "young"], p=[0.66, 0.1, 0.12, 0.08, 0.04]))
    if is_low:
        middle = float(np.clip(rng.normal(58.0 if is_loud else 53.5, 3.0), 46, 63))  # about 180 Hz, shouted 230
        tract = float(np.clip(rng.normal(1020 + 6 * (middle - 53.5), 45), 900, 1130))
        tract += 60 if voice == "young" else 0
    else:
        middle = float(np.clip(rng.normal(68.0 if is_loud else 64.0, 3.0), 57, 73))  # about 330 Hz, shouted 415
        tract = float(np.clip(rng.normal(1170 + 6 * (middle - 64.0), 55), 1050, 1330))
        tract += 120 if voice == "young" else 0
    middle += {"falsetto": 8.0 if is_low else 4.0, "belted": 3.0, "deep": -5.0}.get(voice, 0.0)
    formant = float(np.clip(tract / bank.tract_hz(source), 0.8, 1.25))
    range_ = rng.uniform(11, 17)
    middle_hz = 440 * 2 ** ((middle - 69) / 12)
    lowering = bank.median_hz(source) * formant / middle_hz
    # Grains thin out when they are laid far apart.
    is_modelled = bool(rng.random() < (1.0 if lowering > 1.5 else 0.4 if lowering > 1.25 else 0.04))
    breath = float(rng.choice([0.0, rng.uniform(0.1, 0.35), rng.uniform(0.35, 0.9)], p=[0.6, 0.28, 0.12]))
    rasp = float(rng.choice([0.0, rng.uniform(0.1, 0.4), rng.uniform(0.4, 0.9)], p=[0.72, 0.2, 0.08]))
    if voice == "falsetto":
        breath, rasp = max(breath, float(rng.uniform(0.1, 0.5))), 0.0
    elif voice == "belted":
        breath, rasp = 0.0, max(rasp, float(rng.uniform(0.0, 0.3)))
    colour = draw_colour(
        rng,
        bright_db=rng.normal(4.0 if is_loud else {"falsetto": -6.0, "belted": 3.0}.get(voice, 0.0), 3.0),
        ring_db=max(0.0, rng.normal(2.0, 3.0)),
        nasal_db=max(0.0, rng.normal(-1.0, 3.0)),
    )
    singer = Singer(
        source=source,
        names=names,
        low=middle - 0.55 * range_,
        high=middle + 0.45 * range_,
        formant=formant,
        is_modelled=is_modelled,
        breath=breath,
        rasp=rasp,
        vibrato_hz=float(rng.uniform(4.5, 6.5)),
        vibrato=float(
            rng.choice([rng.uniform(0, 0.12), rng.uniform(0.12, 0.5), rng.uniform(0.5, 0.9)], p=[0.35, 0.5, 0.15])
        ),
        vibrato_after_s=float(rng.uniform(0.12, 0.6)),
        glide_s=float(rng.uniform(0.03, 0.12)),
        scoop=float(rng.uniform(0, 0.5)),
        fall=float(rng.uniform(0, 0.3)),
        looseness_s=float(rng.uniform(0.004, 0.03)),
        detune=float(rng.uniform(0.02, 0.18)),
        own=float(rng.uniform(0.1, 0.45)),
        colour=colour,
    )
    if manner == "shouted":
        return replace(
            singer,
            rasp=max(rasp, float(rng.uniform(0.15, 1.0))),
            breath=0.5 * breath,
            vibrato=0.3 * singer.vibrato,
            scoop=float(rng.uniform(0.2, 0.7)),
            fall=float(rng.uniform(0.3, 0.8)),
            own=float(rng.uniform(0.3, 0.7)),
            detune=float(rng.uniform(0.15, 0.5)),
            is_modelled=False,
        )
    if manner == "rap":
        return replace(
            singer, own=float(rng.uniform(0.6, 1.0)), vibrato=0.0, glide_s=0.05, breath=0.4 * breath, is_modelled=False
        )
    if manner == "whispered":
        return replace(singer, is_whispered=bool(rng.random() < 0.6), breath=float(rng.uniform(0.6, 1.0)), rasp=0.0)
    if manner == "growled":
        return replace(singer, rasp=1.0, breath=0.6, vibrato=0.0, own=0.6, formant=0.88 * formant, is_modelled=False)
    return singer


# ------------------------------------------------------------------------------------------------------------ melodies


@dataclass(frozen=True, kw_only=True)
class Tune:
    """What melodies of a song have in common.

    Attributes:
        per_s: Syllables in a second of singing.
        slurs: Share of notes that are slurred.
        is_pentatonic: Only five tones of the scale.
        leaps: Share of leaps.
        flat: How much it stays on a note, 0 to 1: chants and raps.
        rest: Share of a phrase that is silent.
    """

    per_s: float
    slurs: float = 0.08
    is_pentatonic: bool = False
    leaps: float = 0.15
    flat: float = 0.15
    rest: float = 0.3


@dataclass(frozen=True)
class _Pattern:
    """A phrase without its chords: for each note step, length in steps, degrees above the middle, velocity, slurred."""

    notes: tuple[tuple[float, float, int, float, bool], ...]


def draw_tune(rng: np.random.Generator, manner: str) -> Tune:
    """As a manner of singing wants."""
    if manner == "rap":
        return Tune(per_s=rng.uniform(4.5, 7.0), slurs=0.0, leaps=0.05, flat=0.6, rest=rng.uniform(0.08, 0.35))
    if manner in ("shouted", "growled"):
        return Tune(
            per_s=rng.uniform(2.0, 5.0), slurs=0.03, leaps=0.1, flat=rng.uniform(0.3, 0.7), rest=rng.uniform(0.3, 0.65)
        )
    return Tune(
        per_s=rng.uniform(2.5, 5.5),
        slurs=float(rng.choice([0.03, 0.1, 0.25])),
        is_pentatonic=bool(rng.random() < 0.4),
        leaps=rng.uniform(0.05, 0.25),
        flat=rng.uniform(0.05, 0.4),
        rest=rng.uniform(0.35, 0.72),
    )


def compose_melody(
    song: Song, section: Section, tune: Tune, seed: int, *, low: float, high: float, lift: float = 0.0
) -> list[Phrase]:
    """The phrases of a section. The same seed gives the same melody, set to the chords of the section.

    Args:
        song: Chords, key and times.
        section: Which bars.
        tune: In what manner.
        seed: Of the section's name in this song.
        low: Lowest MIDI number.
        high: Highest.
        lift: -1 to 1: how high in this range.
    """
    rng = np.random.default_rng(seed)
    n_bars = 1 if song.bar_s > 3.4 else 2 if song.bar_s > 1.4 else 4
    unit = min((1, 2, 4), key=lambda steps: abs(np.log2(steps * song.beat_s / 4 * tune.per_s / 0.6)))
    patterns = [_draw_pattern(rng, tune, n_bars * 16, unit, section.energy) for _ in range(3)]
    order = [0, 0, 1, 0] if rng.random() < 0.35 else [0, 1, 0, 1] if rng.random() < 0.5 else [0, 1, 0, 2]
    tones = _scale(song, tune, low, high)
    middle = np.interp(0.5 + 0.28 * lift, [0, 1], [low, high]) + rng.uniform(-1, 1)
    skipped = rng.random(64) < (0.1 if section.name != "chorus" else 0.03)
    phrases = []
    n_phrases = -(-section.n_bars // n_bars)
    for index in range(n_phrases):
        bar = section.first_bar + index * n_bars
        notes = _set_to_chords(song, section, patterns[order[index % 4]], bar, tones, middle)
        if notes and not (n_phrases > 2 and skipped[index % 64]):
            phrases.append(Phrase(tuple(notes)))
    return phrases


def _scale(song: Song, tune: Tune, low: float, high: float) -> list[int]:
    steps = song.scale
    if tune.is_pentatonic:
        steps = (0, 3, 5, 7, 10) if song.is_minor else (0, 2, 4, 7, 9)
    found = [pitch for pitch in range(int(np.ceil(low)), int(high) + 1) if (pitch - song.key) % 12 in steps]
    return found or [round((low + high) / 2)]


def _draw_pattern(rng: np.random.Generator, tune: Tune, n_steps: int, unit: int, energy: float) -> _Pattern:
    """A phrase within `n_steps`."""
    first = float(rng.choice([0, 0, unit, 2 * unit, 4, -unit, -2 * unit, 8 if n_steps > 16 else 0]))
    last = n_steps * (1 - tune.rest) + rng.uniform(-2, 2)
    weights = np.array([0.55, 0.24, 0.1, 0.08, 0.03])
    lengths: list[float] = []
    cell = [float(unit * (1 + rng.choice(5, p=weights))) for _ in range(int(rng.integers(2, 5)))]
    while not lengths or first + sum(lengths) < last:
        # Rhythms say things twice.
        lengths.extend(cell if rng.random() < 0.5 else [float(unit * (1 + rng.choice(5, p=weights)))])
    lengths[-1] = max(lengths[-1], float(rng.choice([1, 2, 3, 4])) * unit)
    degree, step, notes = int(rng.integers(-2, 3)), first, []
    goal = int(rng.choice([-2, -1, 0, 0, 1]))
    for index, length in enumerate(lengths):
        is_slurred = bool(index and rng.random() < tune.slurs)
        accent = 0.12 if step % 4 == 0 else 0.05 if step % 2 == 0 else 0.0
        velocity = float(np.clip(0.45 + 0.35 * energy + accent + rng.normal(0, 0.1), 0.12, 1))
        notes.append((step, length, degree, velocity, is_slurred))
        step += length
        if rng.random() < tune.flat and not is_slurred:
            continue
        leap = rng.random() < tune.leaps
        move = int(rng.choice([-4, -3, 3, 4, 5])) if leap else int(rng.choice([-2, -1, -1, 1, 1, 2]))
        if abs(degree + move) > 5 or (abs(degree) > 2 and rng.random() < 0.5):
            move = -int(np.sign(degree)) * abs(move)
        degree += move
    start, length, _, velocity, is_slurred = notes[-1]
    notes[-1] = (start, length, goal, velocity, is_slurred)
    return _Pattern(tuple(notes))


def _set_to_chords(
    song: Song, section: Section, pattern: _Pattern, bar: int, tones: Sequence[int], middle: float
) -> list[SungNote]:
    centre = int(np.argmin(np.abs(np.array(tones) - middle)))
    end_s = song.line_s(section.first_bar + section.n_bars)
    notes: list[SungNote] = []
    for step, length, degree, velocity, is_slurred in pattern.notes:
        start, stop = song.time_s(bar, step), song.time_s(bar, step + length)
        if start < 0 or start > end_s - 0.5 * song.beat_s or not song.has(step):
            continue
        pitch = tones[int(np.clip(centre + degree, 0, len(tones) - 1))]
        chord = song.chords[min(max(0, int(bar + step // 16)), song.n_bars - 1)]
        if step % 8 == 0 or length >= 6:
            members = {(song.key + chord.root + interval) % 12 for interval in chord.intervals}
            near = [p for p in range(pitch - 4, pitch + 5) if p % 12 in members and tones[0] - 2 <= p <= tones[-1] + 2]
            pitch = min(near, key=lambda p: (abs(p - pitch), p)) if near else pitch
        notes.append(
            SungNote(start, min(stop, end_s + 0.3) - start, float(pitch), velocity, bool(notes and is_slurred))
        )
    return notes


def harmony(song: Song, phrase: Phrase, steps: int) -> Phrase:
    """The phrase so many steps of the scale higher (2 is a third, -3 a fourth below, 7 an octave)."""
    scale = song.scale
    notes = []
    for note in phrase.notes:
        octave, within = divmod(round(note.pitch) - song.key, 12)
        degree = int(np.argmin([abs(within - step) for step in scale])) + steps
        pitch = song.key + 12 * (octave + degree // 7) + scale[degree % 7]
        notes.append(replace(note, pitch=float(pitch)))
    return Phrase(tuple(notes))


# -------------------------------------------------------------------------------------------------------------- words


def write_words(bank: Bank, singer: Singer, n_syllables: int, rng: np.random.Generator) -> tuple[Run, ...]:
    """So many syllables of the singer's recordings, in stretches of some that follow each other there."""
    runs: list[Run] = []
    missing = n_syllables
    for _ in range(4 * n_syllables + 8):
        if missing <= 0:
            break
        name = singer.names[int(rng.integers(len(singer.names)))]
        recording = bank.recording(singer.source, name)
        good = [index for index, syllable in enumerate(recording.syllables) if _is_singable(syllable)]
        if not good:
            continue
        first = good[int(rng.integers(len(good)))]
        longest = int(rng.integers(2, 9))
        last = first + 1
        while last < len(recording.syllables) and last - first < min(longest, missing):
            before, after = recording.syllables[last - 1 : last + 1]
            is_linked = after.start_s - before.end_s < 1e-6 and after.vowel_s - before.vowel_end_s < _LONGEST_LINK_S
            if not (is_linked and _is_singable(after)):
                break
            last += 1
        runs.append(Run(name, first, last))
        missing -= last - first
    return tuple(runs)


# ------------------------------------------------------------------------------------------------------------ singing


def sing(
    bank: Bank, singer: Singer, phrase: Phrase, words: Sequence[Run], rng: np.random.Generator
) -> tuple[float, Float]:
    """When it starts, in seconds of the song, and (1, N) of the phrase.

    Args:
        bank: Recordings of the singer.
        singer: Who, and how.
        phrase: What notes.
        words: At least as many syllables as the phrase needs; what is missing is not sung.
        rng: For all that differs from take to take.
    """
    lead_s = 0.4
    start_s = phrase.notes[0].start_s - lead_s
    n_frames = int((phrase.end_s - start_s + 0.6) / FRAME_S)
    out = np.zeros((2, seconds(n_frames * FRAME_S) + seconds(0.1)), np.float32)  # voice and breath
    contour = _contour(singer, phrase, start_s, n_frames, rng)
    groups = _syllable_times(singer, phrase, start_s, rng)
    arc = 1 + rng.uniform(-0.2, 0.5) * np.sin(np.pi * np.linspace(0, 1, max(1, len(groups))))
    now = 0
    for run in words:
        here = groups[now : now + run.last - run.first]
        if not here:
            break
        recording = bank.recording(singer.source, run.name)
        chosen = recording.syllables[run.first : run.first + len(here)]
        follows = groups[now + len(here)].start_s if now + len(here) < len(groups) else None
        pieces = _pieces(recording, chosen, here, follows, arc[now : now + len(here)], rng)
        track = _track(pieces, rng)
        _add_run(bank, singer, run.name, recording, track, contour, out, rng)
        now += len(here)
    whole = out[:1]
    if out[1].any():
        # What is breath in a voice is above the lowest formants.
        whole = whole + highpass(out[1:], 1200)
    y = signal.oaconvolve(whole, singer.colour[np.newaxis], axes=1)[:, : out.shape[1]].astype(np.float32)
    return start_s, y


def breathe(bank: Bank, singer: Singer, length_s: float, rng: np.random.Generator) -> Float:
    """(1, N) of a breath that is taken in: air through the shape of a vowel."""
    name = singer.names[int(rng.integers(len(singer.names)))]
    recording = bank.recording(singer.source, name)
    vowels = [syllable for syllable in recording.syllables if _is_singable(syllable)]
    n = max(8, int(length_s / FRAME_S))
    if not vowels:
        return np.zeros((1, seconds(n * FRAME_S)), np.float32)
    vowel = vowels[int(rng.integers(len(vowels)))]
    where = np.interp(ndimage.gaussian_filter1d(rng.random(n), 4), [0.3, 0.7], [vowel.vowel_s, vowel.vowel_end_s])
    rise = rng.uniform(0.5, 0.85)
    shape = np.interp(np.linspace(0, 1, n), [0, 0.15, rise, 0.95, 1], [0, 0.35, 1, 0.4, 0]) ** 1.3
    shape *= 1 + 0.25 * ndimage.gaussian_filter1d(rng.standard_normal(n), 5) * 3
    y = by_grains(
        recording,
        where,
        np.full(n, 100.0),
        LEVEL / vowel.level * shape,
        rng,
        formant=singer.formant * rng.uniform(0.9, 1.15),
        is_whispered=True,
    )
    # Air is flat where a voice falls by 12 dB an octave.
    air = signal.lfilter([1, -0.9], [1], y).astype(np.float32)
    return highpass(2.5 * air[np.newaxis], float(rng.uniform(400, 1000)))


@dataclass(frozen=True)
class _Held:
    """A syllable of a phrase: when its vowel starts and ends, since the start of the phrase."""

    start_s: float
    end_s: float
    velocity: float


@dataclass(frozen=True)
class _Piece:
    """A part of a run, up to a time of the phrase.

    Attributes:
        until_s: Since the start of the phrase.
        begin_s: Place in the recording.
        end_s: The same.
        gain: Factor at the beginning.
        end_gain: Factor at the end.
        syllable: Which it belongs to.
        is_held: Whether it is the vowel.
    """

    until_s: float
    begin_s: float
    end_s: float
    gain: float
    end_gain: float
    syllable: Syllable
    is_held: bool = False


@dataclass(frozen=True)
class _Track:
    """A run, (F,) frames from `first` on.

    Attributes:
        first: Frame of the phrase.
        where_s: Place in the recording.
        gain: Factor.
        own_hz: The pitch of the syllable as it was recorded; 0 if none.
        level: RMS of its vowel in the recording.
        is_held: Whether this is the vowel.
    """

    first: int
    where_s: Double
    gain: Double
    own_hz: Double
    level: Double
    is_held: NDArray[np.bool_]


def _syllable_times(singer: Singer, phrase: Phrase, start_s: float, rng: np.random.Generator) -> list[_Held]:
    late = float(rng.normal(0, singer.looseness_s))
    found: list[_Held] = []
    for note in phrase.notes:
        begin = note.start_s - start_s + late + float(rng.normal(0, 0.5 * singer.looseness_s))
        end = note.start_s - start_s + note.length_s
        if note.is_slurred and found:
            found[-1] = replace(found[-1], end_s=end)
            continue
        found.append(_Held(begin, end, note.velocity))
    for index in range(len(found) - 1):
        found[index] = replace(found[index], end_s=min(found[index].end_s, found[index + 1].start_s))
    return found


def _contour(singer: Singer, phrase: Phrase, start_s: float, n_frames: int, rng: np.random.Generator) -> Double:
    """(F,) MIDI numbers: steps, glides with a little too much, scoops, falls, vibrato, drift."""
    now_s = np.arange(n_frames) * FRAME_S
    if singer.is_tuned:
        starts = np.array([note.start_s - start_s for note in phrase.notes])
        return np.array([note.pitch for note in phrase.notes])[
            np.maximum(np.searchsorted(starts, now_s + 0.01, "right") - 1, 0)
        ]
    times, pitches = [0.0], [phrase.notes[0].pitch]
    vibrato = np.zeros(n_frames)
    before = phrase.notes[0].pitch
    for index, note in enumerate(phrase.notes):
        begin, end = note.start_s - start_s, note.start_s - start_s + note.length_s
        pitch = note.pitch + float(rng.normal(0, singer.detune))
        glide = min(singer.glide_s * float(rng.uniform(0.6, 1.6)), 0.6 * note.length_s)
        if (index == 0 and rng.random() < max(0.3, singer.scoop)) or (index and rng.random() < 0.35 * singer.scoop):
            depth, rise = rng.uniform(0.5, 3.0), min(rng.uniform(0.05, 0.2), 0.6 * note.length_s)
            times += [begin - 0.03, begin, begin + rise]
            pitches += [pitch - depth, pitch - depth, pitch]
            if index == 0:
                pitches[0] = pitch - depth
        elif index:
            over = 0.1 * np.clip(pitch - before, -5, 5) * rng.random()
            times += [begin - 0.6 * glide, begin + 0.4 * glide, begin + 0.4 * glide + 0.07]
            pitches += [before, pitch + over, pitch]
        is_last = index == len(phrase.notes) - 1
        if is_last and rng.random() < singer.fall:
            fall = min(rng.uniform(0.12, 0.35), 0.5 * note.length_s)
            times += [end - fall, end]
            pitches += [pitch, pitch - rng.uniform(1.5, 6.0)]
        else:
            times.append(end)
            pitches.append(pitch + float(rng.normal(0, 0.05)))
        after = begin + singer.vibrato_after_s * rng.uniform(0.7, 1.4)
        if singer.vibrato > 0.02 and end - after > 0.2:
            ramp = np.clip((now_s - after) / rng.uniform(0.15, 0.6), 0, 1) * (now_s < end)
            vibrato = np.maximum(vibrato, ramp)
        before = pitch
    order = np.maximum.accumulate(times)
    line = ndimage.gaussian_filter1d(np.interp(now_s, order, pitches), 2.0)
    rate = singer.vibrato_hz * (1 + 0.05 * ndimage.gaussian_filter1d(rng.standard_normal(n_frames), 30) * 8)
    depth = (
        singer.vibrato
        * ndimage.gaussian_filter1d(vibrato, 8)
        * (1 + 0.2 * ndimage.gaussian_filter1d(rng.standard_normal(n_frames), 40) * 9)
    )
    line = line + depth * np.sin(2 * np.pi * np.cumsum(rate) * FRAME_S + rng.uniform(0, 6.3))
    drift = rng.standard_normal((2, n_frames))
    slow = ndimage.gaussian_filter1d(drift[0], 40) * 12 * rng.uniform(0.03, 0.15)
    fast = ndimage.gaussian_filter1d(drift[1], 4) * 3.8 * rng.uniform(0.03, 0.1)
    return np.asarray(line + slow + fast, np.float64)


def _wander(first: float, last: float, n: int, rng: np.random.Generator) -> Double:
    """(n,) places from first to last that stay between them: straight, or to and fro in a sound held for longer."""
    length = last - first
    lasts = n * FRAME_S
    turns = int(0.35 * lasts / max(length, 0.03))
    if turns < 2:
        return np.linspace(first, last, n)
    ends = rng.uniform(0.05, 0.3, turns)
    ends[::2] = 1 - ends[::2]
    points = np.r_[0.0, ends, 1.0]
    times = np.cumsum(np.r_[0.0, rng.uniform(0.6, 1.4, len(points) - 1)])
    path = np.interp(np.linspace(0, times[-1], n), times, points)
    return np.asarray(first + length * np.clip(path, 0, 1), np.float64)


def _pieces(
    recording: Recording,
    chosen: Sequence[Syllable],
    held: Sequence[_Held],
    follows_s: float | None,
    arc: Double,
    rng: np.random.Generator,
) -> list[_Piece]:
    """Lay the syllables of a run in time: the first piece is the first consonant, up to its vowel."""
    haste = float(rng.uniform(0.85, 1.1))  # of consonants
    gains = [
        _loudness(recording, syllable) * (0.1 + 0.9 * one.velocity**1.3) * swell * float(np.exp(rng.normal(0, 0.15)))
        for syllable, one, swell in zip(chosen, held, arc.tolist(), strict=True)
    ]
    lead = min(chosen[0].vowel_s - chosen[0].start_s, 0.2)
    pieces = [_Piece(held[0].start_s, chosen[0].vowel_s - lead, chosen[0].vowel_s, gains[0], gains[0], chosen[0])]
    for index in range(len(chosen) - 1):
        syllable, after, one = chosen[index], chosen[index + 1], held[index]
        onset_s = held[index + 1].start_s
        between_s = min((after.vowel_s - syllable.vowel_end_s) / haste, 0.65 * (onset_s - one.start_s))
        stop_s = max(one.start_s + 0.03, onset_s - max(between_s, FRAME_S))
        end_gain = gains[index] * (0.85 if one.end_s < onset_s - 0.12 else 0.97)
        pieces += [
            _Piece(stop_s, syllable.vowel_s, syllable.vowel_end_s, gains[index], end_gain, syllable, True),
            _Piece(onset_s, syllable.vowel_end_s, after.vowel_s, end_gain, gains[index + 1], after),
        ]
    last, one, gain = chosen[-1], held[-1], gains[-1]
    tail_s = min(last.end_s - last.vowel_end_s, 0.17)
    if follows_s is None:
        stop_s, fading = one.end_s - 0.3 * tail_s, float(rng.uniform(0.45, 0.9))
    else:
        stop_s, fading = min(one.end_s, follows_s - 0.05) - 0.5 * tail_s, 0.95
    stop_s, tail_s = max(one.start_s + 0.05, stop_s), max(tail_s, 0.03)
    away_s = min(last.vowel_end_s + tail_s, recording.duration_s)
    return [
        *pieces,
        _Piece(stop_s, last.vowel_s, last.vowel_end_s, gain, gain * fading, last, True),
        _Piece(stop_s + tail_s, last.vowel_end_s, away_s, gain * fading, 0.5 * gain * fading, last),
    ]


def _track(pieces: Sequence[_Piece], rng: np.random.Generator) -> _Track:
    """Frame by frame."""
    lead_s = pieces[0].end_s - pieces[0].begin_s
    first = now = max(0, int((pieces[0].until_s - lead_s) / FRAME_S))
    where, gains, counts = [], [], []
    for piece in pieces:
        n = max(1, round(piece.until_s / FRAME_S) - now)
        path = (
            _wander(piece.begin_s, piece.end_s, n, rng) if piece.is_held else np.linspace(piece.begin_s, piece.end_s, n)
        )
        where.append(path)
        gains.append(np.linspace(piece.gain, piece.end_gain, n))
        counts.append(n)
        now += n
    gain = np.concatenate(gains)
    edge, release = min(4, len(gain) // 2), min(12, len(gain) // 2)
    gain[:edge] *= np.linspace(0.1, 1, edge)
    gain[-release:] *= np.linspace(1, 0, release)
    return _Track(
        first,
        np.concatenate(where),
        gain,
        np.repeat([piece.syllable.hz for piece in pieces], counts),
        np.repeat([piece.syllable.level for piece in pieces], counts),
        np.repeat([piece.is_held for piece in pieces], counts),
    )


def _loudness(recording: Recording, syllable: Syllable) -> float:
    """Factor that makes a vowel as loud as others, and no consonant much louder than them."""
    span = recording.level[int(syllable.start_s / FRAME_S) : int(syllable.end_s / FRAME_S) + 1]
    highest = float(span.max(initial=syllable.level))
    return float(np.clip(min((LEVEL / syllable.level) ** 0.9, 1.5 * LEVEL / highest), 0.1, 5.0))


def _add_run(
    bank: Bank,
    singer: Singer,
    name: str,
    recording: Recording,
    track: _Track,
    contour: Double,
    out: Float,
    rng: np.random.Generator,
) -> None:
    n = len(track.where_s)
    index = np.clip(np.arange(track.first, track.first + n), 0, len(contour) - 1)
    said = recording.hz[np.clip((track.where_s / FRAME_S).astype(int), 0, len(recording.hz) - 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = np.where((said > 0) & (track.own_hz > 0), np.log2(said / track.own_hz), 0.0)
    bend = ndimage.gaussian_filter1d(np.clip(bend, -0.4, 0.4) * singer.own, 1.5)
    hz = np.clip(440 * 2 ** ((contour[index] - 69) / 12 + bend), 50, 1400)
    # Vowels that are held are evened out: what swells and fades in the recording would do so over and over again.
    # Consonants are no louder than vowels, and those without a pitch softer.
    frame = np.clip((track.where_s / FRAME_S).astype(int), 0, len(recording.level) - 1)
    relative = track.level / recording.level[frame]
    softer = np.minimum(1, np.where(said > 0, 1.2, 0.65) * relative)
    even = ndimage.uniform_filter1d(np.where(track.is_held, np.clip(relative, 0.5, 2.0) ** 0.7, softer), 3)
    gain = track.gain * even * (1 + 0.2 * ndimage.gaussian_filter1d(rng.standard_normal(n), 6))
    bank.library.count(singer.source, n * FRAME_S)
    if singer.is_modelled and not singer.is_whispered:
        codes = bank.envelopes(singer.source, name)
        y = by_envelope(
            recording, codes, track.where_s, hz, gain, rng, formant=singer.formant, breath_db=15 * singer.breath
        )
    else:
        rough = _roughness(singer, rng)
        y = by_grains(
            recording,
            track.where_s,
            hz,
            gain,
            rng,
            formant=singer.formant,
            roughness=rough,
            is_whispered=singer.is_whispered,
        )
        if singer.breath > 0.05 and not singer.is_whispered:
            air = by_grains(recording, track.where_s, hz, gain, rng, formant=singer.formant, is_whispered=True)
            y *= np.float32(1 - 0.4 * singer.breath)
            _mix(out[1], air * np.float32(singer.breath), track.first)
    _mix(out[0], _rasped(y, singer.rasp, rng) if singer.rasp > 0.05 else y, track.first)


def _mix(out: Float, y: Float, frame: int) -> None:
    """Add (N,) from a frame on; what lies beyond the end is dropped."""
    start = seconds(frame * FRAME_S)
    y = y[: max(0, len(out) - start)]
    out[start : start + len(y)] += y


def _roughness(singer: Singer, rng: np.random.Generator) -> Roughness:
    rasp = singer.rasp
    return Roughness(
        jitter=0.002 + 0.025 * rasp**1.5,
        shimmer=0.02 + 0.25 * rasp,
        subharmonic=float(rng.uniform(0, 0.7)) * rasp if rng.random() < 0.6 * rasp else 0.0,
    )


def _rasped(y: Float, rasp: float, rng: np.random.Generator) -> Float:
    """The false vocal folds: the level flutters at some 30 to 90 Hz, unevenly, and the wave is bent."""
    n = len(y)
    noise = rng.standard_normal(n // 220 + 4)
    flutter = np.interp(np.arange(n) / 220, np.arange(len(noise)), noise)
    bent = np.tanh(y * np.float32(1.5 / LEVEL)) * np.float32(LEVEL / 1.5)
    y = (1 - 0.6 * rasp) * y + 0.9 * rasp * bent
    return (y * np.maximum(0.1, 1 + 0.45 * rasp * flutter)).astype(np.float32)
