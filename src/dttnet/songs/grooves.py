"""What drummers play: patterns, fills and percussion, as strokes of a song. No sound is made here.

A pattern is a bar of equal steps, 16 of them or 12 (triplets) or 32: X is an accent, x a stroke, o a soft one, g a
ghost note. Bars of longer patterns are separated by "|", and variants by "/", from simple to busy. The piece "time" is
played on the cymbal or hi-hat (or else) that the section calls for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dttnet.songs.draws import choose
from dttnet.songs.score import STEPS, Hit, Section, Song
from dttnet.songs.styles import STYLES

VELOCITIES = {"X": 0.95, "x": 0.76, "o": 0.52, "g": 0.26}

HATS = ("hat", "phat", "ohat", "shat")
"""Closed, by foot, open and half open: one hi-hat, so each ends the one before."""

_LIMBS = {
    "kick": 0,
    "stomp": 0,
    "snare": 1,
    "rim": 1,
    "clap": 1,
    "phat": 2,
    "shaker": 4,
    "tambourine": 4,
    "conga high": 5,
    "conga low": 5,
    "cowbell": 5,
    "perc": 5,
}
"""The right hand is 3."""


@dataclass(frozen=True, kw_only=True)
class Groove:
    """A drummer's pattern.

    Attributes:
        parts: Variants for each piece.
        quiet: Pieces that "time" may be played on in quiet sections.
        usual: In others.
        loud: In loud ones.
        cross_stick: How often quiet sections have cross sticks for snares.
        fills: Weights of kinds of fills.
    """

    parts: Mapping[str, str]
    quiet: str = "hat hat shat"
    usual: str = "hat hat hat shat ride"
    loud: str = "hat shat shat ohat ride ride crash bell"
    cross_stick: float = 0.3
    fills: Mapping[str, float]

    @property
    def is_triplets(self) -> bool:
        """Whether it has twelve steps, so that it only fits songs that swing."""
        return any(len(bar) == 12 for text in self.parts.values() for bar in text.split("/")[0].split("|"))


_DRUMMING = {
    "roll": 2.0,
    "toms": 3.0,
    "mixed": 2.0,
    "eighths": 1.5,
    "linear": 1.0,
    "rest": 0.7,
    "flams": 0.7,
    "bark": 0.7,
}
_WILD = {"roll": 3.0, "toms": 4.0, "mixed": 2.0, "linear": 1.5, "thirty-seconds": 1.5, "flams": 0.5}
_SMALL = {"snare pickup": 3.0, "bark": 2.0, "rest": 1.0, "linear": 1.0, "roll": 0.7, "toms": 0.7}
_DANCE = {"build": 2.0, "rest": 3.0, "claps": 2.0, "roll": 0.7}

GROOVES: dict[str, Groove] = {
    "rock": Groove(
        parts={
            "kick": "X.......X......./X.......X.x...../X......xX......./X.....x.X......./X.x...x.X.x...x.",
            "snare": "....X.......X.../....X.......X..g/....X..g....X...",
            "time": "X.x.X.x.X.x.X.x./X...X...X...X.../x.x.x.x.x.x.x.x.",
        },
        fills=_DRUMMING,
    ),
    "hard rock": Groove(
        parts={
            "kick": "X.......X......./X.....x.X.....x./X..x..x.X.x...../X.x.....X.x...x./X..x..X.x.X.....",
            "snare": "....X.......X.../....X.......X..o",
            "time": "X...X...X...X.../X.x.X.x.X.x.X.x.",
        },
        quiet="hat shat",
        usual="shat shat ohat ride",
        loud="ohat shat crash crash ride bell china",
        cross_stick=0.05,
        fills=_WILD,
    ),
    "ride rock": Groove(
        parts={
            "kick": "X.......X.x...../X.x.....X.x...../X.....x.X.x...x.",
            "snare": "....X.......X.../....X..g.g..X...",
            "time": "X.x.X.x.X.x.X.x./x.x.X.x.x.x.X.x.",
            "phat": "................/....o.......o...",
        },
        usual="ride ride bell",
        loud="ride ride crash bell",
        fills=_DRUMMING,
    ),
    "half time": Groove(
        parts={
            "kick": "X.............../X.....x........./X..x......x...../X.........xx..x.",
            "snare": "........X......./........X......g",
            "time": "X...X...X...X.../X.x.X.x.X.x.X.x.",
        },
        fills=_DRUMMING,
    ),
    "tom groove": Groove(
        parts={
            "kick": "X.......X......./X...X...X...X.../X.....X...X.....",
            "snare": "................/............X.../....X.......X...",
            "tom3": "X..x..x.X..x..x./x.x.x.x.x.x.x.x./X.xxX.xxX.xxX.xx",
            "tom4": "..x...x...x.x.../x...x...x...x...",
        },
        fills={"toms": 3.0, "roll": 1.0, "flams": 1.0},
    ),
    "surf": Groove(
        parts={
            "kick": "X.......X......./X.....x.X.......",
            "snare": "....X.X.....X.../....X.X.....X.X.",
            "time": "X.x.X.x.X.x.X.x./X...X...X...X...",
        },
        usual="hat ride",
        loud="ride ride shat",
        fills={"roll": 3.0, "toms": 3.0},
    ),
    "disco rock": Groove(
        parts={
            "kick": "X...X...X...X...",
            "snare": "....X.......X.../....X.......X..g",
            "time": "X...X...X...X.../x.x.x.x.x.x.x.x./xoxoxoxoxoxoxoxo",
            "ohat": "................/..X...X...X...X.",
        },
        loud="hat shat shat crash",
        fills=_DRUMMING,
    ),
    "punk": Groove(
        parts={
            "kick": "X.......X......./X.....x.X......./X...X.x.X...X.x./X..x..X.X..x..X.",
            "snare": "....X.......X.../..X...X...X...X.",
            "time": "X.X.X.X.X.X.X.X./X...X...X...X...",
        },
        quiet="hat shat",
        usual="shat hat shat ride",
        loud="shat ohat crash crash ride",
        cross_stick=0.0,
        fills=_WILD,
    ),
    "skate punk": Groove(
        parts={
            "kick": "X...X...X...X.../X...x.x.X...x.x./x..xx...x..xx...",
            "snare": "..X...X...X...X.",
            "time": "X.x.X.x.X.x.X.x./X...X...X...X...",
        },
        quiet="hat shat",
        usual="hat shat ride",
        loud="shat ohat ride crash",
        cross_stick=0.0,
        fills=_WILD,
    ),
    "d-beat": Groove(
        parts={
            "kick": "X..x..x.X..x..x./X..x..xxX..x..x.",
            "snare": "....X.......X...",
            "time": "X.x.X.x.X.x.X.x./X...X...X...X...",
        },
        quiet="shat",
        usual="shat ohat",
        loud="ohat crash crash ride",
        cross_stick=0.0,
        fills=_WILD,
    ),
    "thrash": Groove(
        parts={
            "kick": "X...X...X...X.../x.x.x.x.x.x.x.x./xx.xxx.xxx.xxx.x",
            "snare": "..X...X...X...X.",
            "time": "X.x.X.x.X.x.X.x./X...X...X...X...",
        },
        quiet="hat",
        usual="shat hat",
        loud="shat ride crash china",
        cross_stick=0.0,
        fills=_WILD,
    ),
    "metal": Groove(
        parts={
            "kick": "X.......X.xx..../X.xxX.xxX.xxX.xx/X.xxX.x.X.xxX.x./X..xX..xX..xX..x/xxxxxxxxxxxxxxxx",
            "snare": "....X.......X.../........X.......",
            "time": "X...X...X...X.../X.x.X.x.X.x.X.x.",
        },
        quiet="hat ride shat",
        usual="shat ride hat china",
        loud="china ohat crash ride bell",
        cross_stick=0.0,
        fills=_WILD,
    ),
    "double kick": Groove(
        parts={
            "kick": "x.x.x.x.x.x.x.x./xxxxxxxxxxxxxxxx/xxx.xxx.xxx.xxx.",
            "snare": "....X.......X.../........X.......",
            "time": "X...X...X...X.../X.x.X.x.X.x.X.x.",
        },
        quiet="hat ride",
        usual="ride shat bell",
        loud="china crash ride bell ohat",
        cross_stick=0.0,
        fills=_WILD,
    ),
    "blast": Groove(
        parts={
            "kick": "x.x.x.x.x.x.x.x./xxxxxxxxxxxxxxxx",
            "snare": ".x.x.x.x.x.x.x.x/x.x.x.x.x.x.x.x.",
            "time": "x.x.x.x.x.x.x.x.",
        },
        quiet="hat",
        usual="ride hat",
        loud="ride crash china",
        cross_stick=0.0,
        fills=_WILD,
    ),
    "pop": Groove(
        parts={
            "kick": "X.......X......./X.....x...x...../X......xX......./X.......x.x...../X..x..x...x..x..",
            "snare": "....X.......X.../....X.......X..g",
            "time": "x.o.x.o.x.o.x.o./xoxoxoxoxoxoxoxo/X.x.X.x.X.x.X.x.",
        },
        fills=_DRUMMING | _SMALL,
    ),
    "motown": Groove(
        parts={
            "kick": "X.....x.X......./X..x....X..x..../X.......X.x...x.",
            "snare": "x...x...x...x.../X...X...X...X.../....X.......X...",
            "time": "x.o.x.o.x.o.x.o./x...x...x...x...",
        },
        cross_stick=0.1,
        fills={"roll": 2.0, "toms": 2.0, "snare pickup": 2.0, "flams": 1.0},
    ),
    "ballad": Groove(
        parts={
            "kick": "X.......x......./X.........x...../X.......x.x...../X......xx.......",
            "snare": "....X.......X...",
            "time": "x.o.x.o.x.o.x.o./x...x...x...x.../xooxxooxxooxxoox",
        },
        loud="hat ride ride shat",
        cross_stick=0.6,
        fills=_DRUMMING,
    ),
    "ballad rim": Groove(
        parts={
            "kick": "X.........x...../X.......x......./X.....x.x.......",
            "rim": "....x.......x.../....x..o....x...",
            "time": "x.o.x.o.x.o.x.o./xoooxoooxoooxooo",
        },
        loud="ride hat ride",
        fills=_SMALL,
    ),
    "power ballad": Groove(
        parts={
            "kick": "X.......X......./X......xX.x...../X.....x.X.x...x.",
            "snare": "....X.......X...",
            "time": "X...X...X...X.../X.x.X.x.X.x.X.x.",
        },
        quiet="hat rim hat",
        loud="crash ride shat",
        fills={"toms": 4.0, "roll": 1.0, "flams": 1.0},
    ),
    "slow twelve": Groove(
        parts={
            "kick": "X.....X...../X....xX...../X....xX.x...",
            "snare": "...X.....X../...X....gX..",
            "time": "xooxooxooxoo/x.ox.ox.ox.o",
        },
        usual="hat ride hat",
        loud="ride hat ride",
        cross_stick=0.4,
        fills={"triplets": 4.0, "rest": 1.0},
    ),
    "brush ballad": Groove(
        parts={
            "kick": "o.............../o.......o.......",
            "swirl": "x.......x.......",
            "brush": "....o.......o.../....x.......x..g",
            "time": "................/x...x...x...x...",
            "phat": "....o.......o...",
        },
        quiet="ride",
        usual="ride hat",
        loud="ride",
        fills={"brushes": 3.0, "rest": 1.0},
    ),
    "train": Groove(
        parts={
            "kick": "X...X...X...X.../X.......X.......",
            "snare": "ggggXgggggggXggg/ggXggggXggXgggXg/oggoXggoggoggXgo/ggggXggoggogXggo",
            "time": "................/..o...o...o...o.",
        },
        quiet="phat",
        usual="phat",
        loud="phat ride",
        cross_stick=0.0,
        fills={"roll": 3.0, "snare pickup": 2.0, "flams": 1.0},
    ),
    "two step": Groove(
        parts={
            "kick": "X.......X......./X.......X.....x.",
            "snare": "....X.......X.../....x.......x...",
            "time": "x.o.x.o.x.o.x.o./x...x...x...x...",
        },
        cross_stick=0.7,
        fills=_SMALL,
    ),
    "stomp": Groove(
        parts={
            "kick": "X...X...X...X.../X.......X.......",
            "tambourine": "....x.......x.../..x...x...x...x.",
            "clap": "................/....x.......x...",
            "snare": "................/....X.......X...",
        },
        fills={"rest": 2.0, "toms": 1.0, "snare pickup": 1.0},
    ),
    "folk": Groove(
        parts={
            "kick": "X.......X......./X.....x.X.......",
            "rim": "....o.......o.../................",
            "snare": "................/....x.......x...",
            "shaker": "x.o.x.o.x.o.x.o./xooxxooxxooxxoox",
            "time": "................/x.o.x.o.x.o.x.o.",
        },
        fills=_SMALL,
    ),
    "shaker": Groove(
        parts={
            "kick": "X.......X......./X...............",
            "shaker": "xoxoxoxoxoxoxoxo/x.o.x.o.x.o.x.o.",
            "conga low": "................/......x.......xx",
        },
        fills={"rest": 1.0, "toms": 1.0},
    ),
    "shuffle": Groove(
        parts={
            "kick": "X.......X......./X...x...X...x.../X.....x.X.....x.",
            "snare": "....X.......X.../....X.g.....X.g.",
            "time": "X.x.X.x.X.x.X.x./X.o.X.o.X.o.X.o./X...X.o.X...X.o.",
        },
        usual="hat ride ride",
        loud="ride ride shat",
        cross_stick=0.15,
        fills={"triplets": 3.0, "roll": 1.0, "rest": 0.7, "toms": 1.0},
    ),
    "texas shuffle": Groove(
        parts={
            "kick": "X...X...X...X.../X.....x.X.....x.",
            "snare": "o.g.X.g.o.g.X.g./g.g.X.g.g.g.X.g.",
            "time": "X.o.X.o.X.o.X.o.",
        },
        usual="ride hat",
        loud="ride",
        cross_stick=0.0,
        fills={"triplets": 3.0, "roll": 1.0},
    ),
    "one drop": Groove(
        parts={
            "kick": "........X......./........X.....x.",
            "rim": "........x......./........x..o..../....o...x...o..o",
            "time": "x.o.x.o.x.o.x.o./..x...x...x...x./xoo.xoo.xoo.xoo.",
            "ohat": "................/..............x.",
        },
        usual="hat",
        loud="hat hat ride",
        fills={"timbales": 3.0, "toms": 1.0, "snare pickup": 1.0, "linear": 1.0},
    ),
    "rockers": Groove(
        parts={
            "kick": "X...X...X...X.../X.......X......./X.x.....X.......",
            "snare": "........X......./....X.......X...",
            "time": "x.o.x.o.x.o.x.o./xoxoxoxoxoxoxoxo",
            "ohat": "................/......x.......x.",
        },
        usual="hat",
        loud="hat",
        cross_stick=0.5,
        fills={"timbales": 3.0, "toms": 1.0, "snare pickup": 1.0, "linear": 1.0},
    ),
    "steppers": Groove(
        parts={
            "kick": "X...X...X...X...",
            "rim": "........X......./....x...X...x..x",
            "time": "x.o.x.o.x.o.x.o./..X...X...X...X.",
        },
        usual="hat",
        loud="hat shat",
        fills={"timbales": 2.0, "toms": 1.0, "rest": 1.0},
    ),
    "ska": Groove(
        parts={
            "kick": "........X......./X...X...X...X.../X.......X.......",
            "snare": "........X......./....X.......X...",
            "time": "..X...X...X...X./x.X.x.X.x.X.x.X.",
        },
        usual="hat ride",
        loud="shat ride ohat",
        cross_stick=0.5,
        fills={"roll": 2.0, "toms": 2.0, "timbales": 1.0, "snare pickup": 1.0},
    ),
    "soul": Groove(
        parts={
            "kick": "X.....x...x...../X.x.....x.x...../X..x..x...x.....",
            "snare": "....X.......X.../....X..g.g..X.../....X..g....X..g",
            "time": "x.o.x.o.x.o.x.o./xoxoxoxoxoxoxoxo",
        },
        usual="hat",
        loud="hat ride ride",
        fills=_SMALL | {"roll": 1.5},
    ),
    "sixteenth soul": Groove(
        parts={
            "kick": "X.....xx..x...../X..x..x..xx...../X.x...x...x..x..",
            "snare": "....X..g.g..X..g/....X..g.g.gX...",
            "time": "xoxoxoxoxoxoxoxo/XoxoXoxoXoxoXoxo",
            "ohat": "................/..............x.",
        },
        usual="hat",
        loud="hat ride",
        cross_stick=0.15,
        fills=_SMALL,
    ),
    "funk": Groove(
        parts={
            "kick": "X.x.......x..x../X..x..x...x...../X.....x..xx...../X.x.......xx..x.",
            "snare": "....X..g.g..X..g/....X..g.gg.X.../....X..x.g..X..g",
            "time": "xoxoxoxoxoxoxoxo/x.xox.xox.xox.xo/x.x.x.x.x.x.x.x.",
            "ohat": "................/......x........./..............x.",
        },
        usual="hat",
        loud="hat hat ride shat",
        cross_stick=0.05,
        fills=_SMALL | {"linear": 2.0},
    ),
    "linear funk": Groove(
        parts={
            "kick": "X..x......xx..../X..x..x...x..x..|X.......x.x....x",
            "snare": "....X..g.g..X..g|....X.gg...gX.../..g.X.g..g..X.g.",
            "hat": "xx..x.x.x..x.xx./.xx..x..x.x..x.x",
        },
        cross_stick=0.0,
        fills=_SMALL | {"linear": 3.0},
    ),
    "second line": Groove(
        parts={
            "kick": "X..x..x...x...../X..x..x.X..x..x.",
            "snare": "gxggxggxggxgxggx/XggxggxgggXgxggg|gggXggXgggxggxgg",
            "phat": "....o.......o...",
        },
        cross_stick=0.0,
        fills={"roll": 3.0, "flams": 1.0},
    ),
    "disco": Groove(
        parts={
            "kick": "X...X...X...X...",
            "snare": "....X.......X.../....X..g....X...",
            "hat": "x...x...x...x.../xo..xo..xo..xo../xo.oxo.oxo.oxo.o",
            "ohat": "..X...X...X...X.",
        },
        cross_stick=0.0,
        fills={"roll": 2.0, "toms": 2.0, "build": 1.0, "snare pickup": 1.0},
    ),
    "swing": Groove(
        parts={
            "kick": "................/o...o...o...o.../..........o...../......o.....o...",
            "time": "X...X.o.X...X.o./X...x.o.x...X.o.",
            "phat": "....x.......x...",
            "snare": "................/..........g...../......o........./....g.....o...g.",
        },
        quiet="ride ride hat",
        usual="ride",
        loud="ride ride bell",
        cross_stick=0.2,
        fills={"triplets": 2.0, "snare pickup": 2.0, "linear": 1.0},
    ),
    "bossa": Groove(
        parts={
            "kick": "x..ox..ox..ox..o/x.....o.x.....o.",
            "rim": "x..x..x...x..x..|x..x..x...x..x../x..x..x...x.x...",
            "time": "xoxoxoxoxoxoxoxo/x.o.x.o.x.o.x.o.",
            "phat": "....o.......o...",
        },
        quiet="hat shaker",
        usual="hat ride shaker",
        loud="ride hat",
        fills={"timbales": 1.0, "toms": 1.0, "rest": 1.0},
    ),
    "samba": Groove(
        parts={
            "kick": "X..xX..xX..xX..x/o..xX..xo..xX..x",
            "snare": "gxgggxgxggxgxggx/xggxggxgxggxggxg",
            "time": "x.xxx.xxx.xxx.xx/xoxoxoxoxoxoxoxo",
        },
        quiet="shaker",
        usual="hat shaker",
        loud="ride bell hat",
        cross_stick=0.3,
        fills={"timbales": 2.0, "toms": 2.0, "roll": 1.0},
    ),
    "songo": Groove(
        parts={
            "kick": "...x..x....x..x./...x......x.....",
            "rim": "x..x..x...x.x.../..x.x...x..x..x.",
            "cowbell": "x.x.x.xxx.x.x.xx/x...x.x.x...x.x.",
            "conga low": "......xx......xx",
            "conga high": "x..ox...x..ox...",
            "snare": "................/....g..g....x..g",
        },
        fills={"timbales": 4.0, "toms": 1.0},
    ),
    "cha cha": Groove(
        parts={
            "kick": "X.......X......./......x.......x.",
            "cowbell": "X...x...X...x...",
            "shaker": "x.oox.oox.oox.oo",
            "conga high": "x.ggx.ggx.gg....",
            "conga low": "............x.x.",
            "rim": "................/............x...",
        },
        fills={"timbales": 4.0, "rest": 1.0},
    ),
    "dembow": Groove(
        parts={
            "kick": "X...X...X...X.../X.......X.......",
            "snare": "...x..x....x..x.",
            "time": "................/x.x.x.x.x.x.x.x./xoxoxoxoxoxoxoxo",
        },
        usual="hat shaker",
        loud="hat shaker",
        cross_stick=0.3,
        fills=_DANCE,
    ),
    "hip hop": Groove(
        parts={
            "kick": "X..x......x...../X.....x...xx..../X.x....x..x.....",
            "snare": "....X.......X...",
            "time": "x.x.x.x.x.x.x.x./x.xox.x.x.xxx.x./xoxoxoxoxoxoxoxo",
        },
        usual="hat",
        loud="hat hat shat ride",
        cross_stick=0.15,
        fills={"rest": 4.0, "snare pickup": 2.0, "bark": 1.0, "linear": 1.0},
    ),
    "boom bap": Groove(
        parts={
            "kick": "X......xX......./X.x....x..x...../X..x...xX.x.....|X.x....x..xx....",
            "snare": "....X.......X.../....X..g....X..g/....X....g..X...",
            "time": "x.x.x.x.x.x.x.x./x.xxx.x.x.xxx.x.",
            "ohat": "................/..............x.",
        },
        usual="hat",
        loud="hat ride shat",
        cross_stick=0.1,
        fills={"rest": 3.0, "snare pickup": 2.0, "bark": 1.0},
    ),
    "trap": Groove(
        parts={
            "kick": "X.........x...../X.....x...x...../X..x......x..x../X......x..x..x.x",
            "clap": "........X......./....X.......X...",
            "hat": (
                "x.x.x.x.x.x.x.x./xxxxxxxxxxxxxxxx/x.x.x.x.x.x.xxxxx.x.x.x.x.x.x.x./"
                "x.x.x.x.x.x.x.x.x.x.x.x.xoxoxoxo/x.x.x.xxx.x.x.x.xxxxxxxxx.x.x.x."
            ),
            "snare": "................/..............o.",
        },
        fills={"rest": 3.0, "thirty-seconds": 1.0, "claps": 1.0},
    ),
    "four on the floor": Groove(
        parts={
            "kick": "X...X...X...X...",
            "snare": "....X.......X...",
            "clap": "................/....x.......x...",
            "time": "..x...x...x...x./x.x.x.x.x.x.x.x./xoxoxoxoxoxoxoxo",
        },
        usual="hat shaker",
        loud="ohat shat hat",
        cross_stick=0.0,
        fills=_DANCE | {"toms": 1.0},
    ),
    "house": Groove(
        parts={
            "kick": "X...X...X...X...",
            "clap": "....X.......X...",
            "ohat": "..X...X...X...X.",
            "hat": "................/xo.oxo.oxo.oxo.o/.o.x.o.x.o.x.o.x",
            "perc": "................/...o..o....o..o.",
            "shaker": "................/xoxoxoxoxoxoxoxo",
        },
        fills=_DANCE,
    ),
    "techno": Groove(
        parts={
            "kick": "X...X...X...X...",
            "clap": "................/....x.......x...",
            "ohat": "..x...x...x...x.",
            "hat": "xxxxxxxxxxxxxxxx/oxooxoooxooxoxoo/................",
            "perc": "..o..o..o..o..o./...x....x..x..../................",
            "ride": "................/..x...x...x...x.",
        },
        fills=_DANCE,
    ),
    "breakbeat": Groove(
        parts={
            "kick": "X.x.......xx..../X.x.......x.....|X.x.......xx....",
            "snare": "....X..g.g..X..g/....X..g.g..X..g|....X..g.g....X.",
            "time": "x.x.x.x.x.x.x.x.",
        },
        usual="hat ride",
        loud="ride crash",
        cross_stick=0.0,
        fills={"thirty-seconds": 1.0, "linear": 2.0, "roll": 1.0, "rest": 1.0},
    ),
    "two step dnb": Groove(
        parts={
            "kick": "X.........x...../X.........x..x..",
            "snare": "....X.......X.../....X..g....X..g",
            "time": "x.x.x.x.x.x.x.x./xoxoxoxoxoxoxoxo",
        },
        usual="hat",
        loud="ride hat",
        cross_stick=0.0,
        fills={"thirty-seconds": 1.0, "linear": 2.0, "build": 1.0, "rest": 1.0},
    ),
    "synth pop": Groove(
        parts={
            "kick": "X.......X......./X...X...X...X.../X.....x.X.......",
            "snare": "....X.......X...",
            "clap": "................/....x.......x...",
            "time": "x.x.x.x.x.x.x.x./xoxoxoxoxoxoxoxo/..x...x...x...x.",
            "tom1": "................/..............x.",
        },
        usual="hat",
        loud="hat hat ohat",
        cross_stick=0.0,
        fills={"toms": 3.0, "claps": 1.0, "roll": 1.0, "rest": 1.0},
    ),
    "gospel shout": Groove(
        parts={
            "kick": "X...X...X...X.../X.....x.X.....x.",
            "snare": "..X...X...X...X./....X.......X...",
            "time": "x.x.x.x.x.x.x.x.",
            "tambourine": "x.x.x.x.x.x.x.x./..X...X...X...X.",
            "clap": "..x...x...x...x./................",
        },
        cross_stick=0.0,
        fills=_WILD,
    ),
    "claps": Groove(
        parts={
            "stomp": "X.x.....X.x...../X.......x......./X...X...X...X...",
            "clap": "....X.......X...",
            "perc": "................/..o...o...o...o.",
        },
        fills={"claps": 2.0, "rest": 1.0},
    ),
    "sparse": Groove(
        parts={
            "kick": "X.............../X.........x.....",
            "rim": "................/............o...",
            "time": "................/x.......x......./..o...o...o...o.",
        },
        usual="hat shaker ride",
        loud="hat ride shaker",
        fills={"rest": 1.0, "toms": 1.0},
    ),
}

_PERCUSSION: dict[str, dict[str, str]] = {
    "shaker sixteenths": {"shaker": "xoxoxoxoxoxoxoxo"},
    "shaker eighths": {"shaker": "x.o.x.o.x.o.x.o."},
    "tambourine backbeat": {"tambourine": "....X.......X..."},
    "tambourine eighths": {"tambourine": "o.x.X.x.o.x.X.x."},
    "tambourine sixteenths": {"tambourine": "xogoXogoxogoXogo"},
    "claps": {"clap": "....x.......x..."},
    "cowbell": {"cowbell": "x...x...x...x..."},
    "congas": {"conga high": "x.ggx...x.ggx...", "conga low": "..............xx"},
    "congas sixteenths": {"conga high": "x.gx..x.x.gx..x.", "conga low": "...o..........xx"},
    "tabla": {"tabla low": "x.....x.x.......", "tabla high": "..x.x.....x.xx.x"},
    "perc": {"perc": "...o..x....o..x."},
}
_PERCUSSIVE = {  # how often there is percussion beside the drums
    "latin": 0.9,
    "soul": 0.5,
    "funk": 0.5,
    "disco": 0.7,
    "gospel": 0.5,
    "pop": 0.4,
    "folk": 0.4,
    "reggae": 0.5,
    "ska": 0.25,
    "house": 0.6,
    "indie": 0.35,
    "ballad": 0.3,
    "rock": 0.2,
    "country": 0.25,
    "ambient": 0.3,
    "metal": 0.02,
    "punk": 0.06,
    "jazz": 0.1,
}


@dataclass(frozen=True)
class _Player:
    """One drummer, for a song: when they play early or late, and how evenly.

    Attributes:
        late_s: (limbs, beats): drift of each limb, at each beat of the song.
        looseness_s: Of single strokes.
        unevenness: Of velocities.
        ghosts: How many ghost notes of the patterns are played, and more.
        busy: 0 keeps to the simplest variants.
    """

    late_s: np.ndarray
    looseness_s: float
    unevenness: float
    ghosts: float
    busy: float


def play_drums(song: Song, rng: np.random.Generator, *, is_machine: bool) -> list[Hit]:
    """The strokes of a song's drums and percussion, in order. Machines keep time."""
    names = {
        name: share
        for name, share in STYLES[song.style].grooves.items()
        if not GROOVES[name].is_triplets or song.swing > 0.4
    }
    groove = GROOVES[choose(rng, names)]
    other = GROOVES[choose(rng, names)]  # some songs change it for the chorus
    has_other = rng.random() < 0.3
    player = _draw_player(song, rng, is_machine=is_machine)
    percussion = _draw_percussion(song, rng)
    plans: dict[str, _Plan] = {}
    for section in song.sections:
        if section.name not in plans:
            own = other if has_other and section.name in ("chorus", "bridge") else groove
            plans[section.name] = _plan_section(song, own, section, player, rng)
    hits: list[Hit] = []
    for index, section in enumerate(song.sections):
        if "drums" not in section.plays:
            continue
        following = song.sections[index + 1] if index + 1 < len(song.sections) else None
        hits += _play_section(song, section, following, plans[section.name], player, percussion, rng)
    if "drums" in song.sections[-1].plays and rng.random() < 0.6:
        end_s = song.duration_s + player.looseness_s * rng.standard_normal()
        hits += [Hit(end_s, "kick", 0.9), Hit(end_s, "crash", 0.5 + 0.45 * song.sections[-1].energy)]
    return sorted(_without_collisions(hits), key=lambda hit: hit.start_s)


