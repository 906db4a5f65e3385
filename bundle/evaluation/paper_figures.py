"""The paper's pictures of one case: Figure 1 (triple), Figure 3 (models side by side), Figure 4 (where they err)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .figures import mark_lesion

__all__ = ["error_maps", "models_panel", "triple"]

SIDE = 2.4  # inches a picture


def triple(case: Mapping[str, Any]) -> Figure:
    """Figure 1: LE, DES and SEG beside each other, all on the one grey scale [0, 1].

    Args:
        case: ``le des seg``, each (H, W), in [0, 1] and {0, 1}.

    Raises:
        ValueError: when the pictures differ in shape, or one lacks.
    """
    figure, axes = _pictures({name: case.get(name.lower()) for name in ("LE", "DES", "SEG")})
    mark_lesion(axes, np.zeros((1, 1)))
    return figure


def models_panel(case: Mapping[str, Any], virtual: Mapping[str, np.ndarray]) -> Figure:
    """Figure 3: LE, DES and every model's virtual DES on the one grey scale [0, 1], a red box on the lesion.

    Args:
        case: ``le des seg``, each (H, W), in [0, 1] and {0, 1}.
        virtual: name of a model -> its virtual DES (H, W) in [0, 1], in the order to be shown.

    Raises:
        ValueError: without a model, when the pictures differ in shape, or one lacks.
    """
    _needs_a_model(virtual)
    figure, axes = _pictures({"LE": case.get("le"), "DES": case.get("des"), **virtual})
    mark_lesion(axes, np.asarray(case["seg"]))
    return figure


def error_maps(case: Mapping[str, Any], virtual: Mapping[str, np.ndarray], error_range: float = 0.25) -> Figure:
    """Figure 4: \\|virtual - real\\| of every model on one scale, the same red box on the lesion.

    Args:
        case: ``des seg``, each (H, W), in [0, 1] and {0, 1}.
        virtual: name of a model -> its virtual DES (H, W) in [0, 1], in the order to be shown.
        error_range: the scale runs from 0 to this error in every picture; larger errors have its last colour.

    Raises:
        ValueError: without a model, when the pictures differ in shape, or one lacks.
    """
    _needs_a_model(virtual)
    _check({"DES": case.get("des"), **virtual})
    errors = {
        name: np.abs(np.asarray(image, float) - np.asarray(case["des"], float)) for name, image in virtual.items()
    }
    figure, axes = _pictures(errors, "cividis", error_range, extra_height=0.7)
    mark_lesion(axes, np.asarray(case["seg"]))
    figure.colorbar(axes[0].images[0], ax=axes, location="bottom", shrink=0.5, aspect=40, extend="max").set_label(
        "|virtual - real DES|, intensity in [0, 1]", fontsize=8
    )
    return figure


def _pictures(
    images: Mapping[str, Any], colours: str = "gray", top: float = 1.0, extra_height: float = 0.0
) -> tuple[Figure, np.ndarray]:
    _check(images)
    figure = Figure(figsize=(SIDE * len(images), SIDE + 0.35 + extra_height), layout="compressed")
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for axis, (name, image) in zip(axes, images.items(), strict=True):
        axis.imshow(np.asarray(image, float), cmap=colours, vmin=0.0, vmax=top, interpolation="nearest")
        axis.set_title(name, fontsize=9)
    return figure, axes


def _check(images: Mapping[str, Any]) -> None:
    lacking = [name for name, image in images.items() if image is None]
    if lacking:
        raise ValueError(f"the case lacks {', '.join(lacking)}.")
    shapes = {name: np.shape(image) for name, image in images.items()}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"pictures of one case must share one shape (H, W), but they are {said}.")


def _needs_a_model(virtual: Mapping[str, np.ndarray]) -> None:
    if not virtual:
        raise ValueError("the figure needs the virtual DES of one model at least.")
