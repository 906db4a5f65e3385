"""A compressed breast as maps on the detector's grid: tissue, iodine and lesions, before any X-ray.

Everything is built as a left breast with the chest wall at column 0; a right breast is its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .texture import Map, power_law_field, radiate

__all__ = ["Breast", "Grid", "Lesion", "Woman", "build_breast", "draw_lesion", "draw_woman", "edge_profile"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """The detector: ``rows`` x ``columns`` square pixels of ``spacing`` mm."""

    rows: int
    columns: int
    spacing: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    def coordinates(self) -> tuple[Map, Map]:
        """Pixel centres in mm: y (rows, 1) from the upper edge, x (1, columns) from the chest wall."""
        y, x = ((np.arange(n, dtype=np.float32) + 0.5) * np.float32(self.spacing) for n in self.shape)
        return y[:, None], x[None, :]


@dataclass(frozen=True)
class Lesion:
    """A mass of one breast, seen in both of its views.

    Attributes:
        type: "irregular_mass" (malignant), "fibroadenoma" or "cyst".
        laterality: "L" or "R".
        diameter: of its map, in mm.
        nipple_distance: how far behind the nipple it lies, towards the chest wall, in mm; the same in both views.
        offset_cc, offset_mlo: its distance from the nipple's row in each view, as a share of the breast's half height.
        density: glandular tissue per length of lesion; what shows in LE.
        concentration: iodine in mg/ml, drawn independently of ``density``; what shows in DES.
    """

    type: str
    malignant: bool
    laterality: str
    diameter: float
    nipple_distance: float
    offset_cc: float
    offset_mlo: float
    density: float
    concentration: float

    @property
    def enhancing(self) -> bool:
        """Whether a reader could see its iodine: 0.15 mg/ml, some 0.2 mg/cm2 in a mass of 2 cm."""
        return self.concentration >= 0.15

    def truth(self) -> dict[str, Any]:
        """What the datalist says of it."""
        diameter = round(self.diameter, 1)
        return {"type": self.type, "malignant": self.malignant, "enhancing": self.enhancing, "diameter_mm": diameter}


@dataclass(frozen=True)
class Woman:
    """What both breasts and both views of a woman share.

    ACR ``density`` class "A" to "D"; ``depth``, ``half_height`` and compressed ``thickness`` in mm; ``enhancement`` of
    her normal gland in mg/ml of iodine; her ``lesions``.
    """

    density: str
    depth: float
    half_height: float
    thickness: float
    enhancement: float
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True)
class Breast:
    """One view of one breast, every map (rows, columns).

    Attributes:
        thickness, gland: all tissue and the glandular tissue in it, in mm; the rest is adipose.
        iodine: in mg/cm2.
        lesion: bool, where the ray crosses a lesion.
        skin_distance: to the skin line in mm, 0 in air.
        compressed, spacing: height of the paddle and size of a pixel in mm.
    """

    thickness: Map
    gland: Map
    iodine: Map
    lesion: NDArray[np.bool_]
    skin_distance: Map
    compressed: float
    spacing: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where there is breast."""
        return self.thickness > 0

    def mirrored(self) -> Breast:
        """The same breast of the other side."""
        names = ("thickness", "gland", "iodine", "lesion", "skin_distance")
        maps: dict[str, Any] = {name: np.ascontiguousarray(getattr(self, name)[:, ::-1]) for name in names}
        return replace(self, **maps)


def draw_woman(rng: np.random.Generator) -> Woman:
    """Draw the traits of a woman without a lesion."""
    depth = rng.uniform(75.0, 125.0)
    enhancement = rng.choice([0.05, 0.12, 0.2, 0.34], p=[0.35, 0.35, 0.2, 0.1]) * rng.uniform(0.6, 1.4)
    return Woman(
        density=str(rng.choice(list("ABCD"), p=[0.1, 0.35, 0.4, 0.15])),
        depth=depth,
        half_height=rng.uniform(78.0, 106.0),
        thickness=float(np.clip(28.0 + 0.26 * depth + rng.normal(0.0, 7.0), 28.0, 78.0)),
        enhancement=float(enhancement),
    )