@dataclass(frozen=True)
class _Plan:
    """How the sections of one name are played: two bars, `main` and its variation, and what fills are like."""

    main: Mapping[str, str]
    varied: Mapping[str, str]
    fills: Mapping[str, float]
    phrase: int


def _draw_player(song: Song, rng: np.random.Generator, *, is_machine: bool) -> _Player:
    n_beats = 4 * song.n_bars + 2
    n_limbs = max(_LIMBS.values()) + 1
    if is_machine:
        return _Player(np.zeros((n_limbs, n_beats)), 0.0, 0.02, 0.3, float(rng.uniform(0.2, 0.9)))
    steps = rng.standard_normal((n_limbs, n_beats)) * rng.uniform(0.001, 0.0035)
    drift = np.zeros((n_limbs, n_beats))
    for beat in range(1, n_beats):
        drift[:, beat] = 0.88 * drift[:, beat - 1] + steps[:, beat]
    # Drummers lay the snare back or push it, and always so.
    drift += rng.normal(0, 0.004, (n_limbs, 1))
    return _Player(
        drift,
        float(rng.uniform(0.001, 0.005)),
        float(rng.uniform(0.03, 0.08)),
        float(rng.random()),
        float(rng.random()),
    )


def _draw_percussion(song: Song, rng: np.random.Generator) -> tuple[tuple[float, Mapping[str, str]], ...]:
    """(least energy of sections, patterns) of what is played beside the drums."""
    if rng.random() >= _PERCUSSIVE.get(song.style, 0.15):
        return ()
    names = rng.choice(list(_PERCUSSION), int(rng.choice([1, 1, 2])), replace=False)
    return tuple((float(rng.choice([0.0, 0.4, 0.7])), _PERCUSSION[str(name)]) for name in names)


