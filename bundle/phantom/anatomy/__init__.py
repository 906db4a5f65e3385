"""A woman, her breasts and what is in them, without any X-ray."""

from .breast import Breast, build_breast
from .grid import Grid, Map
from .outline import edge_profile
from .woman import LESION_TYPES, Lesion, Lobe, Place, Woman, draw_lesion, draw_satellites, draw_woman

__all__ = [
    "LESION_TYPES",
    "Breast",
    "Grid",
    "Lesion",
    "Lobe",
    "Map",
    "Place",
    "Woman",
    "build_breast",
    "draw_lesion",
    "draw_satellites",
    "draw_woman",
    "edge_profile",
]
