"""Clips of voices that are used as instruments: cut, pitched and gated, and as the shape of a synthesiser's sound.

Players are those of `clip_lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, signal

from dttnet.errors import UsageError
from dttnet.songs.clip_lines import TAIL_S, Facts, describe, draw_passage, write_figure
from dttnet.songs.effects import chorus, saturate
from dttnet.songs.fonts import sounding_s
from dttnet.songs.library import SYNTHESISED, Source
from dttnet.songs.score import Note, Song
from dttnet.songs.signals import (
    RATE,
    Float,
    active_db,
    add,
    fade,
    faster,
    highpass,
    lowpass,
    mono,
    peak,
    seconds,
    silence,
)
from dttnet.songs.singing import Phrase, Run, Singer, compose_melody, draw_singer, draw_tune, sing, write_words
from dttnet.songs.studio import Studio
from dttnet.songs.synths import frequency, play, play_line
from dttnet.songs.voices import FRAME_S, bank_of, by_grains

VOCAL_CHOPS = "sampler tuned gated stutter formant reversed shards".split()
VOCODER = "chords line talk_box robot noise".split()
"""The variants of each class."""

VOICES = ("voice.sung", "voice.speech", "voice.vowels", "voice.phrases", "voice.growled")
"""Uses whose recordings are cut."""

_SINGABLE = ("voice.sung", "voice.speech", "voice.vowels", "voice.phrases")

_RHYTHMS = (
    "x...x...x...x...",
    "x..x..x.x..x..x.",
    "x.x.x.x.x.x.x.x.",
    "..x...x...x...x.",
    "x..x..x...x.x...",
    "xxxxxxxxxxxxxxxx",
    "x.xx.xx.x.xx.xx.",
    "x.....x...x.....",
    "x.x...xx..x.x.x.",
)


@dataclass(frozen=True)
class Cut:
    """A piece of a voice.

    Attributes:
        x: (1, N) with a peak of 1.
        hz: Its pitch; 0 without.
    """

    x: Float
    hz: float


def voice_files(studio: Studio, uses: Sequence[str] = VOICES) -> list[tuple[Source, str]]:
    """All recordings for some uses.

    Raises:
        UsageError: There are none.
    """
    library = studio.library
    found = [(source, name) for use in uses for source in library.sources(use) for name in library.files(source)]
    if not found:
        raise UsageError(f"{library.root}: there are no voices ({', '.join(uses)})")
    return found


def cut_voice(studio: Studio, rng: np.random.Generator, *, longest_s: float = 0.6, n_syllables: int = 1) -> Cut:
    """Some syllables of a recording that is drawn: each source as likely as another.

    Raises:
        UsageError: No recording has a syllable.
        AudioError: A file is gone or damaged.
    """
    bank, files = bank_of(studio.library), voice_files(studio)
    ids = sorted({source.id for source, _ in files})
    for _ in range(40):
        chosen = ids[int(rng.integers(len(ids)))]
        own = [(source, name) for source, name in files if source.id == chosen]
        source, name = own[int(rng.integers(len(own)))]
        recording = bank.recording(source, name)
        if not recording.syllables:
            continue
        first = int(rng.integers(len(recording.syllables)))
        group = recording.syllables[first : first + n_syllables]
        end_s = min(group[-1].end_s, group[0].start_s + longest_s)
        x = recording.x[np.newaxis, seconds(group[0].start_s) : seconds(end_s)]
        if x.shape[1] > seconds(0.07) and peak(x) > 0.01:
            studio.library.count(source, x.shape[1] / RATE)
            return Cut(fade(x / np.float32(peak(x)), start=100, end=400), group[0].hz)
    raise UsageError(f"{studio.library.root}: no recording of a voice has a syllable")


def sing_passage(
    studio: Studio,
    song: Song,
    rng: np.random.Generator,
    *,
    formant: float = 1.0,
    is_tuned: bool = False,
    n_words: int = 0,
    share: float = 1.0,
) -> Float:
    """(1, N) of a melody.

    Args:
        formant: Factor beside the singer's own.
        is_tuned: By a machine.
        n_words: Only so many different syllables, again and again; 0 is as many as there are notes.
        share: Of its length, that a note is held.

    Raises:
        UsageError: No recording has a syllable.
    """
    bank = bank_of(studio.library)
    sources = [source for use in _SINGABLE for source in studio.library.sources(use)]
    singer = draw_singer(bank, sources, rng, is_low=bool(rng.random() < 0.5), n_files=3)
    if singer is None:
        raise UsageError(f"{studio.library.root}: no recording of a voice has a syllable")
    singer = replace(singer, formant=singer.formant * formant)
    if is_tuned:
        singer = replace(singer, is_tuned=True, own=0.0, rasp=0.0, vibrato=0.0)
    tune = replace(draw_tune(rng, str(rng.choice(["sung", "sung", "rap"]))), rest=float(rng.uniform(0.05, 0.3)))
    phrases = compose_melody(
        song,
        song.sections[0],
        tune,
        int(rng.integers(1 << 31)),
        low=singer.low,
        high=singer.high,
        lift=rng.uniform(-1, 1),
    )
    out = silence(song.duration_s + TAIL_S)
    for phrase in phrases:
        notes = tuple(replace(note, length_s=share * note.length_s) for note in phrase.notes)
        words = _words(studio, singer, phrase.n_syllables, n_words, rng)
        start_s, x = sing(bank, singer, Phrase(notes), words, rng)
        add(out, x, seconds(start_s))
    return mono(out)


def _words(studio: Studio, singer: Singer, n_syllables: int, n_words: int, rng: np.random.Generator) -> tuple[Run, ...]:
    bank = bank_of(studio.library)
    if not n_words:
        return write_words(bank, singer, n_syllables, rng)
    runs = write_words(bank, singer, n_words, rng)
    singles = [Run(run.name, index, index + 1) for run in runs for index in range(run.first, run.last)][:n_words]
    return tuple(singles[index % len(singles)] for index in range(n_syllables)) if singles else ()


# ---------------------------------------------------------------------------------------------------------------- chops


def play_vocal_chops(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """A voice as an instrument: on a sampler's keys, tuned, gated, repeated, backwards, or with another throat."""
    song = draw_passage(rng)
    if variant in ("tuned", "gated", "formant"):
        formant = 1.0
        if variant != "gated":
            spread = (0.62, 0.8, 1.3, 1.55) if variant == "formant" else (0.85, 1.0, 1.15)
            formant = float(rng.choice(spread) * rng.uniform(0.95, 1.05))
        is_tuned = variant == "tuned"
        n_words, share = (int(rng.integers(1, 4)), rng.uniform(0.25, 0.9)) if is_tuned else (0, 1.0)
        x = sing_passage(studio, song, rng, formant=formant, is_tuned=is_tuned, n_words=n_words, share=share)
        if variant == "gated":
            x = x * _gate(song, x.shape[1], rng)
        return _worn(x, rng), {**describe(song), "formant": round(formant, 3)}
    if variant == "stutter":
        return _worn(_stutter(studio, song, rng), rng), describe(song)
    n_cuts = int(rng.integers(3, 7)) if variant == "shards" else 1
    cuts = [cut_voice(studio, rng, longest_s=rng.uniform(0.12, 0.7)) for _ in range(n_cuts)]
    return _worn(_on_keys(cuts, song, rng, is_reversed=variant == "reversed"), rng), describe(song)