def _plan_section(song: Song, groove: Groove, section: Section, player: _Player, rng: np.random.Generator) -> _Plan:
    """Choose the variants for a section: busier ones if it is loud, and only some pieces in some intros and breaks."""
    energy = section.energy

    def pick(text: str) -> str:
        variants = text.split("/")
        place = (0.25 * energy + 0.45 * player.busy + rng.uniform(-0.1, 0.45)) * len(variants)
        return variants[int(np.clip(place, 0, len(variants) - 1))]

    clocks = (groove.quiet if energy < 0.4 else groove.usual if energy < 0.72 else groove.loud).split()
    clock = str(rng.choice(clocks))
    is_soft = energy < 0.55 and rng.random() < groove.cross_stick
    kept = _kept_pieces(section, groove, rng)
    bars = []
    for _ in range(2):
        bar: dict[str, str] = {}
        for piece, text in groove.parts.items():
            if piece in kept:
                name = clock if piece == "time" else "rim" if piece == "snare" and is_soft else piece
                bar[name] = pick(text)
        bars.append(bar)
    main, varied = bars
    changed = str(rng.choice(list(main) or [""]))
    return _Plan(
        main,
        {name: varied.get(name, bar) if name in ("kick", changed) else bar for name, bar in main.items()},
        # Nobody plays thirty-seconds at any speed.
        {kind: weight for kind, weight in groove.fills.items() if kind != "thirty-seconds" or song.beat_s > 0.4},
        int(rng.choice([2, 4, 4, 8])),
    )


