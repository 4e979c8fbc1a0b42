"""Weights by torch's names in an ONNX graph, so that one of our files can be read back into torch exactly.

The graph keeps every tensor of the state dict as an initializer of the same name, with two changes that lose nothing:

* an RNN's tensors are stored as ONNX wants them (gates in another order, both directions in one tensor), under the
  names `<module>.W`, `.R` and `.B`: a graph that reorders them would take longer to load than all the rest;
* float32 tensors may be stored as float16 `<name>.fp16` behind a cast. Loading casts them back.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

_HALF = ".fp16"
MIN_VALUES = 1000
"""Of a tensor that is worth storing in fewer bits than float32."""
_DIRECTIONS = ("", "_reverse")
_TORCH_PARTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
# Where ONNX has the gates that torch has in the order i f g o (LSTM) and r z n (GRU).
_GATES = {nn.LSTM: (0, 3, 1, 2), nn.GRU: (1, 0, 2)}


def name_weights(graph: GraphProto, network: nn.Module) -> None:
    """Bring the graph that torch traced of `network`, its parameters being inputs too, into the form of this module."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    makers = {output: node for node in graph.node for output in node.output}

    def module_of(name: str) -> str:
        while name not in weights:
            name = makers[name].input[0]
        return name.rpartition(".")[0]

    modules = dict(network.named_modules())
    for node in graph.node:
        if node.op_type in ("LSTM", "GRU"):
            module = module_of(node.input[1])
            for index, (part, values) in enumerate(_to_onnx(modules[module]).items(), start=1):
                node.input[index] = f"{module}.{part}"
                graph.initializer.append(numpy_helper.from_array(values, f"{module}.{part}"))
    _merge_constants(graph)
    _drop_unused(graph)
    _shorten_names(graph)


def halve_weights(graph: GraphProto) -> None:
    """Store float32 initializers of `MIN_VALUES` values and more as float16, behind a Cast that loading folds away."""
    casts = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < MIN_VALUES:
            continue
        name = tensor.name
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}{_HALF}"))
        casts.append(helper.make_node("Cast", [f"{name}{_HALF}"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        graph.node.insert(0, node)


def read_weights(graph: GraphProto, network: nn.Module) -> dict[str, Tensor]:
    """The state dict of `network`, or what of it there is, from the graph of one of our files.

    Counters of batches are not in it.
    """
    weights = {}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        weights[tensor.name.removesuffix(_HALF)] = values
    for name, module in network.named_modules():
        parts = [f"{name}.{part}" for part in "WRB"]
        if type(module) in _GATES and all(part in weights for part in parts):
            found = _from_onnx(module, *(weights.pop(part) for part in parts))
            weights |= {f"{name}.{part}": values for part, values in found.items()}
    wanted = network.state_dict()
    # A copy, for what onnx gives may not be written to. What the graph computes with beside the weights stays behind.
    return {name: torch.from_numpy(values.copy()) for name, values in weights.items() if name in wanted}


def _to_onnx(module: nn.Module) -> Mapping[str, NDArray[np.float32]]:
    """W (D, G * H, I), R (D, G * H, H) and B (D, 2 * G * H) of a module: D directions, G gates of H."""
    order = _GATES[type(module)]

    def stack(part: str) -> NDArray[np.float32]:
        tensors = [getattr(module, part + direction).detach().numpy() for direction in _DIRECTIONS]
        return np.stack([_reorder(tensor, order) for tensor in tensors])

    weight_ih, weight_hh, bias_ih, bias_hh = (stack(part) for part in _TORCH_PARTS)
    return {"W": weight_ih, "R": weight_hh, "B": np.concatenate([bias_ih, bias_hh], axis=1)}


def _from_onnx(module: nn.Module, *arrays: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The inverse of `_to_onnx`."""
    order = tuple(int(index) for index in np.argsort(_GATES[type(module)]))
    weight_ih, weight_hh, bias = arrays
    stacked = (weight_ih, weight_hh, *np.split(bias, 2, axis=1))
    return {
        part + direction: _reorder(values[index], order)
        for part, values in zip(_TORCH_PARTS, stacked, strict=True)
        for index, direction in enumerate(_DIRECTIONS)
    }


def _reorder(tensor: NDArray[np.float32], order: tuple[int, ...]) -> NDArray[np.float32]:
    gates = np.split(tensor, len(order))
    return np.concatenate([gates[index] for index in order])


def _merge_constants(graph: GraphProto) -> None:
    """Let there be one of all constants that are equal: torch writes one wherever a number stands."""
    kept: dict[bytes, str] = {}
    same: dict[str, str] = {}
    for node in graph.node:
        if node.op_type == "Constant":
            value = b"".join(attribute.SerializeToString() for attribute in node.attribute)
            same[node.output[0]] = kept.setdefault(value, node.output[0])
        node.input[:] = [same.get(name, name) for name in node.input]


def _shorten_names(graph: GraphProto) -> None:
    """Numbers for what passes from node to node, which torch names after where it comes from: as the nodes are."""
    fixed = {tensor.name for tensor in graph.initializer} | {value.name for value in (*graph.input, *graph.output)}
    short: dict[str, str] = {"": ""}  # an input that is left out
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in fixed else short.setdefault(name, str(len(short))) for name in names]


def _drop_unused(graph: GraphProto) -> None:
    used = {output.name for output in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            nodes.append(node)
            used.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(tensors)
