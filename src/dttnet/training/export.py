"""Networks in torch -> ONNX files that the runtime takes, with a parity report."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import nn
from torch.onnx import TrainingMode

from dttnet.config import NetworkCard
from dttnet.errors import ModelError
from dttnet.files import whole_file
from dttnet.nn.cost import count_parameters, gmac_per_second
from dttnet.nn.graph import halve_weights, name_weights
from dttnet.runtime.onnx import METADATA_KEY, OnnxNetwork
from dttnet.store import probe_input

# float32 rounding through some thirty layers in another order; a wrong weight or axis is off by 1e-1 and more.
PARITY_TOLERANCE = 1e-4
# Weights rounded to 11 bits.
PARITY_TOLERANCE_FP16 = 1e-2


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """How far the exported network is from the torch network, on noise."""

    relative_error: float
    tolerance: float

    def __str__(self) -> str:
        return (
            f"parity with torch: relative error {self.relative_error:.1e} "
            f"(norm of the difference over norm; at most {self.tolerance:.0e} is accepted)"
        )


def export(network: nn.Module, card: NetworkCard, path: Path, *, half_weights: bool = False) -> ParityReport:
    """Write `network` to the ONNX file `path`, check it against torch, and only then let the file appear.

    Args:
        network: Packed spectrum (B, 2C, T, F) -> (B, S, 2C, T, F).
        card: Goes into the file's metadata; what it says of the network's output and cost is filled in.
        half_weights: Store weights as float16: half the size; they are float32 again when the file is loaded.

    Raises:
        ModelError: The exported network does not compute what the torch network does.
    """
    network.eval()
    probe = probe_input(card)
    with torch.no_grad():
        expected = network(torch.from_numpy(probe)).numpy()
    card = replace(
        card,
        probe_norm=float(np.linalg.norm(expected)),
        n_parameters=count_parameters(network),
        gmac_per_second=round(gmac_per_second(network, card), 3),
    )
    with whole_file(path) as partial:
        _to_onnx(network, torch.from_numpy(probe), partial)
        model = onnx.load(partial)
        name_weights(model.graph, network)
        if half_weights:
            halve_weights(model.graph)
        helper.set_model_props(model, {METADATA_KEY: json.dumps(card.to_dict())})
        onnx.save(model, partial)
        converted = OnnxNetwork(partial, device="cpu")
        # Another batch and another number of frames than the graph was traced with.
        longer = np.tile(probe, (2, 1, 2, 1))
        with torch.no_grad():
            expected_longer = network(torch.from_numpy(longer)).numpy()
        report = ParityReport(
            relative_error=max(_error(converted(probe), expected), _error(converted(longer), expected_longer)),
            tolerance=PARITY_TOLERANCE_FP16 if half_weights else PARITY_TOLERANCE,
        )
        if not report.relative_error <= report.tolerance:
            raise ModelError(f"{path}: not written, the converted network differs: {report}")
    return report


def _to_onnx(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, but the new one takes twenty times as long for the same graph; and it
        # warns of LSTMs with a variable batch, which the parity report checks.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=["mixture"],
            output_names=["stems"],
            dynamic_axes={"mixture": {0: "batch", 2: "frames"}, "stems": {0: "batch", 3: "frames"}},
            dynamo=False,
            opset_version=17,
            # Weights stay as they are, under their names: nothing is folded into them, and two that are equal are not
            # made one. ONNX Runtime folds them when a file is loaded.
            training=TrainingMode.PRESERVE,
            do_constant_folding=False,
            keep_initializers_as_inputs=True,
        )


def _error(output: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(output - expected) / np.linalg.norm(expected))
