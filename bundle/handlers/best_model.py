"""Which epoch's generator is kept, and when to stop looking for a better one."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from ..networks.weights import save_weights

__all__ = ["BestModel"]

logger = logging.getLogger(__name__)


class BestModel:
    """Writes ``model.pt`` and its card whenever the validation loss has fallen; stops a run that does not get better.

    Epochs within the warm-up are neither judged nor counted. A run that ends inside it saves its last generator, and
    says so. Attach it to the trainer, after the handler that validates.

    Args:
        ckpt_dir: receives ``model.pt`` and ``model.json``.
        network: the LE -> DES generator, not wrapped.
        evaluator: the engine that validates.
        card: what inference must know of the model (image size, network, intensity rule, data hash, versions, ...).
        key_metric: the metric of the evaluator that is to fall.
        interval: epochs between validations.
        warmup_epochs: epochs that are not judged, 50 in the paper's code.
        patience: epochs without a better validation loss after which the run stops, 50 in the paper.

    Raises:
        ValueError: for an interval or a patience below 1, or a negative warm-up.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike,
        network: nn.Module,
        evaluator: Engine,
        card: Mapping[str, Any] | None = None,
        key_metric: str = "val_loss",
        interval: int = 1,
        warmup_epochs: int = 50,
        patience: int = 50,
    ) -> None:
        if min(interval, patience) < 1 or warmup_epochs < 0:
            raise ValueError(
                f"interval {interval} and patience {patience} must be 1 or more, warm-up {warmup_epochs} 0 or more."
            )
        self.path = Path(ckpt_dir) / "model.pt"
        self.network = network
        self.evaluator = evaluator
        self.card = dict(card or {})
        self.key_metric = key_metric
        self.interval = interval
        self.warmup_epochs = warmup_epochs
        self.patience = patience
        self.best_metric = math.inf
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.stop_if_over)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def __call__(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        metric = float(self.evaluator.state.metrics[self.key_metric])
        if epoch <= self.warmup_epochs:
            return
        if metric < self.best_metric:
            self.best_metric, self.best_epoch = metric, epoch
            self._save(engine, epoch)
        self.stop_if_over(engine)

    def stop_if_over(self, engine: Engine) -> None:
        """Ask the trainer to stop once ``patience`` epochs have passed without a better loss."""
        validated = engine.state.epoch - engine.state.epoch % self.interval  # a resume may begin between validations
        if validated - max(self.best_epoch, self.warmup_epochs) >= self.patience:
            logger.info(f"epoch {engine.state.epoch}: no better {self.key_metric} for {self.patience} epochs, stopping")
            engine.terminate()

    def completed(self, engine: Engine) -> None:
        if self.best_epoch == 0 and engine.state.epoch > 0:
            logger.warning(
                f"the run ended after epoch {engine.state.epoch}, and no epoch beyond the warm-up of "
                f"{self.warmup_epochs} has a {self.key_metric}: {self.path} holds the last generator, not the best one"
            )
            self._save(engine, engine.state.epoch)

    def _save(self, engine: Engine, epoch: int) -> None:
        if getattr(engine.state, "rank", 0) != 0:
            return
        metrics = self.evaluator.state.metrics
        found = {key: float(metrics[key]) for key in (self.key_metric, "val_lesion_l1") if key in metrics}
        finite = {key: value if math.isfinite(value) else None for key, value in found.items()}  # JSON knows no NaN
        card = {**self.card, "epoch": epoch, "validation": {self.key_metric: None} | finite}
        save_weights(self.path, self.network, card)

    def state_dict(self) -> dict[str, Any]:
        return {"best_metric": self.best_metric, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best_metric, self.best_epoch = state["best_metric"], state["best_epoch"]
