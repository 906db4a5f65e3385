"""A compressed breast as maps on the detector's grid: tissue, iodine, mineral and lesions, before any X-ray.

Everything is built as a left breast with the chest wall at column 0; a right breast is its mirror image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .grid import Grid, Map
from .lesions import draw_lesion_maps
from .outline import Outline, draw_outline, edge_profile
from .parenchyma import gland_fraction
from .resampling import average, blur, interpolate
from .texture import power_law_field, smooth_field
from .tubes import draw_specks, draw_tube, wander
from .woman import Woman

__all__ = ["Breast", "build_breast"]


@dataclass(frozen=True)
class Breast:
    """One view of one breast, every map (rows, columns).

    Attributes:
        thickness: of all tissue, in mm; what is not one of the next three is adipose.
        gland, skin, muscle, calcium: in mm; lesions count as gland, calcium as hydroxyapatite.
        iodine: in mg/cm2.
        lesion: bool, where the ray crosses a lesion.
        skin_distance: to the skin line in mm, 0 in air.
        compressed, spacing: height of the paddle and size of a pixel in mm.
    """

    thickness: Map
    gland: Map
    skin: Map
    muscle: Map
    calcium: Map
    iodine: Map
    lesion: NDArray[np.bool_]
    skin_distance: Map
    compressed: float
    spacing: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where there is breast."""
        return self.thickness > 0

    @property
    def adipose(self) -> Map:
        """In mm."""
        return np.maximum(self.thickness - self.gland - self.skin - self.muscle - self.calcium, 0)

    @property
    def gland_share(self) -> Map:
        """Glandular share of the tissue on the ray, [0, 1], 0 in air."""
        return np.divide(self.gland, self.thickness, out=np.zeros_like(self.gland), where=self.mask)

    def each(self, change: Callable[[NDArray], NDArray]) -> Breast:
        """The breast with every map changed by a function of one array."""
        names = (f.name for f in fields(self) if f.name not in ("compressed", "spacing"))
        maps: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, **maps)

    def shrunk(self, factor: int) -> Breast:
        """Averaged over squares of ``factor`` pixels; a square belongs to a lesion when half of it does."""
        return self._resampled(lambda values: average(values, factor), self.spacing * factor)

    def enlarged(self, shape: tuple[int, int]) -> Breast:
        """On pixels of half the size, linear between, cut to ``shape``."""
        places = [np.arange(n) / 2 - 0.25 for n in shape]
        return self._resampled(lambda values: interpolate(values.astype(np.float32), *places), self.spacing / 2)

    def _resampled(self, change: Callable[[NDArray], Map], spacing: float) -> Breast:
        changed = self.each(change)
        return replace(changed, lesion=changed.lesion >= 0.5, spacing=spacing)

    def mirrored(self) -> Breast:
        """The same breast of the other side."""
        return self.each(lambda values: np.ascontiguousarray(values[:, ::-1]))


def _pectoral_muscle(rng: np.random.Generator, woman: Woman, view: str, inside: Map, grid: Grid) -> Map:
    """Muscle in mm: a wedge from the upper edge in MLO, now and then a sliver at the chest wall in CC."""
    y, x = grid.coordinates()
    if view == "MLO":
        wide, long = woman.depth * rng.uniform(0.25, 0.6), grid.height * rng.uniform(0.4, 0.68)
        edge = wide * (1.0 - (y / long)) * (1.0 + rng.uniform(-0.1, 0.35) * (y / long))
    elif rng.random() < 0.3:
        middle, long = grid.height * rng.uniform(0.4, 0.6), rng.uniform(20.0, 45.0)
        edge = rng.uniform(2.0, 10.0) * (1.0 - ((y - middle) / long) ** 2)
    else:
        return np.zeros(grid.shape, dtype=np.float32)
    edge = edge + 1.5 * smooth_field(rng, (grid.rows, 4), grid.spacing, 30.0)[:, :1]
    share = np.clip((edge - x) / rng.uniform(3.0, 12.0), 0.0, 1.0) * rng.uniform(0.1, 0.32)
    fibres = power_law_field(rng, grid.shape[::-1], grid.spacing, exponent=3.6, longest=30.0, elongation=3.0).T
    return (inside * np.clip(share * (1.0 + 0.06 * fibres), 0.0, 0.9)).astype(np.float32)


