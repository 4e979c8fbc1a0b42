"""What players work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from dttnet.errors import UsageError
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import Library, Source


@dataclass(frozen=True, kw_only=True)
class Features:
    """What songs have. Each can be left out, to measure what it is good for.

    Attributes:
        playing: Stems are music; without, notes, hits and voices are laid one after the other at random.
        fonts: Instruments and kits of sound fonts, and synthesised ones, beside single notes and hits.
        production: Amplifiers, effects, mixing, and the conditions of a recording.
        structure: All stems play the same song; without, each plays one of its own.
        singing: Syllables are sung to melodies; without, voices are laid one after the other as they are.
        album: Excerpts of the album's songs are among the songs.
    """

    playing: bool = True
    fonts: bool = True
    production: bool = True
    structure: bool = True
    singing: bool = True
    album: bool = True

    @classmethod
    def without(cls, names: tuple[str, ...]) -> Features:
        """All but these.

        Raises:
            UsageError: One is not known.
        """
        known = [field.name for field in fields(cls)]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UsageError(f"{', '.join(unknown)} is no feature of songs; there are {', '.join(known)}")
        return cls(**dict.fromkeys(names, False))


@dataclass(frozen=True)
class Studio:
    """Sources to play with, and what is wanted."""

    library: Library
    fonts: Fonts
    features: Features

    def presets(self, programs: Sequence[int]) -> list[tuple[Source, int]]:
        """(sound font, program) of those of the programs that may be played; none without the feature `fonts`."""
        if not self.features.fonts:
            return []
        return [(font, program) for font in self.fonts.sources for program in self.fonts.programs(font, programs)]