def _kept_pieces(section: Section, groove: Groove, rng: np.random.Generator) -> set[str]:
    """Pieces that play: all, but in some intros, breaks, bridges and outros."""
    pieces = set(groove.parts)
    if section.name in ("intro", "break", "bridge", "outro") and rng.random() < (
        0.5 if section.name != "outro" else 0.15
    ):
        some = [
            {"kick", "time", "hat"},
            {"time", "hat", "shaker"},
            {"kick", "stomp"},
            {"kick", "snare"},
            {"kick", "tom3", "rim"},
        ]
        wanted = [kept for kept in some if any(_sounds(groove.parts[piece]) for piece in kept & pieces)]
        if wanted:
            return pieces & wanted[int(rng.integers(len(wanted)))]
    return pieces


def _sounds(text: str) -> bool:
    """Whether each variant has a stroke."""
    return all(set(variant) - set(".|") for variant in text.split("/"))


def _play_section(
    song: Song,
    section: Section,
    following: Section | None,
    plan: _Plan,
    player: _Player,
    percussion: Sequence[tuple[float, Mapping[str, str]]],
    rng: np.random.Generator,
) -> list[Hit]:
    hits: list[Hit] = []
    force = 0.62 + 0.38 * section.energy

    def put(bar: int, step: float, piece: str, velocity: float) -> None:
        if not song.has(step):
            return
        start_s = _played_at(song, player, bar, step, piece, rng)
        level = velocity * force + player.unevenness * rng.standard_normal()
        hits.append(Hit(max(0.0, start_s), piece, float(np.clip(level, 0.08, 1))))

    def put_bar(bar: int, patterns: Mapping[str, str], until: float, *, lead: bool) -> None:
        for piece, text in patterns.items():
            bars = text.split("|")
            line = bars[bar % len(bars)]
            for index, mark in enumerate(line):
                step = index * STEPS / len(line)
                if mark == "." or (step >= until and not (lead and piece in ("kick", "stomp"))):
                    continue
                if mark == "g" and rng.random() > 0.35 + 0.65 * player.ghosts:
                    continue
                # Who keeps time on a crash does not strike it as hard as one that marks a beginning.
                put(bar, step, piece, VELOCITIES[mark] * (0.78 if piece in ("crash", "china") else 1.0))

    extra = {
        piece: text for least, patterns in percussion if section.energy >= least for piece, text in patterns.items()
    }
    for bar in range(section.first_bar, section.first_bar + section.n_bars):
        inside = bar - section.first_bar
        is_last = inside == section.n_bars - 1
        is_turn = inside % plan.phrase == plan.phrase - 1
        fill: list[tuple[float, str, float]] = []
        if is_last and rng.random() < (0.85 if following else 0.5):
            fill = draw_fill(rng, plan.fills, longest=16 if section.energy > 0.5 else 8)
        elif is_turn and inside % 4 == 3 and rng.random() < 0.3:
            fill = draw_fill(rng, plan.fills, longest=4)
        until = min((step for step, _, _ in fill), default=float(STEPS))
        put_bar(bar, plan.varied if is_turn else plan.main, until, lead=bool(fill) and rng.random() < 0.4)
        put_bar(bar, {piece: text for piece, text in extra.items() if piece not in plan.main}, STEPS, lead=False)
        if fill:
            for step, piece, velocity in fill:
                if piece:
                    put(bar, step, piece, velocity)
        elif "hat" in plan.main and rng.random() < 0.12:
            put(bar, 14, "ohat", 0.7)
        if not fill and rng.random() < 0.1 * player.busy:
            put(bar, float(rng.choice([7, 14, 15])), "kick", 0.72)
        crash = _crash(section, inside, rng) if len(plan.main) > 2 else ""
        if crash:
            put(bar, 0, crash, 0.95 if inside == 0 else 0.85)
            if inside == 0 and plan.main.get("kick", ".").startswith("."):
                put(bar, 0, "kick", 0.9)
    return hits


