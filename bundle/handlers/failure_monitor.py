"""Says once, by name and epoch, that a training shows one of the failures of this family."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events

from ..engines.running_means import RunningMeans

__all__ = ["FailureMonitor"]

logger = logging.getLogger(__name__)
ON_LESIONS_ALONE = ("_lesion", "_crops")  # means in which an image, or a patch, without a lesion counts 0


class FailureMonitor:
    """Watches the trainer and its validations for three failures; each is said once a run.

    - ``discriminator_collapse``: a discriminator's mean loss over an epoch, any ``loss_disc_*`` of the output, lies
      below ``discriminator_loss``. It tells real from synthetic without effort, and the generators learn nothing more
      from it. Losses on lesions alone (``_lesion``, ``_crops``) are low wherever lesions are few, and are not judged.
    - ``lesion_error``: the mean error in lesions is more than ``lesion_ratio`` times the background's.
    - ``background_drift``: virtual minus real DES, averaged over the background, exceeds ``background_bias`` on
      either side: an artefact over the whole breast.

    Attach it to the trainer, after the handler that validates.

    Args:
        evaluator: the engine that validates; its metrics ``<prefix>_lesion_l1``, ``<prefix>_background_l1`` and
            ``<prefix>_background_bias`` are read after each validation.
        discriminator_loss: least-squares loss, 0.25 for a coin's toss and 0 for certainty.
        lesion_ratio: dimensionless.
        background_bias: in units of [0, 1].
        interval: epochs between validations.
        prefix: what the evaluator's ``CaseMetrics`` is attached as.

    Raises:
        ValueError: for a threshold that is not positive.
    """

    def __init__(
        self,
        evaluator: Engine,
        discriminator_loss: float = 0.02,
        lesion_ratio: float = 4.0,
        background_bias: float = 0.1,
        interval: int = 1,
        prefix: str = "val",
    ) -> None:
        if min(discriminator_loss, lesion_ratio, background_bias) <= 0:
            raise ValueError(
                f"the monitor's thresholds {discriminator_loss}, {lesion_ratio}, {background_bias} must be positive."
            )
        self.evaluator = evaluator
        self.discriminator_loss = discriminator_loss
        self.lesion_ratio = lesion_ratio
        self.background_bias = background_bias
        self.interval = interval
        self.prefix = prefix
        self.warned: dict[str, int] = {}
        self._losses = RunningMeans()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.judge_discriminators)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.judge_validation)

    def epoch_started(self, engine: Engine) -> None:
        self._losses.clear()

    def iteration_completed(self, engine: Engine) -> None:
        output: Any = engine.state.output
        names = (name for name in output if name.startswith("loss_disc_") and not name.endswith(ON_LESIONS_ALONE))
        self._losses.add({name: output[name] for name in names})

    def judge_discriminators(self, engine: Engine) -> None:
        for name, mean in self._losses.means().items():
            if mean < self.discriminator_loss:
                which = name.removeprefix("loss_")
                self._warn(
                    f"discriminator_collapse_{which}",
                    engine,
                    f"{which}'s mean loss is {mean:.3g}, below {self.discriminator_loss:g}: it tells real from "
                    "synthetic without effort. Try a lower learning rate or an image pool.",
                )

    def judge_validation(self, engine: Engine) -> None:
        metrics = self.evaluator.state.metrics
        lesion, background, bias = (
            float(metrics.get(f"{self.prefix}_{name}", float("nan")))
            for name in ("lesion_l1", "background_l1", "background_bias")
        )
        if lesion > self.lesion_ratio * background:
            self._warn(
                "lesion_error",
                engine,
                f"the error in lesions ({lesion:.3g}) is more than {self.lesion_ratio:g} times the background's "
                f"({background:.3g}). Try a larger gamma.",
            )
        if abs(bias) > self.background_bias:
            self._warn(
                "background_drift",
                engine,
                f"the background of the virtual DES lies {bias:+.3g} off the real one, beyond "
                f"{self.background_bias:g}. Look at the panels.",
            )

    def _warn(self, name: str, engine: Engine, text: str) -> None:
        if name not in self.warned:
            self.warned[name] = engine.state.epoch
            if getattr(engine.state, "rank", 0) == 0:
                logger.warning(f"{name} in epoch {engine.state.epoch}: {text}")

    def state_dict(self) -> dict[str, Any]:
        return {"warned": dict(self.warned)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.warned = dict(state["warned"])
