"""Checkpoints of other programs -> our networks.

Reads the reference implementation's Lightning files and the plain state dicts that others publish of the same
networks. The papers' letters and the reference's names live here and nowhere else. Nothing in a file is executed: the
unpickler makes tensors and plain containers, and an inert stand-in for anything else.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dttnet.config import DTTNetConfig, NetworkCard, Transform
from dttnet.errors import ModelError
from dttnet.nn.dttnet import DTTNet
from dttnet.store import PUBLISHED_LICENCE, PUBLISHED_TRAINING_DATA, Published, file_sha256, published
from dttnet.training.export import ParityReport, export

# Reference name -> our name, in this order.
_NAMES = (
    (r"^first_conv\.", "first."),
    (r"^encoding_blocks\.", "encoder."),
    (r"^decoding_blocks\.", "decoder."),
    (r"^ds\.", "down."),
    (r"^us\.", "up."),
    (r"^bottleneck_block1\.", "latent."),
    (r"^bottleneck_block2\.bsrnn\.(\d+)\.0\.", r"dual_path.along_time.\1."),
    (r"^bottleneck_block2\.bsrnn\.(\d+)\.1\.", r"dual_path.along_frequency.\1."),
    (r"^final_conv\.0\.", "last."),
    (r"\.tfc1\.H\.", ".tfc_in."),
    (r"\.tfc2\.H\.", ".tfc_out."),
    (r"\.res\.H\.", ".residual."),
    # A flat row of (linear, norm, activation), in threes.
    (r"\.tdf\.([012])\.", r".tdf.0.\1."),
    (r"\.tdf\.3\.", ".tdf.1.0."),
    (r"\.tdf\.4\.", ".tdf.1.1."),
    (r"\.groupnorm\.", ".norm."),
    (r"\.fc\.", ".project."),
)
# Frozen tensors of the reference's transform, which some files lack.
_TRANSFORM_KEYS = ("window", "freq_pad")
# The published files say nothing of it; all of them are trained with it.
_DEFAULT_N_FFT = 6144
PAPER_FRAMES = 256


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A network read from a checkpoint."""

    network: DTTNet
    config: DTTNetConfig
    transform: Transform


