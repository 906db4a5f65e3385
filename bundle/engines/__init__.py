"""The four-network engine: one step function; all else is a handler."""

from .evaluator import CycleGanEvaluator
from .events import CycleGanEvents
from .image_pool import ImagePool
from .trainer import CycleGanTrainer
