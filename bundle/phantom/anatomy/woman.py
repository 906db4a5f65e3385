"""What both breasts and both views of a woman share, and what is drawn only once: her lesions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

__all__ = ["LESION_TYPES", "Lesion", "Lobe", "Place", "Woman", "draw_lesion", "draw_satellites", "draw_woman"]

MASSES = ("spiculated_mass", "lobulated_mass", "round_mass")
LESION_TYPES = (*MASSES, "non_mass_enhancement", "fibroadenoma", "cyst")


@dataclass(frozen=True)
class Place:
    """A point of a breast before it is compressed.

    ``behind`` the nipple towards the chest wall, in mm; ``lateral`` and ``upper`` of it, as a share of the breast's
    half height, negative for medial and lower.
    """

    behind: float
    lateral: float
    upper: float

    def above(self, view: str) -> float:
        """How far above the nipple's row it is seen: CC has lateral on top, MLO what is upper and lateral."""
        return self.lateral if view == "CC" else (self.upper + self.lateral) / sqrt(2.0)


@dataclass(frozen=True)
class Lobe:
    """A part of a breast that is richer in gland than the rest; ``size`` in mm, ``amount`` 0 to 1."""

    laterality: str
    place: Place
    size: float
    amount: float


@dataclass(frozen=True)
class Lesion:
    """A lesion of one breast, seen in both of its views.

    Attributes:
        type: one of ``LESION_TYPES``.
        laterality: "L" or "R".
        place: of its centre.
        diameter: in mm; the length of a non-mass enhancement.
        density: glandular tissue per length of lesion; what shows in LE.
        concentration: iodine in mg/ml where it is strongest, drawn independently of ``density``; what shows in DES.
        core: share of the radius that takes up little: necrosis of a cancer, the fluid of a cyst; 0 for none.
        calcifications: specks of hydroxyapatite in it.
    """

    type: str
    malignant: bool
    laterality: str
    place: Place
    diameter: float
    density: float
    concentration: float
    core: float = 0.0
    calcifications: int = 0

    @property
    def enhancing(self) -> bool:
        """Whether a reader could see its iodine: 0.15 mg/ml, some 0.2 mg/cm2 in a mass of 2 cm."""
        return self.concentration >= 0.15

    def truth(self) -> dict[str, Any]:
        """What the datalist says of it."""
        return {
            "type": self.type,
            "malignant": self.malignant,
            "enhancing": self.enhancing,
            "diameter_mm": round(self.diameter, 1),
            "iodine_mg_ml": round(self.concentration, 3),
            "rim": self.core > 0,
            "calcifications": self.calcifications,
        }


@dataclass(frozen=True)
class Woman:
    """The traits of a woman; left and right, CC and MLO are drawn from the same ones.

    Attributes:
        density: ACR class "A" to "D".
        depth, half_height, thickness: of the breast in mm; nipple to chest wall, half along it, under the paddle.
        roundness: exponent of the outline; 2 is an ellipse, more is fuller.
        nipple: its height in mm.
        cells, strands: size in mm of the lobules of fat and how much gland their walls hold.
        fat: thickness in mm of the layer under the skin.
        enhancement: iodine in her normal gland, mg/ml.
        blood: iodine in her vessels, mg/ml.
        vessels: how many of them are seen in a view.
        lobes: where there is more gland; mirrored on both sides, not exactly.
        lesions: hers.
    """

    density: str
    depth: float
    half_height: float
    thickness: float
    roundness: float
    nipple: float
    cells: float
    strands: float
    fat: float
    enhancement: float
    blood: float
    vessels: int
    lobes: tuple[Lobe, ...] = ()
    lesions: tuple[Lesion, ...] = ()


def _draw_lobes(rng: np.random.Generator, depth: float) -> tuple[Lobe, ...]:
    lobes = []
    for _ in range(rng.integers(2, 6)):
        place = Place(depth * rng.uniform(0.15, 0.75), rng.uniform(-0.35, 0.6), rng.uniform(-0.35, 0.5))
        size, amount = rng.uniform(10.0, 32.0), rng.uniform(0.4, 1.2)
        for laterality in ("L", "R"):
            moved = replace(
                place,
                behind=place.behind * rng.uniform(0.9, 1.1),
                lateral=place.lateral + rng.normal(0.0, 0.08),
                upper=place.upper + rng.normal(0.0, 0.08),
            )
            lobes.append(Lobe(laterality, moved, size * rng.uniform(0.85, 1.15), amount * rng.uniform(0.7, 1.2)))
    return tuple(lobes)