def load_reference(path: Path) -> Imported:
    """Read a DTTNet checkpoint of the reference implementation.

    Raises:
        ModelError: The file is not a checkpoint, is damaged, or its tensors are not those of a DTTNet; the message
            lists what is missing, unexpected or of the wrong shape.
    """
    state = strip_prefix(read_state_dict(path), path)
    transform_state = {name: state.pop(name) for name in _TRANSFORM_KEYS if name in state}
    config = infer_config(state, path)
    transform = _infer_transform(transform_state, config, path)
    network = DTTNet(config)
    renamed = {_rename(name): name for name in state}
    _check_tensors(network, {ours: state[theirs] for ours, theirs in renamed.items()}, renamed, path)
    # Half-precision files become float32; Lightning's counters of batches are not needed, and kept where they are.
    network.load_state_dict(
        {
            ours: state[theirs].float() if state[theirs].is_floating_point() else state[theirs]
            for ours, theirs in renamed.items()
        }
    )
    return Imported(network=network.eval(), config=config, transform=transform)


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` made."""

    path: Path
    card: NetworkCard
    report: ParityReport
    published: Published | None


def convert(path: Path, stems: Sequence[str], folder: Path) -> Conversion:
    """Convert a reference checkpoint into an ONNX file of the model `folder`, named after its stems.

    Raises:
        ModelError: See `load_reference`; or the number of stems is not that of the network.
    """
    imported = load_reference(path)
    if len(stems) != imported.config.n_stems:
        raise ModelError(f"{path}: the network gives {imported.config.n_stems} stems, but {len(stems)} are named")
    sha256 = file_sha256(path)
    known = next((entry for entry in published() if entry.sha256 == sha256), None)
    unknown = "unknown: ask whoever gave you the file"
    card = NetworkCard(
        stems=tuple(stems),
        transform=imported.transform,
        n_frames=PAPER_FRAMES,
        frame_multiple=imported.config.frame_multiple,
        hyperparameters=imported.config.to_dict(),
        licence=PUBLISHED_LICENCE if known else unknown,
        training_data=PUBLISHED_TRAINING_DATA if known else unknown,
        source=f"{known.file}: {known.where}" if known else path.name,
        source_sha256=sha256,
    )
    target = folder / f"{'-'.join(stems)}.onnx"
    report = export(imported.network, card, target)
    return Conversion(path=target, card=card, report=report, published=known)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors by name of a safetensors file, or of a checkpoint: of its state dict, if that is an entry of it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _refuse_programs(path)
        content = torch.load(path, map_location="cpu", pickle_module=_SafePickle, weights_only=False)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a checkpoint that torch can read, or damaged ({reason})") from error
    for key in ("state_dict", "state", "model", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = (
        {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise ModelError(f"{path}: holds no tensors by name; give a Lightning checkpoint or a state dict")
    return tensors


def _refuse_programs(path: Path) -> None:
    """torch.load would hand a TorchScript archive to its interpreter, whatever the unpickler."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(PurePosixPath(name).name == "constants.pkl" for name in archive.namelist()):
                raise ModelError(f"{path}: a TorchScript program, not a checkpoint: it is not run")


def strip_prefix(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Take off what wrappers put before the names (`model.`, `module.`, `_orig_mod.`, ...); drop other networks."""
    anchors = [name for name in state if name.endswith("first_conv.0.weight")]
    if len(anchors) != 1:
        what = "none" if not anchors else "several"
        raise ModelError(
            f"{path}: not a DTTNet: {what} of its {len(state)} tensors is named first_conv.0.weight; "
            f"it begins with {', '.join(list(state)[:3])}"
        )
    prefix = anchors[0].removesuffix("first_conv.0.weight")
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def infer_config(state: Mapping[str, Tensor], path: Path) -> DTTNetConfig:
    """Read the hyper-parameters off the shapes, in the reference's names."""

    def shape(name: str, n_dimensions: int) -> tuple[int, ...]:
        if name not in state:
            raise ModelError(f"{path}: not a DTTNet: {name} is missing")
        if state[name].ndim != n_dimensions:
            raise ModelError(f"{path}: {name} has the shape {tuple(state[name].shape)}: {n_dimensions} axes expected")
        return tuple(state[name].shape)

    def count(pattern: str) -> int:
        found = {int(match[1]) for name in state if (match := re.match(pattern, name))}
        return len(found)

    growth, n_packed, *_ = shape("first_conv.0.weight", 4)
    n_out = shape("final_conv.0.weight", 4)[0]
    if n_packed != 4 or n_out % n_packed:
        raise ModelError(
            f"{path}: first_conv takes {n_packed} channels and final_conv gives {n_out}: only 4 (stereo, real and "
            "imaginary) and a multiple of it are known"
        )
    n_scales = count(r"encoding_blocks\.(\d+)\.")
    # The first block with the full number of bins; without scales there is only the latent one.
    block = "encoding_blocks.0" if n_scales else "bottleneck_block1"
    n_hidden, n_bins = shape(f"{block}.tdf.0.weight", 2)
    has_bottleneck = f"{block}.tdf.3.weight" in state
    n_layers = count(r"bottleneck_block2\.bsrnn\.(\d+)\.")
    n_heads, rnn = 1, "lstm"
    if n_layers:
        (n_head_channels,) = shape("bottleneck_block2.bsrnn.0.0.groupnorm.weight", 1)
        n_gate_rows, n_rnn_hidden = shape("bottleneck_block2.bsrnn.0.0.rnn.weight_hh_l0", 2)
        n_heads = max(1, growth * (n_scales + 1) // max(1, n_head_channels))
        rnn = {4: "lstm", 3: "gru"}.get(n_gate_rows // max(1, n_rnn_hidden), "lstm")
    try:
        return DTTNetConfig(
            n_bins=n_bins,
            n_audio_channels=n_packed // 2,
            n_stems=n_out // n_packed,
            growth=growth,
            n_scales=n_scales,
            convs_per_block=count(rf"{re.escape(block)}\.tfc1\.H\.(\d+)\."),
            kernel_size=shape(f"{block}.tfc1.H.0.0.weight", 4)[-1],
            bottleneck_factor=max(1, n_bins // max(1, n_hidden)) if has_bottleneck else None,
            n_dual_path_layers=n_layers,
            n_heads=n_heads,
            rnn=rnn,  # type: ignore[arg-type]  # one of the two by construction
            # Group and instance normalisation have the same tensors; the reference knows only the former.
            norm="batch" if "first_conv.1.running_mean" in state else "group",
        )
    except ModelError as error:
        raise ModelError(f"{path}: the shapes are not those of a DTTNet: {error}") from error


def _infer_transform(frozen: Mapping[str, Tensor], config: DTTNetConfig, path: Path) -> Transform:
    n_fft = _DEFAULT_N_FFT
    if "window" in frozen:
        n_fft = frozen["window"].numel()
    elif "freq_pad" in frozen and frozen["freq_pad"].ndim == 4:
        n_fft = 2 * (frozen["freq_pad"].shape[2] + config.n_bins - 1)
    try:
        return Transform(n_fft=n_fft, n_bins=config.n_bins)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _check_tensors(network: DTTNet, state: Mapping[str, Tensor], renamed: Mapping[str, str], path: Path) -> None:
    wanted = network.state_dict()
    problems = []
    # Counters of batches steer nothing in evaluation, and some published files lack them.
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [renamed[name] for name in state if name not in wanted]
    wrong = [
        f"{renamed[name]} is {tuple(tensor.shape)}, must be {tuple(wanted[name].shape)}"
        for name, tensor in state.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    not_finite = [renamed[name] for name, tensor in state.items() if not torch.isfinite(tensor.float()).all()]
    for title, names in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of the wrong shape", wrong),
        ("with NaN or infinite values", not_finite),
    ):
        if names:
            problems.append(f"\n  {len(names)} {title}: " + ", ".join(names))
    if problems:
        raise ModelError(f"{path}: its tensors are not those of a DTTNet:" + "".join(problems))


def _rename(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


class _Inert:
    """Stands for any object of a class we do not make: takes everything, does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
}


class _SafeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module == "torch" and name.endswith("Storage") and hasattr(torch, name):
            return getattr(torch, name)
        return _Inert


# What torch.load wants of a pickle module.
_SafePickle = SimpleNamespace(
    Unpickler=_SafeUnpickler,
    load=lambda file, **options: _SafeUnpickler(file, **options).load(),
    loads=lambda data, **options: _SafeUnpickler(io.BytesIO(data), **options).load(),
    __name__="dttnet.training.checkpoint",
)
