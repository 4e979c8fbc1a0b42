"""Checkpoints of other programs -> our networks and ONNX files.

The architecture is recognised by the names of the tensors; what is particular to each is in `importers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from dttnet.config import NetworkCard, NetworkConfig, Transform
from dttnet.errors import ModelError
from dttnet.nn.build import build_network
from dttnet.store import PUBLISHED_LICENCE, PUBLISHED_TRAINING_DATA, Published, file_sha256, published
from dttnet.training.checkpoint import read_state_dict
from dttnet.training.export import ParityReport, export
from dttnet.training.importers import Description, Importer, instruments
from dttnet.training.importers.bsrnn import BSRNN
from dttnet.training.importers.dttnet import DTTNET
from dttnet.training.importers.tfc_tdf_unet_v3 import TFC_TDF_UNET_V3

_IMPORTERS = (DTTNET, TFC_TDF_UNET_V3, BSRNN)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A network read from a checkpoint.

    Attributes:
        n_frames: Frames per chunk in training.
        stems: What its configuration file says it separates, in the order of its outputs; empty if there is none.
        assumed: What neither the shapes nor the file say of it, in the other program's names, and the values taken.
    """

    network: nn.Module
    config: NetworkConfig
    transform: Transform
    n_frames: int
    stems: tuple[str, ...]
    assumed: Mapping[str, Any]


def load_reference(path: Path, *, config: Path | None = None) -> Imported:
    """Read a checkpoint of a DTTNet, a TFC-TDF UNet v3 (MDX23C) or a BSRNN.

    Args:
        config: The YAML that was published with it.

    Raises:
        ModelError: A file cannot be read or is damaged, or the tensors are not those of a known architecture; the
            message lists what is missing, unexpected or of the wrong shape.
    """
    settings = _read_yaml(config) if config is not None else {}
    tensors, hyper_parameters = read_state_dict(path)
    importer, state = _recognise(tensors, path)
    for name, value in importer.plain.items():
        if hyper_parameters.get(name, value) != value:
            raise ModelError(f"{path}: a {importer.title} with {name} {hyper_parameters[name]}: only {value} is known")
    found = importer.describe(state, settings, path)
    network = build_network(found.config)
    _check_tensors(network, found, importer.title, path)
    # Half-precision files become float32.
    weights = {name: value.float() if value.is_floating_point() else value for name, value in found.state.items()}
    # Counters of batches steer nothing in evaluation, and some published files lack them.
    network.load_state_dict(network.state_dict() | weights)
    return Imported(
        network=network.eval(),
        config=found.config,
        transform=found.transform,
        n_frames=found.n_frames,
        stems=tuple(re.sub(r"\W+", "_", str(name).lower()) for name in instruments(settings, path)),
        assumed={name: value for name, value in importer.plain.items() if name not in hyper_parameters},
    )


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` made. `assumed`: see `Imported`."""

    path: Path
    card: NetworkCard
    report: ParityReport
    assumed: Mapping[str, Any]
    published: Published | None


def convert(path: Path, stems: Sequence[str] | None, folder: Path, *, config: Path | None = None) -> Conversion:
    """Convert a checkpoint into an ONNX file of the model `folder`, named after its stems.

    Args:
        stems: In the order of the network's outputs; None takes what `config` says.
        config: The YAML that was published with the checkpoint.

    Raises:
        ModelError: See `load_reference`; or the number of stems is not that of the network.
    """
    imported = load_reference(path, config=config)
    stems = stems or imported.stems
    n_stems = imported.config.n_stems
    if not stems:
        raise ModelError(f"{path}: does not say what its {n_stems} outputs are: name them (--stem)")
    if len(stems) != n_stems:
        raise ModelError(f"{path}: the network gives {n_stems} stems, but {len(stems)} are named")
    sha256 = file_sha256(path)
    known = next((entry for entry in published() if entry.sha256 == sha256), None)
    unknown = "unknown: ask whoever gave you the file"
    card = NetworkCard(
        stems=tuple(stems),
        transform=imported.transform,
        n_frames=imported.n_frames,
        frame_multiple=imported.config.frame_multiple,
        hyperparameters=imported.config.to_dict(),
        licence=PUBLISHED_LICENCE if known else unknown,
        training_data=PUBLISHED_TRAINING_DATA if known else unknown,
        source=f"{known.file}: {known.where}" if known else path.name,
        source_sha256=sha256,
    )
    target = folder / f"{'-'.join(stems)}.onnx"
    report = export(imported.network, card, target)
    return Conversion(path=target, card=card, report=report, assumed=imported.assumed, published=known)


def _recognise(state: Mapping[str, Tensor], path: Path) -> tuple[Importer, dict[str, Tensor]]:
    """The architecture that a file's tensors belong to, and those tensors without what wrappers put before the names
    (`model.`, `module.`, `_orig_mod.`, ...)."""
    anchors = [
        (importer, name.removesuffix(importer.anchor))
        for name in state
        for importer in _IMPORTERS
        if f".{name}".endswith(f".{importer.anchor}")
    ]
    if len(anchors) != 1:
        titles = [importer.title for importer in _IMPORTERS]
        expected = ", ".join(importer.anchor for importer in _IMPORTERS)
        raise ModelError(
            f"{path}: not a {', '.join(titles[:-1])} or {titles[-1]}: of its {len(state)} tensors "
            f"{len(anchors) or 'none'} are named {expected}, and one should be; it begins with "
            f"{', '.join(list(state)[:3])}"
        )
    importer, prefix = anchors[0]
    return importer, {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _check_tensors(network: nn.Module, found: Description, title: str, path: Path) -> None:
    wanted = network.state_dict()
    problems = []
    missing = [name for name in wanted if name not in found.state and not name.endswith("num_batches_tracked")]
    unexpected = [found.names[name] for name in found.state if name not in wanted]
    wrong = [
        f"{found.names[name]} is {tuple(tensor.shape)}, must be {tuple(wanted[name].shape)}"
        for name, tensor in found.state.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    not_finite = [found.names[name] for name, tensor in found.state.items() if not torch.isfinite(tensor.float()).all()]
    for what, names in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of the wrong shape", wrong),
        ("with NaN or infinite values", not_finite),
    ):
        if names:
            problems.append(f"\n  {len(names)} {what}: " + ", ".join(names))
    if problems:
        raise ModelError(f"{path}: its tensors are not those of a {title}:" + "".join(problems))


class _SafeYaml(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML comes without types
    """Plain data only, and the tuples that other programs write."""


_SafeYaml.add_constructor("tag:yaml.org,2002:python/tuple", _SafeYaml.construct_sequence)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _SafeYaml)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{path}: not a plain YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path}: not the configuration of a network: it holds no names with values")
    return content
