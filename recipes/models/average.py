"""The mean of the weights of several checkpoints, as a checkpoint: `dttnet export` and `ship.py` take it.

    python recipes/models/average.py CHECKPOINT CHECKPOINT... -o MEAN.ckpt

For trainings that went on from each other: their weights lie close enough together for the mean to be a network, whose
errors are smaller than theirs (Wortsman et al., "Model soups", arXiv 2203.05482). Everything else is that of the last.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dttnet.files import whole_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    contents = [torch.load(path, map_location="cpu", weights_only=True) for path in args.checkpoints]
    states = [content["state_dict"] for content in contents]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    for path, those in zip(args.checkpoints, shapes, strict=True):
        if those != shapes[-1]:
            parser.error(f"{path}: another network than that of {args.checkpoints[-1]}; give checkpoints of one")
    mean = contents[-1]
    for name, tensor in states[-1].items():
        if tensor.is_floating_point():
            mean["state_dict"][name] = torch.stack([state[name] for state in states]).mean(0)
    # They were not validated.
    mean["validated_step"] = -1
    with whole_file(args.out) as partial:
        torch.save(mean, partial)
    print(f"{args.out}: the mean of {len(states)}")


if __name__ == "__main__":
    main()
