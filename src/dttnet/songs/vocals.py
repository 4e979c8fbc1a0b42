"""The vocals of a song: a lead in its manner, doubles, harmonies, choirs, answers, and the desk they go through."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dttnet.songs.draws import choose
from dttnet.songs.effects import Band, compress, delay, double, equalise, place, reverb, saturate
from dttnet.songs.library import Source
from dttnet.songs.score import TAIL_S, Section, Song
from dttnet.songs.signals import (
    RATE,
    Float,
    add,
    envelope,
    fade,
    faster,
    highpass,
    lowpass,
    mono,
    peak,
    seconds,
    silence,
    stereo,
    without_silence,
)
from dttnet.songs.singing import (
    LEVEL,
    Phrase,
    Run,
    Singer,
    SungNote,
    Tune,
    breathe,
    compose_melody,
    draw_colour,
    draw_singer,
    draw_tune,
    harmony,
    like,
    sing,
    write_words,
)
from dttnet.songs.studio import Studio
from dttnet.songs.styles import STYLES
from dttnet.songs.voices import TOP_HZ, Bank, bank_of, fundamental, top_hz, with_top
from dttnet.spans import spans

_TUNED = {"trap": 0.5, "hip hop": 0.25, "house": 0.25, "techno": 0.2, "synth pop": 0.2, "pop": 0.12, "disco": 0.08}
"""Share of songs whose voices are tuned by a machine."""

_ALBUM_SHARE = 0.25
_PLAIN_SHARE = 0.25
"""Of songs that take phrases of the album's singers, and of recordings as they are."""


_PLAIN = {
    "voice.speech": 0.4,
    "voice.sung": 0.25,
    "voice.phrases": 0.23,
    "voice.vowels": 0.06,
    "voice.growled": 0.03,
    "voice.whispered": 0.03,
}
"""How often recordings of each use are taken as they are."""


_HUM_BARS = 2
"""That a choir holds a chord for at most."""


@dataclass
class _Tape:
    """What is recorded, before it is mixed: mono leads in the middle, all else where it is."""

    lead: Float
    backing: Float
    placed: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class _Band:
    """Who sings in a song, and how.

    Attributes:
        manner: Of `MANNERS`.
        lead: Who sings most.
        others: Who else is there.
        tune: Of the melodies.
        seeds: Of the melody of each section, by name.
        n_doubles: Takes of the lead beside the first, in choruses.
        doubles_verses: There too.
        harmonies: Steps of the scale above the lead, in choruses; an octave away where a singer does not get.
        has_choir: Long vowels on the chords of choruses.
        answers: How often somebody answers in a rest.
        breath_db: Level of breaths that are taken; -inf for none.
        side: Of the first double, 1 is right; the second is across from it, and so is the first harmony.
    """

    manner: str
    lead: Singer
    others: tuple[Singer, ...]
    tune: Tune
    seeds: dict[str, int]
    n_doubles: int
    doubles_verses: bool
    harmonies: tuple[int, ...]
    has_choir: bool
    answers: float
    breath_db: float
    side: int


def render_vocals(song: Song, studio: Studio, rng: np.random.Generator) -> Float:
    """(2, N) of a song and its tail: the voices where its sections have them; silent if there are no sources.

    Raises:
        AudioError: A file of a source is gone or damaged.
    """
    sections = [section for section in song.sections if "vocals" in section.plays]
    duration_s = song.duration_s + TAIL_S
    # Each choice has a generator of its own, so that one more draw here does not change everything there.
    caster, player, engineer = rng.spawn(3)
    out = silence(duration_s)
    if not sections:
        return out
    bank = bank_of(studio.library)
    tape = _Tape(silence(duration_s, n_channels=1), silence(duration_s))
    what = caster.random()
    if not studio.features.singing:
        _lay_recordings(song, sections, studio, tape, player)
    elif studio.features.album and what < _ALBUM_SHARE and _album_files(studio):
        _lay_album(song, sections, studio, tape, player)
    elif what < _ALBUM_SHARE + _PLAIN_SHARE:
        _lay_recordings(song, sections, studio, tape, player)
    else:
        manner = choose(caster, STYLES[song.style].singing) if song.style in STYLES else "sung"
        if manner == "growled" and studio.library.sources("voice.growled") and caster.random() < 0.6:
            _lay_growls(song, sections, studio, tape, player)
        else:
            band = _cast(song, sections, bank, studio, manner, caster)
            if band:
                _perform(song, sections, bank, band, tape, player)
            else:
                _lay_recordings(song, sections, studio, tape, player)
    out = _mixed(tape, song, engineer) if studio.features.production else stereo(tape.lead) + tape.backing
    highest = peak(out)
    return out * np.float32(engineer.uniform(0.35, 0.8) / highest) if highest > 1e-5 else silence(duration_s)


