"""Turn a run of `train.py` into a model that `dttnet separate -n` takes.

python recipes/first_model/export.py RUN/checkpoint.pt MODEL.onnx [--quality "..."]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from train import STEMS

from dttnet.config import DTTNetConfig, NetworkCard, Transform
from dttnet.nn.dttnet import DTTNet
from dttnet.training.export import export

TRAINING_DATA = (
    "One album (CC0), single instrument notes, drum hits, sung syllables and read speech under CC0, CC BY, MIT or "
    "public domain, and two General MIDI sound fonts (MIT), mixed at random; see the model's card for every source"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--quality", default="")
    args = parser.parse_args()

    state = torch.load(args.checkpoint, weights_only=True)
    config = DTTNetConfig.from_dict(state["config"])
    network = DTTNet(config)
    network.load_state_dict(state["ema_weights"])
    card = NetworkCard(
        stems=STEMS,
        transform=Transform(n_bins=config.n_bins),
        n_frames=64,
        frame_multiple=config.frame_multiple,
        hyperparameters=config.to_dict(),
        licence="Apache-2.0",
        training_data=TRAINING_DATA,
        quality=args.quality,
        source=f"recipes/first_model, {state['step']} steps",
    )
    print(export(network, card, args.model, half_weights=True))


if __name__ == "__main__":
    main()