def _on_keys(cuts: Sequence[Cut], song: Song, rng: np.random.Generator, *, is_reversed: bool) -> Float:
    """(2, N): pieces in a rhythm, each played faster or slower to a tone of the chord."""
    out = silence(song.duration_s + TAIL_S)
    rhythm = _RHYTHMS[int(rng.integers(len(_RHYTHMS)))]
    melody = rng.integers(0, 5, 16)
    octave, spread, share = int(rng.choice([-12, 0, 0, 12])), rng.uniform(0, 0.9), float(rng.choice([0.5, 0.9, 2.0]))
    for bar in range(song.n_bars):
        chord = song.chords[bar]
        tones = [song.key + chord.root + interval for interval in (*chord.intervals[:4], 12)]
        for step in range(16):
            if rhythm[step] != "x" or rng.random() < 0.08:
                continue
            cut = cuts[int(rng.integers(len(cuts)))]
            semitones = float(melody[step]) * 2 - 4 + octave
            if cut.hz:
                wanted = tones[melody[step] % len(tones)]
                # The nearest octave of the tone, so that a voice stays a voice.
                have = 69 + 12 * np.log2(cut.hz / 440)
                semitones = (wanted - have + 6) % 12 - 6 + octave
            x = faster(cut.x[:, ::-1] if is_reversed else cut.x, float(2 ** (semitones / 12)))
            x = fade(x[:, : seconds(share * song.beat_s)], start=60, end=300)
            at_s = song.time_s(bar, step)
            add(out, x, seconds(at_s), gain=rng.uniform(0.6, 1.0), pan=spread * rng.uniform(-1, 1))
    return out