def draw_woman(rng: np.random.Generator) -> Woman:
    """Draw the traits of a woman without a lesion."""
    depth = rng.uniform(70.0, 125.0)
    enhancement = rng.choice([0.05, 0.12, 0.2, 0.32], p=[0.4, 0.32, 0.18, 0.1]) * rng.uniform(0.6, 1.4)
    return Woman(
        density=str(rng.choice(list("ABCD"), p=[0.1, 0.35, 0.4, 0.15])),
        depth=depth,
        half_height=float(np.clip(depth * rng.uniform(0.72, 1.05), 66.0, 118.0)),
        thickness=float(np.clip(28.0 + 0.26 * depth + rng.normal(0.0, 7.0), 28.0, 78.0)),
        roundness=rng.uniform(1.9, 2.6),
        nipple=rng.uniform(2.0, 7.0),
        cells=rng.uniform(5.0, 11.5),
        strands=rng.uniform(0.3, 1.1),
        fat=rng.uniform(4.0, 11.0),
        enhancement=float(enhancement),
        blood=rng.uniform(0.6, 2.4),
        vessels=int(rng.integers(1, 7)),
        lobes=_draw_lobes(rng, depth),
    )


def draw_lesion(
    rng: np.random.Generator, woman: Woman, malignant: bool, enhancing: bool, laterality: str | None = None
) -> Lesion:
    """Draw a lesion of a woman; a benign one is smaller, smoother and, where it enhances at all, weaker."""
    if malignant:
        kind = str(rng.choice([*MASSES, "non_mass_enhancement"], p=[0.42, 0.24, 0.12, 0.22]))
        size, spread, strength = 41.0, 0.48, rng.lognormal(np.log(0.6), 0.5)
        if kind == "non_mass_enhancement":
            size, strength = 55.0, 0.75 * strength
        density = rng.uniform(0.05, 0.35) if kind == "non_mass_enhancement" else rng.uniform(0.15, 0.68)
    else:
        kind = "fibroadenoma" if enhancing else str(rng.choice(["fibroadenoma", "cyst"]))
        size, spread, strength = 16.0, 0.3, rng.uniform(0.15, 0.45)
        density = rng.uniform(0.5, 1.0)
    necrotic = malignant and kind in MASSES and rng.random() < 0.25
    return Lesion(
        type=kind,
        malignant=malignant,
        laterality=laterality or str(rng.choice(["L", "R"])),
        place=Place(woman.depth * rng.uniform(0.3, 0.75), rng.uniform(-0.35, 0.55), rng.uniform(-0.35, 0.5)),
        diameter=float(np.clip(rng.lognormal(np.log(size), spread), size / 2.5, 2.2 * size)),
        density=density,
        concentration=float(max(strength, 0.15) if enhancing else rng.uniform(0.0, 0.06)),
        core=rng.uniform(0.3, 0.75) if necrotic else 0.0,
        calcifications=int(rng.integers(4, 30)) if rng.random() < (0.4 if malignant else 0.2) else 0,
    )


def draw_satellites(rng: np.random.Generator, lesion: Lesion) -> list[Lesion]:
    """One or two small masses near a cancer, of the same uptake."""
    satellites = []
    for _ in range(rng.integers(1, 3)):
        behind = max(lesion.place.behind + rng.normal(0.0, 18.0), 10.0)
        lateral, upper = (share + rng.normal(0.0, 0.18) for share in (lesion.place.lateral, lesion.place.upper))
        satellites.append(
            replace(
                lesion,
                type="round_mass",
                place=Place(behind, lateral, upper),
                diameter=rng.uniform(5.0, 12.0),
                core=0.0,
                calcifications=0,
            )
        )
    return satellites
