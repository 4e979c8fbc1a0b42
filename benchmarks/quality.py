"""Separation quality on songs whose stems are known, measured through `dttnet separate`.

    python benchmarks/quality.py SONG... [-- options of dttnet separate]

SONG is a folder with vocals, drums, bass and other as audio files of one length and rate; their sum is separated.
Prints the SDR over the whole song (uSDR), 10 log10(sum s^2 / sum (s - s_hat)^2), per stem and on average; beside it
that of the unprocessed mixture. A silent estimate scores 0 dB. Add `--json` output of `dttnet separate` for the time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

STEMS = ("vocals", "drums", "bass", "other")


def sdr_db(reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> float:
    """SDR over all samples and channels (MDX 2021, with its 1e-7 against division by zero)."""
    return float(10 * np.log10((np.sum(reference**2) + 1e-7) / (np.sum((reference - estimate) ** 2) + 1e-7)))


def score(song: Path, options: list[str], folder: Path) -> dict[str, float]:
    """Separate the sum of a song's stems; return the SDR of each stem and the real-time factor."""
    stems = {stem: soundfile.read(next(song.glob(f"{stem}.*")), always_2d=True) for stem in STEMS}
    rate = stems["vocals"][1]
    mixture = sum(audio for audio, _ in stems.values())
    path = folder / f"{song.name}.wav"
    soundfile.write(path, mixture, rate, "FLOAT")
    command = ["dttnet", "separate", str(path), "-o", str(folder / "out"), "--json", *options]
    record = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    result = {}
    for stem, (reference, _) in stems.items():
        estimate, _ = soundfile.read(record["outputs"][stem], always_2d=True)
        result[stem] = sdr_db(reference, estimate)
        print(f"{song.name:20} {stem:8} {result[stem]:6.2f} dB   mixture {sdr_db(reference, mixture):6.2f} dB")
    print(
        f"{song.name:20} {'mean':8} {np.mean(list(result.values())):6.2f} dB   "
        f"real-time factor {record['real_time_factor']}, null {record['null_db']} dBFS"
    )
    return result


def main() -> None:
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    songs, options = arguments[:split], arguments[split + 1 :]
    if not songs:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        for song in songs:
            score(Path(song), options, Path(folder))


if __name__ == "__main__":
    main()
