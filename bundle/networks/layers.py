"""Two layers of PyTorch in a form that costs less in training and gives the same numbers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.layers.utils import get_norm_layer
from torch import nn

__all__ = ["InstanceNorm", "ReflectionPad", "norm_layer"]


class InstanceNorm(nn.Module):
    """Instance norm without parameters, (B, C, H, W) in and out; ``nn.InstanceNorm2d`` to the last bit.

    PyTorch's own hands on a view, so that an activation in place behind it copies the whole image in its backward pass,
    and it leaves a channels-last layout. For one image instance norm is batch norm, which does neither.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_scripting():
            return F.instance_norm(x, eps=self.eps)
        else:
            if len(x) == 1 and x.requires_grad and not torch.jit.is_tracing():
                return F.batch_norm(x, None, None, training=True, eps=self.eps)
            return F.instance_norm(x, eps=self.eps)


class ReflectionPad(nn.Module):
    """Mirror the image at its edges, (B, C, H, W) -> (B, C, H + 2 padding, W + 2 padding), in the precision it has.

    ``nn.ReflectionPad2d`` to the last bit. That one keeps its whole input for the backward pass, which needs its shape
    alone, and autocast brings it to float32 on the CPU, and the next convolution back.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides = [self.padding, self.padding, self.padding, self.padding]
        if torch.jit.is_scripting():
            return F.pad(x, sides, mode="reflect")
        else:
            if x.requires_grad and not torch.jit.is_tracing():
                return _Reflection.apply(x, sides)
            with torch.autocast(x.device.type, enabled=False):
                return F.pad(x, sides, mode="reflect")


class _Reflection(torch.autograd.Function):
    """Reflection padding that keeps nothing."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, sides: list[int]) -> torch.Tensor:
        ctx.like, ctx.sides = (x.shape, x.stride()), sides
        with torch.autocast(x.device.type, enabled=False):
            return torch.ops.aten.reflection_pad2d(x, sides)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        like = gradient.new_empty_strided(*ctx.like)  # never written to, so it takes no memory
        return torch.ops.aten.reflection_pad2d_backward(gradient, like, ctx.sides), None


def norm_layer(norm: str | tuple, channels: int) -> nn.Module:
    """The normalisation of a name, in two dimensions; MONAI's for all but plain "INSTANCE"."""
    if norm == "INSTANCE":
        return InstanceNorm()
    return get_norm_layer(norm, spatial_dims=2, channels=channels)