def draw_lesion(rng: np.random.Generator, woman: Woman, malignant: bool, enhancing: bool) -> Lesion:
    """Draw a lesion of a woman; a benign one is smaller, smoother and, where it enhances at all, weaker."""
    size, spread = (32.0, 0.35) if malignant else (16.0, 0.3)
    strength = rng.lognormal(np.log(0.75), 0.35) if malignant else rng.uniform(0.15, 0.4)
    benign = "fibroadenoma" if enhancing else str(rng.choice(["fibroadenoma", "cyst"]))
    return Lesion(
        type="irregular_mass" if malignant else benign,
        malignant=malignant,
        laterality=str(rng.choice(["L", "R"])),
        diameter=float(np.clip(rng.lognormal(np.log(size), spread), size / 2, 2 * size)),
        nipple_distance=woman.depth * rng.uniform(0.35, 0.7),
        offset_cc=rng.uniform(-0.5, 0.5),
        offset_mlo=rng.uniform(-0.5, 0.4),
        density=rng.uniform(0.2, 0.9),
        concentration=float(max(strength, 0.15) if enhancing else rng.uniform(0.0, 0.08)),
    )


def edge_profile(distance: Map, thickness: float, radius: float) -> Map:
    """Thickness under a flat paddle: a quarter ellipse from the skin line to ``radius``, all in mm."""
    inward = np.clip(distance / radius, 0.0, 1.0)
    return (thickness * np.sqrt(inward * (2.0 - inward))).astype(np.float32)


def _outline(rng: np.random.Generator, woman: Woman, view: str, grid: Grid) -> tuple[Map, Point]:
    """The skin line as x (rows, 1) and the nipple as (x, y), in mm."""
    y, _ = grid.coordinates()
    height = grid.rows * grid.spacing
    nipple_y = height * (0.5 if view == "CC" else 0.6) + rng.uniform(-6.0, 6.0)
    away = (y - nipple_y) / min(woman.half_height, height - nipple_y - 5.0)
    ellipse = (1.0 - np.clip(np.abs(away), 0.0, 1.0) ** rng.uniform(2.0, 2.5)) ** rng.uniform(0.45, 0.55)
    if view == "MLO":  # above the nipple the breast narrows towards the axilla and leaves the image at its upper edge
        axilla = rng.uniform(0.4, 0.65)
        shoulder = 0.5 + 0.5 * np.cos(np.pi * np.clip((nipple_y - y) / nipple_y, 0.0, 1.0))
        ellipse = np.where(away > 0, ellipse, axilla + (1.0 - axilla) * shoulder)
    bulge = rng.uniform(2.0, 5.0) * np.exp(-(((y - nipple_y) / 5.0) ** 4))
    skin_line = np.where(ellipse > 0, woman.depth * ellipse + bulge, 0.0)
    return skin_line.astype(np.float32), (woman.depth, nipple_y)


def _gland_fraction(
    rng: np.random.Generator, woman: Woman, grid: Grid, skin_distance: Map, nipple: Point, sheets: int = 3
) -> Map:
    """Glandular share of the tissue under the skin, [0, 1]: sheets of lobules and strands, one over another."""
    y, x = grid.coordinates()
    dx, dy = x - nipple[0], y - nipple[1]
    threshold, peak = {"A": (1.6, 0.45), "B": (0.9, 0.5), "C": (0.3, 0.55), "D": (-0.4, 0.6)}[woman.density]
    cone = np.exp(-((dy / (0.8 * woman.half_height)) ** 2) - ((dx + 0.4 * woman.depth) / (0.6 * woman.depth)) ** 2)
    lobes = power_law_field(rng, grid.shape, grid.spacing, exponent=3.3, elongation=1.3)
    share = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(sheets):
        field = power_law_field(rng, grid.shape, grid.spacing, exponent=3.3, longest=25.0, elongation=2.5)
        rays = radiate(field, dy, 10.0 - dx, grid.spacing)
        lobules = 1.0 / (1.0 + np.exp(-2.0 * (0.7 * lobes + 0.6 * rays + 3.0 * cone - 2.1 - threshold)))
        strands = np.clip(1.0 - 3.0 * np.abs(rays + rng.uniform(-0.5, 0.5)), 0.0, 1.0)
        share += lobules * (peak + 0.25 * strands) + 0.15 * strands * (1.0 - lobules)
    beneath_fat = 1.0 / (1.0 + np.exp(-(skin_distance - rng.uniform(7.0, 12.0)) / 2.0))
    return np.clip(share / sheets * (0.15 + 0.85 * beneath_fat), 0.0, 0.95).astype(np.float32)