def _stutter(studio: Studio, song: Song, rng: np.random.Generator) -> Float:
    """(2, N): the beginning of a word again and again, faster and faster or not, and then the word."""
    out = silence(song.duration_s + TAIL_S)
    now_s = 0.0
    while now_s < song.duration_s - 0.5:
        cut = cut_voice(studio, rng, longest_s=1.2, n_syllables=4)
        step_s = song.beat_s / float(rng.choice([2, 3, 4, 6, 8]))
        quicker, turn = float(rng.choice([1.0, 1.0, 0.85, 0.7])), float(rng.choice([0, 0, 1, -1, 2]))
        move = float(rng.choice([-5, -3, 0, 0, 3, 5, 7]))
        for number in range(int(rng.integers(4, 13))):
            x = faster(cut.x, 2 ** ((move + turn * number) / 12))
            add(
                out, fade(x[:, : seconds(0.95 * step_s)], start=40, end=150), seconds(now_s), pan=rng.uniform(-0.3, 0.3)
            )
            now_s += step_s
            step_s = max(0.03, step_s * quicker)
        x = faster(cut.x, 2 ** (move / 12))
        add(out, x, seconds(now_s))
        now_s += x.shape[1] / RATE + song.beat_s * float(rng.choice([0, 0.5]))
    return out


def _gate(song: Song, n_samples: int, rng: np.random.Generator) -> Float:
    """(N,) open and shut in sixteenths or so."""
    rhythm = _RHYTHMS[int(rng.integers(len(_RHYTHMS)))]
    step_s = song.beat_s / float(rng.choice([4, 4, 8, 3]))
    steps = np.arange(n_samples) / RATE / step_s
    is_on = np.array([mark == "x" for mark in rhythm])[steps.astype(int) % 16] & (steps % 1 < rng.uniform(0.5, 1.0))
    gate: Float = ndimage.uniform_filter1d(is_on.astype(np.float32), 150)
    return gate


def _worn(x: Float, rng: np.random.Generator) -> Float:
    """What samplers do to a voice, now and then."""
    drawn = rng.random()
    if drawn < 0.2:
        return lowpass(x, rng.uniform(1500, 6000))
    if drawn < 0.35:
        return highpass(x, rng.uniform(300, 900))
    if drawn < 0.5:
        return saturate(x * np.float32(0.7 / max(peak(x), 1e-6)), rng.uniform(4, 16))
    return x


# -------------------------------------------------------------------------------------------------------------- vocoder


