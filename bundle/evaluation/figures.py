"""Pictures that a person looks at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

__all__ = ["case_panel", "mark_lesion"]

COLUMNS = ("LE", "DES", "virtual DES", "error")


def _lesion_box(seg: np.ndarray, margin: int) -> tuple[int, int, int, int] | None:
    """x, y, width, height of the box around a lesion map, or None without a lesion."""
    rows, columns = np.nonzero(seg)
    if not rows.size:
        return None
    top, left = max(rows.min() - margin, 0), max(columns.min() - margin, 0)
    bottom = min(rows.max() + margin, seg.shape[0] - 1)
    right = min(columns.max() + margin, seg.shape[1] - 1)
    return int(left), int(top), int(right - left), int(bottom - top)


def mark_lesion(axes: Iterable[Axes], seg: np.ndarray) -> None:
    """A red box around the lesion map (H, W) in every picture, and no ticks; no box without a lesion."""
    box = _lesion_box(seg, margin=max(2, seg.shape[0] // 64))
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        if box is not None:
            axis.add_patch(Rectangle(box[:2], *box[2:], fill=False, edgecolor="red", linewidth=1.0))


def case_panel(cases: Sequence[Mapping[str, Any]], title: str = "", error_range: float = 0.5) -> Figure:
    """LE | DES | virtual DES | error, a row a case, all images on the one grey scale [0, 1].

    Args:
        cases: mappings with ``le des seg virtual_des``, each (H, W) in [0, 1], and ``case_id``.
        title: what stands above the panel.
        error_range: the error map (virtual minus real) runs from -``error_range`` (blue) to +``error_range`` (red).

    Returns:
        a figure; a red box marks the lesion in each picture of a row.

    Raises:
        ValueError: without a case.
    """
    if not cases:
        raise ValueError("a panel needs one case at least.")
    figure = Figure(figsize=(2.4 * len(COLUMNS), 2.4 * len(cases) + 1.6), layout="compressed")
    axes = figure.subplots(len(cases), len(COLUMNS), squeeze=False)
    for row, case in zip(axes, cases, strict=True):
        images = [np.asarray(case[key], dtype=float) for key in ("le", "des", "virtual_des")]
        for axis, image in zip(row, images, strict=False):
            grey = axis.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
        error = row[-1].imshow(
            images[2] - images[1], cmap="RdBu_r", vmin=-error_range, vmax=error_range, interpolation="nearest"
        )
        mark_lesion(row, np.asarray(case["seg"]))
        row[0].set_ylabel(str(case.get("case_id", "")), fontsize=8)
    for axis, name in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(name, fontsize=9)
    figure.colorbar(grey, ax=axes[:, :3], location="bottom", shrink=0.5, aspect=40, label="intensity")
    figure.colorbar(error, ax=axes[:, 3], location="bottom", aspect=20, label="virtual - real")
    if title:
        figure.suptitle(title, fontsize=9)
    return figure
