"""Every loss term of every iteration in TensorBoard, and the epoch's means, with one look at the device an epoch."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events

from ..engines.running_means import over_processes

__all__ = ["LossCurves"]


class LossCurves:
    """Keeps each iteration's ``loss...`` on the device and writes them all when the epoch ends.

    Their means over the epoch are left in ``engine.state.metrics``, where MONAI's ``MLFlowHandler`` looks for them.

    MONAI's ``TensorBoardStatsHandler`` asks for each value as it comes; on a GPU every such question waits until the
    step is done.

    Args:
        writer: a ``SummaryWriter``; None writes nothing, but takes part in the mean over processes.
    """

    def __init__(self, writer: Any = None) -> None:
        self.writer = writer
        self._rows: list[dict[str, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def epoch_started(self, engine: Engine) -> None:
        self._rows = []  # of an epoch that broke off

    def iteration_completed(self, engine: Engine) -> None:
        output: Any = engine.state.output
        losses = {name: value for name, value in output.items() if name.startswith("loss")}
        self._rows.append({name: torch.as_tensor(value).detach().double() for name, value in losses.items()})

    def write(self, engine: Engine) -> None:
        if not any(self._rows):
            return
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        absent = torch.zeros_like(next(iter(self._rows[0].values())))  # a handler need not add its term every time
        values = over_processes(
            torch.stack([torch.stack([row.get(name, absent) for name in names]) for row in self._rows])
        )
        engine.state.metrics.update(zip(names, values.mean(dim=0).tolist(), strict=True))
        if self.writer is None:
            return
        first = engine.state.iteration - len(values) + 1
        for iteration, (row, terms) in enumerate(zip(values.tolist(), self._rows, strict=True), start=first):
            for name, value in zip(names, row, strict=True):
                if name in terms:
                    self.writer.add_scalar(name, value, iteration)
