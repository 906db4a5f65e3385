"""Says once, by name and epoch, that the virtual DES of a training is a copy of LE."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events

__all__ = ["CopyMonitor"]

logger = logging.getLogger(__name__)
REGIONS = ("lesion", "background")


class CopyMonitor:
    """Watches the validations for a virtual DES that follows LE closely, and more than the real one does.

    Eqs 2, 3, 5 and 6 of arXiv 2505.03018 are solved exactly by generators that change nothing, so that a training can
    settle on a copy. ``copying_lesion`` and ``copying_background`` are warned of, each once a run, when the
    correlation of the virtual DES with LE in that region, as the mean over the images, is above ``level`` and exceeds
    that of the real DES by more than ``margin``. The margin alone says little: any generator sees LE alone, and the
    best it can tell of DES follows LE more than DES does. That a later epoch got over it is not told: look at the
    curves.

    Attach it to the trainer, after the handler that validates.

    Args:
        evaluator: the engine that validates; its metrics ``<prefix>_<region>_le_correlation_virtual`` and ``_real`` are
            read after each validation. Without them, or where one is NaN, nothing is said.
        level: a correlation, 0 or more and below 1.
        margin: of two correlations, above 0 and below 2.
        interval: epochs between validations.
        prefix: what the evaluator's ``CaseMetrics`` is attached as.

    Raises:
        ValueError: for a level or a margin outside of that.
    """

    def __init__(
        self, evaluator: Engine, level: float = 0.9, margin: float = 0.3, interval: int = 1, prefix: str = "val"
    ) -> None:
        if not 0 <= level < 1:
            raise ValueError(f"the copy monitor's level is {level}, expected a correlation of 0 or more and below 1.")
        if not 0 < margin < 2:
            raise ValueError(
                f"the copy monitor's margin is {margin}, expected a difference of correlations above 0 and below 2."
            )
        self.evaluator = evaluator
        self.level = level
        self.margin = margin
        self.interval = interval
        self.prefix = prefix
        self.warned: dict[str, int] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.judge_validation)

    def judge_validation(self, engine: Engine) -> None:
        for region in REGIONS:
            virtual, real = (self._correlation(region, which) for which in ("virtual", "real"))
            name = f"copying_{region}"
            if virtual > self.level and virtual - real > self.margin and name not in self.warned:
                self.warned[name] = engine.state.epoch
                if getattr(engine.state, "rank", 0) == 0:
                    logger.warning(
                        f"{name} in epoch {engine.state.epoch}: the correlation of the virtual DES with LE in the "
                        f"{region} ({virtual:.3g}) is above {self.level:g}, and exceeds that of the real DES "
                        f"({real:.3g}) by more than {self.margin:g}: it is close to a copy of LE. Where pairs are "
                        "registered, try a paired loss or a baseline of configs/baselines."
                    )

    def _correlation(self, region: str, which: str) -> float:
        metrics = self.evaluator.state.metrics
        return float(metrics.get(f"{self.prefix}_{region}_le_correlation_{which}", float("nan")))

    def state_dict(self) -> dict[str, Any]:
        return {"warned": dict(self.warned)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.warned = dict(state["warned"])