# ------------------------------------------------------------------------------------------------------------- casting


def _singers(studio: Studio, manner: str, rng: np.random.Generator) -> list[Source]:
    """Sources for a manner: sung ones or speech, which can be sung; any voice if there are none."""
    library = studio.library
    sung, speech = library.sources("voice.sung"), library.sources("voice.speech")
    whispered = library.sources("voice.whispered")
    is_speech = rng.random() < {"rap": 0.9, "shouted": 0.5, "growled": 0.5, "choir": 0.2}.get(manner, 0.4)
    if manner == "whispered" and whispered and rng.random() < 0.4:
        return whispered
    first, second = (speech, sung) if is_speech else (sung, speech)
    return first or second or library.sources("voice.vowels") or library.sources("voice.phrases")


def _cast(
    song: Song, sections: Sequence[Section], bank: Bank, studio: Studio, manner: str, rng: np.random.Generator
) -> _Band | None:
    is_low = bool(rng.random() < 0.5)
    lead = draw_singer(bank, _singers(studio, manner, rng), rng, is_low=is_low, manner=manner)
    if lead is None:
        return None
    is_tuned = rng.random() < _TUNED.get(song.style, 0.02)
    if is_tuned:
        lead = replace(lead, is_tuned=True, own=0.0, rasp=0.0)
    n_others = 2 + int(rng.integers(2)) if manner == "choir" else int(rng.choice([0, 1, 2], p=[0.45, 0.35, 0.2]))
    others = []
    for _ in range(n_others):
        is_other_low = is_low if rng.random() < 0.5 else not is_low
        other = draw_singer(bank, _singers(studio, manner, rng), rng, is_low=is_other_low, manner=manner, n_files=5)
        if other:
            others.append(replace(other, is_tuned=is_tuned, own=0.0 if is_tuned else other.own))
    names = sorted({section.name for section in sections})
    can_harmonise = manner in ("sung", "choir", "whispered")
    harmonies: tuple[int, ...] = ()
    if can_harmonise and rng.random() < (0.9 if manner == "choir" else 0.45):
        options = [(2,), (-3,), (2, -3), (4,), (-5,), (7,), (-7,), (2, 4), (5,)]
        harmonies = options[int(rng.choice(len(options), p=[0.3, 0.12, 0.12, 0.08, 0.1, 0.05, 0.08, 0.1, 0.05]))]
    return _Band(
        manner=manner,
        lead=lead,
        others=tuple(others),
        tune=draw_tune(rng, manner),
        seeds={name: int(rng.integers(2**31)) for name in names},
        n_doubles=int(rng.choice([0, 1, 2, 3], p=[0.42, 0.26, 0.28, 0.04])),
        doubles_verses=bool(rng.random() < 0.2),
        harmonies=harmonies,
        has_choir=bool(rng.random() < (0.7 if song.style in ("gospel", "ambient") else 0.14)),
        answers=float(rng.choice([0.0, rng.uniform(0.2, 0.8)], p=[0.75, 0.25])),
        breath_db=-np.inf if rng.random() < 0.3 else float(rng.normal(-16, 5)),
        side=int(rng.choice([-1, 1])),
    )


# ---------------------------------------------------------------------------------------------------------- performing


