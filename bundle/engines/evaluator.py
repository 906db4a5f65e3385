"""Validation and test: the virtual DES of each pair and, where all four networks are there, the whole objective."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import Evaluator, default_metric_cmp_fn
from monai.inferers import Inferer, SimpleInferer
from torch import nn

from ..keys import BatchKeys, OutputKeys
from ..losses import CycleGanLoss
from .events import CycleGanEvents
from .prepare_batch import prepare_cesm_batch
from .trainer import AUTOCAST_TYPES, translate

__all__ = ["CycleGanEvaluator"]


class CycleGanEvaluator(Evaluator):
    """Applies G to LE; with ``gen_des_to_le``, both discriminators and ``objective`` it also computes Eq 4's terms.

    In that second form it fires GENERATOR_FORWARD_COMPLETED and GENERATOR_LOSS_COMPLETED like the trainer, so that the
    same loss handlers add the same terms. ``state.output`` is flat: batch, images, ``loss_<term>`` and ``loss``.

    Args:
        device: where to evaluate.
        val_data_loader: yields dictionaries with ``le``, ``des`` and ``seg``, each (B, 1, H, W) in [0, 1].
        gen_le_to_des: G.
        gen_des_to_le, disc_des, disc_le, objective: F, Dy, Dx and the base objective, all of them or none.
        precision: "fp32", "bf16" or "fp16".

    Raises:
        ValueError: when only some of the four optional parts are given, or the precision is unknown.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable,
        gen_le_to_des: nn.Module,
        gen_des_to_le: nn.Module | None = None,
        disc_des: nn.Module | None = None,
        disc_le: nn.Module | None = None,
        objective: CycleGanLoss | None = None,
        precision: str = "fp32",
        inferer: Inferer | None = None,
        epoch_length: int | None = None,
        non_blocking: bool = False,
        prepare_batch: Callable = prepare_cesm_batch,
        key_val_metric: dict | None = None,
        additional_metrics: dict | None = None,
        metric_cmp_fn: Callable = default_metric_cmp_fn,
        val_handlers: Sequence | None = None,
        to_kwargs: dict | None = None,
    ) -> None:
        parts = {"gen_des_to_le": gen_des_to_le, "disc_des": disc_des, "disc_le": disc_le, "objective": objective}
        missing = [name for name, part in parts.items() if part is None]
        if 0 < len(missing) < len(parts):
            raise ValueError(f"the whole objective needs {', '.join(parts)}, but {', '.join(missing)} is missing.")
        if precision not in AUTOCAST_TYPES:
            raise ValueError(f"precision is {precision!r}, expected one of {', '.join(AUTOCAST_TYPES)}.")
        self.gen_le_to_des = gen_le_to_des
        self.gen_des_to_le: Any = gen_des_to_le
        self.disc_des: Any = disc_des
        self.disc_le: Any = disc_le
        self.objective = objective
        self.precision = precision
        self.handlers = tuple(val_handlers or ())
        self.inferer = inferer if inferer is not None else SimpleInferer()
        super().__init__(
            device=device,
            val_data_loader=val_data_loader,
            epoch_length=epoch_length,
            non_blocking=non_blocking,
            prepare_batch=prepare_batch,
            key_val_metric=key_val_metric,
            additional_metrics=additional_metrics,
            metric_cmp_fn=metric_cmp_fn,
            val_handlers=val_handlers,
            event_names=[CycleGanEvents],
            decollate=False,
            to_kwargs=to_kwargs,
        )

    def _iteration(self, engine: Engine, batchdata: dict[str, Any]) -> dict[str, torch.Tensor]:
        if batchdata is None:
            raise ValueError("there is no batch for this iteration: the data loader is empty.")
        batch = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        dtype = AUTOCAST_TYPES[self.precision]
        autocast = torch.autocast(self.state.device.type, dtype=dtype, enabled=dtype is not None)
        with torch.no_grad():
            if self.objective is None:
                with self.mode(self.gen_le_to_des), autocast:
                    virtual_des = self.inferer(batch[BatchKeys.LE], self.gen_le_to_des)
                virtual_des = virtual_des.to(batch[BatchKeys.LE].dtype)
                self.state.output = {**batch, OutputKeys.VIRTUAL_DES: virtual_des}
                self.fire_event(CycleGanEvents.GENERATOR_FORWARD_COMPLETED)
                return self.state.output
            with self.mode(self.gen_le_to_des), self.mode(self.gen_des_to_le), autocast:
                images = translate(batch, self.gen_le_to_des, self.gen_des_to_le, self.inferer)
            self.state.output = {**batch, **images}
            self.fire_event(CycleGanEvents.GENERATOR_FORWARD_COMPLETED)
            with self.mode(self.disc_des), self.mode(self.disc_le), autocast:
                verdict_des = self.inferer(images[OutputKeys.VIRTUAL_DES], self.disc_des)
                verdict_le = self.inferer(images[OutputKeys.VIRTUAL_LE], self.disc_le)
            precise = batch[BatchKeys.LE].dtype
            verdict_des, verdict_le = verdict_des.to(precise), verdict_le.to(precise)
            self.state.verdicts = {OutputKeys.VIRTUAL_DES: verdict_des, OutputKeys.VIRTUAL_LE: verdict_le}
            self.state.loss_terms = self.objective.generator_terms(self.state.output, verdict_des, verdict_le)
            self.fire_event(CycleGanEvents.GENERATOR_LOSS_COMPLETED)
        losses = {f"loss_{name}": term for name, term in self.state.loss_terms.items()}
        losses[OutputKeys.LOSS] = torch.stack(list(self.state.loss_terms.values())).sum()
        self.state.output = {**self.state.output, **losses}
        return self.state.output
