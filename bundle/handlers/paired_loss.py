"""The error of a registered pair as an event handler: what pairing is there to be used for."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine

from ..engines.events import CycleGanEvents
from ..keys import BatchKeys, LossTerms, OutputKeys
from ..losses import PairedL1Loss

__all__ = ["PairedLossHandler"]


class PairedLossHandler:
    """Adds ``paired``, the error of G(x) against y, and with ``both_ways`` ``paired_le``, that of F(y) against x.

    The paper's own terms are all solved by G = F = identity; this one is not. It works on ``CycleGanTrainer``,
    ``CycleGanEvaluator`` and ``PairedTrainer``, to whose own term ``paired`` it is added. Both terms are means over the
    images of a batch, so micro-batches and processes change nothing. A weight of 0 adds no term.

    Args:
        weight: of both terms.
        lesion_weight, tolerance: see :class:`bundle.losses.PairedL1Loss`; the tolerance is in pixels.
        both_ways: F(y) too; for engines that train F.

    Raises:
        ValueError: for a negative weight or tolerance; in the first step, when the engine makes no F(y).
    """

    def __init__(
        self, weight: float = 10.0, lesion_weight: float = 10.0, tolerance: int = 0, both_ways: bool = False
    ) -> None:
        if weight < 0:
            raise ValueError(f"weight is {weight}, expected 0 or more.")
        self.weight = weight
        self.both_ways = both_ways
        self.loss = PairedL1Loss(lesion_weight, tolerance)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.weight == 0:
            return
        state: Any = engine.state
        images = state.output
        le, des, seg = images[BatchKeys.LE], images[BatchKeys.DES], images[BatchKeys.SEG]
        found = {LossTerms.PAIRED: self.loss(images[OutputKeys.VIRTUAL_DES], des, seg)}
        if self.both_ways:
            if OutputKeys.VIRTUAL_LE not in images:
                raise ValueError(
                    f"both_ways asks for F(y), but {type(engine).__name__} trains G alone and makes no "
                    f"{OutputKeys.VIRTUAL_LE}. Set both_ways to false."
                )
            found[LossTerms.PAIRED_LE] = self.loss(images[OutputKeys.VIRTUAL_LE], le, seg)
        for name, error in found.items():
            former = state.loss_terms.get(name)  # the objective of PairedTrainer is a term of this name
            state.loss_terms[name] = self.weight * error + (0 if former is None else former)
