"""One generator trained on pairs: the plain supervised baseline, with the events of the four-network engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer, default_metric_cmp_fn
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from torch import nn
from torch.optim import Optimizer

from ..keys import BatchKeys, LossTerms, OutputKeys
from ..losses import PairedL1Loss
from .events import CycleGanEvents
from .image_pool import ImagePool
from .micro_batches import MicroBatches, check_machine, unwrapped
from .prepare_batch import prepare_cesm_batch

__all__ = ["PairedTrainer"]


class PairedTrainer(MicroBatches, SupervisedTrainer):
    """Trains G: LE -> DES on aligned pairs, ``weight * objective(G(x), y, s)``, and whatever handlers add.

    One iteration: make G(x), fire GENERATOR_FORWARD_COMPLETED, put the term ``paired`` into ``state.loss_terms``, fire
    GENERATOR_LOSS_COMPLETED (where handlers add terms), sum, backward, fire GENERATOR_BACKWARD_COMPLETED; after the
    last micro-batch step and fire GENERATOR_MODEL_COMPLETED. ``state.output`` ends as one flat dictionary: the batch,
    ``virtual_des``, ``loss_<term>`` for each term, and ``loss``. Checkpoints, curves and monitors are those of
    ``CycleGanTrainer``.

    Args:
        device: where to train.
        max_epochs: number of epochs.
        train_data_loader: yields dictionaries with ``le``, ``des`` and ``seg``, each (B, 1, H, W) in [0, 1].
        gen_le_to_des: G.
        generator_optimizer: of G's parameters.
        objective: (G(x), y, s) -> scalar; the mean absolute error by default.
        weight: of that term in the sum; 100 in Pix2Pix.
        precision, micro_batch_size, compile, channels_last, batch_weight: as for ``CycleGanTrainer``.
        inferer: how G is applied; instance norm needs the whole image, so ``SimpleInferer``.
        train_handlers: handlers; ``decollate`` is off, as the outputs are batches.

    Raises:
        ValueError: for an unknown precision or mode, fp16 without CUDA, a micro-batch below 1 or a negative weight; for
            several processes whose generator no wrapper synchronises.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: Iterable,
        gen_le_to_des: nn.Module,
        generator_optimizer: Optimizer,
        objective: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
        weight: float = 1.0,
        precision: str = "fp32",
        micro_batch_size: int | None = None,
        compile: str | None = None,
        channels_last: bool = False,
        batch_weight: Callable[[int], float] | None = None,
        inferer: Inferer | None = None,
        epoch_length: int | None = None,
        non_blocking: bool = False,
        prepare_batch: Callable = prepare_cesm_batch,
        key_train_metric: dict | None = None,
        additional_metrics: dict | None = None,
        metric_cmp_fn: Callable = default_metric_cmp_fn,
        train_handlers: Sequence | None = None,
        to_kwargs: dict | None = None,
    ) -> None:
        device = torch.device(device)
        check_machine(device, precision, micro_batch_size, compile)
        if weight < 0:
            raise ValueError(f"weight is {weight}, expected 0 or more.")
        if idist.get_world_size() > 1 and unwrapped(gen_le_to_des) is gen_le_to_des:
            raise ValueError(
                f"{idist.get_world_size()} processes would each train a generator of their own: gen_le_to_des is not "
                "wrapped in DistributedDataParallel. Lay configs/multi_gpu_train.json after the baseline's overlay, "
                "which replaces the networks that it wraps."
            )
        # everything that handlers may ask for must stand before the base class attaches them
        self.gen_le_to_des, self.generator_optimizer = gen_le_to_des, generator_optimizer
        self.objective = PairedL1Loss() if objective is None else objective
        self.weight = weight
        self.precision = precision
        self.micro_batch_size = micro_batch_size
        self.batch_weight = batch_weight
        self.handlers = tuple(train_handlers or ())
        self.generator_scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        if channels_last and unwrapped(gen_le_to_des) is gen_le_to_des:  # a wrapper has laid out its gradients already
            gen_le_to_des.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compile is not None:  # in place: names of weights stay as they are
            unwrapped(gen_le_to_des).compile(mode=None if compile == "default" else compile, dynamic=False)
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=train_data_loader,
            network=gen_le_to_des,
            optimizer=generator_optimizer,
            loss_function=self.objective,
            inferer=inferer,
            epoch_length=epoch_length,
            non_blocking=non_blocking,
            prepare_batch=prepare_batch,
            key_train_metric=key_train_metric,
            additional_metrics=additional_metrics,
            metric_cmp_fn=metric_cmp_fn,
            train_handlers=train_handlers,
            event_names=[CycleGanEvents],
            decollate=False,
            to_kwargs=to_kwargs,
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The one network by its name, unwrapped."""
        return {"gen_le_to_des": unwrapped(self.gen_le_to_des)}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        return {"generators": self.generator_optimizer}

    @property
    def scalers(self) -> dict[str, torch.amp.GradScaler]:
        return {"generators": self.generator_scaler}

    @property
    def pools(self) -> dict[str, ImagePool]:
        return {}

    def _iteration(self, engine: Engine, batchdata: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if batchdata is None:
            raise ValueError("there is no batch for this iteration: the data loader is empty.")
        prepare: Any = self.prepare_batch
        batch = prepare(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        self.network.train()
        self.generator_optimizer.zero_grad(set_to_none=True)
        made: list[torch.Tensor] = []
        losses: dict[str, torch.Tensor] = {}
        for part, share in self._micro_batches(batch, self.network):
            with self._autocast():
                virtual_des = self.inferer(part[BatchKeys.LE], self.network)
            virtual_des = virtual_des.to(part[BatchKeys.LE].dtype)
            self.state.output = {**part, OutputKeys.VIRTUAL_DES: virtual_des}
            self.fire_event(CycleGanEvents.GENERATOR_FORWARD_COMPLETED)
            error = self.objective(virtual_des, part[BatchKeys.DES], part[BatchKeys.SEG])
            self.state.loss_terms = {LossTerms.PAIRED: self.weight * error}
            self.fire_event(CycleGanEvents.GENERATOR_LOSS_COMPLETED)
            self._backward(self.generator_scaler, share, losses, total=OutputKeys.LOSS)
            self.fire_event(CycleGanEvents.GENERATOR_BACKWARD_COMPLETED)
            made.append(virtual_des.detach())
        self.generator_scaler.step(self.generator_optimizer)
        self.generator_scaler.update()
        self.state.output = {**batch, OutputKeys.VIRTUAL_DES: torch.cat(made), **losses}
        self.fire_event(CycleGanEvents.GENERATOR_MODEL_COMPLETED)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output
