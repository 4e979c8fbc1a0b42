"""The reference implementation's networks, as far as tests need them: names, shapes, and weights made by a rule.

The rule is that of the golden files (golden/README.md), so that no weights need to be stored.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dttnet.config import DTTNetConfig

GOLDEN = Path(__file__).parent / "golden"

TINY = DTTNetConfig(growth=16, n_bins=64, convs_per_block=2, bottleneck_factor=4, n_dual_path_layers=2)
VOCALS = DTTNetConfig()
BASS = DTTNetConfig(n_bins=864, bottleneck_factor=2)
WAVEFORM = DTTNetConfig(growth=16, convs_per_block=1, n_dual_path_layers=1, n_heads=3)


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    return (0.1 * np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)).astype(np.float32)


def shapes(config: DTTNetConfig, n_fft: int = 6144) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the reference's state dict, without its counters of batches."""
    result: dict[str, tuple[int, ...]] = {
        "window": (n_fft,),
        "freq_pad": (1, 4, n_fft // 2 + 1 - config.n_bins, 1),
    }

    def norm(name: str, n: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            result[f"{name}.{part}"] = (n,)

    def conv(name: str, n_in: int, n_out: int, kernel: int, *, transposed: bool = False) -> None:
        result[f"{name}.weight"] = (*((n_in, n_out) if transposed else (n_out, n_in)), kernel, kernel)
        result[f"{name}.bias"] = (n_out,)

    def block(name: str, n: int, n_bins: int) -> None:
        for part, n_convs in (("tfc1", config.convs_per_block), ("tfc2", config.convs_per_block), ("res", 1)):
            for index in range(n_convs):
                conv(f"{name}.{part}.H.{index}.0", n, n, config.kernel_size)
                norm(f"{name}.{part}.H.{index}.1", n)
        hidden = n_bins // (config.bottleneck_factor or 1)
        result[f"{name}.tdf.0.weight"] = (hidden, n_bins)
        norm(f"{name}.tdf.1", n)
        if config.bottleneck_factor is not None:
            result[f"{name}.tdf.3.weight"] = (n_bins, hidden)
            norm(f"{name}.tdf.4", n)

    growth = config.growth
    conv("first_conv.0", 4, growth, 1)
    norm("first_conv.1", growth)
    for scale in range(config.n_scales):
        n = growth * (scale + 1)
        block(f"encoding_blocks.{scale}", n, config.n_bins >> scale)
        conv(f"ds.{scale}.0", n, n + growth, 2)
        norm(f"ds.{scale}.1", n + growth)
        up = config.n_scales - 1 - scale
        conv(f"us.{up}.0", n + growth, n, 2, transposed=True)
        norm(f"us.{up}.1", n)
        block(f"decoding_blocks.{up}", n, config.n_bins >> scale)
    block("bottleneck_block1", config.latent_channels, config.n_bins >> config.n_scales)
    n = config.latent_channels // config.n_heads
    gates = {"lstm": 4, "gru": 3}[config.rnn]
    for layer in range(config.n_dual_path_layers):
        for axis in (0, 1):
            unit = f"bottleneck_block2.bsrnn.{layer}.{axis}"
            result |= {f"{unit}.groupnorm.weight": (n,), f"{unit}.groupnorm.bias": (n,)}
            for direction in ("", "_reverse"):
                result |= {
                    f"{unit}.rnn.weight_ih_l0{direction}": (gates * 2 * n, n),
                    f"{unit}.rnn.weight_hh_l0{direction}": (gates * 2 * n, 2 * n),
                    f"{unit}.rnn.bias_ih_l0{direction}": (gates * 2 * n,),
                    f"{unit}.rnn.bias_hh_l0{direction}": (gates * 2 * n,),
                }
            result |= {f"{unit}.fc.weight": (n, 4 * n), f"{unit}.fc.bias": (n,)}
    conv("final_conv.0", growth, 4 * config.n_stems, 1)
    return result


def weights(config: DTTNetConfig, n_fft: int = 6144) -> dict[str, NDArray[np.float32]]:
    """The reference's state dict with the weights of the golden files."""
    state = {name: weight(name, shape) for name, shape in shapes(config, n_fft).items()}
    state["window"] = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    state["freq_pad"] = np.zeros_like(state["freq_pad"])
    return state


def golden_state(name: str) -> dict[str, NDArray[np.float32]]:
    """The weights of a golden file whose names and shapes are stored beside it, without its counters of batches."""
    shapes = json.loads((GOLDEN / f"{name}_state_dict.json").read_text())
    return {key: weight(key, tuple(shape)) for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}


def weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    last = name.rpartition(".")[2]
    if last == "running_var":
        return (0.5 + rng.random(shape)).astype(np.float32)
    values = rng.standard_normal(shape)
    if last == "running_mean" or last.startswith("bias"):
        values *= 0.1
    elif len(shape) == 1:
        values = 1 + 0.1 * values
    else:
        values /= np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)
