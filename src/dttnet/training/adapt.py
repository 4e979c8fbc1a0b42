"""A model to start from, made to fit another network: some of its stems, more of the spectrum, more channels, another
dual path or more of it, input of one level.

Shapes: S stems of the network, C channels (real and imaginary ones), n bins or sub-bands that share a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from dttnet.config import DTTNetConfig, PathType, network_config
from dttnet.errors import UsageError
from dttnet.nn.dual_path import DualPath
from dttnet.nn.tfc_tdf import count_groups
from dttnet.training.start import Start

_FIRST = "first."
_LAST = "last."
_ALONG_BINS = ".tdf."
_DUAL_PATH = "dual_path."
_ATTENDED = ".attended."
_UP = "up."


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


def repeat_channels(start: Start, growth: int, *, seed: int) -> Start:
    """A start with several times the channels of another, which gives the same.

    Every channel and every head is there `n` times, and what takes channels in shares its weights out among the copies
    at random, so that copies learn different things (Chen et al., "Net2Net", arXiv 1511.05641, section 2.2).

    Args:
        start: A DTTNet with batch or instance normalisation.
        growth: `n` times that of the start.
        seed: Of the shares.

    Raises:
        UsageError: It is another network, or `growth` no multiple of its own.
    """
    config = network_config(dict(start.card.hyperparameters))
    if not isinstance(config, DTTNetConfig) or config.norm == "group" or growth % config.growth:
        raise UsageError(
            f"{start.name}: growth={growth} can only start from a DTTNet without group normalisation that has a whole "
            "part of it"
        )
    n = growth // config.growth
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in start.state.items():
        if name.startswith(_DUAL_PATH) or tensor.ndim == 0 or (_ALONG_BINS in name and tensor.ndim == 2):
            state[name] = tensor  # heads share weights, bins are no channels
        elif name.startswith(_FIRST) or tensor.ndim == 1:
            is_output = name.startswith(_LAST)
            state[name] = tensor if is_output else tensor.repeat(n, *[1] * (tensor.ndim - 1))
        elif name.startswith(_LAST):
            seen, spectrum = torch.split(tensor, [config.growth, tensor.shape[1] - config.growth], 1)
            state[name] = torch.cat([_share_out(seen, n, generator), spectrum], 1)
        elif name.startswith(_UP):  # (C in, C out, T, F)
            tensor = tensor.transpose(0, 1).repeat(n, 1, 1, 1)
            state[name] = _share_out(tensor, n, generator).transpose(0, 1).contiguous()
        else:
            state[name] = _share_out(tensor.repeat(n, 1, 1, 1), n, generator)
    wide = replace(config, growth=growth, n_heads=n * config.n_heads)
    return Start(name=start.name, card=replace(start.card, hyperparameters=wide.to_dict()), state=state)


def exchange_path(start: Start, path: PathType, *, n_layers: int, n_heads: int, seed: int) -> Start:
    """A start with an untrained dual path of another kind, which begins as passing on what it gets.

    Args:
        start: A DTTNet.
        path: Kind of the new one.
        n_layers: Its layers.
        n_heads: Its heads.
        seed: Of its weights.

    Raises:
        UsageError: It is another architecture.
    """
    config = _config_of_dttnet(start, "start with another dual path")
    state = {name: tensor for name, tensor in start.state.items() if not name.startswith(_DUAL_PATH)}
    new = replace(config, rnn=path, n_dual_path_layers=n_layers, n_heads=n_heads)
    state |= _silent_path(new, seed=seed)
    return Start(name=start.name, card=replace(start.card, hyperparameters=new.to_dict()), state=state)


def change_depth(start: Start, n_layers: int, *, seed: int) -> Start:
    """A start with more layers in its dual path, which begin as passing on what they get, or with its first ones only.

    Args:
        start: A DTTNet.
        n_layers: Of the new one.
        seed: Of the weights of new layers.

    Raises:
        UsageError: It is another architecture.
    """
    config = _config_of_dttnet(start, "have a dual path of another depth")
    new = replace(config, n_dual_path_layers=n_layers)
    state = _silent_path(new, seed=seed)
    # Its own layers are the first ones.
    state |= {name: tensor for name, tensor in start.state.items() if name in state or not name.startswith(_DUAL_PATH)}
    return Start(name=start.name, card=replace(start.card, hyperparameters=new.to_dict()), state=state)


def join_heads(start: Start, n_heads: int) -> Start:
    """A start whose heads of the dual path share weights no longer, which gives the same.

    `n` heads become one that has the weights of each for its own channels and none between them, until it is trained.

    Args:
        start: A DTTNet with attention in its dual path.
        n_heads: The heads of the start are `n` times as many.

    Raises:
        UsageError: It is another network, or the numbers do not fit: normalisation sees groups of 16 channels, and so
            a head must have a multiple of that.
    """
    config = _config_of_dttnet(start, "have its heads joined")
    n = config.n_heads // n_heads
    n_channels = config.latent_channels // config.n_heads
    if config.rnn != "attention" or n * n_heads != config.n_heads or count_groups(n_channels) * 16 != n_channels:
        raise UsageError(
            f"{start.name}: {config.n_heads} heads of {n_channels} channels ({config.rnn}) cannot become {n_heads}: "
            "that takes attention, a whole part of the heads and heads of 16 channels or a multiple"
        )
    eye = torch.eye(n)
    state = dict(start.state)
    for name, tensor in start.state.items():
        if not name.startswith(_DUAL_PATH):
            continue
        n_parts = 3 if _ATTENDED in name else 1  # queries, keys and values, each of all heads
        parts = tensor.chunk(n_parts)
        state[name] = torch.cat([part.repeat(n) if part.ndim == 1 else torch.kron(eye, part) for part in parts])
    card = replace(start.card, hyperparameters=replace(config, n_heads=n_heads).to_dict())
    return Start(name=start.name, card=card, state=state)


def level_input(start: Start, rms: float) -> Start:
    """A start that hears every song at one level: as it was where the input has this root mean square.

    Args:
        start: A DTTNet.
        rms: See `DTTNetConfig.input_rms`.

    Raises:
        UsageError: It is another architecture, or knows another level already.
    """
    config = _config_of_dttnet(start, "have its input levelled")
    if config.input_rms:
        raise UsageError(
            f"{start.name} knows songs of the level {config.input_rms}, the configuration has {rms}: give "
            f"network.input_rms={config.input_rms}"
        )
    return replace(start, card=replace(start.card, hyperparameters=replace(config, input_rms=rms).to_dict()))


def _config_of_dttnet(start: Start, can: str) -> DTTNetConfig:
    config = network_config(dict(start.card.hyperparameters))
    if not isinstance(config, DTTNetConfig):
        raise UsageError(f"{start.name}: only a DTTNet can {can}, this is {config.architecture}")
    return config


def _silent_path(config: DTTNetConfig, *, seed: int) -> dict[str, torch.Tensor]:
    """Weights of a dual path that passes on what it gets."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = DualPath(
            config.latent_channels, n_layers=config.n_dual_path_layers, n_heads=config.n_heads, path=config.rnn
        )
    for unit in (*module.along_time, *module.along_frequency):
        unit.silence()
    return {_DUAL_PATH + name: tensor for name, tensor in module.state_dict().items()}


def _share_out(weight: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    """(C out, C, ...) -> (C out, n C, ...) for `n` copies of the input: random shares that add up to one."""
    shares = 0.5 + torch.rand(n, *weight.shape[:2], generator=generator)
    shares = (shares / shares.sum(0)).movedim(0, 1)[..., *[None] * (weight.ndim - 2)]  # (C out, n, C, ...)
    return (shares * weight[:, None]).flatten(1, 2)
