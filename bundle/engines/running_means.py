"""Means over an epoch that stay on the device until they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ignite.distributed as idist
import torch

__all__ = ["RunningMeans", "over_processes"]


def over_processes(values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes; every one of them has to call it."""
    world_size = idist.get_world_size()
    summed: Any = idist.all_reduce(values) if world_size > 1 else values
    return summed / world_size


class RunningMeans:
    """Adds up scalars of each iteration without a look at their values: on a GPU such a look waits for the step.

    ``means`` takes one look at all of them. Scalars are tensors, or numbers.
    """

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0

    def add(self, scalars: Mapping[str, Any]) -> None:
        for name, scalar in scalars.items():
            value = torch.as_tensor(scalar).detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def means(self) -> dict[str, float]:
        """Over the iterations since the last ``clear`` and over all processes."""
        if not self._sums:
            return {}
        stacked = torch.stack(list(self._sums.values())) / max(self._count, 1)
        return dict(zip(self._sums, over_processes(stacked).tolist(), strict=True))

    def clear(self) -> None:
        self._sums, self._count = {}, 0
