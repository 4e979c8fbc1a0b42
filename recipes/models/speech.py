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
from dttnet.songs.signals import RATE, Float

_USE = "voice.speech"
_GAP_S = 0.4
_RMS = 0.08
"""-22 dBFS: peaks of speech then stay below full scale, mostly."""


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
    gap = np.zeros(round(_GAP_S * RATE), np.float32)
    parts = []
    for recording in recordings:
        x = recording.mean(0)
        x = x * (_RMS / max(float(np.sqrt(np.square(x).mean())), 1e-6))
        parts += [x, gap]
    return np.concatenate(parts)[None]


if __name__ == "__main__":
    main()
