"""Speech without music, as tracks of vocals alone: trained on a little of it, a separator leaves speech whole.

    python recipes/models/speech.py SOURCES OUT

SOURCES is what `dttnet data build-open` takes. For each source of speech OUT gets a track with all its recordings, one
after the other at one level: in the split "train", or "test" for those whose voices validation songs alone are made of.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dttnet.audio import write_audio
from dttnet.songs.library import Library
from dttnet.songs.signals import RATE, Float, level_db, mono, silence

_USE = "voice.speech"
_GAP_S = 0.4
_LEVEL_DB = -22.0
"""Peaks of speech then stay below full scale, mostly."""

_LEAST_DB = -120.0
"""Of a recording: a softer one is silence."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, metavar="SOURCES")
    parser.add_argument("out", type=Path, metavar="OUT")
    args = parser.parse_args()
    for split, held_out in (("train", False), ("test", True)):
        library = Library(args.sources, held_out=held_out, only=(_USE,))
        for source in library.sources(_USE):
            recordings = [library.read(source, name) for name in library.files(source)]
            write_audio(args.out / split / source.id / "vocals.flac", join(recordings), sample_rate=RATE)


def join(recordings: list[Float]) -> Float:
    """(1, N) of recordings (C, N): each at one level, with a gap behind it."""
    parts = []
    for recording in recordings:
        x = mono(recording)
        gain = 10 ** ((_LEVEL_DB - max(level_db(x), _LEAST_DB)) / 20)
        parts += [x * np.float32(gain), silence(_GAP_S, n_channels=1)]
    return np.concatenate(parts, axis=1)


if __name__ == "__main__":
    main()