def _chord(rng: np.random.Generator, lesion: Lesion, depth: float, dx: Map, dy: Map) -> Map:
    """Length of the ray inside a lesion, at most ``depth``: a flattened ball, its outline uneven in a cancer (mm)."""
    angle, radius = np.arctan2(dy, dx), np.hypot(dx, dy)
    outline = np.ones_like(radius)
    for order in range(2, 9):
        size = (0.25 if lesion.malignant else 0.06) / order * rng.standard_normal()
        outline += np.float32(size) * np.cos(order * angle + np.float32(rng.uniform(0.0, 2.0 * np.pi)))
    ratio = radius / (0.5 * lesion.diameter * np.clip(outline, 0.5, 1.5))
    shape = np.clip(1.0 - ratio**2, 0.0, 1.0) ** (0.8 if lesion.malignant else 0.5)
    return (min(0.7 * lesion.diameter, depth) * shape).astype(np.float32)


def build_breast(rng: np.random.Generator, woman: Woman, laterality: str, view: str, grid: Grid) -> Breast:
    """Draw one view of one breast.

    Args:
        rng: of this view alone; lesions draw from it last, so that the rest does not depend on them.
        woman: the traits that her views share.
        laterality, view: "L" or "R", "CC" or "MLO"; a ValueError otherwise.
        grid: the detector.
    """
    if laterality not in ("L", "R") or view not in ("CC", "MLO"):
        raise ValueError(f"laterality {laterality!r} and view {view!r}: expected 'L' or 'R' and 'CC' or 'MLO'.")
    y, x = grid.coordinates()
    skin_line, nipple = _outline(rng, woman, view, grid)
    mask = x < skin_line
    steps = np.maximum(ndimage.distance_transform_edt(mask) - 0.5, 0.0)  # the line runs between the pixels
    skin_distance = (grid.spacing * steps).astype(np.float32)

    compressed = float(woman.thickness * rng.uniform(0.95, 1.05) * (1.0 if view == "CC" else 1.05))
    radius = compressed * rng.uniform(0.475, 0.535)
    tilt = 1.0 + rng.uniform(-0.03, 0.03) * (y / y[-1] - 0.5) + rng.uniform(-0.05, 0.02) * (x / woman.depth - 0.5)
    thickness = edge_profile(skin_distance, compressed, radius) * tilt.astype(np.float32)
    inside = edge_profile(skin_distance - rng.uniform(1.3, 2.0), compressed, radius) * tilt.astype(np.float32)
    gland = _gland_fraction(rng, woman, grid, skin_distance, nipple) * inside

    uptake = np.clip(1.0 + 0.7 * power_law_field(rng, grid.shape, grid.spacing, exponent=4.0, longest=40.0), 0.0, 3.0)
    iodine = np.float32(woman.enhancement / 10.0) * uptake * gland  # mg/ml times mm
    bump = np.clip(1.0 - ((x - nipple[0] + 1.0) ** 2 + (y - nipple[1]) ** 2) / rng.uniform(4.0, 6.0) ** 2, 0.0, 1.0)
    protruding = np.where(mask, rng.uniform(4.0, 9.0) * np.sqrt(bump), 0.0).astype(np.float32)
    gland = gland + (thickness - inside) + protruding  # skin and nipple attenuate about as gland does
    thickness = thickness + protruding

    lesion_map = np.zeros(grid.shape, dtype=bool)
    for lesion in woman.lesions:
        if lesion.laterality != laterality:
            continue
        dx = x - (nipple[0] - lesion.nipple_distance)
        dy = y - (nipple[1] + woman.half_height * (lesion.offset_cc if view == "CC" else lesion.offset_mlo))
        chord = np.minimum(_chord(rng, lesion, 0.6 * compressed, dx, dy), thickness)
        uneven = np.clip(1.0 + 0.25 * power_law_field(rng, grid.shape, grid.spacing, longest=15.0), 0.3, 1.7)
        gland = gland + np.minimum(np.float32(lesion.density) * chord, thickness - gland)
        iodine = iodine + np.float32(lesion.concentration / 10.0) * chord * uneven
        lesion_map |= chord > 0

    breast = Breast(thickness, gland, iodine, lesion_map, skin_distance, compressed, grid.spacing)
    return breast if laterality == "L" else breast.mirrored()
