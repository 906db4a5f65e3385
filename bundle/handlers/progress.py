"""A progress bar over the whole run, with the loss terms and the time left."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from tqdm.auto import tqdm

from ..engines.running_means import RunningMeans
from ..keys import OutputKeys

__all__ = ["Progress"]

SHORT = {OutputKeys.LOSS: "G", OutputKeys.LOSS_DISC_DES: "Dy", OutputKeys.LOSS_DISC_LE: "Dx"}


class Progress:
    """One bar from the first iteration to the last, and one line an epoch: mean of each loss term, validation loss.

    Beside the bar stand the last losses; on a GPU, where a look at them waits for the step, the last epoch's means.

    Args:
        evaluator: the engine that validates, if any; its ``key_metric`` joins the line of an epoch that was validated.
        key_metric: the validation loss.
        description: what stands before the bar.
    """

    def __init__(self, evaluator: Engine | None = None, key_metric: str = "val_loss", description: str = "training"):
        self.evaluator = evaluator
        self.key_metric = key_metric
        self.description = description
        self._bar: Any = None
        self._losses = RunningMeans()
        self._shown, self._live = True, True

    def attach(self, engine: Engine) -> None:
        self._shown = getattr(engine.state, "rank", 0) == 0  # the others only join in the means
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.close)
        engine.add_event_handler(Events.INTERRUPT, self.close)

    def epoch_started(self, engine: Engine) -> None:
        self._losses.clear()
        if self._bar is None and self._shown:
            total = int(engine.state.max_epochs or 1) * int(engine.state.epoch_length or 0)
            self._bar = tqdm(
                total=total,
                initial=engine.state.iteration,
                desc=self.description,
                unit="batch",
                dynamic_ncols=True,
                mininterval=0.5 if sys.stderr.isatty() else 10.0,  # a log file wants a line now and then
            )

    def iteration_completed(self, engine: Engine) -> None:
        output: Any = engine.state.output
        output = output if isinstance(output, Mapping) else {}  # an inference hands over a list of images
        losses = {name: value for name, value in output.items() if name.startswith("loss")}
        self._losses.add(losses)
        if self._bar is None:
            return
        self._live = not any(isinstance(value, torch.Tensor) and value.is_cuda for value in losses.values())
        if self._live:
            self._bar.set_postfix(epoch=engine.state.epoch, refresh=False, **_shown(losses))
        self._bar.update()

    def epoch_completed(self, engine: Engine) -> None:
        means = self._losses.means()
        if self._bar is None:
            return
        if not self._live:
            self._bar.set_postfix(epoch=engine.state.epoch, refresh=False, **_shown(means))
        parts = [f"{name.removeprefix('loss_')} {mean:.3g}" for name, mean in means.items()]
        if self.evaluator is not None and self.evaluator.state.epoch == engine.state.epoch:  # not an earlier epoch's
            value = float(self.evaluator.state.metrics.get(self.key_metric, math.nan))
            if not math.isnan(value):
                parts.append(f"| {self.key_metric} {value:.4f}")
        if parts:
            self._bar.write(f"epoch {engine.state.epoch}/{engine.state.max_epochs}: {'  '.join(parts)}")

    def close(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _shown(losses: Mapping[str, Any]) -> dict[str, str]:
    return {SHORT[name]: f"{float(losses[name]):.3g}" for name in SHORT if name in losses}
