"""Phantom and real pairs side by side, for the eye."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .pairs import Pair
from .quantities import QUANTITIES

__all__ = ["distributions", "gallery"]


def gallery(
    real: Sequence[Pair], phantom: Sequence[Pair], attribution: str, columns: int = 6, blocks: int = 2, seed: int = 0
) -> Figure:
    """Pairs drawn at random, LE above DES, real ones on the left; lesions in a thin outline.

    Args:
        real, phantom: to draw from.
        attribution: whose the real images are and under which licence; it stands below them.
        columns, blocks: ``columns`` pairs beside each other, ``blocks`` times, of each kind.
        seed: of the draw.

    Raises:
        ValueError: when one of them is empty.
    """
    if not real or not phantom:
        raise ValueError(f"{len(real)} real and {len(phantom)} phantom pair(s): expected one of each at least.")
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(2.4 * columns, 2.45 * blocks + 0.8), layout="constrained")
    halves: Any = figure.subfigures(1, 2, wspace=0.02)
    for half, pairs, title in zip(halves, (real, phantom), ("real", "phantom"), strict=True):
        half.suptitle(title, fontsize=11)
        axes = half.subplots(2 * blocks, columns, squeeze=False)
        chosen = [pairs[index] for index in rng.permutation(len(pairs))[: columns * blocks]]
        for axis in axes.flat:
            axis.set_axis_off()
        for number, pair in enumerate(chosen):
            block, column = divmod(number, columns)
            for row, image in enumerate((pair.le, pair.des)):
                axis = axes[2 * block + row, column]
                axis.imshow(image, cmap="gray", vmin=0.0, vmax=1.0)
                if pair.lesion.any() and not pair.lesion.all():
                    axis.contour(pair.lesion, levels=[0.5], colors="orange", linewidths=0.5)
    figure.supxlabel("\n".join(textwrap.wrap(attribution, 40 * columns)), fontsize=7)
    return figure


def distributions(real: pd.DataFrame, phantom: pd.DataFrame, columns: int = 5) -> Figure:
    """A histogram a quantity, real against phantom, their medians as lines, the target of the median in green.

    Args:
        real, phantom: a row a pair, from ``measure_all``.
        columns: panels beside each other.
    """
    names = [name for name in QUANTITIES if name in real]
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.2 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis in axes:
        axis.set_visible(False)
    for axis, name in zip(figure.axes, names, strict=False):
        axis.set_visible(True)
        sides = {"real": real[name].dropna(), "phantom": phantom[name].dropna()}
        both = pd.concat(sides.values())
        low, high = np.percentile(both, [1, 99]) if len(both) else (0.0, 1.0)
        axis.axvspan(*QUANTITIES[name].target, color="green", alpha=0.12, linewidth=0)
        for (label, values), colour in zip(sides.items(), ("black", "tab:orange"), strict=True):
            if len(values):
                share = np.full(len(values), 1.0 / len(values))
                axis.hist(values, bins=24, range=(low, high), weights=share, histtype="step", color=colour, label=label)
                axis.axvline(float(values.median()), color=colour, linewidth=0.8, linestyle="--")
        axis.set_title(QUANTITIES[name].label, fontsize=8)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    figure.axes[0].legend(fontsize=7)
    return figure
