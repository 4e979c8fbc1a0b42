"""How fast songs are made: seconds of four-stem music per second of one CPU, in all and by what is done.

    python benchmarks/songs.py SOURCES [--songs 12] [--split train]

The first song of a process loads sound fonts and analyses voices; it is given by itself, and so is the rest.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dttnet.songs import arrange
from dttnet.songs.build import Plan, open_studio

PARTS = ("render_drums", "render_bass", "render_other", "render_vocals", "produce", "mix", "record")


def timed(function: Callable[..., Any], name: str, spent_s: Counter[str]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        started = time.process_time()
        result = function(*args)
        spent_s[name] += time.process_time() - started  # type: ignore[assignment]  # a Counter of float
        return result

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--split", choices=("train", "valid"), default="train")
    args = parser.parse_args()

    spent_s: Counter[str] = Counter()
    for name in PARTS:
        function = timed(getattr(arrange, name), name, spent_s)
        setattr(arrange, name, function)
        for stem, player in arrange._PLAYERS.items():
            if player.__name__ == name:
                arrange._PLAYERS[stem] = function

    plan = Plan(sources=args.sources, out=Path("unused"), n_songs=1, n_valid=1)
    studio = open_studio(plan, args.split)
    music_s, all_s = 0.0, 0.0
    for number in range(args.songs + 1):
        started = time.process_time()
        take = arrange.render_song(studio, np.random.default_rng(number))
        took_s = time.process_time() - started
        print(f"{number}: {take.song.style}, {take.song.duration_s:.0f} s of music in {took_s:.1f} CPU s", flush=True)
        if number == 0:
            spent_s.clear()
            continue
        music_s, all_s = music_s + take.song.duration_s, all_s + took_s
    print(f"\n{music_s / all_s:.1f} seconds of music per CPU second, the first song left out")
    for name, part_s in spent_s.most_common():
        print(f"  {name}: {part_s / all_s:.0%}")


if __name__ == "__main__":
    main()