def _vessels(rng: np.random.Generator, woman: Woman, outline: Outline, grid: Grid) -> Map:
    """Length of the ray in blood, in mm."""
    blood = np.zeros(grid.shape, dtype=np.float32)
    nipple_x, nipple_y = outline.nipple
    for _ in range(woman.vessels):
        start = (nipple_x * rng.uniform(-0.05, 0.2), nipple_y + woman.half_height * rng.uniform(-0.8, 0.8))
        end = (nipple_x * rng.uniform(0.45, 0.92), nipple_y + woman.half_height * rng.uniform(-0.5, 0.5))
        path = wander(rng, start, end, bend=6.0)
        path[:, 1] += 0.8 * np.cumsum(rng.normal(0.0, 0.5, len(path)))
        width = rng.uniform(0.9, 2.4)
        draw_tube(blood, grid, path, np.linspace(width, 0.5 * width, len(path)))
    return blood


def _skin_fold(rng: np.random.Generator, outline: Outline, grid: Grid) -> Map:
    """Skin in mm that lies double where the arm begins."""
    fold = np.zeros(grid.shape, dtype=np.float32)
    if rng.random() < 0.35:
        for _ in range(rng.integers(1, 3)):
            top = rng.uniform(2.0, 0.25 * outline.nipple[1])
            edge = float(np.interp(top, grid.coordinates()[0][:, 0], outline.x[:, 0]))
            path = wander(rng, (edge * rng.uniform(0.3, 0.7), top - rng.uniform(5, 25)), (edge, top), bend=3.0)
            draw_tube(fold, grid, path, np.linspace(1.0, rng.uniform(1.2, 3.0), len(path)))
    return fold


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
    whole = grid
    outline = draw_outline(rng, woman, view, grid)
    columns = min(grid.columns, int(outline.x.max() / grid.spacing) + 3)
    grid = Grid(grid.rows, columns, grid.spacing)  # air is not worth drawing
    y, x = grid.coordinates()
    mask = x < outline.x
    skin_distance = outline.skin_distance(grid)

    compressed = float(woman.thickness * rng.uniform(0.95, 1.05) * (1.0 if view == "CC" else 1.05))
    radius = compressed * rng.uniform(0.49, 0.58)
    tilt = 1.0 + rng.uniform(-0.03, 0.03) * (y / y[-1] - 0.5) + rng.uniform(-0.05, 0.02) * (x / woman.depth - 0.5)
    tilt = tilt.astype(np.float32)
    thickness = edge_profile(skin_distance, compressed, radius) * tilt
    inside = np.maximum(edge_profile(skin_distance - rng.uniform(1.3, 2.0), compressed, radius) * tilt - 1.5, 0)
    skin = thickness - inside
    gland = gland_fraction(rng, woman, laterality, view, outline, skin_distance, grid) * inside
    muscle = _pectoral_muscle(rng, woman, view, inside, grid)
    gland = gland * (1.0 - np.clip(1.6 * muscle / np.maximum(inside, 1.0), 0.0, 1.0))
    if view == "MLO":
        fold = _skin_fold(rng, outline, grid) * mask
        skin, thickness = skin + fold, thickness + fold

    uptake = 1.0 + 0.45 * smooth_field(rng, grid.shape, grid.spacing, 16.0)
    uptake = uptake + 0.25 * power_law_field(rng, grid.shape, grid.spacing, exponent=3.8, longest=20.0)
    enhancing = blur(gland, 2.5, grid.spacing) * mask  # capillaries do not end where a duct does
    iodine = np.float32(woman.enhancement / 10) * np.clip(uptake, 0.0, 3.0) * enhancing  # mg/ml times mm
    iodine += np.float32(0.004) * inside + np.float32(0.012) * skin + np.float32(0.0015) * muscle
    blood = np.minimum(_vessels(rng, woman, outline, grid), 0.5 * inside)
    gland = gland + np.minimum(0.9 * blood, inside - muscle - gland)
    iodine += np.float32(woman.blood / 10) * blood

    wide, high = rng.uniform(4.0, 7.0), rng.uniform(4.0, 7.0)
    away = ((x - outline.nipple[0] + 1.5) / wide) ** 2 + ((y - outline.nipple[1]) / high) ** 2
    protruding = np.where(mask, rng.uniform(1.0, 5.0) * np.exp(-(away**1.5)), 0.0).astype(np.float32)
    gland, thickness = gland + 0.8 * protruding, thickness + protruding
    iodine += np.float32(rng.uniform(0.0, 0.06)) * protruding

    calcium = np.zeros(grid.shape, dtype=np.float32)
    if rng.random() < 0.15:  # harmless ones, large and few
        spot = (outline.nipple[0] * rng.uniform(0.2, 0.8), outline.nipple[1] + rng.uniform(-40.0, 40.0))
        draw_specks(rng, calcium, grid, spot, 20.0, int(rng.integers(1, 8)), (0.4, 1.6))

    lesion_map = np.zeros(grid.shape, dtype=bool)
    for lesion in woman.lesions:
        if lesion.laterality != laterality:
            continue
        center = _place(lesion.place.behind, lesion.place.above(view) * woman.half_height, outline, skin_distance, grid)
        here = float(thickness[min(int(center[1] / grid.spacing), grid.rows - 1), int(center[0] / grid.spacing)])
        drawn = draw_lesion_maps(rng, lesion, grid, center, outline.nipple, here, gland)
        gland = gland + np.minimum(drawn.gland, np.maximum(inside - muscle - gland, 0.0))
        iodine = iodine + drawn.iodine * (inside > 0)
        calcium = np.maximum(calcium, drawn.calcium)
        lesion_map |= drawn.lesion & mask
    calcium = np.minimum(calcium, 0.5 * np.maximum(inside - gland - muscle, 0.0))

    def inside_outline(values: Map) -> Map:
        return np.where(mask, values, 0).astype(np.float32)

    breast = Breast(
        thickness=inside_outline(thickness),
        gland=inside_outline(gland),
        skin=inside_outline(skin),
        muscle=inside_outline(muscle),
        calcium=inside_outline(calcium),
        iodine=inside_outline(iodine),
        lesion=lesion_map,
        skin_distance=skin_distance,
        compressed=compressed,
        spacing=grid.spacing,
    )
    breast = breast.each(lambda values: np.pad(values, ((0, 0), (0, whole.columns - columns))))
    return breast if laterality == "L" else breast.mirrored()


def _place(behind: float, above: float, outline: Outline, skin_distance: Map, grid: Grid) -> tuple[float, float]:
    """The centre (x, y) in mm of what lies there, moved to the nearest point that is 8 mm inside."""
    x, y = max(outline.nipple[0] - behind, 4.0), outline.nipple[1] - above
    deep = skin_distance > min(8.0, 0.5 * float(skin_distance.max()))
    row, column = (int(np.clip(v / grid.spacing, 0, n - 1)) for v, n in zip((y, x), grid.shape, strict=True))
    if not deep[row, column]:
        nearest = ndimage.distance_transform_edt(~deep, return_distances=False, return_indices=True)
        row, column = nearest[:, row, column]
        x, y = (column + 0.5) * grid.spacing, (row + 0.5) * grid.spacing
    return float(x), float(y)
