"""Measures of single images and maps that an audit holds against its limits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from ..registration import breast_mask

__all__ = [
    "clipped",
    "contrast",
    "lesion_sizes",
    "letters_in_air",
    "look",
    "mirrored_contrast",
    "pixel_hash",
    "same_looks",
    "stretched",
    "wall_share",
    "working_breast",
]


def pixel_hash(image: np.ndarray) -> str:
    """A hash of decoded pixels and their shape, whatever the file format."""
    return hashlib.blake2b(f"{image.shape}".encode() + image.astype("<f4").tobytes(), digest_size=16).hexdigest()


def look(image: np.ndarray, breast: np.ndarray, side: int = 32) -> np.ndarray | None:
    """What stays of a picture in whatever format, size or padding it is saved: the box of its breast, tiny.

    Args:
        image: (H, W), any range.
        breast: (H, W) bool.
        side: that the box is shrunk to, in pixels, by means that overlap: a box cut one pixel off changes less.

    Returns:
        (side, side) float16, range [0, 1]; None without a breast.
    """
    if not breast.any():
        return None
    rows, columns = (np.flatnonzero(breast.any(axis=axis)) for axis in (1, 0))
    box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    tiny = np.asarray(Image.fromarray(box).resize((side, side), Image.Resampling.BILINEAR))
    low, high = float(tiny.min()), float(tiny.max())
    return ((tiny - low) / (high - low if high > low else 1.0)).astype(np.float16)


def same_looks(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], least: float, rows: int = 512
) -> Iterator[tuple[int, int, float]]:
    """(i, j, correlation) of each look of ``first`` and each of ``second`` that correlate by more than ``least``.

    Args:
        first, second: of :func:`look`, all of one side.
        least: Pearson correlation, -1 to 1.
        rows: how many of ``first`` are compared at a time, which bounds the memory.
    """
    if not first or not second:
        return
    here, there = (_standardised(looks) for looks in (first, second))
    for start in range(0, len(here), rows):
        correlation = here[start : start + rows] @ there.T
        for i, j in np.argwhere(correlation > least).tolist():
            yield start + i, j, float(correlation[i, j])


def _standardised(looks: Sequence[np.ndarray]) -> np.ndarray:
    """(N, side * side) float32 of mean 0 and length 1; a look of one value is 0."""
    flat = np.array([image.ravel() for image in looks], np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def stretched(image: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    """Grey values as training sees them: clipped to the window (centre, width), then scaled to [0, 1].

    The zeros that pad an image to a square count in the scale, as they do in training. An image of one grey value
    becomes 0.
    """
    values = image.astype(np.float32)
    padding = [] if image.shape[0] == image.shape[1] else [np.float32(0)]
    if window is not None:
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
        values, padding = np.clip(values, low, high), [np.clip(value, low, high) for value in padding]
    low, high = min(values.min(), *padding, values.min()), max(values.max(), *padding, values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def working_breast(image: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """An image in [0, 1] shrunk by block means of ``step`` pixels, and the breast on it, (h, w) bool."""
    rows, columns = (side // step * step for side in image.shape)
    small = image[:rows, :columns].reshape(rows // step, step, columns // step, step).mean(axis=(1, 3))
    return small, breast_mask(small)


def clipped(image: np.ndarray, breast: np.ndarray, step: int) -> tuple[float, float]:
    """Shares of the breast's pixels that lie at 0 and at 1, the ends of the window or of the stored range."""
    inside = image[step // 2 :: step, step // 2 :: step][: breast.shape[0], : breast.shape[1]][breast]
    return (float((inside <= 0).mean()), float((inside >= 1).mean())) if inside.size else (0.0, 0.0)


def wall_share(breast: np.ndarray, laterality: str) -> float:
    """How much of the breast's two outer strips lies at the chest wall of its side (L: left), 0 to 1; NaN: no breast.

    The chest wall cuts the breast straight, the skin tapers: a mirrored image, or a wrong side, lies below 0.5.
    """
    columns = np.flatnonzero(breast.any(axis=0))
    if not columns.size:
        return math.nan
    rim = max(1, int(columns[-1] - columns[0]) // 20)
    left = float(breast[:, columns[0] : columns[0] + rim].sum())
    right = float(breast[:, columns[-1] + 1 - rim : columns[-1] + 1].sum())
    return (left if laterality == "L" else right) / (left + right)


def letters_in_air(
    image: np.ndarray,
    breast: np.ndarray,
    bright: float = 0.5,
    heights: tuple[float, float] = (0.008, 0.06),
    margin: float = 0.02,
) -> int:
    """Length of the longest line of bright components of one height that stand side by side outside the breast.

    Args:
        image: (H, W) in [0, 1].
        breast: (H, W) bool.
        bright: grey value that a letter exceeds.
        heights: smallest and largest height of a letter, as a share of the longer side.
        margin: distance from the breast and from the image's edge, likewise.
    """
    longer = max(image.shape)
    air = ndimage.distance_transform_edt(~breast) > margin * longer
    components, _ = ndimage.label((image > bright), structure=np.ones((3, 3)))
    letters = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(components), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        inner = rows.start > 0 and rows.stop < image.shape[0] and columns.start > 0 and columns.stop < image.shape[1]
        if inner and max(4.0, heights[0] * longer) <= height <= heights[1] * longer and width <= 1.5 * height:
            part = components[rows, columns] == number
            if air[rows, columns][part].all():
                letters.append((columns.start, columns.stop, (rows.start + rows.stop) / 2, height))
    longest = 0
    reach: dict[int, int] = {}  # letters on the line that ends with this one
    letters.sort()
    for index, (left, _, middle, height) in enumerate(letters):
        before = [
            reach[other]
            for other, (_, right, its_middle, its_height) in enumerate(letters[:index])
            if -0.3 * height <= left - right <= 1.5 * height
            and abs(middle - its_middle) < 0.4 * height
            and max(height, its_height) <= 1.5 * min(height, its_height)
        ]
        reach[index] = 1 + max(before, default=0)
        longest = max(longest, reach[index])
    return longest


def contrast(des: np.ndarray, seg: np.ndarray, breast: np.ndarray) -> float:
    """Mean of the lesion minus that of the other breast, over its standard deviation, in DES; NaN without either."""
    lesion, rest = des[seg], des[breast & ~seg]
    return (
        float((lesion.mean() - rest.mean()) / max(float(rest.std()), 1e-6)) if lesion.size and rest.size else math.nan
    )


def mirrored_contrast(
    des: np.ndarray, seg: np.ndarray, breast: np.ndarray, least_inside: float = 0.9
) -> dict[str, float]:
    """:func:`contrast` of a map's mirror images, "left to right" and "top to bottom".

    A mirror image of which less than ``least_inside`` lies in the breast is left out: it cannot have been the lesion.
    """
    mirrored = {"left to right": seg[:, ::-1], "top to bottom": seg[::-1]}
    return {way: contrast(des, flip, breast) for way, flip in mirrored.items() if breast[flip].mean() >= least_inside}


def lesion_sizes(seg: np.ndarray, laterality: str, size: int) -> list[tuple[int, int]]:
    """Pixels of each lesion (8 neighbours), as drawn and as training sees it.

    As in training, the map is padded to a square on the side of the air and shrunk by area; a pixel counts where
    lesions cover at least half of it. A lesion with no such pixel has 0: it vanishes (training keeps one pixel for it).

    Args:
        seg: (H, W) bool.
        laterality: "L" pads a tall map on the right, "R" on the left; a wide one is padded below.
        size: side in pixels of the images that training sees.
    """
    square = max(seg.shape)
    columns = (square - seg.shape[1], 0) if laterality == "R" else (0, square - seg.shape[1])
    labels, count = ndimage.label(seg, structure=np.ones((3, 3)))
    labels = np.pad(labels, ((0, square - seg.shape[0]), columns))
    # bin i averages pixels floor(i S / size) to ceil((i + 1) S / size), as torch's area mode does
    starts, stops = np.arange(size) * square // size, -(-(np.arange(size) + 1) * square // size)
    kept = 2 * _box_sums(labels > 0, starts, stops) >= np.outer(stops - starts, stops - starts)
    drawn = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    sizes = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        down, right = (
            ((starts[:, None] <= pixel) & (pixel < stops[:, None])).astype(np.float32)
            for pixel in (np.arange(side.start, side.stop) for side in box)
        )
        reached = down @ (labels[box] == number).astype(np.float32) @ right.T > 0
        sizes.append((int(drawn[number - 1]), int((kept & reached).sum())))
    return sizes


def _box_sums(seg: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Sums of a map over rows starts[i] to stops[i] and columns starts[j] to stops[j], for all i and j."""
    sums = np.pad(seg.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
    rows = sums[stops] - sums[starts]
    return rows[:, stops] - rows[:, starts]