def _perform(
    song: Song, sections: Sequence[Section], bank: Bank, band: _Band, tape: _Tape, rng: np.random.Generator
) -> None:
    """Sing all sections."""
    known: dict[tuple[str, bool], list[tuple[Run, ...]]] = {}
    swaps = band.others and band.manner != "choir" and rng.random() < 0.25
    for number, section in enumerate(sections):
        is_chorus = section.name == "chorus"
        is_other = bool(swaps and number % 2)
        lead = band.others[0] if is_other else band.lead
        lift = (0.6 if is_chorus else -0.35) + 0.5 * (section.energy - 0.6)
        seed = band.seeds[section.name]
        phrases = compose_melody(song, section, band.tune, seed, low=lead.low, high=lead.high, lift=lift)
        # A chorus has the same words each time; a verse does not. Each singer has words of their own.
        key = (section.name, is_other)
        words = known.get(key) if is_chorus else None
        if words is None or len(words) < len(phrases):
            words = [write_words(bank, lead, phrase.n_syllables, rng) for phrase in phrases]
            known[key] = words
        for index, phrase in enumerate(phrases):
            _sing_phrase(song, section, bank, band, lead, phrase, words[index], tape, rng)
            gap_s = (
                phrases[index + 1].notes[0].start_s if index + 1 < len(phrases) else phrase.end_s + 1
            ) - phrase.end_s
            if band.others and gap_s > 3 * song.beat_s and rng.random() < band.answers:
                _answer(song, bank, band, phrase, tape, rng)
        if band.has_choir and (is_chorus or section.name in ("bridge", "outro")):
            _hum_chords(song, section, bank, band, tape, rng)


def _record(tape: _Tape, start_s: float, x: Float, *, gain: float = 1.0, pan: float | None = None) -> None:
    """On the lead's track, or placed among the others."""
    start = seconds(start_s)
    if pan is None:
        if start < 0:
            x, start = x[:, -start:], 0
        x = x[:, : max(0, tape.lead.shape[1] - start)]
        tape.lead[:, start : start + x.shape[1]] += np.float32(gain) * x
    else:
        add(tape.backing, x, start, gain=gain, pan=pan)


def _sing_phrase(
    song: Song,
    section: Section,
    bank: Bank,
    band: _Band,
    lead: Singer,
    phrase: Phrase,
    words: tuple[Run, ...],
    tape: _Tape,
    rng: np.random.Generator,
) -> None:
    start_s, x = sing(bank, lead, phrase, words, rng)
    _record(tape, start_s, _effort(x, section.energy, band.manner))
    if np.isfinite(band.breath_db) and rng.random() < 0.6:
        length_s = float(rng.uniform(0.15, 0.4))
        breath = breathe(bank, lead, length_s, rng)
        _record(
            tape,
            phrase.notes[0].start_s - 0.08 - length_s - rng.uniform(0, 0.08),
            breath,
            gain=10 ** (band.breath_db / 20),
        )
    is_big = section.name == "chorus" or band.manner == "choir"
    if is_big or band.doubles_verses:
        sides = band.side * rng.uniform(0.2, 1.0)
        for number in range(band.n_doubles):
            start_s, x = sing(bank, like(lead, rng), phrase, words, rng)
            _record(tape, start_s, x, gain=rng.uniform(0.4, 0.8), pan=sides * (-1) ** number)
    if is_big:
        for number, steps in enumerate(band.harmonies):
            who = band.others[number % len(band.others)] if band.others and rng.random() < 0.5 else lead
            part = _harmonised(song, phrase, steps, who)
            said = words if who is lead else write_words(bank, who, part.n_syllables, rng)
            pan = -band.side * rng.uniform(0.1, 0.9) * (-1) ** number
            for take in range(2 if rng.random() < 0.3 else 1):
                start_s, x = sing(bank, like(who, rng, formant=0.03), part, said, rng)
                _record(tape, start_s, x, gain=rng.uniform(0.3, 0.7), pan=-pan if take else pan)
        if band.manner == "choir" or (band.manner == "shouted" and band.others and rng.random() < 0.5):
            _join_in(bank, band, phrase, tape, rng)


def _effort(x: Float, energy: float, manner: str) -> Float:
    """A voice that is raised is brighter, and one that is lowered duller."""
    gain_db = float(np.clip(9 * (energy - 0.6), -5, 4)) + (2 if manner == "shouted" else 0)
    x = equalise(x, [Band("high", 2500, gain_db, 0.5)]) if abs(gain_db) > 1 else x
    if manner in ("shouted", "growled"):
        drive = 12 if manner == "growled" else 5
        x = saturate(x * np.float32(2.0), drive) * np.float32(10 ** (-drive / 20) * 0.8)
    return x


def _harmonised(song: Song, phrase: Phrase, steps: int, singer: Singer) -> Phrase:
    """So many steps of the scale above, or an octave or two from there if that is far from what the singer sings.

    A chorus is high in its singer's range already: parts must not be folded to the middle of it, where a third above
    would be a sixth below.
    """

    def beyond(part: Phrase) -> float:
        pitch = float(np.mean([note.pitch for note in part.notes]))
        return max(0.0, singer.low - 5 - pitch, pitch - singer.high - 9)

    # Nobody needs a part that is the lead once more.
    parts = [harmony(song, phrase, steps + 7 * octaves) for octaves in (0, -1, 1, -2, 2) if steps + 7 * octaves]
    return min(parts, key=beyond)


