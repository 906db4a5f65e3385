"""Generators to compare with: MONAI's U-Net and convolutional autoencoder, with an output in [0, 1]."""

from __future__ import annotations

import torch
from monai.networks.layers.utils import get_act_layer
from monai.networks.nets import AutoEncoder, BasicUNet
from torch import nn

__all__ = ["AutoencoderGenerator", "UnetGenerator"]

UPSAMPLING = {"transposed": "deconv", "resize": "nontrainable"}  # our words -> MONAI's


class _MonaiGenerator(nn.Module):
    """A MONAI network from one image to another, whose sides it halves some times, and an activation at its end."""

    def __init__(self, network: nn.Module, num_downsamples: int, output_activation: str | tuple | None) -> None:
        super().__init__()
        self.multiple = 2**num_downsamples
        self.network = network
        self.activation = nn.Identity() if output_activation is None else get_act_layer(output_activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] % self.multiple != 0 or x.shape[-2] % self.multiple != 0:
            raise ValueError("the generator takes images whose sides are multiples of 2 ** num_downsamples.")
        return self.activation(self.network(x))


class UnetGenerator(_MonaiGenerator):
    """MONAI's ``BasicUNet``: skip connections at each resolution, so that fine structure need not be coded.

    Shapes:
        x: (B, in_channels, H, W), H and W multiples of 16; returns (B, out_channels, H, W), in [0, 1] with the sigmoid.

    Args:
        in_channels, out_channels: channels of the images.
        width: channels at full resolution; 1, 2, 4 and 8 times as many after each of the four down-samplings.
        num_downsamples: 4, what ``BasicUNet`` has; said here because cards and checks ask for it.
        norm: a MONAI normalisation layer.
        upsample: "transposed" or "resize" (linear enlargement and convolution).
        output_activation: a MONAI activation for the output, or None for a linear one.

    Raises:
        ValueError: for numbers below 1, another ``num_downsamples``, an unknown ``upsample``, or an image whose sides
            do not fit.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        num_downsamples: int = 4,
        norm: str | tuple = "INSTANCE",
        upsample: str = "transposed",
        output_activation: str | tuple | None = "SIGMOID",
    ) -> None:
        if min(in_channels, out_channels, width) < 1:
            raise ValueError(f"channels {in_channels}/{out_channels} and width {width} of a U-Net must be at least 1.")
        if num_downsamples != 4:
            raise ValueError(
                f"num_downsamples is {num_downsamples}, expected 4: MONAI's BasicUNet has no other number."
            )
        if upsample not in UPSAMPLING:
            raise ValueError(f"upsample is {upsample!r}, expected one of {', '.join(UPSAMPLING)}.")
        network = BasicUNet(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            features=(width, width, 2 * width, 4 * width, 8 * width, width),
            norm=norm,
            upsample=UPSAMPLING[upsample],
        )
        super().__init__(network, num_downsamples, output_activation)


class AutoencoderGenerator(_MonaiGenerator):
    """MONAI's ``AutoEncoder``: all that the output knows of the input passes the lowest resolution.

    Shapes:
        x: (B, in_channels, H, W), H and W multiples of ``2 ** num_downsamples``; returns (B, out_channels, H, W), in
        [0, 1] with the sigmoid.

    Args:
        in_channels, out_channels: channels of the images.
        width: channels after the first down-sampling; doubled at each further one.
        num_downsamples: stride-2 convolutions, and as many up-samplings.
        num_blocks: convolutions at the lowest resolution.
        norm: a MONAI normalisation layer; the last layer has none, which would take the image's level away.
        output_activation: a MONAI activation for the output, or None for a linear one.

    Raises:
        ValueError: for numbers below 1 (blocks 0), or an image whose sides do not fit.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        num_downsamples: int = 3,
        num_blocks: int = 2,
        norm: str | tuple = "INSTANCE",
        output_activation: str | tuple | None = "SIGMOID",
    ) -> None:
        if min(in_channels, out_channels, width, num_downsamples) < 1 or num_blocks < 0:
            raise ValueError(
                f"channels {in_channels}/{out_channels}, width {width}, down-samplings {num_downsamples} and blocks "
                f"{num_blocks} of an autoencoder must be at least 1 (blocks 0)."
            )
        channels = tuple(width * 2**level for level in range(num_downsamples))
        network = AutoEncoder(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            channels=channels,
            strides=(2,) * num_downsamples,
            inter_channels=[channels[-1]] * num_blocks or None,
            norm=norm,
        )
        super().__init__(network, num_downsamples, output_activation)
