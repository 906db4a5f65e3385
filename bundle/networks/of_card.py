"""The generator that a model's card describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .baselines import AutoencoderGenerator, UnetGenerator
from .resnet_generator import ResnetGenerator

__all__ = ["GENERATORS", "generator_of_card"]

GENERATORS: dict[str, type[nn.Module]] = {
    "resnet": ResnetGenerator,
    "unet": UnetGenerator,
    "autoencoder": AutoencoderGenerator,
}


def generator_of_card(layers: Mapping[str, Any]) -> nn.Module:
    """Build the network of ``model.json``: ``name`` (of ``GENERATORS``; the ResNet without one) and its arguments.

    Raises:
        ValueError: for an unknown name or argument.
    """
    arguments = dict(layers)
    name = arguments.pop("name", "resnet")
    if name not in GENERATORS:
        raise ValueError(f"the card's network is {name!r}, expected one of {', '.join(GENERATORS)}.")
    try:
        return GENERATORS[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"the card's network cannot be built ({error}): copy the card that the training wrote."
        ) from error