def _within(phrase: Phrase, singer: Singer) -> Phrase:
    """By octaves into a singer's range."""
    middle = float(np.mean([note.pitch for note in phrase.notes]))
    octaves = round((0.5 * (singer.low + singer.high) - middle) / 12)
    return phrase.transposed(12 * octaves)


def _join_in(bank: Bank, band: _Band, phrase: Phrase, tape: _Tape, rng: np.random.Generator) -> None:
    """A choir or a gang sings along, everybody a little otherwise."""
    for number in range(int(rng.integers(2, 5))):
        who = ((band.lead, *band.others))[number % (1 + len(band.others))]
        person = replace(like(who, rng, formant=0.06), looseness_s=0.03, detune=0.15, breath=0.0)
        part = _within(phrase, person)
        said = write_words(bank, person, part.n_syllables, rng)
        start_s, x = sing(bank, person, part, said, rng)
        _record(tape, start_s, x, gain=rng.uniform(0.25, 0.6), pan=rng.uniform(-1, 1))


def _answer(song: Song, bank: Bank, band: _Band, phrase: Phrase, tape: _Tape, rng: np.random.Generator) -> None:
    """The last notes once more by somebody else, in the rest after the phrase."""
    who = band.others[int(rng.integers(len(band.others)))]
    last = phrase.notes[-int(rng.integers(2, 5)) :]
    later = max(2, round((phrase.end_s - last[0].start_s) / song.beat_s) + 1) * song.beat_s
    notes = tuple(replace(note, start_s=note.start_s + later) for note in last)
    part = _within(Phrase((replace(notes[0], is_slurred=False), *notes[1:])), who)
    start_s, x = sing(bank, who, part, write_words(bank, who, part.n_syllables, rng), rng)
    _record(tape, start_s, x, gain=rng.uniform(0.3, 0.8), pan=rng.uniform(-0.7, 0.7))


def _hum_chords(song: Song, section: Section, bank: Bank, band: _Band, tape: _Tape, rng: np.random.Generator) -> None:
    """Long vowels on the tones of the chords, several people each."""
    sources = bank.library.sources("voice.vowels") or [band.lead.source]
    is_low = bool(rng.random() < 0.5)
    singers = [
        singer
        for singer in (draw_singer(bank, sources, rng, is_low=low, n_files=4) for low in (is_low, not is_low))
        if singer
    ]
    level = rng.uniform(0.15, 0.4)
    for bar, n_bars in _chord_stretches(song, section):
        chord = song.chords[bar]
        start_s, end_s = song.line_s(bar), song.line_s(bar + n_bars)
        for number, interval in enumerate(chord.intervals[:3]):
            if not singers:
                return
            who = singers[number % len(singers)]
            note = SungNote(start_s, end_s - start_s, float(48 + (song.key + chord.root + interval) % 12), 0.6)
            part = _within(Phrase((note,)), who)
            for side in (-1, 1):
                person = replace(like(who, rng, formant=0.05), breath=0.3, looseness_s=0.04)
                at_s, x = sing(bank, person, part, write_words(bank, person, 1, rng), rng)
                soft = fade(x, start=seconds(0.5), end=seconds(0.4))
                _record(tape, at_s, soft, gain=level * rng.uniform(0.6, 1), pan=side * rng.uniform(0.2, 1))


def _chord_stretches(song: Song, section: Section) -> list[tuple[int, int]]:
    """(first bar, bars) of each chord of a section; one that stays for longer than a breath comes again."""
    bars = range(section.first_bar, section.first_bar + section.n_bars)
    found = []
    for _, group in itertools.groupby(bars, key=lambda bar: song.chords[bar]):
        same = list(group)
        found += [(first, min(_HUM_BARS, same[-1] + 1 - first)) for first in same[::_HUM_BARS]]
    return found


# ------------------------------------------------------------------------------------------- recordings as they are


