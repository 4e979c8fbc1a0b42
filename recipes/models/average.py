"""The mean of the weights of several networks, as a checkpoint: `dttnet export` and `ship.py` take it.

    python recipes/models/average.py CHECKPOINT_OR_MODEL... CHECKPOINT -o MEAN.ckpt

For trainings that went on from each other: their weights lie close enough together for the mean to be a network, whose
errors are smaller than theirs (Wortsman et al., "Model soups", arXiv 2203.05482), or which has learned something new
and forgotten little of the old (Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
Everything else is that of the last. Of a model of more stems, such as one of the package, those of the last are taken.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from dttnet.files import whole_file
from dttnet.training.adapt import take_stems
from dttnet.training.start import find_start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    last = args.networks[-1]
    mean = torch.load(last, map_location="cpu", weights_only=True)
    stems = mean["card"]["stems"]
    states = [state_of(name, stems) for name in args.networks]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    for name, those in zip(args.networks, shapes, strict=True):
        if those != shapes[-1]:
            parser.error(f"{name}: another network than that of {last}; give networks that are alike")
    for name, tensor in states[-1].items():
        if tensor.is_floating_point():
            mean["state_dict"][name] = torch.stack([state[name] for state in states]).mean(0)
    # They were not validated.
    mean["validated_step"] = -1
    with whole_file(args.out) as partial:
        torch.save(mean, partial)
    print(f"{args.out}: the mean of {len(states)}")


def state_of(network: str, stems: Sequence[str]) -> dict[str, torch.Tensor]:
    """Weights under the names of a checkpoint."""
    start = find_start(network)
    if list(start.card.stems) != list(stems):
        start = take_stems(start, stems, adds_up=True)
    return {f"network.{name}": tensor for name, tensor in start.state.items()}


if __name__ == "__main__":
    main()
