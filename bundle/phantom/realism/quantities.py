"""What is measured on a pair, phantom or real, and where the medians of real malignant pairs lie.

Nobody has written down how the published row (:attr:`Quantity.published`, 233 malignant pairs of CDD-CESM at 256 px)
was measured. The definitions here were searched so that the same pairs give nearly that row (10th, 50th, 90th
percentile, images scaled as training scales them):

=====================  =====================  =====================
quantity               published              these definitions
=====================  =====================  =====================
LE mean                0.259  0.310  0.395    0.258  0.316  0.416
LE SD                  0.125  0.162  0.216    0.134  0.170  0.216
DES mean               0.225  0.252  0.336    0.224  0.259  0.336
DES SD                 0.056  0.090  0.175    0.061  0.092  0.170
correlation LE-DES     0.11   0.41   0.66     0.16   0.44   0.67
lesion contrast LE     0.7    1.7    2.9      0.71   1.80   2.99
lesion contrast DES    -0.2   1.6    3.8      -0.20  1.48   3.80
no enhancement         20 %                   20 %
slope LE               2.4    2.9    3.4      2.42   2.88   3.42
slope DES              1.1    1.9    2.9      1.01   1.88   2.93
lesion / breast area   0.02   0.09   0.27     0.02   0.09   0.27
linear R2              0.14                   0.16
=====================  =====================  =====================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft, ndimage
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict

__all__ = ["NO_ENHANCEMENT", "QUANTITIES", "Quantity", "interior", "linear_r2", "measure", "spectral_slope", "summary"]

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

NO_ENHANCEMENT = 0.3  # lesion contrast in DES, in SDs of the background, below which nobody sees it
RIM = 8  # pixels at 256 px that are left out under the skin line: roll-off, skin, and what the registration leaves


@dataclass(frozen=True)
class Quantity:
    """What it is called, between which bounds the phantom's median shall lie, and the 10th, 50th, 90th published."""

    label: str
    target: tuple[float, float]
    published: tuple[float, ...]


QUANTITIES = {
    "le_mean": Quantity("LE mean", (0.27, 0.36), (0.259, 0.310, 0.395)),
    "le_sd": Quantity("LE SD", (0.13, 0.19), (0.125, 0.162, 0.216)),
    "des_mean": Quantity("DES mean", (0.21, 0.30), (0.225, 0.252, 0.336)),
    "des_sd": Quantity("DES SD", (0.07, 0.11), (0.056, 0.090, 0.175)),
    "correlation": Quantity("correlation LE-DES", (0.32, 0.52), (0.11, 0.41, 0.66)),
    "le_contrast": Quantity("lesion contrast LE / background SD", (1.2, 2.3), (0.7, 1.7, 2.9)),
    "des_contrast": Quantity("lesion contrast DES / background SD", (1.1, 2.4), (-0.2, 1.6, 3.8)),
    "le_slope": Quantity("spectral slope LE", (2.6, 3.2), (2.4, 2.9, 3.4)),
    "des_slope": Quantity("spectral slope DES", (1.6, 2.2), (1.1, 1.9, 2.9)),
    "lesion_area": Quantity("lesion area / breast area", (0.05, 0.13), (0.02, 0.09, 0.27)),
    # one number for all pairs together
    "no_enhancement": Quantity("share of lesions without enhancement", (0.12, 0.25), (0.20,)),
    "linear_r2": Quantity("linear R2 of DES from LE features", (-math.inf, 0.25), (0.14,)),
}


def interior(breast: Mask, rim: int = RIM) -> Mask:
    """The breast without ``rim`` pixels under its outline; the image's edge is no outline."""
    return ndimage.binary_erosion(breast, iterations=rim, border_value=1)