def _lay_growls(song: Song, sections: Sequence[Section], studio: Studio, tape: _Tape, rng: np.random.Generator) -> None:
    """Growled words on the beats."""
    sources = studio.library.sources("voice.growled")
    source = sources[int(rng.integers(len(sources)))]
    names = studio.library.files(source)
    lower = rng.uniform(-6, 2)
    tune = draw_tune(rng, "growled")
    seeds = {section.name: int(rng.integers(2**31)) for section in sections}
    colour = draw_colour(rng, bright_db=rng.normal(0, 2), spread_db=2)
    spread = rng.choice([-1, 1]) * rng.uniform(0, 0.8)
    for section in sections:
        for phrase in compose_melody(song, section, tune, seeds[section.name], low=48, high=60):
            until_s = 0.0
            for note in phrase.notes:
                if note.start_s < until_s:
                    continue
                for side in (0.0, spread) if rng.random() < 0.4 else (0.0,):
                    x = mono(
                        studio.library.hit(
                            source, names[int(rng.integers(len(names)))], semitones=lower + rng.normal(0, 0.5)
                        )
                    )
                    if not x.shape[1]:
                        continue
                    length_s = min(x.shape[1] / RATE, max(note.length_s * 2, 0.4))
                    x = fade(x[:, : seconds(length_s)], start=200, end=seconds(0.06))
                    x = np.convolve(x[0], colour)[np.newaxis, : x.shape[1]].astype(np.float32)
                    x = saturate(x * np.float32(0.7), rng.uniform(2, 9)) * np.float32(
                        2.5 * LEVEL * (0.4 + 0.6 * note.velocity)
                    )
                    _record(tape, note.start_s, x, pan=side or None, gain=0.6 if side else 1.0)
                    until_s = note.start_s + 0.8 * length_s


def _lay_recordings(
    song: Song, sections: Sequence[Section], studio: Studio, tape: _Tape, rng: np.random.Generator
) -> None:
    """Recordings one after the other as they are, each section from its start on."""
    library = studio.library
    weights = {use: weight for use, weight in _PLAIN.items() if library.sources(use)}
    if not weights:
        return
    use = choose(rng, weights)
    source = library.sources(use)[int(rng.integers(len(library.sources(use))))]
    names = library.files(source)
    semitones = float(rng.uniform(-2.5, 2.5))
    for section in sections:
        now_s, end_s = song.line_s(section.first_bar), song.line_s(section.first_bar + section.n_bars)
        empty = 0
        while now_s < end_s - 1 and empty < 20:
            x = mono(library.hit(source, names[int(rng.integers(len(names)))], semitones=semitones, longest_s=12.0))
            x = without_silence(x, below_db=-38, keep_s=0.06)[:, : seconds(end_s + 0.5 - now_s)]
            if not x.shape[1]:
                empty += 1
                continue
            level = envelope(x)
            loud = float(np.sqrt((level[level > 0.2 * level.max()] ** 2).mean())) if len(level) else 1.0
            x = _with_treble(fade(x, start=300, end=2000) * np.float32(LEVEL / max(loud, 1e-4)), rng)
            _record(tape, now_s, x)
            now_s += x.shape[1] / RATE + float(rng.uniform(0.05, 0.8))


def _with_treble(x: Float, rng: np.random.Generator) -> Float:
    """(C, N) with what was lost in a small file: the same in all channels."""
    middle = mono(x)[0]
    if top_hz(middle) >= TOP_HZ:
        return x
    treble: Float = with_top(middle, fundamental(middle), seed=int(rng.integers(2**31))) - middle
    return x + treble


def _album_files(studio: Studio) -> list[tuple[Source, str]]:
    return [
        (source, name)
        for source in studio.library.sources("album")
        for name in studio.library.files(source)
        if name.rsplit("/", 1)[-1].startswith("vocals.")
    ]


def _lay_album(song: Song, sections: Sequence[Section], studio: Studio, tape: _Tape, rng: np.random.Generator) -> None:
    """Phrases of the album's singers, cut at their pauses, on the first beats of bars."""
    files = _album_files(studio)
    source, name = files[int(rng.integers(len(files)))]
    x = studio.library.read(source, name)
    cuts = _phrases(x)
    if not cuts:
        return
    ratio = 2 ** (float(rng.uniform(-2, 2)) / 12)
    phrase_bars = 1 if song.bar_s > 3 else 2
    used: dict[str, int] = {}
    for section in sections:
        # Sections of the same name begin with the same phrase.
        number = used.setdefault(section.name, int(rng.integers(len(cuts))))
        bar = section.first_bar
        while bar < section.first_bar + section.n_bars:
            first, last = cuts[number % len(cuts)]
            number += 1
            y = fade(faster(np.ascontiguousarray(x[:, first:last]), ratio), start=400, end=2000)
            add(tape.backing, _with_treble(y, rng), seconds(song.line_s(bar)))
            studio.library.count(source, (last - first) / RATE)
            bar += phrase_bars * max(1, int(np.ceil((y.shape[1] / RATE - 0.3) / (phrase_bars * song.bar_s))))


