"""What an exported file says of itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ...handlers.run_record import package_versions
from ...inference.save import NOTICE
from .objective import said_of

__all__ = ["describe", "preprocessing_in_words", "spatial_shape", "with_spatial_shape"]


def describe(card: Mapping[str, Any], bundle: Mapping[str, Any], **versions: str) -> dict[str, Any]:
    """The metadata of an export, for JSON.

    Args:
        card: the model's, of ``model.json``.
        bundle: content of ``metadata.json``: name, version, authors, references, network_data_format and so on.
        versions: of further packages, those that made the file.

    Returns:
        ``bundle`` with the card's image size in its ``network_data_format``, a name and a description that are true of
        the card's method, and ``notice``, ``model_sha256``, ``input`` and ``output`` (shape, value range, preprocessing
        in words), ``card``, ``versions``.
    """
    size, multiple = card["image_size"], _multiple(card)
    content = with_spatial_shape(card, bundle) | said_of(card, bundle)
    trained = "at the images' native size" if size == "native" else f"at {size} x {size}"
    return content | {
        "notice": card.get("notice", NOTICE),
        "model_sha256": card["sha256"],
        "input": {
            "name": "image",
            "shape": f"(B, {card['network'].get('in_channels', 1)}, H, W)",
            "sides": f"multiples of {multiple}; the model was trained {trained}",
            "dtype": "float32",
            "value_range": [0, 1],
            "preprocessing": preprocessing_in_words(card),
        },
        "output": {
            "name": "pred",
            "shape": "(B, 1, H, W)",
            "dtype": "float32",
            "value_range": [0, 1],
            "content": "virtual DES, from 0 to 1 as the DES images of the training were stretched",
        },
        "card": dict(card),
        "versions": package_versions() | versions,
    }


def _multiple(card: Mapping[str, Any]) -> int:
    return 2 ** card["network"].get("num_downsamples", 2)


def spatial_shape(card: Mapping[str, Any]) -> list[int | str]:
    """Of a model's input, as MONAI's metadata has it; a native model's sides are multiples, such as ``4*(n+1)``.

    From two on, since instance normalisation takes no single pixel.
    """
    return [f"{_multiple(card)}*(n+1)" if card["image_size"] == "native" else card["image_size"]] * 2


def with_spatial_shape(card: Mapping[str, Any], bundle: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the content of ``metadata.json``, with the model's spatial shape at every tensor."""
    content = copy.deepcopy(dict(bundle))
    for tensors in content.get("network_data_format", {}).values():
        for tensor in tensors.values():
            tensor["spatial_shape"] = spatial_shape(card)
    return content


def preprocessing_in_words(card: Mapping[str, Any]) -> list[str]:
    """The steps from an LE image on disk to the input, as ``inference.json`` takes them for a model of this card."""
    size, intensity, multiple = card["image_size"], card["intensity"], _multiple(card)
    air = "on the side of the air: a left breast on the right, a right breast on the left, a wide image below"
    square = air if card.get("padding", "air") == "air" else "on both sides alike"
    steps = [
        "read the LE image (H, W) as it is stored; rescale slope and intercept applied, MONOCHROME1 inverted",
        f"repeat the last row and column until both sides are multiples of {multiple}"
        if size == "native"
        else f"pad with zeros to a square, {square}",
        *_clipping(intensity),
        "scale linearly, so that the smallest value is 0 and the largest 1",
    ]
    return steps if size == "native" else [*steps, f"resize to {size} x {size} by averaging areas"]


def _clipping(intensity: Mapping[str, Any]) -> list[str]:
    method, window = intensity["method"], intensity.get("window")
    if method == "percentile":
        low, high = intensity.get("percentiles", [1.0, 99.0])
        return [f"clip to the percentiles {low:g} and {high:g} of the pixels above {intensity.get('air', 0.0):g}"]
    if method == "window" and window is not None:
        return [f"clip to the window of centre {window[0]:g} and width {window[1]:g}"]
    if method == "window":
        return [
            "clip to the image's own window, centre - width / 2 to centre + width / 2 (DICOM's first Window Center and "
            "Width); an image without one, such as PNG or JPEG, stays"
        ]
    return []
