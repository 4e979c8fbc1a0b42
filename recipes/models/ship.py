"""Put trained networks into the package as one of its models.

    python recipes/models/ship.py NAME RUN[:STEM,STEM]... --scores DIR

Each RUN is the folder of a run or a checkpoint, of which all stems are taken, or those that are named. DIR is what
`dttnet evaluate` wrote for them on the test song: its scores become part of the files. The card,
src/dttnet/weights/NAME/CARD.md, is written by hand and must say the same.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dttnet import store
from dttnet.files import whole_file
from dttnet.training.release import release

PACKAGE = Path(__file__).parents[2] / "src" / "dttnet"
LICENCE = "Apache-2.0"
TRAINING_DATA = (
    "Songs that `dttnet data build-open` made of openly licensed sounds (CC0, CC BY, MIT, public domain and the like), "
    "some of them excerpts of one album (CC0); see the model's card for every source"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--scores", type=Path, required=True)
    args = parser.parse_args()
    usdr = json.loads((args.scores / "summary.json").read_text(encoding="utf-8"))["methods"]["estimates"]["usdr"]
    quality = "uSDR on the test song: " + ", ".join(
        f"{name} {value:.1f} dB" for name, value in usdr.items() if value is not None
    )
    folder = PACKAGE / "weights" / args.name
    hashes = {}
    for old in folder.glob("*.onnx"):
        old.unlink()
    for text in args.runs:
        run, _, stems = text.partition(":")
        released = release(
            Path(run),
            folder,
            which="last",
            stems=stems.split(",") if stems else None,
            licence=LICENCE,
            training_data=TRAINING_DATA,
            quality=quality,
            half_weights=True,
        )
        released.card_path.unlink()  # one card for all of the model's files
        hashes[released.path.name] = store.file_sha256(released.path)
        print(f"{released.path}: {released.path.stat().st_size / 1e6:.1f} MB, {released.report}\n{quality}")
    registry = store.registry()
    registry["shipped"].setdefault(args.name, {})["sha256"] = hashes
    with whole_file(PACKAGE / "registry.json") as partial:
        partial.write_text(json.dumps(registry, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
