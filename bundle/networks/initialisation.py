"""Initial weights other than PyTorch's own."""

from __future__ import annotations

from torch import nn

__all__ = ["initialise_normal"]


def initialise_normal(network: nn.Module, std: float) -> None:
    """Draw the weights of every convolution from N(0, ``std``) and zero its bias, as in Zhu et al. 2017 (std 0.02).

    Raises:
        ValueError: when ``std`` is not positive.
    """
    if std <= 0:
        raise ValueError(f"the standard deviation of initial weights is {std}, expected a positive number.")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
