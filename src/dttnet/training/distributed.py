"""Batch normalisation over the batches of all processes, on CPUs.

torch's own runs on GPUs only, and is used there; with this one the whole way works, and is tested, without a GPU.
"""

from __future__ import annotations

import torch
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce


class _SyncBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics are those of the batches of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, F) -> the same shape."""
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        # Sums of millions of numbers need float32, whatever the precision around.
        kind, x = x.dtype, x.float()
        count = x.new_full((1,), x.numel() / x.shape[1])
        # With gradients: a process's input moves the statistics of all.
        own = torch.cat([x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), count])
        sums: Tensor = all_reduce(own)  # type: ignore[no-untyped-call]  # it has none
        n = sums[-1]
        mean, mean_square = (sums[:-1] / n).chunk(2)
        variance = (mean_square - mean.square()).clamp_min(0)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(kind)


class SyncBatchNorm(LayerSync):
    """For Lightning's `plugins`. The names in the checkpoints stay."""

    def apply(self, model: nn.Module) -> nn.Module:
        for module in model.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = _SyncBatchNorm2d
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for module in model.modules():
            if type(module) is _SyncBatchNorm2d:
                module.__class__ = nn.BatchNorm2d  # type: ignore[assignment]  # back to what it was
        return model
