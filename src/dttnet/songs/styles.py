"""Styles of music: what is usual in each. Names of figures, roles, grooves and manners are those that the players know.

Chords are written as degrees of the major scale of the key, minor chords in small letters: "I V vi IV", "i bVII V7".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dttnet.songs.score import Chord

BASS_FIGURES = (
    "root fifth eighths octaves walking reggae riff groove slap dub sixteenths drone808 synth ska country latin"
).split()
"""Lines that basses play."""

ROLES = "pad comp strum arpeggio lead power riff picking skank stabs organ horns strings ostinato".split()
"""What other instruments do in a song."""

MANNERS = "sung rap shouted choir whispered growled".split()
"""How voices sound."""

KITS = "acoustic brushes hybrid machine hands".split()
"""What drummers play on: hybrid is an acoustic kit with sounds of machines, hands are claps, stomps and percussion."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """What is usual in a style. Weights need not sum to 1.

    Attributes:
        share: Weight of the style among all songs.
        bpm: Slowest and fastest, in quarter notes a minute.
        minor: Share of songs in minor.
        major_chords: Progressions of verses and choruses in major, a chord a bar.
        minor_chords: The same in minor.
        grooves: Weights of the drummer's patterns, by their names in `dttnet.songs.grooves.GROOVES`.
        bass: Weights of `BASS_FIGURES`.
        other: Weights of `ROLES`.
        singing: Weights of `MANNERS`.
        kits: Weights of `KITS`.
        swung: Share of songs that swing.
        swing: Least and most of it, as `Song.swing`.
        energy: Of the quietest and the loudest section.
        instrumental: Share of songs without vocals.
        drumless: Share of songs without drums.
        bassless: Share of songs without bass.
        metres: Weights of `dttnet.songs.score.METRES`.
        free: Share of songs that are played without a click: the tempo sways.
    """

    share: float
    bpm: tuple[float, float]
    minor: float
    major_chords: tuple[str, ...]
    minor_chords: tuple[str, ...]
    grooves: Mapping[str, float]
    bass: Mapping[str, float]
    other: Mapping[str, float]
    singing: Mapping[str, float]
    kits: Mapping[str, float]
    swung: float = 0.1
    swing: tuple[float, float] = (0.1, 0.35)
    energy: tuple[float, float] = (0.3, 0.9)
    instrumental: float = 0.07
    drumless: float = 0.02
    bassless: float = 0.03
    metres: Mapping[str, float] = field(default_factory=lambda: {"4/4": 1.0})
    free: float = 0.5


_QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "M7": (0, 4, 7, 11),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "9": (0, 4, 7, 10, 14),
    "m9": (0, 3, 7, 10, 14),
    "M9": (0, 4, 7, 11, 14),
    "add9": (0, 4, 7, 14),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "7sus4": (0, 5, 7, 10),
    "o": (0, 3, 6),
    "o7": (0, 3, 6, 9),
    "m7b5": (0, 3, 6, 10),
    "+": (0, 4, 8),
}
_DEGREES = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_CHORD = re.compile(r"([b#]?)([ivIV]+)(.*)")


def read_chords(text: str) -> tuple[Chord, ...]:
    """Chords of a progression such as "ii7 V7 IM7 vi7" or "i bVII bVI V".

    Raises:
        ValueError: A word is no chord.
    """
    return tuple(_read_chord(word) for word in text.split())


def _read_chord(word: str) -> Chord:
    match = _CHORD.fullmatch(word)
    if not match or match[2].lower() not in _DEGREES:
        raise ValueError(f"{word!r} is no chord")
    accidental, degree, quality = match.groups()
    if degree.islower() and not quality.startswith(("m", "o")):
        quality = f"m{quality}"
    if quality not in _QUALITIES:
        raise ValueError(f"{word!r} is no chord: known after the degree are {', '.join(_QUALITIES)}")
    root = _DEGREES[degree.lower()] + {"": 0, "b": -1, "#": 1}[accidental]
    return Chord(root % 12, _QUALITIES[quality])


_POP = (
    "I V vi IV",
    "vi IV I V",
    "I vi IV V",
    "I IV vi V",
    "IV V iii vi",
    "I iii IV V",
    "IV I V vi",
    "I Vsus4 vi IV",
    "I ii IV V",
    "IV IV I I V V vi V",
    "I I IV IV vi V IV IV",
    "Iadd9 V vi7 IVM7",
    "I III vi IV",
    "I V ii IV",
)
_ROCK = (
    "I bVII IV I",
    "I IV V IV",
    "I V IV IV",
    "I I IV V",
    "I bIII IV I",
    "I I I I IV IV I I",
    "I V vi IV",
    "IV I V V",
    "I bVI bVII I",
    "V IV I I",
)
_ROCK_MINOR = (
    "i bVI bIII bVII",
    "i bVII bVI bVII",
    "i i bVI bVII",
    "i bIII bVII iv",
    "i iv i v",
    "i bVII bVI V",
    "i bVII IV IV",
    "bVI bVII i i",
    "i i i i iv iv i i",
    "i v bVI iv",
)
_METAL = (
    "i i bII i",
    "i bVI bVII i",
    "i i bIII bII",
    "i bVI iv V",
    "i i i bVII",
    "i bII i bVII",
    "i iv bVI V7",
    "i i bII bVI",
)
_BLUES = (
    "I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7",
    "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7",
    "I7 I7 I7 I7 IV7 IV7 I7 vi7 ii7 V7 I7 V7",
    "I7 I7 I7 I7 IV7 IV7 I7 I7 V7 V7 I7 I7",
)
_BLUES_MINOR = (
    "i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7",
    "i7 iv7 i7 i7 iv7 iv7 i7 i7 V7 iv7 i7 i7",
)
_COUNTRY = (
    "I I IV I",
    "I IV V I",
    "I I V V",
    "I IV I V I IV V I",
    "I I IV IV V V I I",
    "I V vi IV",
    "I vi ii V",
    "IV I V I",
    "I II7 V7 I",
    "I I7 IV iv I V I I",
)
_FOLK = (
    "I V vi IV",
    "I IV I V",
    "I iii IV I",
    "vi IV I V",
    "I bVII IV I",
    "Isus2 I IVadd9 I",
    "I ii IV I",
    "I V IV I",
)
_FOLK_MINOR = ("i bVII i bVII", "i bVII bVI bVII", "i iv bVII bIII", "i bIII bVII i", "i v i bVII", "i bVII bVI v")
_REGGAE = (
    "I I IV IV",
    "I IV I V",
    "I V vi IV",
    "I ii I ii",
    "I vi IV V",
    "I I I I",
    "IV I IV I",
    "I iii vi V",
)
_REGGAE_MINOR = ("i i iv iv", "i iv i iv", "i v i v", "i bVII i bVII", "i bVI bVII i", "i i i i", "i7 iv7 i7 v7")
_SOUL = (
    "IM7 vi7 ii7 V7",
    "I7 IV7 I7 IV7",
    "ii7 V7 IM7 IM7",
    "I iii7 IVM7 V7sus4",
    "IM7 iii7 IVM7 iv6",
    "I vi ii V7",
    "I IV I IV",
    "IVM7 V7sus4 iii7 vi7",
)
_SOUL_MINOR = (
    "i7 iv7 i7 iv7",
    "i7 bVIM7 iv7 v7",
    "i9 IV9 i9 IV9",
    "i7 bVII bVIM7 V7",
    "iv7 v7 i7 i7",
    "i7 v7 iv7 v7",
)
_FUNK = ("I9 I9 I9 I9", "I7 I7 IV7 IV7", "I9 IV9 I9 V9", "I7 bVII7 IV7 I7")
_FUNK_MINOR = ("i7 i7 i7 i7", "i9 IV9 i9 IV9", "i7 i7 iv7 iv7", "i7 bVII7 i7 bVII7", "i9 i9 bVIM7 V9")
_JAZZ = (
    "ii7 V7 IM7 vi7",
    "IM7 vi7 ii7 V7",
    "iii7 vi7 ii7 V7",
    "IM7 IM7 ii7 V7 iii7 vi7 ii7 V7",
    "ii7 V7 IM7 IM7 iv7 bVII7 IM7 IM7",
    "I6 II7 ii7 V7",
    "IVM7 bVII7 iii7 VI7 ii7 V7 IM7 IM7",
)
_JAZZ_MINOR = (
    "iim7b5 V7 im6 im6",
    "i7 iv7 iim7b5 V7",
    "iv7 bVII7 bIIIM7 bVIM7 iim7b5 V7 im6 im6",
    "i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7",
)
_LATIN = ("I IV V IV", "ii7 V7 IM7 IM7", "IM7 vi7 ii7 V7", "I6 II7 ii7 V7", "I V vi IV", "I I V7 V7 V7 V7 I I")
_LATIN_MINOR = (
    "i iv V7 V7",
    "i i V7 i",
    "i bVII bVI V7",
    "im6 iim7b5 V7 im6",
    "i7 iv7 bVII7 bIIIM7",
    "i bVI bIII bVII",
)
_VAMPS = ("i i i i", "i i bVI bVI", "i bVII i bVII", "i i iv v", "i bVI bIII bVII", "i7 i7 iv7 iv7", "i i i bVI")
_DANCE = ("vi IV I V", "I V vi IV", "IV V vi vi", "IM7 IM7 IVM7 IVM7", "IV I vi V")
_TRAP = ("i bVI bVII v", "i i bVI V", "i bII i bII", "i iv bVI v", "i i i i", "bVIM7 v7 i7 i7")
_GOSPEL = (
    "I I7 IV iv",
    "I IV I V",
    "I vi7 ii7 V7sus4",
    "IV I V vi",
    "I III7 vi7 II7 ii7 V7 I I",
    "I IV I6 V7",
    "IM7 iii7 IVM7 V7sus4",
)
_AMBIENT = ("IM9 IM9 IVM9 IVM9", "I Iadd9 IVM7 vi7", "vi7 vi7 IVM7 IVM7", "IM7 iii7 IVM7 iii7")
_AMBIENT_MINOR = ("i9 i9 bVIM7 bVIM7", "i bVIM7 bIIIM7 bVII", "i i v v")

_SUNG = {"sung": 0.86, "choir": 0.07, "whispered": 0.02, "shouted": 0.05}
_REAL = {"acoustic": 0.9, "hybrid": 0.1}
_MACHINES = {"machine": 0.8, "hybrid": 0.2}

STYLES: dict[str, Style] = {
    "rock": Style(
        share=11,
        bpm=(88, 155),
        minor=0.35,
        major_chords=_ROCK,
        minor_chords=_ROCK_MINOR,
        grooves={"rock": 5, "ride rock": 2, "hard rock": 1, "half time": 1, "tom groove": 0.7, "pop": 1, "surf": 0.4},
        bass={"eighths": 5, "root": 2, "riff": 2, "groove": 2, "octaves": 0.7, "fifth": 0.5},
        other={"power": 3, "strum": 3, "riff": 2.5, "lead": 1.5, "comp": 1, "arpeggio": 1.5, "organ": 1, "pad": 0.5},
        singing={"sung": 0.78, "shouted": 0.16, "choir": 0.04, "whispered": 0.02},
        kits={"acoustic": 0.96, "hybrid": 0.04},
        energy=(0.4, 1.0),
        metres={"4/4": 0.93, "3/4": 0.05, "7/8": 0.02},
    ),
    "hard rock": Style(
        share=4.5,
        bpm=(80, 150),
        minor=0.6,
        major_chords=_ROCK,
        minor_chords=_ROCK_MINOR,
        grooves={"hard rock": 4, "rock": 2, "half time": 1.5, "ride rock": 2, "tom groove": 1},
        bass={"eighths": 4, "riff": 4, "root": 1.5, "groove": 1},
        other={"power": 4, "riff": 4, "lead": 2, "organ": 0.7, "strum": 1, "strings": 0.2},
        singing={"sung": 0.6, "shouted": 0.33, "growled": 0.02, "choir": 0.05},
        kits={"acoustic": 1.0},
        energy=(0.55, 1.0),
        metres={"4/4": 0.94, "3/4": 0.04, "7/8": 0.02},
    ),
    "punk": Style(
        share=5.5,
        bpm=(145, 210),
        minor=0.25,
        major_chords=("I IV V V", "I V vi IV", "I IV I V", "I V IV IV", "vi IV I V", "I IV V IV", "I iii IV V"),
        minor_chords=("i bVI bIII bVII", "i bVII bVI bVII", "i bIII bVII iv", "i i bVI V"),
        grooves={"punk": 4, "skate punk": 3, "d-beat": 1.5, "rock": 1.5, "tom groove": 0.7, "half time": 0.5},
        bass={"eighths": 7, "root": 1.5, "riff": 1, "octaves": 0.5},
        other={"power": 7, "strum": 2, "riff": 1.5, "lead": 1},
        singing={"sung": 0.42, "shouted": 0.55, "choir": 0.03},
        kits={"acoustic": 1.0},
        swung=0.02,
        energy=(0.6, 1.0),
        instrumental=0.04,
    ),
    "metal": Style(
        share=4,
        bpm=(95, 200),
        minor=0.95,
        major_chords=_ROCK,
        minor_chords=_METAL + _ROCK_MINOR[:3],
        grooves={"metal": 4, "double kick": 3, "blast": 1, "half time": 2, "thrash": 2, "hard rock": 1},
        bass={"riff": 4, "eighths": 4, "sixteenths": 2, "root": 2},
        other={"power": 4, "riff": 5, "lead": 2, "strings": 0.5, "arpeggio": 0.5, "pad": 0.3},
        singing={"growled": 0.45, "shouted": 0.25, "sung": 0.27, "choir": 0.03},
        kits={"acoustic": 0.95, "hybrid": 0.05},
        swung=0.0,
        energy=(0.6, 1.0),
        instrumental=0.12,
        metres={"4/4": 0.9, "3/4": 0.05, "7/8": 0.05},
    ),
    "indie": Style(
        share=6,
        bpm=(90, 165),
        minor=0.35,
        major_chords=_POP + _ROCK[:4],
        minor_chords=_ROCK_MINOR,
        grooves={"rock": 3, "disco rock": 2.5, "tom groove": 1.5, "motown": 1, "pop": 2, "ride rock": 1},
        bass={"eighths": 5, "root": 2, "octaves": 1.5, "groove": 1.5, "riff": 1, "synth": 0.3},
        other={
            "arpeggio": 3,
            "strum": 3,
            "riff": 2,
            "picking": 1,
            "lead": 1.5,
            "pad": 1.5,
            "organ": 0.7,
            "ostinato": 1,
        },
        singing=_SUNG,
        kits={"acoustic": 0.85, "hybrid": 0.12, "machine": 0.03},
        metres={"4/4": 0.91, "3/4": 0.06, "7/8": 0.03},
    ),
    "pop": Style(
        share=9,
        bpm=(78, 132),
        minor=0.35,
        major_chords=_POP,
        minor_chords=(*_ROCK_MINOR[:6], "i bVI bVII bIII"),
        grooves={
            "pop": 4,
            "rock": 1.5,
            "disco rock": 1,
            "four on the floor": 1.5,
            "dembow": 1,
            "claps": 0.7,
            "motown": 0.7,
        },
        bass={"root": 3, "eighths": 3, "groove": 2, "synth": 1.5, "octaves": 1, "fifth": 0.5},
        other={"pad": 2, "comp": 3, "strum": 2.5, "arpeggio": 2, "picking": 1, "strings": 1, "lead": 1, "ostinato": 1},
        singing={"sung": 0.84, "choir": 0.07, "whispered": 0.04, "rap": 0.05},
        kits={"acoustic": 0.55, "hybrid": 0.25, "machine": 0.2},
        metres={"4/4": 0.96, "3/4": 0.04},
    ),
    "ballad": Style(
        share=5,
        bpm=(56, 84),
        minor=0.35,
        major_chords=(*_POP, "I Iadd9 IV iv", "I V vi iii IV I IV V"),
        minor_chords=_ROCK_MINOR[:6],
        grooves={"ballad": 4, "ballad rim": 3, "power ballad": 2, "brush ballad": 1.5, "slow twelve": 1},
        bass={"root": 5, "fifth": 2, "groove": 1, "eighths": 1},
        other={"arpeggio": 3, "pad": 2, "comp": 3, "strings": 2, "strum": 1.5, "picking": 2, "organ": 0.5, "lead": 0.6},
        singing={"sung": 0.88, "choir": 0.07, "whispered": 0.05},
        kits={"acoustic": 0.75, "brushes": 0.18, "hybrid": 0.07},
        swing=(0.2, 0.66),
        energy=(0.15, 0.75),
        drumless=0.1,
        bassless=0.06,
        metres={"4/4": 0.8, "3/4": 0.2},
    ),
    "country": Style(
        share=6,
        bpm=(84, 168),
        minor=0.12,
        major_chords=_COUNTRY,
        minor_chords=_FOLK_MINOR,
        grooves={"train": 3, "two step": 3, "rock": 2, "shuffle": 1.5, "ballad rim": 1, "stomp": 0.5},
        bass={"country": 5, "fifth": 3, "root": 1.5, "walking": 1, "eighths": 1},
        other={"strum": 4, "picking": 4, "lead": 2, "comp": 1.5, "riff": 1, "strings": 0.8, "pad": 0.3},
        singing={"sung": 0.93, "choir": 0.05, "shouted": 0.02},
        kits={"acoustic": 0.8, "brushes": 0.18, "hands": 0.02},
        swung=0.3,
        swing=(0.2, 0.66),
        metres={"4/4": 0.85, "3/4": 0.15},
    ),
    "folk": Style(
        share=4,
        bpm=(70, 145),
        minor=0.35,
        major_chords=_FOLK,
        minor_chords=_FOLK_MINOR,
        grooves={"stomp": 3, "folk": 3, "train": 1.5, "two step": 1, "brush ballad": 1, "shaker": 1.5},
        bass={"fifth": 3, "root": 4, "country": 1.5, "groove": 0.5},
        other={"picking": 5, "strum": 4, "arpeggio": 2, "lead": 1.5, "strings": 1, "pad": 0.4},
        singing={"sung": 0.87, "choir": 0.1, "whispered": 0.03},
        kits={"acoustic": 0.45, "hands": 0.3, "brushes": 0.25},
        swung=0.15,
        energy=(0.2, 0.75),
        drumless=0.22,
        bassless=0.15,
        metres={"4/4": 0.7, "3/4": 0.3},
    ),
    "blues": Style(
        share=5,
        bpm=(62, 148),
        minor=0.2,
        major_chords=_BLUES,
        minor_chords=_BLUES_MINOR,
        grooves={"shuffle": 5, "slow twelve": 2, "rock": 1, "texas shuffle": 1.5, "train": 0.4},
        bass={"walking": 4, "riff": 2, "root": 1.5, "fifth": 1.5, "eighths": 1},
        other={"comp": 3, "riff": 3, "lead": 3, "organ": 1.5, "strum": 1, "stabs": 0.7, "horns": 0.6, "picking": 0.6},
        singing={"sung": 0.9, "shouted": 0.1},
        kits={"acoustic": 0.88, "brushes": 0.12},
        swung=0.85,
        swing=(0.45, 0.68),
        instrumental=0.12,
        metres={"4/4": 0.95, "3/4": 0.05},
    ),
    "reggae": Style(
        share=6,
        bpm=(64, 98),
        minor=0.5,
        major_chords=_REGGAE,
        minor_chords=_REGGAE_MINOR,
        grooves={"one drop": 5, "rockers": 3, "steppers": 2},
        bass={"reggae": 6, "dub": 4, "groove": 0.5},
        other={"skank": 8, "organ": 4, "horns": 1, "lead": 1, "riff": 1, "stabs": 0.7, "pad": 0.3},
        singing={"sung": 0.82, "rap": 0.1, "choir": 0.08},
        kits={"acoustic": 0.85, "hybrid": 0.1, "machine": 0.05},
        swung=0.6,
        swing=(0.1, 0.5),
        energy=(0.35, 0.8),
    ),
    "ska": Style(
        share=3,
        bpm=(120, 185),
        minor=0.3,
        major_chords=("I IV V IV", "I vi IV V", "I V vi IV", "I I IV IV", "I ii V I", "I7 IV7 I7 V7"),
        minor_chords=(*_REGGAE_MINOR, "i bVII bVI V7"),
        grooves={"ska": 6, "skate punk": 1, "steppers": 1},
        bass={"ska": 6, "walking": 3, "eighths": 1},
        other={"skank": 8, "horns": 3, "stabs": 2, "organ": 2, "lead": 1, "power": 0.5},
        singing={"sung": 0.75, "shouted": 0.2, "choir": 0.05},
        kits={"acoustic": 1.0},
        swung=0.25,
        energy=(0.5, 0.95),
    ),
    "soul": Style(
        share=4,
        bpm=(68, 128),
        minor=0.4,
        major_chords=_SOUL,
        minor_chords=_SOUL_MINOR,
        grooves={"soul": 4, "motown": 3, "sixteenth soul": 2, "slow twelve": 1, "funk": 1},
        bass={"groove": 6, "riff": 2, "root": 1, "fifth": 0.7, "octaves": 0.3},
        other={"comp": 4, "horns": 2, "strings": 2, "organ": 2, "stabs": 1.5, "picking": 0.4, "skank": 0.7, "pad": 0.7},
        singing={"sung": 0.87, "choir": 0.1, "shouted": 0.03},
        kits={"acoustic": 0.93, "hybrid": 0.07},
        swung=0.25,
        swing=(0.2, 0.66),
        metres={"4/4": 0.94, "3/4": 0.06},
    ),
    "funk": Style(
        share=4,
        bpm=(88, 124),
        minor=0.65,
        major_chords=_FUNK,
        minor_chords=_FUNK_MINOR,
        grooves={"funk": 4, "linear funk": 2, "sixteenth soul": 2, "second line": 1, "disco rock": 0.7},
        bass={"slap": 4, "groove": 5, "octaves": 1.5, "riff": 2, "sixteenths": 1, "synth": 0.5},
        other={"comp": 4, "skank": 2, "stabs": 2.5, "horns": 2, "organ": 1.5, "riff": 2, "ostinato": 1, "lead": 0.7},
        singing={"sung": 0.74, "shouted": 0.12, "rap": 0.08, "choir": 0.06},
        kits={"acoustic": 0.93, "hybrid": 0.07},
        swung=0.3,
        swing=(0.05, 0.25),
        energy=(0.45, 0.9),
        instrumental=0.13,
    ),
    "disco": Style(
        share=2,
        bpm=(104, 132),
        minor=0.6,
        major_chords=_SOUL + _DANCE,
        minor_chords=_SOUL_MINOR + _ROCK_MINOR[:4],
        grooves={"disco": 6, "four on the floor": 2},
        bass={"octaves": 5, "groove": 3, "slap": 1, "sixteenths": 0.7},
        other={"comp": 3, "strings": 3, "skank": 1.5, "stabs": 2, "horns": 1.5, "pad": 1, "riff": 1},
        singing=_SUNG,
        kits={"acoustic": 0.65, "hybrid": 0.25, "machine": 0.1},
        energy=(0.5, 0.9),
    ),
    "jazz": Style(
        share=2.5,
        bpm=(72, 190),
        minor=0.3,
        major_chords=_JAZZ,
        minor_chords=_JAZZ_MINOR,
        grooves={"swing": 6, "brush ballad": 2, "bossa": 1.5},
        bass={"walking": 8, "root": 1, "latin": 0.5},
        other={"comp": 5, "lead": 3, "horns": 2, "arpeggio": 0.6, "strum": 0.6, "strings": 0.3, "organ": 0.5},
        singing={"sung": 0.95, "choir": 0.05},
        kits={"acoustic": 0.5, "brushes": 0.5},
        swung=0.85,
        swing=(0.4, 0.7),
        energy=(0.2, 0.7),
        instrumental=0.35,
        drumless=0.06,
        metres={"4/4": 0.83, "3/4": 0.15, "7/8": 0.02},
    ),
    "latin": Style(
        share=2.5,
        bpm=(88, 132),
        minor=0.5,
        major_chords=_LATIN,
        minor_chords=_LATIN_MINOR,
        grooves={"bossa": 2, "samba": 1.5, "songo": 2, "cha cha": 2, "dembow": 2},
        bass={"latin": 7, "groove": 1, "root": 1},
        other={"ostinato": 3, "comp": 3, "picking": 2, "horns": 2, "stabs": 1, "strum": 1.5, "lead": 1},
        singing={"sung": 0.85, "choir": 0.1, "rap": 0.05},
        kits={"acoustic": 0.65, "hands": 0.2, "hybrid": 0.15},
        swung=0.0,
    ),
    "hip hop": Style(
        share=4,
        bpm=(72, 106),
        minor=0.75,
        major_chords=_SOUL,
        minor_chords=_SOUL_MINOR + _VAMPS,
        grooves={"boom bap": 5, "hip hop": 4, "funk": 1},
        bass={"groove": 3, "root": 2, "riff": 2, "synth": 1.5, "drone808": 1.5, "dub": 0.5},
        other={
            "comp": 2.5,
            "ostinato": 3,
            "pad": 2,
            "strings": 1.5,
            "stabs": 1,
            "arpeggio": 1,
            "riff": 1,
            "horns": 0.5,
        },
        singing={"rap": 0.85, "sung": 0.12, "shouted": 0.03},
        kits={"machine": 0.45, "hybrid": 0.3, "acoustic": 0.25},
        swung=0.6,
        swing=(0.1, 0.45),
        energy=(0.4, 0.85),
        free=0.0,
    ),
    "trap": Style(
        share=2.5,
        bpm=(62, 82),
        minor=0.95,
        major_chords=_DANCE,
        minor_chords=_TRAP,
        grooves={"trap": 6, "hip hop": 1},
        bass={"drone808": 8, "synth": 1},
        other={"ostinato": 3, "pad": 3, "arpeggio": 2, "lead": 1, "strings": 0.7, "picking": 0.7},
        singing={"rap": 0.75, "sung": 0.22, "whispered": 0.03},
        kits={"machine": 0.95, "hybrid": 0.05},
        swung=0.0,
        energy=(0.4, 0.85),
        free=0.0,
    ),
    "house": Style(
        share=3,
        bpm=(112, 132),
        minor=0.7,
        major_chords=_DANCE,
        minor_chords=_VAMPS + _SOUL_MINOR[:3],
        grooves={"house": 6, "four on the floor": 2, "disco": 1},
        bass={"synth": 5, "octaves": 2, "groove": 2, "sixteenths": 1, "dub": 0.5},
        other={"stabs": 4, "pad": 3, "comp": 2, "ostinato": 2, "strings": 0.7, "lead": 1, "organ": 1},
        singing={"sung": 0.85, "choir": 0.08, "whispered": 0.07},
        kits=_MACHINES,
        swung=0.25,
        swing=(0.05, 0.25),
        energy=(0.4, 0.95),
        instrumental=0.18,
        free=0.0,
    ),
    "techno": Style(
        share=1.5,
        bpm=(122, 145),
        minor=0.95,
        major_chords=_DANCE,
        minor_chords=("i i i i", "i i bII i", "i i i bVII", "i i bVI bVI"),
        grooves={"techno": 6, "house": 1},
        bass={"synth": 4, "sixteenths": 4, "drone808": 1, "octaves": 1},
        other={"ostinato": 5, "pad": 3, "stabs": 2, "lead": 1, "arpeggio": 1.5},
        singing={"whispered": 0.25, "sung": 0.5, "shouted": 0.15, "choir": 0.1},
        kits={"machine": 1.0},
        swung=0.0,
        energy=(0.45, 1.0),
        instrumental=0.4,
        free=0.0,
    ),
    "drum and bass": Style(
        share=2,
        bpm=(160, 178),
        minor=0.85,
        major_chords=_DANCE,
        minor_chords=_VAMPS + _TRAP[:3],
        grooves={"breakbeat": 5, "two step dnb": 4},
        bass={"synth": 6, "drone808": 2, "dub": 2, "riff": 1},
        other={"pad": 4, "ostinato": 2, "stabs": 1.5, "arpeggio": 1, "strings": 1, "lead": 1},
        singing={"sung": 0.7, "rap": 0.25, "whispered": 0.05},
        kits={"acoustic": 0.25, "hybrid": 0.3, "machine": 0.45},
        swung=0.05,
        energy=(0.4, 1.0),
        instrumental=0.25,
        free=0.0,
    ),
    "synth pop": Style(
        share=3,
        bpm=(96, 138),
        minor=0.55,
        major_chords=_POP,
        minor_chords=_ROCK_MINOR,
        grooves={"synth pop": 5, "four on the floor": 2, "disco rock": 1},
        bass={"synth": 5, "eighths": 2, "octaves": 3, "sixteenths": 1.5},
        other={"pad": 3, "arpeggio": 3, "ostinato": 2.5, "lead": 2, "stabs": 1, "strings": 1, "comp": 1},
        singing={"sung": 0.88, "choir": 0.07, "whispered": 0.05},
        kits={"machine": 0.8, "hybrid": 0.2},
        swung=0.02,
        free=0.0,
    ),
    "gospel": Style(
        share=2,
        bpm=(64, 150),
        minor=0.15,
        major_chords=_GOSPEL,
        minor_chords=_SOUL_MINOR,
        grooves={"gospel shout": 2.5, "slow twelve": 2, "soul": 3, "shuffle": 1.5, "claps": 1},
        bass={"groove": 4, "walking": 2.5, "root": 2, "octaves": 0.5},
        other={"organ": 5, "comp": 4, "pad": 0.7, "horns": 0.7, "strings": 0.6, "lead": 0.5},
        singing={"choir": 0.5, "sung": 0.42, "shouted": 0.08},
        kits={"acoustic": 0.85, "hands": 0.15},
        swung=0.45,
        swing=(0.2, 0.66),
        drumless=0.06,
        metres={"4/4": 0.8, "3/4": 0.2},
    ),
    "ambient": Style(
        share=1.5,
        bpm=(60, 110),
        minor=0.5,
        major_chords=_AMBIENT,
        minor_chords=_AMBIENT_MINOR,
        grooves={"sparse": 5, "shaker": 1.5, "half time": 1.5, "hip hop": 1},
        bass={"root": 5, "synth": 2, "drone808": 2},
        other={"pad": 6, "arpeggio": 2, "strings": 1.5, "lead": 1.5, "ostinato": 1.5, "picking": 1},
        singing={"sung": 0.55, "whispered": 0.2, "choir": 0.25},
        kits={"machine": 0.45, "acoustic": 0.2, "hybrid": 0.15, "hands": 0.1, "brushes": 0.1},
        swung=0.0,
        energy=(0.05, 0.6),
        instrumental=0.3,
        drumless=0.3,
        bassless=0.25,
    ),
}
