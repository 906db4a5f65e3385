"""Generators to compare with: MONAI's U-Net and convolutional autoencoder, with an output in [0, 1]."""

from __future__ import annotations

import torch
from monai.networks.layers.utils import get_act_layer
from monai.networks.nets import AutoEncoder, UNet
from torch import nn

__all__ = ["AutoencoderGenerator", "UnetGenerator"]


class _MonaiGenerator(nn.Module):
    """A MONAI network between one image and another, with an activation at its end."""

    kind: type[nn.Module]

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        num_downsamples: int = 4,
        num_res_units: int = 2,
        norm: str | tuple = "INSTANCE",
        output_activation: str | tuple | None = "SIGMOID",
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, width, num_downsamples) < 1 or num_res_units < 0:
            raise ValueError(
                f"channels {in_channels}/{out_channels}, width {width}, down-samplings {num_downsamples} and residual "
                f"units {num_res_units} of a generator must be at least 1 (residual units 0)."
            )
        self.multiple = 2**num_downsamples
        self.network = self.kind(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            **self._levels(width, num_downsamples),
            num_res_units=num_res_units,
            norm=norm,
        )
        self.activation = nn.Identity() if output_activation is None else get_act_layer(output_activation)

    @staticmethod
    def _levels(width: int, num_downsamples: int) -> dict[str, tuple[int, ...]]:
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] % self.multiple != 0 or x.shape[-2] % self.multiple != 0:
            raise ValueError("the generator takes images whose sides are multiples of 2 ** num_downsamples.")
        return self.activation(self.network(x))


class UnetGenerator(_MonaiGenerator):
    """MONAI's residual U-Net: skip connections at each resolution, so that fine structure need not be coded.

    Shapes:
        x: (B, in_channels, H, W), H and W multiples of ``2 ** num_downsamples``; returns (B, out_channels, H, W), in
        [0, 1] with the sigmoid.

    Args:
        in_channels, out_channels: channels of the images.
        width: channels at full resolution; doubled at each down-sampling.
        num_downsamples: stride-2 convolutions, and as many up-samplings.
        num_res_units: convolutions of a residual unit.
        norm: a MONAI normalisation layer.
        output_activation: a MONAI activation for the output, or None for a linear one.

    Raises:
        ValueError: for numbers below 1, or an image whose sides do not fit.
    """

    kind = UNet

    @staticmethod
    def _levels(width: int, num_downsamples: int) -> dict[str, tuple[int, ...]]:
        channels = tuple(width * 2**level for level in range(num_downsamples + 1))
        return {"channels": channels, "strides": (2,) * num_downsamples}


class AutoencoderGenerator(_MonaiGenerator):
    """MONAI's convolutional autoencoder: all that the output knows of the input passes the lowest resolution.

    Shapes, arguments and errors are those of :class:`UnetGenerator`; ``width`` is the channels after the first
    down-sampling.
    """

    kind = AutoEncoder

    @staticmethod
    def _levels(width: int, num_downsamples: int) -> dict[str, tuple[int, ...]]:
        channels = tuple(width * 2**level for level in range(num_downsamples))
        return {"channels": channels, "strides": (2,) * num_downsamples}
