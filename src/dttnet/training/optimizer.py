"""The optimisers, among them Muon: steps of matrices whose singular values are all alike, AdamW for what is no matrix.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the size of a step as Liu et al., "Muon
is scalable for LLM training" (arXiv 2502.16982), section 2.2, so that rates of AdamW will do.

`torch.optim.Muon` takes matrices alone (no convolutions, nothing beside them), and works in bfloat16, which took a
fifth of a training step on a CPU; in float32 it takes a fiftieth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Of the quintic that pulls singular values towards one, and how often it is applied: Jordan et al.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# The root mean square of a step of AdamW, as a share of the rate: Liu et al.
_STEP_RMS = 0.2


class Muon(torch.optim.AdamW):
    """The optimiser.

    Args:
        matrices: Tensors of two and more axes: the first axis against all others.
        others: What AdamW trains.
        lr: Rate of both.
        momentum: Of the matrices' gradients (Nesterov's).
        options: Of AdamW; `weight_decay` is that of the matrices too.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        **options: Any,
    ) -> None:
        super().__init__([{"params": list(others)}], lr=lr, **options)
        self.add_param_group({"params": list(matrices), "momentum": momentum})

    @classmethod
    def of(cls, network: nn.Module, **options: Any) -> Muon:
        """For a network: all its matrices but those of the layers that it names in `edges`, which meet the spectrum.

        Jordan et al. leave the first and the last layer to AdamW; here too the loss was lower for it.
        """
        edges = getattr(network, "edges", ())
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in network.named_parameters():
            is_inner = parameter.ndim >= 2 and name.partition(".")[0] not in edges
            (matrices if is_inner else others).append(parameter)
        return cls(matrices, others, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # overloaded there
        """One step. Gradients of matrices are gone afterwards."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if "momentum" not in group:
                continue
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                self._step_matrix(parameter, parameter.grad, group)
                parameter.grad = None  # AdamW leaves out what has none
        super().step()
        return loss

    def _step_matrix(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "average" not in state:
            state["average"] = torch.zeros_like(gradient)
            state["step"] = torch.tensor(0.0)  # AdamW asks each state for it when a run goes on
        average = state["average"].lerp_(gradient, 1 - group["momentum"])
        step = orthogonalize(gradient.lerp(average, group["momentum"]).flatten(1))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        size = _STEP_RMS * math.sqrt(max(step.shape))
        parameter.add_(step.view_as(parameter), alpha=-group["lr"] * size)


def orthogonalize(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors and singular values of about one (0.7 to 1.2), zero ones aside."""
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x


OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda network, **options: torch.optim.AdamW(network.parameters(), **options),
    "adam": lambda network, **options: torch.optim.Adam(network.parameters(), **options),
    "muon": Muon.of,
}
"""Of a network, with `lr` and more options."""