def play_vocoder(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """A synthesiser that speaks: its sound has the envelope of a voice; robots are a voice on one pitch."""
    song = draw_passage(rng)
    if variant == "robot":
        return _robot(studio, song, rng)
    duration_s = song.duration_s + TAIL_S
    voice = _spoken(studio, song, rng) if rng.random() < 0.5 else sing_passage(studio, song, rng)
    studio.library.count(SYNTHESISED, song.duration_s)
    if variant == "noise":
        carrier, n_bands = rng.standard_normal((2, seconds(duration_s)), np.float32), int(rng.integers(12, 30))
    elif variant == "chords":
        notes = [
            Note(bar * song.bar_s, song.bar_s, 36 + (song.key + chord.root + 12) % 12 + interval + shift, 0.8)
            for bar, chord in enumerate(song.chords)
            for interval in chord.intervals[:4]
            for shift in (12, 24)
        ]
        tone = str(rng.choice(["saw", "supersaw", "pulse", "square", "supersaw"]))
        carrier, n_bands = play(notes, rng, duration_s, tone=tone), int(rng.integers(12, 36))
    else:
        low = int(rng.choice([36, 43, 48, 55]))
        line = write_figure("slow" if rng.random() < 0.4 else "lead", song, rng, low=low, high=low + 24)
        tone = str(rng.choice(["saw", "saw", "pulse", "square"]))
        carrier = play_line(line.notes, rng, duration_s, tone=tone)
        n_bands = int(rng.integers(36, 60)) if variant == "talk_box" else int(rng.integers(12, 30))
        studio.library.count(SYNTHESISED, sounding_s(line.notes, duration_s))
    x = vocode(carrier, voice, n_bands=n_bands)
    if variant == "talk_box":  # a driver and a hose, and a microphone before the mouth
        x = saturate(highpass(x, 150) * np.float32(0.8 / max(peak(x), 1e-6)), rng.uniform(3, 14), kind="tube")
        x = lowpass(x, rng.uniform(4000, 8000))
    elif rng.random() < 0.7:  # consonants go around the synthesiser
        hiss = highpass(voice, 4500)
        x = x + hiss * np.float32(rng.uniform(0.2, 1.0) * peak(x) / max(peak(hiss), 1e-6))
    return x, {**describe(song), "bands": n_bands}


def vocode(carrier: Float, voice: Float, *, n_bands: int) -> Float:
    """(C, N) of a carrier (C, N) whose bands, evenly spaced as ears hear, are as loud as those of a voice (1, N)."""
    size, hop = 1024, 256
    mel = np.linspace(np.log(1 + 80 / 700), np.log(1 + 12000 / 700), n_bands)
    edges = 700 * (np.exp(mel) - 1)
    _, _, spoken = signal.stft(voice[0], RATE, nperseg=size, noverlap=size - hop)
    _, _, sounded = signal.stft(carrier, RATE, nperseg=size, noverlap=size - hop)
    hz = np.fft.rfftfreq(size, 1 / RATE)
    # (bands, bins) triangles; low bands are narrower than a bin, so each has at least its nearest one.
    near = np.stack([np.interp(hz, edges, row) for row in np.eye(n_bands)])
    near[:, hz > edges[-1]] = 0
    near[np.arange(n_bands), np.abs(hz[np.newaxis] - edges[:, np.newaxis]).argmin(axis=1)] += 0.5
    power = near @ np.abs(spoken) ** 2
    own = near @ (np.abs(sounded) ** 2).mean(axis=0)
    gain = np.sqrt(power / (own + 1e-4 * own.max() + 1e-12))
    at = np.interp(hz, edges, np.arange(n_bands))
    low = np.minimum(at.astype(int), n_bands - 2)
    part = (at - low)[:, np.newaxis]
    shaped = sounded * ((1 - part) * gain[low] + part * gain[low + 1])
    _, x = signal.istft(shaped, RATE, nperseg=size, noverlap=size - hop)
    out = np.zeros_like(carrier)
    n_samples = min(out.shape[1], x.shape[-1])
    out[:, :n_samples] = x[..., :n_samples]
    return out


def _spoken(studio: Studio, song: Song, rng: np.random.Generator) -> Float:
    """(1, N) of words as they were said, one stretch after the other."""
    out = silence(song.duration_s + TAIL_S)
    now_s = 0.0
    while now_s < song.duration_s:
        x = cut_voice(studio, rng, longest_s=3.0, n_syllables=8).x
        add(out, x, seconds(now_s))
        now_s += x.shape[1] / RATE + rng.uniform(0.02, 0.2)
    return mono(out)


def _robot(studio: Studio, song: Song, rng: np.random.Generator) -> tuple[Float, Facts]:
    """Speech on one pitch, or on the roots of the chords."""
    bank = bank_of(studio.library)
    speech = [source for use in ("voice.speech", "voice.sung") for source in studio.library.sources(use)]
    files = [(source, name) for source in speech for name in studio.library.files(source)] or voice_files(studio)
    source, name = files[int(rng.integers(len(files)))]
    recording = bank.recording(source, name)
    length_s = min(song.duration_s, recording.duration_s - 0.05)
    if length_s < 0.5:
        return np.zeros((1, 1), np.float32), {}
    start_s = rng.uniform(0, recording.duration_s - length_s)
    where_s = np.asarray(start_s + np.arange(int(length_s / FRAME_S)) * FRAME_S, np.float64)
    bars = np.minimum((np.arange(len(where_s)) * FRAME_S / song.bar_s).astype(int), song.n_bars - 1)
    follows = rng.random() < 0.5
    roots = np.array([song.key + chord.root * follows for chord in song.chords])[bars]
    hz = np.array([frequency(pitch) for pitch in 36 + int(rng.choice([0, 12, 12])) + roots % 12])
    formant = float(rng.uniform(0.75, 1.3))
    x = by_grains(recording, where_s, hz, np.ones(len(where_s)), rng, formant=formant)[np.newaxis]
    studio.library.count(source, length_s)
    if rng.random() < 0.6:
        x = chorus(x, rng, rate_hz=rng.uniform(0.2, 3), depth_s=rng.uniform(0.0005, 0.003), wet=rng.uniform(0.4, 0.9))
    if active_db(x) > -60 and rng.random() < 0.4:  # a comb, as of a voice in a pipe
        late_s = 1 / rng.uniform(60, 220)
        x = x + np.float32(rng.uniform(0.4, 0.8)) * np.pad(x, ((0, 0), (seconds(late_s), 0)))[:, : x.shape[1]]
    return x, {**describe(song), "formant": round(formant, 3)}
