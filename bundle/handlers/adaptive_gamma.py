"""The lesion weight as a rule, not a number: by area, by the ratio of errors, or by dual ascent (open question 3)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from ..engines.events import CycleGanEvents
from ..engines.micro_batches import batch_share
from ..engines.running_means import over_processes
from ..keys import BatchKeys, OutputKeys

__all__ = ["AdaptiveGamma", "AreaGamma", "DualGamma", "RatioGamma"]

WEIGHTED_BY_GAMMA = (
    (OutputKeys.CYCLE_DES, BatchKeys.DES),
    (OutputKeys.CYCLE_LE, BatchKeys.LE),
    (OutputKeys.IDENTITY_DES, BatchKeys.DES),
    (OutputKeys.IDENTITY_LE, BatchKeys.LE),
)
VIRTUAL_DES = ((OutputKeys.VIRTUAL_DES, BatchKeys.DES),)


class RegionErrors:
    """Moving averages of the absolute error inside the lesion maps and outside of them, air included.

    Errors and pixels are summed apart, ``sum <- decay sum + new``, so that an image counts by its pixels and a batch
    without a lesion leaves the lesions' average as it is. All stays on the device of the images.

    Args:
        pairs: names of the images that are compared.
        decay: of the sums with each iteration, from 0 up to less than 1; 0 is the last iteration alone.

    Raises:
        ValueError: for a decay outside of that.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, expected a number from 0 to less than 1.")
        self.pairs = tuple(pairs)
        self.decay = decay
        self.sums = torch.zeros((2, 2), dtype=torch.float64)  # of lesion and background: errors, pixels
        self._new = torch.zeros_like(self.sums)

    def add(self, images: Mapping[str, torch.Tensor]) -> None:
        """Count a batch or a part of it, each image (B, 1, H, W)."""
        seg = images[BatchKeys.SEG]
        for image, reference in self.pairs:
            error = (images[image].detach() - images[reference]).abs()
            sums = [(region * error, region) for region in (seg, 1 - seg)]
            self._new = self._new.to(seg.device) + torch.stack(
                [torch.stack([values.sum(dtype=torch.float64) for values in pair]) for pair in sums]
            )

    def step(self) -> torch.Tensor:
        """Close an iteration; gives the averages of lesion and background, (2,), NaN where there was no pixel yet.

        Every process has to call it, and all get the same.
        """
        new: Any = idist.all_reduce(self._new)
        self.sums = self.decay * self.sums.to(new.device) + new
        self._new = torch.zeros_like(self.sums)
        return self.sums[:, 0] / self.sums[:, 1]


class AdaptiveGamma(ABC):
    """A gamma that changes as the training goes on; pass it to each ``LesionLossHandler`` as its ``gamma``.

    Called with the lesion maps of a batch it gives the gamma of each image, so a ``LesionLossHandler`` of the trainer
    and one of the evaluator share it. Attach it to the trainer. What it learns is that of whole iterations: it is the
    same for any micro-batch, and with several processes all have the same; a stand-in of ``JointBatches`` is not
    counted. ``gamma`` is left in ``engine.state.metrics`` after each epoch, and in TensorBoard.

    Args:
        writer: a ``SummaryWriter``; None writes nothing.

    Raises:
        ValueError: when attached to an engine a second time.
    """

    def __init__(self, writer: Any = None) -> None:
        self.writer = writer

    @abstractmethod
    def __call__(self, seg: torch.Tensor) -> torch.Tensor:
        """The gamma of each image, (B,), 0 or more; ``seg`` is (B, 1, H, W), {0, 1}."""

    @abstractmethod
    def count(self, images: Mapping[str, torch.Tensor]) -> None:
        """Look at the images of a batch or of a part of it."""

    @abstractmethod
    def scalars(self) -> dict[str, float]:
        """What is shown after an epoch, by name; every process has to call it."""

    def attach(self, engine: Engine) -> None:
        if engine.has_event_handler(self.loss_completed, CycleGanEvents.GENERATOR_LOSS_COMPLETED):
            raise ValueError(
                f"the rule for gamma, {type(self).__name__}, is attached twice, and would take two steps an iteration: "
                "of the overlays gamma_by_area, gamma_by_ratio and gamma_by_dual lay one alone."
            )
        engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self.loss_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def loss_completed(self, engine: Engine) -> None:
        images: Any = engine.state.output
        if batch_share(engine) > 0:
            self.count(images)

    def epoch_completed(self, engine: Engine) -> None:
        scalars = self.scalars()
        engine.state.metrics.update(scalars)
        if self.writer is not None:
            for name, value in scalars.items():
                self.writer.add_scalar(name, value, engine.state.epoch)


