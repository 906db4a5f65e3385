"""Bring a DES image onto the grid of its LE image: CDD-CESM crops the two by hand, so they are not pixel-aligned.

Breast masks give a coarse translation by Fourier correlation; the gradient magnitude (skin line, vessels, relief of the
parenchyma), which LE and DES share although their grey values do not, refines it. All
functions are pure and deterministic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage, optimize
from skimage.filters import threshold_otsu
from skimage.measure import block_reduce
from skimage.registration import phase_cross_correlation

__all__ = ["METHODS", "Registration", "Similarity", "breast_mask", "overlap", "register", "warp"]

METHODS = ("none", "translate", "similarity")


@dataclass(frozen=True)
class Similarity:
    """Where DES pixel q goes on the LE grid: ``p = c + scale * R(angle) (q - c) + shift``, c the centre of the LE grid.

    ``shift`` is (rows down, columns to the right) in pixels, ``angle`` in degrees, counter-clockwise as displayed. Both
    grids are anchored at their first pixel, whatever their sizes.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    scale: float = 1.0

    @property
    def is_identity(self) -> bool:
        return self == Similarity()

    @property
    def is_whole_shift(self) -> bool:
        return self.angle == 0 and self.scale == 1 and all(float(step).is_integer() for step in self.shift)

    def inverse(self, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and offset that lead from an LE pixel back to a DES pixel, as ``scipy.ndimage`` wants them."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        back = np.array([[cos, sin], [-sin, cos]]) / self.scale
        return back, centre - back @ (centre + np.asarray(self.shift))


@dataclass(frozen=True)
class Registration:
    """The transform to use, and the overlap (Dice) of the breast masks without and with it.

    ``kept_identity`` says that what was found would have lowered the overlap, so that the identity stands in its place.
    """

    transform: Similarity
    overlap_before: float
    overlap: float
    kept_identity: bool = False

    def entry(self, method: str, min_overlap: float) -> dict[str, Any]:
        """What a datalist says of it; ``low_overlap`` below ``min_overlap``, or where no overlap can be had."""
        return {
            "method": method,
            "shift": [round(step, 3) for step in self.transform.shift],
            "angle": round(self.transform.angle, 4),
            "scale": round(self.transform.scale, 5),
            "overlap_before": round(self.overlap_before, 4),
            "overlap": round(self.overlap, 4),
            "kept_identity": self.kept_identity,
            "low_overlap": not self.overlap >= min_overlap,
        }


def _logarithm(image: np.ndarray) -> np.ndarray:
    """Grey values on a scale of 0 to log(256), whatever the depth of the image."""
    return np.log1p(image.astype(np.float32) * (255.0 / max(float(image.max()), 1e-6)))


def breast_mask(image: np.ndarray) -> np.ndarray:
    """Breast on its black background: Otsu on the logarithm, largest component, holes filled.

    The logarithm keeps the fatty rim, which Otsu on the grey values gives to the air when the gland is dense.

    Args:
        image: (H, W), any non-negative range, air near 0.

    Returns:
        (H, W) bool; all False for an image of one grey value.
    """
    level = ndimage.gaussian_filter(_logarithm(image), 1.0)
    if level.max() == level.min():
        return np.zeros(image.shape, bool)
    components, count = ndimage.label(level > threshold_otsu(level))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    return ndimage.binary_fill_holes(components == sizes.argmax())


def overlap(first: np.ndarray, second: np.ndarray, seen: np.ndarray | None = None) -> float:
    """Dice coefficient of two masks (H, W), over the pixels ``seen`` alone if given; NaN when both are empty there."""
    if seen is not None:
        first, second = first & seen, second & seen
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else math.nan


def warp(image: np.ndarray, transform: Similarity, shape: tuple[int, int], order: int = 1) -> np.ndarray:
    """Move a DES image, or a map drawn on it, onto the LE grid; what the DES did not see becomes 0 or False.

    A shift by whole pixels copies the values unchanged, everything else interpolates. A bool map is warped by coverage:
    0.5 and more belongs to the lesion.

    Args:
        image: (H, W), any dtype, which is kept.
        transform: from DES to LE.
        shape: of the LE grid, (rows, columns).
        order: of the spline; 1 cannot overshoot.
    """
    matrix, offset = transform.inverse((np.asarray(shape) - 1) / 2)
    moved = ndimage.affine_transform(
        image.astype(np.float32),
        matrix,
        offset,
        output_shape=shape,
        order=0 if transform.is_whole_shift else order,
        mode="grid-constant",
    )
    if image.dtype == bool:
        return moved >= 0.5
    return np.rint(moved).astype(image.dtype) if np.issubdtype(image.dtype, np.integer) else moved.astype(image.dtype)


def _field_of_view(mask: np.ndarray, margin: int) -> np.ndarray:
    """All but the strip behind the breast's straight cut at the chest wall: that edge is the crop's, not the skin."""
    columns = np.flatnonzero(mask.any(axis=0))
    seen = np.ones(mask.shape, bool)
    if columns.size == 0:
        return seen
    first, last = columns[0], columns[-1]
    rim = max(1, (last - first) // 20)
    if mask[:, first : first + rim].sum() >= mask[:, last + 1 - rim : last + 1].sum():
        seen[:, : first + margin] = False
    else:
        seen[:, last + 1 - margin :] = False
    return seen


class _Pair:
    """LE and DES at one working resolution: 1 / ``shrink`` of the given one, by block means."""

    def __init__(self, le: np.ndarray, des: np.ndarray, shrink: int, sigma: float):
        centre = (np.asarray(le.shape) - 1) / 2
        self.centre = (centre - (shrink - 1) / 2) / shrink
        self.shrink = shrink
        small = [
            block_reduce(image.astype(np.float32), shrink, np.mean) if shrink > 1 else image for image in (le, des)
        ]
        self.masks = [breast_mask(image) for image in small]
        self.seen = [_field_of_view(mask, math.ceil(3 * sigma)) for mask in self.masks]
        self.edges = []
        for image, seen in zip(small, self.seen, strict=True):
            edges = ndimage.gaussian_gradient_magnitude(_logarithm(image), sigma, mode="nearest")
            self.edges.append(np.where(seen, edges, np.nan).astype(np.float32))

    def warp(self, image: np.ndarray, transform: Similarity, order: int = 1, outside: float = 0.0) -> np.ndarray:
        dy, dx = transform.shift
        small = replace(transform, shift=(dy / self.shrink, dx / self.shrink))
        matrix, offset = small.inverse(self.centre)
        return ndimage.affine_transform(
            image, matrix, offset, output_shape=self.masks[0].shape, order=order, mode="constant", cval=outside
        )

    def agreement(self, transform: Similarity) -> float:
        """Correlation of the gradient magnitudes over the pixels that both images saw, -1 to 1."""
        moved = self.warp(self.edges[1], transform, outside=math.nan)
        seen = np.isfinite(moved) & self.seen[0]
        if seen.sum() < 2:
            return -1.0
        le, des = self.edges[0][seen], moved[seen]
        le, des = le - le.mean(), des - des.mean()
        # sums and not dot products, whose last bits depend on the threads of the linear algebra library
        power = math.sqrt(float((le * le).sum()) * float((des * des).sum()))
        return float((le * des).sum()) / power if power else -1.0

    def overlap(self, transform: Similarity) -> float:
        moved = self.warp(self.masks[1].astype(np.uint8), transform, order=0).astype(bool)
        seen = self.warp(self.seen[1].astype(np.uint8), transform, order=0).astype(bool)
        return overlap(self.masks[0], moved, seen & self.seen[0])

    def coarse(self, scale: float, smoothing: float) -> Similarity:
        """A scale and the correlation peak of the smoothed breast masks, on a canvas with room to move."""
        rows, columns = self.masks[0].shape
        canvases = np.zeros((2, rows * 5 // 4, columns * 5 // 4), np.float32)
        moved = self.warp(self.masks[1].astype(np.float32), Similarity(scale=scale))
        for canvas, mask in zip(canvases, (self.masks[0], moved), strict=True):
            canvas[:rows, :columns] = mask
            ndimage.gaussian_filter(canvas, smoothing, output=canvas)
        (dy, dx), _, _ = phase_cross_correlation(*canvases, normalization=None)
        return Similarity((float(dy) * self.shrink, float(dx) * self.shrink), scale=scale)


def _refine(pair: _Pair, start: Similarity, method: str, limits: tuple[float, float, float]) -> Similarity:
    """Climb to the best agreement by the simplex method of Nelder and Mead, from steps of two working pixels."""
    # one unit of each parameter moves the rim of a breast by about one working pixel
    radius = max(pair.masks[0].shape) / 2
    unit = np.array([pair.shrink, pair.shrink, math.degrees(1 / radius), 1 / radius])
    count = 2 if method == "translate" else 4
    origin = np.array([*start.shift, start.angle, math.log(start.scale)])[:count]

    def transform_of(step: np.ndarray) -> Similarity:
        dy, dx, *turn = origin + step * unit[:count]
        angle, stretch = turn or (0.0, 0.0)
        return Similarity((float(dy), float(dx)), float(angle), math.exp(stretch))

    def cost(step: np.ndarray) -> float:
        candidate = transform_of(step)
        sizes = (max(map(abs, candidate.shift)), abs(candidate.angle), abs(math.log(candidate.scale)))
        if any(size > limit for size, limit in zip(sizes, limits, strict=True)):
            return 1.0
        return -pair.agreement(candidate)

    simplex = np.vstack([np.zeros(count), 2.0 * np.eye(count)])
    options = {"initial_simplex": simplex, "xatol": 0.02, "fatol": 1e-6, "maxiter": 100 * count}
    return transform_of(optimize.minimize(cost, np.zeros(count), method="Nelder-Mead", options=options).x)


def register(
    le: np.ndarray,
    des: np.ndarray,
    method: str = "translate",
    working_size: int = 512,
    sigma: float = 1.5,
    max_shift: float = 0.15,
    max_angle: float = 5.0,
    max_scale: float = 1.15,
    max_loss: float = 0.002,
) -> Registration:
    """Find the transform that brings DES onto LE.

    Args:
        le, des: (H, W) each, of any two sizes, non-negative, air near 0.
        method: "none", "translate" (by whole pixels, so that no DES value is interpolated) or "similarity".
        working_size: longest side in pixels at which the images are compared; larger ones are shrunk by block means.
        sigma: of the gradient's Gaussian, in pixels of the working size.
        max_shift: as a share of the longest side. CDD-CESM needs up to 160 of 2355 pixels.
        max_angle: in degrees.
        max_scale: largest factor of enlargement; its inverse is the smallest.
        max_loss: of overlap that is put down to the masks' noise; a transform that loses more is not used.

    Raises:
        ValueError: for an unknown method, or an image in which no breast is found.
    """
    if method not in METHODS:
        raise ValueError(f"align is {method!r}, expected one of {METHODS}.")
    longest = max(*le.shape, *des.shape)
    shrink = math.ceil(longest / working_size)
    fine = _Pair(le, des, shrink, sigma)
    empty = [name for name, mask in zip(("LE", "DES"), fine.masks, strict=True) if not mask.any()]
    if empty:
        raise ValueError(f"no breast is found in {' and '.join(empty)}: expected one brighter than a black background.")
    found = Similarity()
    if method != "none":
        limits = (max_shift * longest, max_angle, math.log(max_scale))
        coarse = _Pair(le, des, 3 * shrink, sigma)
        scales = (1.0,) if method == "translate" else (1.0, max_scale**-0.5, max_scale**0.5)
        found = max((found, *(coarse.coarse(scale, 2 * sigma) for scale in scales)), key=coarse.agreement)
        for pair in (coarse, fine):
            found = _refine(pair, found, method, limits)
    if method == "translate":
        found = Similarity((float(round(found.shift[0])), float(round(found.shift[1]))))
    before, after = fine.overlap(Similarity()), fine.overlap(found)
    if after < before - max_loss:
        return Registration(Similarity(), before, before, kept_identity=True)
    return Registration(found, before, after)
