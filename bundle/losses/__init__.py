"""The objective of the paper: Eq 4 for the engine, Eqs 5 and 6 for the handler."""

from .cyclegan import CycleGanLoss
from .lesion import LesionL1Loss
