"""The objective of the paper, Eq 4 for the engine and Eqs 5 and 6 for a handler, and the error of a registered pair."""

from .cyclegan import CycleGanLoss
from .lesion import LesionL1Loss
from .paired import PairedL1Loss
