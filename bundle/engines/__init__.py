"""The four-network engine, and one generator on pairs: one step function each; all else is a handler."""

from .evaluator import CycleGanEvaluator
from .events import CycleGanEvents
from .image_pool import ImagePool
from .paired_trainer import PairedTrainer
from .trainer import CycleGanTrainer
