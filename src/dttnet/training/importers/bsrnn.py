"""BSRNN as its open replication publishes it (magronp/bsrnn): Lightning files, for one stem or for several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from dttnet.config import BandScheme, BSRNNConfig, Transform
from dttnet.errors import ModelError
from dttnet.training.importers import Description, Importer, Shapes, rename

# Reference name -> our name, in this order.
_NAMES = (
    (r"^BN\.", "split."),
    (r"^separator\.", "layers."),
    (r"^maskers\.(\d+)\.mask\.", r"masks.\1.bands."),
    (r"\.time_net\.", ".along_time."),
    (r"\.band_net\.", ".along_bands."),
    (r"\.main_layer\.", ".rnn."),
    (r"\.proj\.", ".project."),
    (r"\.tac_module\.(transform|average)\.0\.", r".tac.\1."),
    (r"\.tac_module\.concat\.0\.", ".tac.concatenate."),
    # One activation in three places, so three times in the file.
    (r"\.tac_module\.(transform|average|concat)\.1\.", ".tac.activation."),
    (r"\.attn_block\.attn_conv_Q_", ".attention.queries."),
    (r"\.attn_block\.attn_conv_K_", ".attention.keys."),
    (r"\.attn_block\.attn_conv_V_", ".attention.values."),
    (r"\.attn_block\.attn_concat_proj\.", ".attention.project."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
# All of the published files are trained with it, at 44.1 kHz.
_HOPS_PER_WINDOW = 4
# About the paper's 3 s.
_PAPER_FRAMES = 256


def _describe(state: Mapping[str, Tensor], settings: Mapping[str, Any], path: Path) -> Description:
    del settings  # everything can be read off the shapes
    config = _infer_config(state, path)
    n_fft = 2 * (config.n_bins - 1)
    # Where several of theirs are one of ours, they are equal, and the last one is taken, as on loading there.
    names = {rename(name, _NAMES): name for name in state}
    return Description(
        config=config,
        transform=Transform(n_fft=n_fft, hop=n_fft // _HOPS_PER_WINDOW, n_bins=config.n_bins),
        n_frames=_PAPER_FRAMES,
        state={ours: _channels_last(theirs, state[theirs]) for ours, theirs in names.items()},
        names=names,
    )


def _channels_last(name: str, tensor: Tensor) -> Tensor:
    """Attention works on (..., K, N) here, and on (N, ..., K) there."""
    if ".attn_block." in name and tensor.ndim == 4:
        return tensor[0, :, 0].T if name.endswith(("gamma", "beta")) else tensor[:, :, 0, 0]
    return tensor


def _infer_config(state: Mapping[str, Tensor], path: Path) -> BSRNNConfig:
    """Read the hyper-parameters off the shapes, in the reference's names."""
    shapes = Shapes(state, "BSRNN", path)
    n_bands = shapes.count(r"BN\.(\d+)\.")
    widths = tuple(shapes.of(f"BN.{band}.0.weight", 1)[0] // 2 for band in range(n_bands))
    known: dict[tuple[int, ...], BandScheme] = {}
    for bands in get_args(BandScheme):
        try:
            known[BSRNNConfig(n_bins=sum(widths), bands=bands).band_widths] = bands
        except ModelError:  # too few bins for this scheme
            continue
    if widths not in known:
        raise ModelError(f"{path}: its {n_bands} bands, of {', '.join(map(str, widths))} bins, are no known scheme")
    n_layers = shapes.count(r"separator\.(\d+)\.")
    rnn = "lstm"
    if n_layers:
        n_gate_rows, n_hidden = shapes.of("separator.0.time_net.main_layer.weight_hh_l0", 2)
        rnn = {4: "lstm", 3: "gru"}.get(n_gate_rows // max(1, n_hidden), "lstm")
    n_heads = shapes.count(r"separator\.0\.attn_block\.attn_conv_Q_(\d+)\.")
    attention = {}
    if n_heads:
        attention["attention_channels"] = shapes.of("separator.0.attn_block.attn_conv_Q_0.0.weight", 4)[0]
    try:
        return BSRNNConfig(
            n_bins=sum(widths),
            n_stems=shapes.count(r"maskers\.(\d+)\."),
            bands=known[widths],
            n_channels=shapes.of("BN.0.1.weight", 3)[0],
            n_dual_path_layers=n_layers,
            rnn=rnn,  # type: ignore[arg-type]  # one of the two by construction
            n_attention_heads=n_heads,
            tac=any(".tac_module." in name for name in state),
            **attention,
        )
    except ModelError as error:
        raise ModelError(f"{path}: the shapes are not those of a BSRNN: {error}") from error


BSRNN = Importer(
    title="BSRNN",
    anchor="BN.0.0.weight",
    describe=_describe,
    plain={"group_num": 1, "mask_ctxt": 0, "subtract_last_trgt": False, "sample_rate": 44100},
)