def _deepest(inside: Mask, size: int) -> tuple[slice, slice]:
    """The square of ``size`` pixels about the point deepest in a region, pushed back into the image."""
    depth = ndimage.distance_transform_cdt(np.pad(inside, 1), metric="chessboard")[1:-1, 1:-1]
    centre = np.unravel_index(int(depth.argmax()), depth.shape)
    starts = [min(max(int(c) - size // 2, 0), n - size) for c, n in zip(centre, inside.shape, strict=True)]
    return slice(starts[0], starts[0] + size), slice(starts[1], starts[1] + size)


def spectral_slope(image: Image, band: tuple[float, float] = (0.05, 0.3)) -> float:
    """Exponent b of a power spectrum that falls as frequency ** -b; NaN for an image of one value.

    Mean taken out, Hann window, power averaged over rings of one frequency bin, straight line through the logarithms.

    Args:
        image: (N, N), any range.
        band: cycles per pixel between which the line is fitted, both inclusive.
    """
    size = len(image)
    taper = np.hanning(size + 1)[:-1]
    window = np.outer(taper, taper)
    flat = (image - (image * window).sum() / window.sum()) * window
    power = np.abs(fft.fft2(flat)) ** 2
    if not power.any():
        return math.nan
    frequency = fft.fftfreq(size)
    ring = np.rint(np.hypot(frequency[:, None], frequency[None, :]) * size).astype(int)
    mean_power = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    rings = np.arange(len(mean_power)) / size
    chosen = (rings >= band[0] - 1e-9) & (rings <= band[1] + 1e-9)
    return float(-np.polyfit(np.log(rings[chosen]), np.log(mean_power[chosen]), 1)[0])


def _contrast(image: Image, lesion: Mask, background: Mask) -> float:
    """Mean of the lesion minus mean of the background, over the background's SD; NaN where there is none of either."""
    if not lesion.any() or not background.any():
        return math.nan
    spread = float(image[background].std())
    return (float(image[lesion].mean()) - float(image[background].mean())) / spread if spread else math.nan


def measure(le: Image, des: Image, lesion: Mask, breast: Mask, roi: int = 64) -> dict[str, float]:
    """The quantities of one pair, by the keys of ``QUANTITIES``.

    Means, SDs and the correlation are those of the breast's interior. The contrast is that of the lesion against the
    interior without it. The slopes are those of one square at the point deepest in the interior.

    Args:
        le, des: (256, 256) in [0, 1].
        lesion, breast: (256, 256) bool; without a lesion its contrasts and its area are NaN.
        roi: side of the square in pixels.

    Raises:
        ValueError: for images of different shapes, or a breast that has no interior.
    """
    shapes = {image.shape for image in (le, des, lesion, breast)}
    if len(shapes) != 1:
        raise ValueError(f"LE, DES, lesion and breast have the shapes {sorted(shapes)}: expected one for all four.")
    inside = interior(breast)
    if inside.sum() < 2:
        raise ValueError(
            f"The breast of {int(breast.sum())} pixels has nothing {RIM} pixels under its outline: expected an image "
            "of 256 px with a breast in it. Look at the pair."
        )
    le, des = le.astype(np.float64), des.astype(np.float64)
    seen, background = lesion & breast, inside & ~lesion
    square = _deepest(inside, roi)
    le_inside, des_inside = le[inside], des[inside]
    varies = le_inside.std() > 0 and des_inside.std() > 0
    return {
        "le_mean": float(le_inside.mean()),
        "le_sd": float(le_inside.std()),
        "des_mean": float(des_inside.mean()),
        "des_sd": float(des_inside.std()),
        "correlation": float(np.corrcoef(le_inside, des_inside)[0, 1]) if varies else math.nan,
        "le_contrast": _contrast(le, seen, background),
        "des_contrast": _contrast(des, seen, background),
        "le_slope": spectral_slope(le[square]),
        "des_slope": spectral_slope(des[square]),
        "lesion_area": float(seen.sum() / breast.sum()) if seen.any() else math.nan,
    }


def summary(table: pd.DataFrame, r2: float = math.nan) -> pd.DataFrame:
    """Over the pairs: p10, median, p90 of each quantity; the share without enhancement and R2 have a median alone.

    Args:
        table: a row a pair, as ``pd.DataFrame([measure(...), ...])``.
        r2: from :func:`linear_r2`.
    """
    rows = {name: table[name].quantile([0.1, 0.5, 0.9]).tolist() for name in QUANTITIES if name in table}
    lesions = table["des_contrast"].dropna()
    share = float((lesions < NO_ENHANCEMENT).mean()) if len(lesions) else math.nan
    rows["no_enhancement"] = [math.nan, share, math.nan]
    rows["linear_r2"] = [math.nan, r2, math.nan]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["p10", "median", "p90"])


def _features(le: Image, breast: Mask) -> Image:
    """(features, H, W): LE, LE smoothed at five scales, its local SD at three, and the distance to the outline."""
    smooth = {sigma: ndimage.gaussian_filter(le, sigma) for sigma in (1, 2, 4, 8, 16)}
    square = le * le
    spreads = [
        np.sqrt(np.maximum(ndimage.gaussian_filter(square, sigma) - smooth[sigma] ** 2, 0.0)) for sigma in (2, 4, 8)
    ]
    distance = ndimage.distance_transform_edt(breast) / len(le)
    return np.stack([le, *smooth.values(), *spreads, distance])


def linear_r2(
    le: Sequence[Image],
    des: Sequence[Image],
    breast: Sequence[Mask],
    patients: Sequence[str],
    pixels: int = 400,
    seed: int = 0,
) -> float:
    """Share of the variance of DES that a linear function of LE's features explains in women it was not fitted on.

    All pairs together: five times the function is fitted on four fifths of the women and tried on the fifth.

    Args:
        le, des, breast: one (H, W) a pair.
        patients: one identifier a pair.
        pixels: drawn from the interior of each breast.
        seed: of that draw.

    Returns:
        R2, at most 1; NaN for fewer than five women.
    """
    folds = 5
    if len(set(patients)) < folds:
        return math.nan
    rng = np.random.default_rng(seed)
    features, values = [], []
    for one_le, one_des, one_breast in zip(le, des, breast, strict=True):
        chosen = rng.choice(np.flatnonzero(interior(one_breast)), pixels)
        every = _features(one_le.astype(np.float64), one_breast)
        features.append(every.reshape(len(every), -1)[:, chosen].T)
        values.append(one_des.astype(np.float64).ravel()[chosen])
    women = np.repeat(np.asarray(patients), pixels)
    value = np.concatenate(values)
    expected = cross_val_predict(
        LinearRegression(), np.concatenate(features), value, groups=women, cv=GroupKFold(n_splits=folds)
    )
    return float(r2_score(value, expected))
