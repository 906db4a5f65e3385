"""The 70 x 70 PatchGAN: one verdict a patch instead of one an image."""

from __future__ import annotations

import torch
from monai.networks.layers.utils import get_act_layer
from torch import nn

from .initialisation import initialise_normal
from .layers import norm_layer

__all__ = ["PatchDiscriminator"]


class PatchDiscriminator(nn.Module):
    """Convolutions 64-128-256-512 with 4 x 4 kernels, then one channel: the probability that a patch is real.

    With the defaults it has 2,762,689 parameters, sees 70 x 70 pixels at each of 30 x 30 places of a 256-pixel image,
    and ends in a sigmoid, as in the code of the authors of arXiv 2505.03018 (after Isola et al. 2017). MONAI's class of
    the same name draws its own initial weights, returns a list of feature maps and cannot be scripted; hence this one.

    Shapes:
        x: (B, in_channels, H, W); returns (B, 1, H', W'), in [0, 1] with the sigmoid.

    Args:
        in_channels: channels of the images.
        width: channels after the first convolution; doubled at each layer, at most eightfold.
        num_layers: stride-2 convolutions (3 gives the 70 x 70 patch).
        norm: a MONAI normalisation layer, not applied to the first layer.
        output_activation: a MONAI activation, or None for raw scores.
        init_std: standard deviation of normal initial weights; None keeps PyTorch's own (the paper).

    Raises:
        ValueError: for numbers below 1.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 64,
        num_layers: int = 3,
        norm: str | tuple = "INSTANCE",
        output_activation: str | tuple | None = "SIGMOID",
        init_std: float | None = None,
    ) -> None:
        super().__init__()
        if min(in_channels, width, num_layers) < 1:
            raise ValueError(
                f"channels {in_channels}, width {width} and layers {num_layers} of a discriminator must be at least 1."
            )
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, kernel_size=4, stride=2, padding=1)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        channels = width
        for layer in range(1, num_layers + 1):
            out_channels = min(2**layer, 8) * width
            stride = 2 if layer < num_layers else 1
            layers += [nn.Conv2d(channels, out_channels, kernel_size=4, stride=stride, padding=1)]
            layers += [norm_layer(norm, out_channels), nn.LeakyReLU(0.2, inplace=True)]
            channels = out_channels
        layers += [nn.Conv2d(channels, 1, kernel_size=4, stride=1, padding=1)]
        if output_activation is not None:
            layers += [get_act_layer(output_activation)]
        self.layers = nn.Sequential(*layers)
        if init_std is not None:
            initialise_normal(self, init_std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)
