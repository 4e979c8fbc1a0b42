"""Checkpoints of our own runs, and models that training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dttnet import store
from dttnet.config import NetworkCard
from dttnet.errors import ModelError
from dttnet.runtime.onnx import read_card
from dttnet.runtime.torch import load_network
from dttnet.training.experiment import Experiment, read_experiment

CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
_PREFIX = "network."


@dataclass(frozen=True, kw_only=True)
class Start:
    """A network to start from: what it is and its weights.

    Attributes:
        name: Where it comes from, for messages and cards.
    """

    name: str
    card: NetworkCard
    state: Mapping[str, Tensor]

    def load_into(self, network: nn.Module) -> None:
        """Put the weights into a network.

        Raises:
            ModelError: It is another network.
        """
        wanted = network.state_dict()
        names = sorted(wanted.keys() ^ self.state.keys())
        names += [name for name in wanted.keys() & self.state.keys() if wanted[name].shape != self.state[name].shape]
        if names:
            raise ModelError(
                f"{self.name}: another network than the configuration's ({len(names)} tensors differ, such as "
                f"{names[0]}). Leave `network` out of the configuration to take the model's own"
            )
        network.load_state_dict(self.state)


@dataclass(frozen=True, kw_only=True)
class RunCheckpoint:
    """A checkpoint of one of our runs.

    Attributes:
        step: Steps done.
        state: Weights of the network: the moving average, if the run keeps one.
        usdr: Validation score in dB by stem; empty if these weights were not validated.
        data: What files it was trained on, as `dttnet.training.trainer.fit` sums it up; empty where it was not noted.
    """

    path: Path
    step: int
    experiment: Experiment
    card: NetworkCard
    state: dict[str, Tensor]
    usdr: dict[str, float]
    data: str


def find_start(name: str) -> Start:
    """A model to start from.

    Args:
        name: A model of the package, an ONNX file or a folder, the folder of a run or one of its checkpoints. Of a
            model with several networks of the same stems, it is the first.

    Raises:
        ModelError: There is none, it holds networks of different stems, or it cannot be read.
    """
    path = Path(name)
    if path.suffix == ".ckpt" or (path / CHECKPOINTS).is_dir():
        checkpoint = read_checkpoint(find_checkpoint(path))
        return Start(name=name, card=checkpoint.card, state=checkpoint.state)
    model = store.find(name)
    if len({frozenset(read_card(file).stems) for file in model.files}) > 1:
        files = ", ".join(str(file) for file in model.files)
        raise ModelError(f"{name}: holds {len(model.files)} networks; name one of {files}")
    network, card = load_network(model.files[0])
    return Start(name=name, card=card, state=network.state_dict())


def find_checkpoint(path: Path, *, which: str = "best") -> Path:
    """A checkpoint of a run: the one with the "best" validation score (the last, if there is none), or the "last".

    Args:
        path: Folder of a run, or a checkpoint, which is then the one.

    Raises:
        ModelError: There is none.
    """
    if path.is_file():
        return path
    folder = path / CHECKPOINTS
    best = sorted(folder.glob("best-*.ckpt"), key=_score_of)
    if which == "best" and best:
        return best[-1]
    if not (folder / LAST).is_file():
        raise ModelError(f"{path}: not the folder of a run, or one without a checkpoint ({folder / LAST} is missing)")
    return folder / LAST


def read_checkpoint(path: Path) -> RunCheckpoint:
    """Read a checkpoint of one of our runs.

    Raises:
        ModelError: It is none, or damaged.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state = {
            name.removeprefix(_PREFIX): tensor
            for name, tensor in content["state_dict"].items()
            if name.startswith(_PREFIX)
        }
        return RunCheckpoint(
            path=path,
            step=int(content["global_step"]),
            experiment=read_experiment(content["experiment"], str(path)),
            card=NetworkCard.from_dict(content["card"]),
            state=state,
            usdr=dict(content["usdr"]) if content["validated_step"] == content["global_step"] else {},
            data=str(content.get("data", "")),
        )
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ModelError:
        raise
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: not a checkpoint of a dttnet run, or damaged ({reason})") from error


def _score_of(path: Path) -> float:
    """From the name `best-STEP-SCORE.ckpt`."""
    try:
        return float(path.stem.split("-", 2)[2])
    except (IndexError, ValueError):
        return float("-inf")
