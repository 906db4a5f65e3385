"""What a protocol costs in hours and money, from the steps that a benchmark measured; what is not measured says so."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .measured_step import Figure, Measured, assumed_pair
from .plan import Run
from .run_ray import runs_on_one_gpu
from .trial import Pace

__all__ = ["Cost", "Fleet", "Protocol", "cost_of", "cost_table", "costs_of", "wall_seconds"]

UTILISATION = {"fp32": (0.4, 0.55, 0.7), "bf16": (0.1, 0.2, 0.35)}


@dataclass(frozen=True)
class Protocol:
    """The trainings and evaluations of arXiv 2505.03018: stage 1 once, stage 2 for each gamma and fold.

    Attributes:
        pairs, pretrain_pairs: of the data of stage 2 and of stage 1 (0: there is none).
        folds, gammas: their numbers; one fold is the test part, one the validation part.
        epochs: of each training, at most: an early stop may make them fewer.
        image_size, batch_size, precision: of a training.

    Raises:
        ValueError: for numbers that are none of a protocol, all at once.
    """

    pairs: int = 1139
    pretrain_pairs: int = 1003
    folds: int = 10
    gammas: int = 3
    epochs: int = 200
    image_size: int = 256
    batch_size: int = 8
    precision: str = "fp32"

    def __post_init__(self) -> None:
        least = {"pairs": 3, "folds": 3, "gammas": 1, "epochs": 1, "image_size": 1, "batch_size": 1}
        wrong = [
            f"{name} is {getattr(self, name)!r}, expected {lowest} or more."
            for name, lowest in least.items()
            if getattr(self, name) < lowest
        ]
        if wrong:
            raise ValueError("\n".join(wrong))

    def runs(self) -> list[Run]:
        """In the order of a plan: fold by fold, each gamma with its evaluation."""
        runs = []
        if self.pretrain_pairs:
            pairs = self._parts(self.pretrain_pairs)
            runs.append(Run("pretrain", "training", 1, 0, 0, [], [], {}, self.epochs, pairs))
        for fold in range(self.folds):
            for gamma in range(self.gammas):
                name, pairs = f"model_{gamma}/fold_{fold}", self._parts(self.pairs)
                needs = ["pretrain"] if self.pretrain_pairs else []
                runs.append(Run(name, "training", 2, gamma, fold, needs, [], {}, self.epochs, pairs))
                tested = {"training": pairs["training"], "test": pairs["validation"]}
                runs.append(Run(f"{name}/eval", "evaluating", 2, gamma, fold, [name], [], {}, pairs=tested))
        return runs

    def _parts(self, pairs: int) -> dict[str, int]:
        part = round(pairs / self.folds)
        return {"training": pairs - 2 * part, "validation": part}


@dataclass(frozen=True)
class Fleet:
    """Workers (GPUs, or machines without one) and how runs are laid on them.

    Attributes:
        workers: their number.
        share: of a worker that a run of stage 2 takes, in (0, 1], ``--gpus_per_run`` of the sweep.
        sharing_gain: how much more runs that share a worker get done together than one alone.
        pretrain_workers: on which stage 1 runs, data-parallel.
        parallel_efficiency: of that, in (0, 1].

    Raises:
        ValueError: with every problem at once.
    """

    workers: int = 1
    share: float = 1.0
    sharing_gain: float = 1.0
    pretrain_workers: int = 1
    parallel_efficiency: float = 0.9

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {"workers": (1, float("inf")), "share": (1e-4, 1)}
        bounds |= {"sharing_gain": (0.1, 10), "parallel_efficiency": (0.01, 1)}
        bounds["pretrain_workers"] = (1, max(1, self.workers))
        wrong = [
            f"{name} is {getattr(self, name)!r}, expected a number from {low:g} to {high:g}."
            for name, (low, high) in bounds.items()
            if not low <= getattr(self, name) <= high
        ]
        if wrong:
            raise ValueError("\n".join(wrong))

    @property
    def slots(self) -> int:
        """Runs at once."""
        return self.workers * runs_on_one_gpu(self.share)

    def slowdown(self, run: Run) -> float:
        """How much longer a run takes than on a worker of its own; stage 1 has no others beside it."""
        if run.stage == 1:
            return 1.0 if self.pretrain_workers == 1 else 1 / (self.pretrain_workers * self.parallel_efficiency)
        together = runs_on_one_gpu(self.share)
        return 1.0 if together == 1 else together / self.sharing_gain

    def assumed(self) -> list[str]:
        told = []
        if runs_on_one_gpu(self.share) > 1:
            told.append(
                f"estimate: {runs_on_one_gpu(self.share)} runs that share a worker get {self.sharing_gain:g} times as "
                "much done as one alone"
            )
        if self.pretrain_workers > 1:
            told.append(
                f"estimate: stage 1 on {self.pretrain_workers} workers at {self.parallel_efficiency:.0%} of their sum"
            )
        return told


@dataclass(frozen=True)
class Cost:
    """What a protocol costs on workers of one kind; hours, at most, since trainings may stop early.

    Attributes:
        worker: its name.
        pair: seconds of a training step a pair.
        training: hours of a training of stage 2 on a worker of its own.
        alone: hours of all runs on one worker.
        wall: hours on the fleet.
        price: of the fleet for that time; None where no price was given.
        notes: what was assumed beside the step.
    """

    worker: str
    pair: Figure
    training: Figure
    alone: Figure
    wall: Figure
    price: Figure | None
    notes: tuple[str, ...]


def cost_of(
    worker: str,
    pair: Figure,
    protocol: Protocol,
    fleet: Fleet,
    start_up: Figure,
    forward_share: float = 0.4,
    metrics: float = 0.05,
    vif_and_floors: float = 2.0,
    reading: float = 0.1,
    price_an_hour: float | None = None,
) -> Cost:
    """Hours and price of a protocol; the bounds are those of a step and of a start throughout.

    Args:
        worker: its name.
        pair: seconds of a training step a pair on it.
        protocol: what is to be run.
        fleet: on how many workers, and how.
        start_up: seconds of a process before its first step.
        forward_share: what the networks take of a validated or evaluated pair, as a share of ``pair``.
        metrics, vif_and_floors: seconds of a pair's metrics, and more of them in an evaluation; on the host, mostly.
        reading: seconds to read and prepare a pair, once.
        price_an_hour: of a worker.
    """
    runs, hours = protocol.runs(), 3600.0
    bounds: dict[str, list[float]] = {"training": [], "alone": [], "wall": []}
    for which in ("mid", "low", "high"):
        step, start = getattr(pair, which), getattr(start_up, which)
        validated = forward_share * step + metrics
        pace = Pace(step, validated, validated + vif_and_floors, reading, pair.source)
        seconds = {run.name: pace.seconds(run) + start for run in runs}
        slowed = {run.name: seconds[run.name] * fleet.slowdown(run) for run in runs}
        last = next(run for run in reversed(runs) if run.run_id == "training")
        bounds["training"].append(seconds[last.name] / hours)
        bounds["alone"].append(sum(seconds.values()) / hours)
        bounds["wall"].append(wall_seconds(runs, slowed, fleet.slots) / hours)
    notes = (
        f"estimate: a validated pair takes {forward_share:g} of a step and {metrics:g} s for its metrics, an evaluated "
        f"one {vif_and_floors:g} s more; reading a pair {reading:g} s",
        f"{start_up.source}: a process takes {start_up.mid:.0f} s to its first step",
        *fleet.assumed(),
    )
    training, alone, wall = (Figure(mid, low, high, pair.source, measured=False) for mid, low, high in bounds.values())
    price = None if price_an_hour is None else wall.times(fleet.workers * price_an_hour)
    return Cost(worker, pair, training, alone, wall, price, notes)


def costs_of(
    measured: Measured,
    protocol: Protocol,
    fleet: Fleet,
    accelerators: Sequence[str] = (),
    variant: str | None = None,
    utilisation: Sequence[float] | None = None,
    start_up: float = 15.0,
    price: float | Mapping[str, float] | None = None,
    **shares: float,
) -> list[Cost]:
    """What a protocol costs on the machine that was measured and, as an estimate, on others.

    Args:
        measured: steps of the benchmark.
        protocol: what is to be run.
        fleet: on how many workers, and how.
        accelerators: names in ``ACCELERATORS``; one that is the measured GPU is left out.
        variant: of the step; None takes the row of ``ROW_OF``: with lesion losses in fp32, with levers else.
        utilisation: lowest, likely and highest share of an accelerator's peak; None takes ``UTILISATION``.
        start_up: seconds of a process before its first step, where the benchmark has not measured them.
        price: of an hour of a worker, one for all or by name.
        shares: of :func:`cost_of`.

    Raises:
        ValueError: where no such step was measured, or for an accelerator that is not known.
    """
    precision = protocol.precision
    start = measured.start_up() or Figure(start_up, start_up, start_up, "estimate", measured=False)
    pairs = {measured.worker: measured.pair(protocol.image_size, protocol.batch_size, precision, variant)}
    use = utilisation or UTILISATION["fp32" if precision == "fp32" else "bf16"]
    for name in accelerators:
        if name not in measured.worker:
            pairs[name] = assumed_pair(name, measured.gflop(protocol.image_size), precision, use)
    prices = price if isinstance(price, Mapping) else dict.fromkeys(pairs, price)
    return [
        cost_of(name, pair, protocol, fleet, start, price_an_hour=prices.get(name), **shares)
        for name, pair in pairs.items()
    ]


def wall_seconds(runs: Sequence[Run], seconds: Mapping[str, float], slots: int) -> float:
    """Seconds until the last run ends, each begun in the plan's order when what it needs is done and a slot is free."""
    waiting, done, clock = list(runs), set[str](), 0.0
    underway: list[tuple[float, str]] = []
    while waiting or underway:
        for run in [run for run in waiting if done.issuperset(run.needs)][: slots - len(underway)]:
            heapq.heappush(underway, (clock + seconds[run.name], run.name))
            waiting.remove(run)
        if not underway:
            raise ValueError(f"{waiting[0].name} needs what no run makes: {', '.join(waiting[0].needs)}.")
        clock, name = heapq.heappop(underway)
        done.add(name)
    return clock


def cost_table(costs: Sequence[Cost], fleet: Fleet) -> str:
    """A table for a reader, a row a kind of worker, with what it rests on below."""
    heading = [
        "worker",
        "pair of a step [s]",
        "training of stage 2 [h]",
        "all on one [h]",
        f"wall on {fleet.workers} [h]",
    ]
    rows = [[*heading, *(["price"] if any(cost.price for cost in costs) else [])]]
    for cost in costs:
        figures = [cost.training, cost.alone, cost.wall, *([cost.price] if len(rows[0]) > len(heading) else [])]
        step = f"{_told(cost.pair)}, {cost.pair.basis}"
        rows.append([cost.worker, step, *("" if each is None else _told(each) for each in figures)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += ["", "Hours are estimates from the step, and at most: a training may stop early."]
    lines += [f"- {cost.worker}: {cost.pair.source}" for cost in costs]
    lines += [f"- {note}" for note in dict.fromkeys(note for cost in costs for note in cost.notes)]
    return "\n".join(lines)


def _told(figure: Figure) -> str:
    told = _number(figure.mid)
    return told if figure.low == figure.high else f"{told} ({_number(figure.low)}-{_number(figure.high)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
