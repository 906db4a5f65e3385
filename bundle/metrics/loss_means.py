"""Means of the objective's terms over an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine
from ignite.metrics import Metric

__all__ = ["LossMeans"]


class LossMeans(Metric):
    """Mean over the images of every ``loss`` and ``loss_<term>`` in the engine's output, as ``<name>_<term>``.

    Attached as ``val_generator`` it gives ``val_generator_cycle`` and so on, and their sum as ``val_generator_total``.
    """

    def reset(self) -> None:
        self._sums: dict[str, float] = {}
        self._images = 0

    def update(self, output: Mapping[str, Any]) -> None:
        images = len(output["le"])
        for key, value in output.items():
            if key.startswith("loss"):
                term = key.removeprefix("loss").removeprefix("_") or "total"
                self._sums[term] = self._sums.get(term, 0.0) + images * float(value)
        self._images += images

    def compute(self) -> dict[str, float]:
        parts = [(self._sums, self._images)]
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            gathered: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(gathered, parts[0])
            parts = gathered
        images = sum(count for _, count in parts)
        terms = parts[0][0]
        return {term: sum(sums.get(term, 0.0) for sums, _ in parts) / images for term in terms}

    def iteration_completed(self, engine: Engine) -> None:
        self.update(engine.state.output)  # type: ignore[arg-type]

    def completed(self, engine: Engine, name: str) -> None:
        engine.state.metrics.update({f"{name}_{term}": mean for term, mean in self.compute().items()})
