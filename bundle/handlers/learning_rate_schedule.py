"""One course of the learning rate for every optimiser of a training, whoever owns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["LearningRateSchedule"]


class LearningRateSchedule:
    """Multiplies the learning rate of each optimiser by a factor of the epochs that are done.

    The optimisers are those of the engine and of those of its handlers that have ``optimizers``, such as
    ``OwnDiscriminator``, so that one side of a game does not slow down alone. PyTorch's ``LambdaLR`` does the work. It
    goes into a checkpoint as a part of ``TrainingState``.

    Args:
        factor: of the number of epochs that are done, 0 at first; gives 0 or more.
    """

    def __init__(self, factor: Callable[[int], float]) -> None:
        self.factor = factor
        self.schedules: list[LambdaLR] = []

    def attach(self, engine: Any) -> None:
        owners = [engine, *(handler for handler in engine.handlers if hasattr(handler, "optimizers"))]
        optimizers = [optimizer for owner in owners for optimizer in owner.optimizers.values()]
        self.schedules = [LambdaLR(optimizer, self.factor) for optimizer in optimizers]
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for schedule in self.schedules:
            schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return {"schedules": [schedule.state_dict() for schedule in self.schedules]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for schedule, own in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(own)
