"""Seconds of variants that take turns: A B A B, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Spread", "Timings", "interleaved", "timed"]


@dataclass(frozen=True)
class Spread:
    """Median, quartiles, extremes and number of values."""

    median: float
    q1: float
    q3: float
    min: float
    max: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of at least one value; quartiles by linear interpolation, as NumPy's.

        Raises:
            ValueError: without any value.
        """
        values = sorted(values)
        if not values:
            raise ValueError("there is no value to take a median of: expected repeats of 1 or more.")
        if len(values) == 1:
            return cls(values[0], values[0], values[0], values[0], values[0], 1)
        q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, q1, q3, values[0], values[-1], len(values))


@dataclass
class Timings:
    """Seconds of each repeat of one variant: by the clock, and of the processor (all threads of its process)."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def times_faster_than(self, other: Timings) -> Spread:
        """How many times faster this variant is: the other's seconds over this one's, repeat by repeat.

        Raises:
            ValueError: when the two were not measured as often.
        """
        return Spread.of(slow / fast for slow, fast in zip(other.wall, self.wall, strict=True))


def timed(work: Callable[[], object], synchronise: Callable[[], object] | None = None) -> tuple[float, float]:
    """Seconds by the clock and of the processor of one call; ``synchronise`` waits for what a GPU still does."""
    if synchronise is not None:
        synchronise()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if synchronise is not None:
        synchronise()
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(
    variants: Mapping[str, Callable[[], tuple[float, float]]], repeats: int, warm_up: int = 1
) -> dict[str, Timings]:
    """Run all variants once, then again, ``repeats`` times; the first ``warm_up`` rounds do not count.

    Args:
        variants: each does its work once and gives its seconds, by the clock and of the processor; see :func:`timed`.
        repeats: rounds that count.
        warm_up: rounds before them.

    Raises:
        ValueError: for fewer than one repeat.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}, expected 1 or more.")
    timings = {name: Timings() for name in variants}
    for number in range(warm_up + repeats):
        for name, work in variants.items():
            wall, cpu = work()
            if number >= warm_up:
                timings[name].wall.append(wall)
                timings[name].cpu.append(cpu)
    return timings
