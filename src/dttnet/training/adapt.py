"""A model to start from, made to fit another network: some of its stems, more of the spectrum.

Shapes: S stems of the network, C channels (real and imaginary ones), n bins or sub-bands that share a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from dttnet.config import DTTNetConfig, network_config
from dttnet.errors import UsageError
from dttnet.training.start import Start

_LAST = "last."
_ALONG_BINS = ".tdf."


def take_stems(start: Start, stems: Sequence[str], *, adds_up: bool) -> Start:
    """A start with these stems of another.

    Args:
        start: A DTTNet.
        stems: Some of its stems.
        adds_up: Its estimates are made to add up to the mixture, each by an equal share of what is missing. A network
            of masks takes that into its last layer, which is linear, and then gives the same for the stems that are
            left: exactly, but where masks are limited. One that gives spectra has to learn it.

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
    state = dict(start.state)
    for name, tensor in start.state.items():
        if not name.startswith(_LAST):
            continue
        rows = tensor.reshape(config.n_stems, 2 * config.n_audio_channels, -1, *tensor.shape[1:])  # (S, C, n, ...)
        if adds_up and config.mask:
            rows = rows - rows.mean(0, keepdim=True)
            if name.endswith("bias"):
                # Masks that add up to one: a real number, so it belongs to the real channels.
                rows[:, 0::2] += 1 / config.n_stems
        state[name] = torch.flatten(rows[positions], 0, 2)
    taken = replace(config, n_stems=len(positions), masks_add_up=False)
    card = replace(start.card, stems=tuple(stems), hyperparameters=taken.to_dict())
    return Start(name=start.name, card=card, state=state)


def repeat_bins(start: Start, n_bins: int) -> Start:
    """A start for more of the spectrum than another has seen.

    All layers of a DTTNet do the same at every bin, but for the linear ones along them. Those are repeated: every part
    of the spectrum is treated as the lowest one is, until training tells them apart. To begin on the lowest bins, where
    most of the energy is, costs that share of the work.

    Args:
        start: A DTTNet without sub-bands and bands.
        n_bins: A multiple of its bins.

    Raises:
        UsageError: It is another network, or `n_bins` no multiple.
    """
    config = network_config(dict(start.card.hyperparameters))
    if not isinstance(config, DTTNetConfig) or config.n_subbands > 1 or config.band_widths or n_bins % config.n_bins:
        raise UsageError(
            f"{start.name} sees {config.n_bins} bins, the configuration has {n_bins}: more bins can be had by "
            "repeating those of a DTTNet without sub-bands and bands, a whole number of times"
        )
    blocks = torch.eye(n_bins // config.n_bins)
    state = {
        name: torch.kron(blocks, tensor) if _ALONG_BINS in name and tensor.ndim == 2 else tensor
        for name, tensor in start.state.items()
    }
    card = replace(
        start.card,
        transform=replace(start.card.transform, n_bins=n_bins),
        hyperparameters=replace(config, n_bins=n_bins).to_dict(),
    )
    return Start(name=start.name, card=card, state=state)
