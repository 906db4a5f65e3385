"""How long runs may take before one of them is there to tell: a step and an image are timed on noise."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .check_plan import config_of
from .plan import Run

__all__ = ["Pace", "try_out"]

STEPS = 2  # after a warm-up
LONG = 1.5  # seconds, after which an engine makes no further step
SMALLEST = 64  # px, where VIF and the discriminator still work


@dataclass(frozen=True)
class Pace:
    """Seconds for a pair, as timed.

    Attributes:
        training: in an epoch of a training.
        validation: in the validation after it.
        evaluation: in the evaluation of the test part.
        reading: from the disk, once.
        source: what was timed, for a reader.
    """

    training: float
    validation: float
    evaluation: float
    reading: float
    source: str

    def epoch(self, run: Run) -> float:
        """Seconds of an epoch with its validation."""
        return self.training * run.pairs["training"] + self.validation * run.pairs["validation"]

    def seconds(self, run: Run) -> float:
        """Seconds of a run: all its images are read twice, by the check and for use; its start is not counted."""
        reading = 2 * self.reading * sum(run.pairs.values())
        if run.run_id == "evaluating":
            return reading + self.evaluation * run.pairs["test"]
        return reading + self.epoch(run) * (run.max_epochs or 0)


def try_out(training: Run, evaluation: Run, root: Path, threads: int | None = None, seconds: float = 12.0) -> Pace:
    """Time a training step, a validated and an evaluated image of a plan, each at its best; nothing is written.

    Where the real image size would take too long, smaller ones are timed and the time goes with the number of pixels.
    On a CPU a micro-batch stands for the batch.

    Args:
        training, evaluation: runs of the plan.
        root: the repository.
        threads: that such a run has.
        seconds: that this may take, about.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        parser = config_of(training, root)
        full = parser.get_parsed_content("image_size")
        device = parser.get_parsed_content("device")
        batch = parser.get_parsed_content("batch_size")
        whole = torch.device(device).type == "cuda"
        pairs = min(batch, parser.get_parsed_content("micro_batch_size") or (batch if whole else 1))
        reading = _reading(training, root)
        size, end = min(full, SMALLEST), time.monotonic() + seconds
        while True:
            timed = _timed(training, evaluation, root, size, pairs)
            larger = min(full, 2 * size)
            needed = (pairs * timed[0] + timed[1] + timed[2]) * (larger / size) ** 2
            if larger == size or time.monotonic() + needed > end:
                break
            size = larger
    finally:
        torch.set_num_threads(before)
    scale = (full / size) ** 2
    source = f"steps of {pairs} pair(s) at {size} px on {device}" + (f", for {full} px" if size < full else "")
    a_step, validated, evaluated = (scale * each for each in timed)
    return Pace(a_step, validated, evaluated, reading, source)


def _timed(training: Run, evaluation: Run, root: Path, size: int, pairs: int) -> tuple[float, float, float]:
    """Seconds of a pair in training, validation and evaluation."""
    small = {"image_size": size, "batch_size": pairs}
    network = "$@network_def.to(@device)"
    trainer = _engine(training, root, "train::trainer", pairs, small)
    validator = _engine(training, root, "validate::evaluator", 1, small)
    # the model and the mean of the training part are not there yet
    instead = {"evaluate::metrics::model": "virtual_des", "evaluate::metrics::floor_constant": 0.5}
    instead |= {"evaluate::evaluator::gen_le_to_des": network}
    evaluator = _engine(evaluation, root, "evaluate::evaluator", 1, small | instead)
    return trainer() / pairs, validator(), evaluator()


def _engine(run: Run, root: Path, key: str, pairs: int, changes: dict[str, Any]) -> Callable[[], float]:
    """An engine of the config on noise and without handlers; called, it gives the shortest time of a batch."""
    import torch
    from ignite.engine import Events

    size = changes["image_size"]
    batch = {name: torch.rand(pairs, 1, size, size) for name in ("le", "des")}
    batch["seg"] = (torch.arange(size) < size // 4).float().expand(pairs, 1, size, size).clone()
    loader, handlers = (
        f"{key}::{'train' if key.startswith('train') else 'val'}_{end}" for end in ("data_loader", "handlers")
    )
    parser = config_of(run, root)
    parser.globals["noise"] = [batch] * (1 + STEPS)
    parser.update({**changes, loader: "$noise", handlers: []})
    if key.startswith("train"):
        parser.update({f"{key}::max_epochs": 1})
    engine = parser.get_parsed_content(key)
    engine.logger.setLevel(logging.WARNING)
    times: list[float] = []

    def note(_: Any) -> None:
        if engine.state.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.monotonic())
        if len(times) % 2 == 0 and times[-1] - times[0] > LONG:
            engine.terminate()  # a long first step needs no warm-up

    engine.add_event_handler(Events.ITERATION_STARTED, note)
    engine.add_event_handler(Events.ITERATION_COMPLETED, note)

    def timed() -> float:
        engine.run()
        return min(end - begin for begin, end in zip(times[::2], times[1::2], strict=True))

    return timed


def _reading(run: Run, root: Path) -> float:
    """Seconds to read and to prepare a pair, after a first one."""
    from ..data.folds import fold_items

    places = run.overrides
    items = fold_items(places["datalist"], places["folds"], places["fold"], "training")
    preprocessing = config_of(run, root).get_parsed_content("validate::preprocessing")
    preprocessing(items[0])
    began = time.monotonic()
    preprocessing(items[-1])
    return time.monotonic() - began
