"""The ResNet generator of CycleGAN, in the form that the paper uses: one channel, nine blocks, sigmoid output."""

from __future__ import annotations

import torch
from monai.networks.layers.utils import get_act_layer
from torch import nn

from .initialisation import initialise_normal
from .layers import ReflectionPad, norm_layer

__all__ = ["ResnetBlock", "ResnetGenerator"]


class ResnetBlock(nn.Module):
    """Two reflection-padded 3 x 3 convolutions with a skip connection; shapes (B, C, H, W) in and out."""

    def __init__(self, channels: int, norm: str | tuple = "INSTANCE") -> None:
        super().__init__()
        self.body = nn.Sequential(
            ReflectionPad(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
            ReflectionPad(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            norm_layer(norm, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def _upsampling(channels: int, out_channels: int, upsample: str) -> list[nn.Module]:
    if upsample == "transposed":
        return [nn.ConvTranspose2d(channels, out_channels, kernel_size=3, stride=2, padding=1, output_padding=1)]
    return [
        nn.Upsample(scale_factor=2.0, mode="nearest"),
        ReflectionPad(1),
        nn.Conv2d(channels, out_channels, kernel_size=3),
    ]


class ResnetGenerator(nn.Module):
    """Image to image: 7 x 7 convolution, strided convolutions, residual blocks, up-sampling, 7 x 7 convolution.

    With the defaults it has 11,365,633 parameters and is the generator of arXiv 2505.03018 as published by its authors
    (after Johnson et al. 2016 and Zhu et al. 2017).

    Shapes:
        x: (B, in_channels, H, W), H and W multiples of ``2 ** num_downsamples``; returns (B, out_channels, H, W), in
        [0, 1] with the sigmoid.

    Args:
        in_channels, out_channels: channels of the images.
        width: channels after the first convolution; doubled at each down-sampling.
        num_downsamples: stride-2 convolutions, and as many up-samplings.
        num_blocks: residual blocks at the lowest resolution.
        norm: a MONAI normalisation layer; "INSTANCE" has no affine parameters.
        upsample: "transposed" (the paper) or "resize" (nearest enlargement and convolution, free of checkerboards).
        output_activation: a MONAI activation for the output, or None for a linear one.
        init_std: standard deviation of normal initial weights; None keeps PyTorch's own (the paper).

    Raises:
        ValueError: for numbers below 1, an unknown ``upsample``, or an image whose sides do not fit.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 64,
        num_downsamples: int = 2,
        num_blocks: int = 9,
        norm: str | tuple = "INSTANCE",
        upsample: str = "transposed",
        output_activation: str | tuple | None = "SIGMOID",
        init_std: float | None = None,
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, width, num_blocks) < 1 or num_downsamples < 0:
            raise ValueError(
                f"channels {in_channels}/{out_channels}, width {width}, blocks {num_blocks} and down-samplings "
                f"{num_downsamples} of a generator must be at least 1 (down-samplings 0)."
            )
        if upsample not in ("transposed", "resize"):
            raise ValueError(f"upsample is {upsample!r}, expected 'transposed' or 'resize'.")
        self.multiple = 2**num_downsamples

        layers: list[nn.Module] = [ReflectionPad(3), nn.Conv2d(in_channels, width, kernel_size=7)]
        layers += [norm_layer(norm, width), nn.ReLU(inplace=True)]
        channels = width
        for _ in range(num_downsamples):
            layers += [nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1)]
            layers += [norm_layer(norm, 2 * channels), nn.ReLU(inplace=True)]
            channels *= 2
        layers += [ResnetBlock(channels, norm) for _ in range(num_blocks)]
        for _ in range(num_downsamples):
            layers += _upsampling(channels, channels // 2, upsample)
            layers += [norm_layer(norm, channels // 2), nn.ReLU(inplace=True)]
            channels //= 2
        layers += [ReflectionPad(3), nn.Conv2d(channels, out_channels, kernel_size=7)]
        if output_activation is not None:
            layers += [get_act_layer(output_activation)]
        self.layers = nn.Sequential(*layers)
        if init_std is not None:
            initialise_normal(self, init_std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] % self.multiple != 0 or x.shape[-2] % self.multiple != 0:
            raise ValueError("the generator takes images whose sides are multiples of 2 ** num_downsamples.")
        return self.layers(x)
