"""The table of a model's card: what its training songs were made of.

    python recipes/models/sources.py SONGS[=WEIGHT]...

SONGS are folders of `dttnet data build-open`; WEIGHT is the share of examples that came from each, as `dttnet train`
has it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from dttnet.dataset import STEMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", metavar="SONGS[=WEIGHT]")
    args = parser.parse_args()
    weighted = [(text.partition("=")[0], float(text.partition("=")[2] or 1)) for text in args.songs]
    total = sum(weight for _, weight in weighted)
    sources: dict[str, dict[str, str]] = {}
    shares: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for folder, weight in weighted:
        manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
        for name, source in manifest["sources"].items():
            for stem, share in source["share"].get("train", {}).items():
                sources[name] = source
                shares[name][stem] += share * weight / total
    print("| source | author | licence | share |\n|---|---|---|---|")
    for name in sorted(shares):
        source = sources[name]
        parts = [f"{stem} {text(shares[name][stem])}" for stem in STEMS if stem in shares[name]]
        where = f": {source['url'].replace('https://', '')} {source['commit']}" if "url" in source else ""
        terms = f": {source['terms']}" if source.get("terms") else ""
        print(f"| {source['title']}{where} | {source['author']} | {source['licence']}{terms} | {', '.join(parts)} |")


def text(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


if __name__ == "__main__":
    main()