class AreaGamma(AdaptiveGamma):
    r"""Each image its own: :math:`\gamma_i = c N / |s_i|` of N pixels and a lesion of :math:`|s_i|`; 0 without one.

    A small lesion weighs as much as a large one. With c = 1 and no bound the masked terms equal those
    of ``LesionLossHandler(gamma=1, reduction="lesion")``. The handler has to have the reduction "image": "lesion" would
    divide by the area once more. It has no state. Shown is the mean over an epoch's images with a lesion.

    Args:
        constant: c, dimensionless.
        highest: bound of an image's gamma, which a lesion of a few pixels would else drive to thousands; None is none.
        writer: a ``SummaryWriter``; None writes nothing.

    Raises:
        ValueError: for a negative constant or bound.
    """

    def __init__(self, constant: float = 1.0, highest: float | None = None, writer: Any = None) -> None:
        super().__init__(writer)
        if min(constant, highest or 0) < 0:
            raise ValueError(f"constant is {constant} and highest {highest}, expected 0 or more.")
        self.constant = constant
        self.highest = highest
        self._sums = torch.zeros(2, dtype=torch.float64)  # gammas, lesions

    def __call__(self, seg: torch.Tensor) -> torch.Tensor:
        pixels = seg.flatten(1).sum(dim=1)
        gammas = torch.where(pixels > 0, self.constant * seg[0].numel() / pixels.clamp(min=1), 0)
        return gammas if self.highest is None else gammas.clamp(max=self.highest)

    def count(self, images: Mapping[str, torch.Tensor]) -> None:
        seg = images[BatchKeys.SEG]
        gammas = self(seg).double()
        self._sums = self._sums.to(seg.device) + torch.stack([gammas.sum(), seg.flatten(1).any(dim=1).double().sum()])

    def scalars(self) -> dict[str, float]:
        gammas, lesions = over_processes(self._sums).tolist()
        self._sums = torch.zeros_like(self._sums)
        return {"gamma": gammas / lesions} if lesions else {}


