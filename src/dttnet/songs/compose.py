"""The plan of a song: tempo, key, form, chords, and who plays where."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import cast

import numpy as np
from scipy import ndimage

from dttnet.dataset import STEMS
from dttnet.songs.draws import choose
from dttnet.songs.score import Chord, Section, Song, steps_of_bar
from dttnet.songs.styles import STYLES, Style, read_chords

DURATION_S = (40.0, 80.0)
"""How long songs are, unless it is given."""

_FORMS = (
    "intro verse chorus verse chorus bridge chorus outro",
    "intro verse verse chorus verse chorus solo chorus outro",
    "verse chorus verse chorus break chorus",
    "intro verse chorus solo chorus outro",
    "chorus verse chorus verse bridge chorus outro",
    "intro verse chorus break verse chorus",
    "intro verse bridge verse solo verse outro",
    "intro chorus verse chorus solo break chorus outro",
    "verse verse bridge verse break verse outro",
)
_BLUES_FORMS = ("intro verse verse solo verse outro", "verse solo verse chorus", "intro verse chorus solo chorus")

_ENERGIES = {  # where between the quietest and the loudest a section is
    "intro": (0.0, 0.6),
    "verse": (0.2, 0.6),
    "chorus": (0.75, 1.0),
    "bridge": (0.2, 0.9),
    "solo": (0.5, 1.0),
    "break": (0.0, 0.5),
    "outro": (0.1, 0.9),
}
_RESTS = {  # how often a stem does not play in such a section
    "intro": {"vocals": 0.88, "drums": 0.3, "bass": 0.35, "other": 0.12},
    "verse": {"vocals": 0.0, "drums": 0.06, "bass": 0.05, "other": 0.04},
    "chorus": {"vocals": 0.0, "drums": 0.0, "bass": 0.0, "other": 0.01},
    "bridge": {"vocals": 0.2, "drums": 0.15, "bass": 0.12, "other": 0.03},
    "solo": {"vocals": 0.95, "drums": 0.03, "bass": 0.03, "other": 0.03},
    "outro": {"vocals": 0.5, "drums": 0.15, "bass": 0.15, "other": 0.05},
}
_BREAKS = {  # who plays in a break
    "drums": 2.0,
    "vocals": 2.0,
    "vocals other": 2.5,
    "vocals drums": 1.5,
    "drums bass": 1.5,
    "other": 1.5,
    "bass": 0.5,
    "bass other": 1.0,
    "vocals bass": 0.5,
    "drums other": 1.0,
    "vocals drums bass": 1.0,
    "drums bass other": 1.5,
}


def draw_style(rng: np.random.Generator, among: Collection[str] = STYLES) -> str:
    """One of the styles, as often as its share says."""
    return choose(rng, {name: style.share for name, style in STYLES.items() if name in among})


def compose(rng: np.random.Generator, *, style: str | None = None, duration_s: float | None = None) -> Song:
    """Draw the plan of a song.

    Args:
        rng: For everything that is not given.
        style: A name in `STYLES`.
        duration_s: To the nearest bar, at least two.
    """
    name = style or draw_style(rng)
    manner = STYLES[name]
    beat_s = 60 / rng.uniform(*manner.bpm)
    metre = choose(rng, manner.metres)
    bar_s = steps_of_bar(metre) * beat_s / 4
    length_s = duration_s or rng.uniform(*DURATION_S)
    n_bars = max(2, round(length_s / bar_s))
    swing = float(rng.uniform(*manner.swing)) if rng.random() < manner.swung else 0.0
    is_minor = bool(rng.random() < manner.minor)
    progressions = _draw_progressions(rng, manner.minor_chords if is_minor else manner.major_chords)
    form = _draw_form(rng, n_bars, bar_s, is_blues=len(progressions["verse"]) == 12)
    # Leaves the generator as it is, so that all else is drawn as without a tempo.
    drummer = np.random.Generator(cast("np.random.PCG64", rng.bit_generator).jumped())
    return Song(
        style=name,
        beat_s=beat_s,
        swing=swing,
        key=int(rng.integers(12)),
        is_minor=is_minor,
        chords=_lay_chords(form, progressions, is_minor),
        sections=_orchestrate(rng, form, manner),
        metre=metre,
        lines_s=_draw_tempo(drummer, form, bar_s) if drummer.random() < manner.free else (),
    )


def _draw_progressions(rng: np.random.Generator, texts: Sequence[str]) -> dict[str, tuple[Chord, ...]]:
    """A progression for each kind of section. Verse and chorus differ; in a twelve-bar blues all are of twelve bars."""
    verse = read_chords(str(rng.choice(texts)))
    others = [text for text in texts if read_chords(text) != verse and (len(verse) != 12 or len(text.split()) == 12)]
    chorus, bridge = (read_chords(str(text)) for text in rng.choice(others, 2)) if others else (verse, verse)
    first, second = (verse, chorus) if rng.random() < 0.7 else (chorus, verse)
    return {
        "intro": first,
        "verse": verse,
        "chorus": chorus,
        "bridge": bridge,
        "solo": first,
        "break": first,
        "outro": second,
    }


def _draw_form(rng: np.random.Generator, n_bars: int, bar_s: float, *, is_blues: bool) -> list[tuple[str, int]]:
    """(name, bars) of the sections, `n_bars` in all.

    Songs that are shorter than their form are cut out of it: half of them begin at its beginning.
    """
    unit = 12 if is_blues else 8 if bar_s < rng.uniform(1.4, 2.2) else 4
    names = str(rng.choice(_BLUES_FORMS if is_blues else _FORMS)).split()
    bars = dict.fromkeys(names, unit)
    for name in ("intro", "outro", "break"):
        bars[name] = max(2, unit // int(rng.choice([1, 2, 2, 4])))
    if not is_blues:
        for name in ("verse", "chorus"):
            bars[name] = unit * int(rng.choice([1, 1, 2]))
    ending = bars["outro"] if rng.random() < 0.5 and n_bars > 3 * bars["outro"] else 0
    first = int(rng.integers(len(names))) if rng.random() < 0.5 else 0
    middle = [name for name in names if name not in ("intro", "outro")]
    form: list[tuple[str, int]] = []
    left = n_bars - ending
    # Another round of the form follows where it is too short.
    for name in itertools.chain((name for name in names[first:] if name != "outro"), itertools.cycle(middle)):
        length = min(bars[name], left)
        if left - length < 2:  # a single bar is no section
            length = left
        form.append((name, length))
        left -= length
        if not left:
            break
    return form + [("outro", ending)] * bool(ending)


def _draw_tempo(rng: np.random.Generator, form: Sequence[tuple[str, int]], bar_s: float) -> tuple[float, ...]:
    """Bar lines of a band without a click: it sways from bar to bar, is faster in choruses, and may end slowly."""
    n_bars = sum(length for _, length in form)
    faster = rng.uniform(0.0, 0.025)
    pace = np.concatenate([np.full(length, faster if name == "chorus" else 0.0) for name, length in form])
    # Slow: a bar is hardly longer than the one before it.
    sway = ndimage.gaussian_filter1d(rng.standard_normal(n_bars), 1.5, mode="nearest")
    pace += sway * rng.uniform(0.003, 0.02) / max(float(np.std(sway)), 1e-6)
    if form[-1][0] == "outro" and rng.random() < 0.35:
        pace[-2:] -= rng.uniform(0.04, 0.25) * np.array([0.4, 1.0])
    lengths = np.exp(-pace)
    lines = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()]) * n_bars * bar_s
    return tuple(float(line) for line in lines)


def _lay_chords(
    form: Sequence[tuple[str, int]], progressions: dict[str, tuple[Chord, ...]], is_minor: bool
) -> tuple[Chord, ...]:
    """One for each bar. Progressions start anew with each section; an outro ends on the tonic."""
    chords: list[Chord] = []
    for name, n_bars in form:
        own = progressions[name]
        chords += [own[bar % len(own)] for bar in range(n_bars)]
    if form[-1][0] == "outro":
        chords[-1] = Chord(0, (0, 3, 7) if is_minor else (0, 4, 7))
    return tuple(chords)


def _orchestrate(rng: np.random.Generator, form: Sequence[tuple[str, int]], style: Style) -> tuple[Section, ...]:
    """Sections with their energies and players."""
    band = _draw_band(rng, style)
    low, high = style.energy
    span = {name: low + (high - low) * rng.uniform(*_ENERGIES[name]) for name in _ENERGIES}
    rests = {name: frozenset(stem for stem in STEMS if rng.random() < _RESTS[name][stem]) for name in _RESTS}
    players = {name: band - rests[name] for name in rests}
    players["break"] = band & frozenset(choose(rng, _BREAKS).split())
    is_bare_at_first = rng.random() < 0.25
    late = frozenset(rng.choice(["drums", "bass", "other"], int(rng.integers(1, 3)), replace=False))

    sections: list[Section] = []
    seen: set[str] = set()
    first_bar = 0
    for name, n_bars in form:
        plays = players[name]
        if name == "verse" and is_bare_at_first and name not in seen:
            plays = plays - late  # the band comes in with the chorus
        growth = 0.08 * (name in seen)
        energy = float(np.clip(span[name] + growth, 0, 1))
        sections.append(Section(name, first_bar, n_bars, energy, plays or band))
        seen.add(name)
        first_bar += n_bars
    return _with_all(band, sections)


def _draw_band(rng: np.random.Generator, style: Style) -> frozenset[str]:
    """The stems that the song has."""
    chances = {"vocals": style.instrumental, "drums": style.drumless, "bass": style.bassless, "other": 0.01}
    band = frozenset(stem for stem in STEMS if rng.random() >= chances[stem])
    return band if len(band) > 1 else frozenset(STEMS)


def _with_all(band: frozenset[str], sections: list[Section]) -> tuple[Section, ...]:
    """The sections, where each stem of the band plays somewhere: in the longest section if nowhere else."""
    longest = max(range(len(sections)), key=lambda index: sections[index].n_bars)
    absent = band - frozenset[str]().union(*(section.plays for section in sections))
    old = sections[longest]
    sections[longest] = Section(old.name, old.first_bar, old.n_bars, old.energy, old.plays | absent)
    return tuple(sections)
