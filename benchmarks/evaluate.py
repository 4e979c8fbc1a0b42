"""Time to score a track from files, beside museval on the same samples.

    python benchmarks/evaluate.py [--minutes 4] [--museval-seconds 30]

Makes a track of four stems of noise and estimates of them (stereo, 44.1 kHz, 16-bit WAV), and scores it as
`dttnet evaluate --estimates` does, with and without the baselines, in one process: reading, all metrics, writing. Then
both score the same shorter excerpt: museval its BSSEval v4 from arrays, and the largest difference in SDR is printed.
museval needs minutes and many GB for a whole track. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import soundfile

from dttnet.dataset import STEMS, load_dataset
from dttnet.evaluate import plan_files, run
from dttnet.scores import ESTIMATES, TrackScores

RATE = 44100


def make_track(folder: Path, seconds: float) -> None:
    """FOLDER/set/song/STEM.wav and FOLDER/estimates/song/STEM.wav."""
    n_samples = round(seconds * RATE)
    rng = np.random.default_rng(0)
    stems = {stem: 0.1 * rng.standard_normal((n_samples, 2), np.float32) for stem in STEMS}
    bleed = 0.1 * np.sum(list(stems.values()), axis=0)
    for kind in ("set", "estimates"):
        (folder / kind / "song").mkdir(parents=True)
        for stem, audio in stems.items():
            samples = audio if kind == "set" else audio + bleed
            soundfile.write(folder / kind / "song" / f"{stem}.wav", samples, RATE, "PCM_16")


def score(folder: Path, *, baselines: bool) -> tuple[float, TrackScores]:
    """Seconds, with everything but the start of Python, and the scores."""
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        tracks = load_dataset(folder / "set", cache=False).tracks
        (outcome,) = run(plan_files(tracks, folder / "estimates", stems=STEMS, out=Path(out), baselines=baselines))
        assert outcome.scores is not None, outcome.error
        return time.perf_counter() - started, outcome.scores


def score_by_museval(folder: Path) -> tuple[float, np.ndarray]:
    """Seconds without reading, and the SDR (S, W)."""
    sys.modules.setdefault("musdb", types.ModuleType("musdb"))  # museval imports it, and it stops without ffmpeg
    import museval

    audio = [
        np.array([soundfile.read(folder / kind / "song" / f"{stem}.wav")[0] for stem in STEMS])
        for kind in ("set", "estimates")
    ]
    started = time.perf_counter()
    sdr, *_ = museval.evaluate(*audio, win=RATE, hop=RATE)
    return time.perf_counter() - started, sdr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--museval-seconds", type=float, default=30)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        make_track(Path(folder), 60 * args.minutes)
        for baselines in (False, True):
            seconds = min(score(Path(folder), baselines=baselines)[0] for _ in range(3))
            print(
                f"dttnet, {args.minutes:g} minutes{' with baselines' * baselines}: {seconds:.2f} s a track, "
                f"{50 * seconds / 60:.1f} minutes for 50 in one process (best of 3)"
            )
    with tempfile.TemporaryDirectory() as folder:
        make_track(Path(folder), args.museval_seconds)
        ours, scores = min((score(Path(folder), baselines=False) for _ in range(3)), key=lambda result: result[0])
        theirs, sdr = score_by_museval(Path(folder))
        difference = max(
            np.abs(scores.methods[ESTIMATES][stem].museval_sdr - expected).max()
            for stem, expected in zip(STEMS, sdr, strict=True)
        )
        print(
            f"{args.museval_seconds:g} s: dttnet {ours:.2f} s from files, museval {theirs:.1f} s from arrays: "
            f"{theirs / ours:.0f} times as long; largest difference in SDR {difference:.1e} dB"
        )


if __name__ == "__main__":
    main()