def _phrases(x: Float) -> list[tuple[int, int]]:
    """First and last sample of the stretches of 1 to 9 s between pauses of 0.2 s and more."""
    hop = 441
    level = envelope(x, hop=hop)
    is_loud = level > 0.03 * np.percentile(level, 99)
    is_kept = np.convolve(is_loud, np.ones(21), "same") > 0.5
    found = []
    for first, last in spans(is_kept):
        pieces = max(1, round((last - first) / 600))
        bounds = np.linspace(first, last, pieces + 1).astype(int)
        # A long one is cut where it is softest.
        for k in range(1, pieces):
            near = level[bounds[k] - 60 : bounds[k] + 60]
            bounds[k] += int(np.argmin(near)) - 60
        found += [(int(a) * hop, int(b) * hop) for a, b in itertools.pairwise(bounds) if b - a > 80]
    return found


# --------------------------------------------------------------------------------------------------------------- desk


def _mixed(tape: _Tape, song: Song, rng: np.random.Generator) -> Float:
    """(2, N): lead and backing, each through its own strip, and their echoes."""
    lead, backing = tape.lead, tape.backing
    lead = highpass(lead, float(rng.uniform(60, 130)))
    bands = [
        Band("peak", rng.uniform(200, 450), rng.normal(-1.5, 2)),
        Band("peak", rng.uniform(1500, 5000), rng.normal(1.0, 2)),
        Band("high", rng.uniform(5000, 10000), rng.normal(3.0, 3.0)),
    ]
    lead = equalise(lead, bands)
    if rng.random() < 0.75:
        lead = compress(
            lead,
            threshold_db=rng.uniform(-32, -20),
            ratio=rng.uniform(2, 6),
            attack_s=rng.uniform(0.002, 0.02),
            release_s=rng.uniform(0.05, 0.3),
            makeup_db=rng.uniform(2, 8),
        )
    if rng.random() < 0.35:
        lead = saturate(
            lead * np.float32(0.5 / max(peak(lead), 0.05)),
            rng.uniform(2, 12),
            kind="tube" if rng.random() < 0.5 else "tanh",
        )
    if rng.random() < 0.04:
        lead = saturate(lowpass(highpass(lead, 350, order=4), 3200, order=4), rng.uniform(3, 12))
    wide = double(lead, rng, n=2, spread=rng.uniform(0.4, 1)) if rng.random() < 0.18 else None
    lead = (
        wide if wide is not None else place(lead, pan=float(rng.choice([0.0, rng.uniform(-0.25, 0.25)], p=[0.8, 0.2])))
    )
    if peak(backing) > 1e-4:
        backing = highpass(backing, float(rng.uniform(90, 220)))
        if rng.random() < 0.7:
            backing = compress(backing, threshold_db=-28, ratio=3, attack_s=0.01, release_s=0.15, makeup_db=4)
        backing = backing * np.float32(10 ** (rng.normal(-2, 3) / 20))
        backing = reverb(
            backing,
            rng,
            decay_s=rng.uniform(0.8, 3),
            wet=rng.uniform(0.05, 0.4),
            kind="hall" if rng.random() < 0.5 else "plate",
        )
    if rng.random() < 0.4:
        steps = (
            float(rng.choice([0.5, 0.75, 1.0, 1.0, 2.0]))
            if rng.random() < 0.85
            else rng.uniform(0.08, 0.14) / song.beat_s
        )
        lead = delay(
            lead,
            time_s=steps * song.beat_s,
            feedback=rng.uniform(0.0, 0.35),
            wet=rng.uniform(0.03, 0.2),
            ping_pong=bool(rng.random() < 0.4),
            hz=rng.uniform(1800, 6000),
        )
    if rng.random() < 0.85:
        lead = reverb(
            lead,
            rng,
            decay_s=rng.uniform(0.3, 2.8),
            wet=rng.uniform(0.02, 0.22),
            pre_s=rng.uniform(0, 0.06),
            kind=str(rng.choice(["room", "plate", "hall"])),  # type: ignore[arg-type]  # one of RoomKind
        )
    return lead + backing