def _crash(section: Section, bar: int, rng: np.random.Generator) -> str:
    """The cymbal that marks a bar of a section, the first above all; "" for none."""
    if bar == 0 and rng.random() < section.energy * (0.95 if section.first_bar else 0.5):
        return choose(rng, {"crash": 0.6, "crash2": 0.3, "china": 0.06, "splash": 0.04})
    if bar and bar % 4 == 0 and rng.random() < 0.35 * section.energy:
        return choose(rng, {"crash": 0.5, "crash2": 0.5})
    return ""


def _played_at(song: Song, player: _Player, bar: int, step: float, piece: str, rng: np.random.Generator) -> float:
    beat = 4 * bar + step / 4
    drift = player.late_s[_LIMBS.get(piece, 3)]
    first = int(beat)
    share = beat - first
    late_s = (1 - share) * drift[first] + share * drift[first + 1]
    return song.time_s(bar, step) + float(late_s) + player.looseness_s * float(rng.standard_normal())


def draw_fill(rng: np.random.Generator, kinds: Mapping[str, float], *, longest: int) -> list[tuple[float, str, float]]:
    """(step, piece, velocity) of a fill at the end of a bar; a piece "" is a rest."""
    kind = choose(rng, kinds)
    if kind == "rest":
        longest = min(longest, 8)
    start = STEPS - int(rng.choice([n for n in (2, 4, 4, 8, 8, 12, 16) if n <= longest]))
    grid = (
        4 / 3
        if kind == "triplets"
        else 0.5
        if kind == "thirty-seconds"
        else 2.0
        if kind in ("eighths", "flams")
        else 1.0
    )
    if kind == "thirty-seconds":
        start = max(start, STEPS - 4)
    if kind == "triplets" and start % 4:
        start = STEPS - 4
    steps = np.arange(start, STEPS - 1e-6, grid)
    rise = np.linspace(rng.uniform(0.5, 0.85), 0.95, len(steps))
    return [
        (float(step), piece, float(velocity) * (1.0 if step % 4 == 0 else float(rng.uniform(0.75, 1.0))))
        for step, velocity in zip(steps, rise, strict=True)
        for piece in _fill_pieces(rng, kind, (step - start) / (STEPS - start), float(step))
    ]