class SteeredGamma(AdaptiveGamma):
    """One gamma for all images, moved by moving averages of errors; the state of both goes into a checkpoint.

    Args:
        errors: that move it.
        start: gamma at first.
        writer: a ``SummaryWriter``; None writes nothing.
    """

    def __init__(self, errors: RegionErrors, start: float, writer: Any = None) -> None:
        super().__init__(writer)
        self.errors = errors
        self.gamma = torch.tensor(start, dtype=torch.float64)

    def __call__(self, seg: torch.Tensor) -> torch.Tensor:
        return self.gamma.to(seg).expand(len(seg))

    def count(self, images: Mapping[str, torch.Tensor]) -> None:
        self.errors.add(images)

    @abstractmethod
    def step(self) -> None:
        """Move gamma, once an iteration; every process has to call it."""

    def attach(self, engine: Engine) -> None:
        super().attach(engine)
        engine.add_event_handler(CycleGanEvents.GENERATOR_MODEL_COMPLETED, self.model_completed)

    def model_completed(self, engine: Engine) -> None:
        self.step()

    def scalars(self) -> dict[str, float]:
        return {"gamma": float(self.gamma)}

    def state_dict(self) -> dict[str, Any]:
        return {"gamma": self.gamma, "sums": self.errors.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.gamma, self.errors.sums = state["gamma"], state["sums"]


class RatioGamma(SteeredGamma):
    r"""One for all images: :math:`\gamma = c\,e_{lesion} / e_{background}`, between two bounds.

    The errors are moving averages over the cycle and identity images, the four that gamma weighs. So c is the gamma of
    lesions that are as good as the rest, and a lesion pixel weighs more the further it lags behind.

    Args:
        constant: c, dimensionless.
        start: gamma until a lesion was seen.
        lowest, highest: bounds of gamma.
        decay: of the moving averages with each iteration; they look back about 1 / (1 - decay) iterations.
        writer: a ``SummaryWriter``; None writes nothing.

    Raises:
        ValueError: for a negative constant or start, bounds that are not 0 <= lowest <= highest, or a wrong decay.
    """

    def __init__(
        self,
        constant: float = 35.0,
        start: float = 0.0,
        lowest: float = 0.0,
        highest: float = 100.0,
        decay: float = 0.99,
        writer: Any = None,
    ) -> None:
        super().__init__(RegionErrors(WEIGHTED_BY_GAMMA, decay), start, writer)
        if min(constant, start) < 0:
            raise ValueError(f"constant {constant} and start {start} must be 0 or more.")
        if not 0 <= lowest <= highest:
            raise ValueError(f"lowest is {lowest} and highest {highest}, expected 0 <= lowest <= highest.")
        self.constant = constant
        self.lowest = lowest
        self.highest = highest

    def step(self) -> None:
        lesion, background = self.errors.step()
        gamma = (self.constant * lesion / background).clamp(self.lowest, self.highest)
        self.gamma = torch.where(gamma.isnan(), self.gamma.to(gamma), gamma)


class DualGamma(SteeredGamma):
    r"""One for all images, as large as the background allows: dual ascent on "background not worse than a baseline".

    .. math::
        \gamma \leftarrow \gamma + \eta\,(1 - e_{background} / ((1 + m)\,e_{baseline})),
        \quad 0 \le \gamma \le \gamma_{highest}

    So gamma rises while the background's error is at or below the baseline with its margin, and falls while it is
    above. The error is the moving average of ``|G(x) - y|`` outside the lesion maps, air included: that is the image
    which must not get worse, while the cycle and identity images are perfect already for a G that copies. Without a
    baseline it is the lowest moving average so far, of the very training that gamma moves: the background may not get
    worse than it has been, which says nothing of a training with gamma 0. ``gamma`` does not move before the average
    has seen 1 / (1 - decay) iterations. Shown are ``gamma`` and ``gamma_background``, the moving average; with
    ``highest`` 0 the latter is the baseline that gamma = 0 gives.

    Args:
        baseline: error in units of [0, 1], or None.
        margin: m, dimensionless; 0.05 allows 5 % more.
        step_size: eta, gamma an iteration at a background without error.
        start: gamma at first.
        highest: bound of gamma.
        decay: of the moving average with each iteration.
        writer: a ``SummaryWriter``; None writes nothing.

    Raises:
        ValueError: for a baseline that is not positive, a negative margin or step size, a start outside of the bounds
            or a wrong decay.
    """

    def __init__(
        self,
        baseline: float | None = None,
        margin: float = 0.05,
        step_size: float = 1.0,
        start: float = 0.0,
        highest: float = 100.0,
        decay: float = 0.99,
        writer: Any = None,
    ) -> None:
        super().__init__(RegionErrors(VIRTUAL_DES, decay), start, writer)
        if baseline is not None and baseline <= 0:
            raise ValueError(f"baseline is {baseline}, expected an error above 0, or null.")
        if min(margin, step_size) < 0:
            raise ValueError(f"margin {margin} and step_size {step_size} must be 0 or more.")
        if not 0 <= start <= highest:
            raise ValueError(f"start is {start} and highest {highest}, expected 0 <= start <= highest.")
        self.baseline = baseline
        self.margin = margin
        self.step_size = step_size
        self.highest = highest
        self.best = torch.tensor(math.inf, dtype=torch.float64)  # the lowest average so far
        self.iterations = 0

    def step(self) -> None:
        _, background = self.errors.step()
        self.iterations += 1
        if self.iterations * (1 - self.errors.decay) < 1:
            return
        self.best = torch.minimum(self.best.to(background), background)
        limit = (1 + self.margin) * (self.best if self.baseline is None else self.baseline)
        slack = 1 - background / limit
        self.gamma = (self.gamma.to(slack) + self.step_size * slack.nan_to_num(0)).clamp(0, self.highest)

    def scalars(self) -> dict[str, float]:
        errors, pixels = self.errors.sums[1].tolist()
        return super().scalars() | {"gamma_background": errors / pixels if pixels else math.nan}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best": self.best, "iterations": self.iterations}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.best, self.iterations = state["best"], state["iterations"]
