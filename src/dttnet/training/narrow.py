"""From a network that gives several stems to one that gives some of them, to specialise it by going on with training.

Shapes: S stems of the network, C channels (real and imaginary ones), n bins or sub-bands that share a position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dttnet.config import DTTNetConfig, network_config
from dttnet.errors import UsageError
from dttnet.training.start import Start

_LAST = "last."


def narrow(start: Start, stems: Sequence[str], *, adds_up: bool) -> Start:
    """A start with these stems of another.

    Args:
        start: A DTTNet.
        stems: Some of its stems.
        adds_up: Its estimates are made to add up to the mixture, each by an equal share of what is missing. A network
            of masks takes that into its last layer, which is linear, and then gives exactly the same for the stems
            that are left. One that gives spectra has to learn it.

    Raises:
        UsageError: It is another architecture.
    """
    known = start.card.stems
    config = network_config(dict(start.card.hyperparameters))
    if not isinstance(config, DTTNetConfig):
        raise UsageError(
            f"{start.name}: some of the stems of a network can be taken only from a DTTNet, this is "
            f"{config.architecture}; train all of {', '.join(known)}"
        )
    positions = [known.index(stem) for stem in stems]
    state = _take(start.state, config, positions, adds_up=adds_up and config.mask)
    hyperparameters = replace(config, n_stems=len(stems)).to_dict()
    card = replace(start.card, stems=tuple(stems), hyperparameters=hyperparameters)
    return Start(name=start.name, card=card, state=state)


def _take(
    state: Mapping[str, Tensor], config: DTTNetConfig, positions: Sequence[int], *, adds_up: bool
) -> dict[str, Tensor]:
    taken = dict(state)
    for name, tensor in state.items():
        if not name.startswith(_LAST):
            continue
        rows = tensor.reshape(config.n_stems, 2 * config.n_audio_channels, -1, *tensor.shape[1:])  # (S, C, n, ...)
        if adds_up:
            rows = rows - rows.mean(0, keepdim=True)
            if name.endswith("bias"):
                # Masks that add up to one: a real number, so it belongs to the real channels.
                rows[:, 0::2] += 1 / config.n_stems
        taken[name] = torch.flatten(rows[list(positions)], 0, 2)
    return taken
