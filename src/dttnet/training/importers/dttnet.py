"""DTTNet as the authors publish it (junyuchen-cjy/DTTNet-Pytorch), and as others republish it without the transform."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dttnet.config import DTTNetConfig, Transform
from dttnet.errors import ModelError
from dttnet.training.importers import Description, Importer, Shapes, rename

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
_PAPER_FRAMES = 256


def _describe(state: Mapping[str, Tensor], settings: Mapping[str, Any], path: Path) -> Description:
    del settings  # everything can be read off the shapes
    weights = {name: tensor for name, tensor in state.items() if name not in _TRANSFORM_KEYS}
    config = _infer_config(weights, path)
    names = {rename(name, _NAMES): name for name in weights}
    return Description(
        config=config,
        transform=_infer_transform(state, config, path),
        n_frames=_PAPER_FRAMES,
        state={ours: weights[theirs] for ours, theirs in names.items()},
        names=names,
    )


def _infer_config(state: Mapping[str, Tensor], path: Path) -> DTTNetConfig:
    """Read the hyper-parameters off the shapes, in the reference's names."""
    shapes = Shapes(state, "DTTNet", path)
    growth, n_packed, *_ = shapes.of("first_conv.0.weight", 4)
    n_out = shapes.of("final_conv.0.weight", 4)[0]
    if n_packed != 4 or n_out % n_packed:
        raise ModelError(
            f"{path}: first_conv takes {n_packed} channels and final_conv gives {n_out}: only 4 (stereo, real and "
            "imaginary) and a multiple of it are known"
        )
    n_scales = shapes.count(r"encoding_blocks\.(\d+)\.")
    # The first block with the full number of bins; without scales there is only the latent one.
    block = "encoding_blocks.0" if n_scales else "bottleneck_block1"
    n_hidden, n_bins = shapes.of(f"{block}.tdf.0.weight", 2)
    has_bottleneck = f"{block}.tdf.3.weight" in state
    n_layers = shapes.count(r"bottleneck_block2\.bsrnn\.(\d+)\.")
    n_heads, rnn = 1, "lstm"
    if n_layers:
        (n_head_channels,) = shapes.of("bottleneck_block2.bsrnn.0.0.groupnorm.weight", 1)
        n_gate_rows, n_rnn_hidden = shapes.of("bottleneck_block2.bsrnn.0.0.rnn.weight_hh_l0", 2)
        n_heads = max(1, growth * (n_scales + 1) // max(1, n_head_channels))
        rnn = {4: "lstm", 3: "gru"}.get(n_gate_rows // max(1, n_rnn_hidden), "lstm")
    try:
        return DTTNetConfig(
            n_bins=n_bins,
            n_audio_channels=n_packed // 2,
            n_stems=n_out // n_packed,
            growth=growth,
            n_scales=n_scales,
            convs_per_block=shapes.count(rf"{re.escape(block)}\.tfc1\.H\.(\d+)\."),
            kernel_size=shapes.of(f"{block}.tfc1.H.0.0.weight", 4)[-1],
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


DTTNET = Importer(title="DTTNet", anchor="first_conv.0.weight", describe=_describe)