def _fill_pieces(rng: np.random.Generator, kind: str, place: float, step: float) -> tuple[str, ...]:
    """What is struck at a place (0 to 1) of a fill; ("",) is nothing, but the groove waits all the same."""
    toms = ("tom1", "tom2", "tom3", "tom4")
    lower = toms[int(np.clip(4 * place, 0, 3))]
    draw = rng.random()
    if kind == "rest":
        return ("kick", "crash") if place == 0 and draw < 0.3 else ("",)
    if kind in ("roll", "thirty-seconds"):
        return ("snare",)
    if kind in ("toms", "triplets"):
        return ("snare",) if place < 0.2 and draw < 0.7 else (lower,)
    if kind == "eighths":
        return ("snare", "tom4") if draw < 0.5 else (lower,)
    if kind == "flams":
        return ("snare", "tom3", "tom4")[: 1 + int(draw * 3)]
    if kind == "linear":
        return (str(rng.choice(["kick", "snare", lower, "hat", ""], p=[0.25, 0.35, 0.2, 0.15, 0.05])),)
    if kind == "bark":
        return ("ohat",) if step == STEPS - 2 else ("hat",) if step % 2 == 0 else ("",)
    if kind == "snare pickup":
        return ("snare",) if draw < 0.6 or step >= STEPS - 2 else ("",)
    if kind == "build":
        return ("snare",) if place > 0.5 or step % 2 == 0 else ("",)
    if kind == "claps":
        return ("clap",) if draw < 0.6 else ("",)
    if kind == "timbales":
        return (str(rng.choice(["tom1", "tom1", "rim", "snare", ""])),)
    if kind == "brushes":
        return ("brush",) if draw < 0.6 else ("",)
    return (str(rng.choice(["snare", "snare", lower, "kick"])),)


def _without_collisions(hits: list[Hit]) -> list[Hit]:
    """A hand has one stroke at a time: an open hat displaces a closed one, and of equal pieces the loudest stays."""
    ranks = {name: rank for rank, name in enumerate(("phat", "hat", "shat", "ohat"))}
    kept: dict[tuple[str, int], Hit] = {}
    for hit in hits:
        group = "hats" if hit.piece in HATS else hit.piece
        slot = (group, round(hit.start_s / 0.03))
        rival = kept.get(slot)
        better = rival is None or (ranks.get(hit.piece, 0), hit.velocity) > (ranks.get(rival.piece, 0), rival.velocity)
        if better:
            kept[slot] = replace(hit)
    return list(kept.values())
