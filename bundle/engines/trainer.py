"""The CycleGAN iteration as a MONAI trainer: four networks, two optimisers, events where losses can be added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from ignite.engine import Engine
from monai.engines import Trainer, default_metric_cmp_fn
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer, SimpleInferer
from torch import nn
from torch.optim import Optimizer

from ..keys import BatchKeys, OutputKeys
from ..losses import CycleGanLoss
from .events import CycleGanEvents
from .image_pool import ImagePool
from .micro_batches import AUTOCAST_TYPES, COMPILE_MODES, MicroBatches, check_machine, unwrapped
from .prepare_batch import prepare_cesm_batch

__all__ = ["AUTOCAST_TYPES", "COMPILE_MODES", "CycleGanTrainer", "translate", "unwrapped"]


def apply_to_two(
    first: torch.Tensor, second: torch.Tensor, network: nn.Module, inferer: Inferer, at_once: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """A network's results for two batches of one shape, from one call or from two."""
    if not at_once:
        return inferer(first, network), inferer(second, network)
    of_first, of_second = inferer(torch.cat([first, second]), network).chunk(2)
    return of_first, of_second


def translate(
    batch: Mapping[str, torch.Tensor],
    gen_le_to_des: nn.Module,
    gen_des_to_le: nn.Module,
    inferer: Inferer,
    batched_calls: bool = False,
) -> dict[str, torch.Tensor]:
    """The six images of an iteration, each (B, 1, H, W) in [0, 1], in the precision of the batch.

    Args:
        batched_calls: apply each generator to LE and DES in one call of 2 B images; four calls in place of six.

    Returns:
        G(x), F(y), F(G(x)), G(F(y)), G(y), F(x) under their ``OutputKeys``.
    """
    le, des = batch[BatchKeys.LE], batch[BatchKeys.DES]
    virtual_des, identity_des = apply_to_two(le, des, gen_le_to_des, inferer, batched_calls)
    virtual_le, identity_le = apply_to_two(des, le, gen_des_to_le, inferer, batched_calls)
    images = {
        OutputKeys.VIRTUAL_DES: virtual_des,
        OutputKeys.VIRTUAL_LE: virtual_le,
        OutputKeys.CYCLE_LE: inferer(virtual_des, gen_des_to_le),
        OutputKeys.CYCLE_DES: inferer(virtual_le, gen_le_to_des),
        OutputKeys.IDENTITY_DES: identity_des,
        OutputKeys.IDENTITY_LE: identity_le,
    }
    return {key: image.to(le.dtype) for key, image in images.items()}


class CycleGanTrainer(MicroBatches, Trainer):
    """Trains the two generators, then the two discriminators, on each batch (Eqs 1-4 of arXiv 2505.03018).

    One iteration: freeze the discriminators, make the six images, fire GENERATOR_FORWARD_COMPLETED, put the terms of
    Eq 4 into ``state.loss_terms``, fire GENERATOR_LOSS_COMPLETED (where handlers add terms), sum, backward, step; then
    the same for the discriminators on the detached fakes. ``state.output`` ends as one flat dictionary: the batch, the
    six images, ``loss_<term>`` for each term as it entered the sum, ``loss``, ``loss_disc_des`` and ``loss_disc_le``;
    then MONAI's MODEL_COMPLETED fires. At the LOSS events ``state.verdicts`` holds what the discriminators said, each
    (B, 1, H', W') under the key of the image that it judges (``fake_des``, ``fake_le`` in the second step).

    Args:
        device: where to train.
        max_epochs: number of epochs.
        train_data_loader: yields dictionaries with ``le``, ``des`` and ``seg``, each (B, 1, H, W) in [0, 1].
        gen_le_to_des, gen_des_to_le: G and F.
        disc_des, disc_le: Dy and Dx. All four may be wrapped in ``DistributedDataParallel``.
        generator_optimizer: of the parameters of both generators.
        discriminator_optimizer: of the parameters of both discriminators.
        objective: the base objective.
        pool_des, pool_le: histories of synthetic images for Dy and Dx; none keeps nothing.
        precision: "fp32" (exact, the default), "bf16", or "fp16" with gradient scaling on CUDA.
        micro_batch_size: forward and backward run on so many pairs at a time and their gradients add up to those of the
            whole batch; None takes the whole batch on CUDA and 1 elsewhere.
        compile: a mode of ``torch.compile`` for the four networks ("default", "reduce-overhead" with CUDA graphs,
            "max-autotune"); None runs them eagerly. The first step of each batch size takes a minute or more.
        channels_last: keep the networks, and so what they compute, in that memory layout; numbers change in their
            last digits. Bring networks to it yourself before you wrap them.
        batched_calls: LE and DES, and real and synthetic images, go through a network in one call, not two; saves
            launches on a GPU, costs memory.
        batch_weight: of the batch's number in its epoch (from 0); this process's mean losses are multiplied by it, so
            that the mean over processes is that over the joint batch where their shares differ. None is 1.
        inferer: how a network is applied; instance norm needs the whole image, so ``SimpleInferer``.
        train_handlers: handlers; ``decollate`` is off, as the outputs are batches.

    Raises:
        ValueError: for an unknown precision or mode, fp16 without CUDA, or a micro-batch below 1.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: Iterable,
        gen_le_to_des: nn.Module,
        gen_des_to_le: nn.Module,
        disc_des: nn.Module,
        disc_le: nn.Module,
        generator_optimizer: Optimizer,
        discriminator_optimizer: Optimizer,
        objective: CycleGanLoss,
        pool_des: ImagePool | None = None,
        pool_le: ImagePool | None = None,
        precision: str = "fp32",
        micro_batch_size: int | None = None,
        compile: str | None = None,
        channels_last: bool = False,
        batched_calls: bool = False,
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
        # everything that handlers may ask for must stand before the base class attaches them
        self.gen_le_to_des, self.gen_des_to_le = gen_le_to_des, gen_des_to_le
        self.disc_des, self.disc_le = disc_des, disc_le
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.objective = objective
        self.pool_des = pool_des if pool_des is not None else ImagePool()
        self.pool_le = pool_le if pool_le is not None else ImagePool()
        self.precision = precision
        self.micro_batch_size = micro_batch_size
        self.compile = compile
        self.batched_calls = batched_calls
        self.batch_weight = batch_weight
        self.handlers = tuple(train_handlers or ())
        self.inferer = inferer if inferer is not None else SimpleInferer()
        # two scalers of its own: MONAI's trainer makes a new one for every run
        self.generator_scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.discriminator_scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        for given, network in zip(
            (gen_le_to_des, gen_des_to_le, disc_des, disc_le), self.networks.values(), strict=True
        ):
            if channels_last and given is network:  # a wrapper has laid out its gradients already
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if compile is not None:  # in place: names of weights stay as they are
                network.compile(mode=None if compile == "default" else compile, dynamic=False)
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=train_data_loader,
            epoch_length=epoch_length,
            non_blocking=non_blocking,
            prepare_batch=prepare_batch,
            key_metric=key_train_metric,
            additional_metrics=additional_metrics,
            metric_cmp_fn=metric_cmp_fn,
            handlers=train_handlers,
            event_names=[CycleGanEvents],
            decollate=False,
            to_kwargs=to_kwargs,
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The four networks by name, unwrapped."""
        return {
            "gen_le_to_des": unwrapped(self.gen_le_to_des),
            "gen_des_to_le": unwrapped(self.gen_des_to_le),
            "disc_des": unwrapped(self.disc_des),
            "disc_le": unwrapped(self.disc_le),
        }

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        return {"generators": self.generator_optimizer, "discriminators": self.discriminator_optimizer}

    @property
    def scalers(self) -> dict[str, torch.amp.GradScaler]:
        return {"generators": self.generator_scaler, "discriminators": self.discriminator_scaler}

    @property
    def pools(self) -> dict[str, ImagePool]:
        return {"des": self.pool_des, "le": self.pool_le}

    def _iteration(self, engine: Engine, batchdata: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if batchdata is None:
            raise ValueError("there is no batch for this iteration: the data loader is empty.")
        if self.compile is not None and self.state.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # the last iteration's images may be overwritten now
        batch = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        for network in self.networks.values():
            network.train()
        images, generator_losses = self._generator_step(batch)
        discriminator_losses = self._discriminator_step(batch, images)
        self.state.output = {**batch, **images, **generator_losses, **discriminator_losses}
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output

    def _generator_step(self, batch: dict[str, torch.Tensor]) -> tuple[dict, dict]:
        disc_des, disc_le = unwrapped(self.disc_des), unwrapped(self.disc_le)
        for discriminator in (disc_des, disc_le):
            discriminator.requires_grad_(False)  # or their next step would use gradients leaked from this one
        self.generator_optimizer.zero_grad(set_to_none=True)
        made: list[dict[str, torch.Tensor]] = []
        losses: dict[str, torch.Tensor] = {}
        for part, share in self._micro_batches(batch, self.gen_le_to_des, self.gen_des_to_le):
            with self._autocast():
                images = translate(part, self.gen_le_to_des, self.gen_des_to_le, self.inferer, self.batched_calls)
            self.state.output = {**part, **images}
            self.fire_event(CycleGanEvents.GENERATOR_FORWARD_COMPLETED)
            with self._autocast():
                verdict_des = self.inferer(images[OutputKeys.VIRTUAL_DES], disc_des)
                verdict_le = self.inferer(images[OutputKeys.VIRTUAL_LE], disc_le)
            dtype = part[BatchKeys.LE].dtype
            verdict_des, verdict_le = verdict_des.to(dtype), verdict_le.to(dtype)
            self.state.verdicts = {OutputKeys.VIRTUAL_DES: verdict_des, OutputKeys.VIRTUAL_LE: verdict_le}
            self.state.loss_terms = self.objective.generator_terms(self.state.output, verdict_des, verdict_le)
            self.fire_event(CycleGanEvents.GENERATOR_LOSS_COMPLETED)
            self._backward(self.generator_scaler, share, losses, total=OutputKeys.LOSS)
            self.fire_event(CycleGanEvents.GENERATOR_BACKWARD_COMPLETED)
            made.append({key: image.detach() for key, image in images.items()})
        self.generator_scaler.step(self.generator_optimizer)
        self.generator_scaler.update()
        self.fire_event(CycleGanEvents.GENERATOR_MODEL_COMPLETED)
        return {key: torch.cat([part[key] for part in made]) for key in made[0]}, losses

    def _discriminator_step(self, batch: dict[str, torch.Tensor], images: dict[str, torch.Tensor]) -> dict:
        for discriminator in (self.disc_des, self.disc_le):
            discriminator.requires_grad_(True)
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        fakes = {"fake_des": self.pool_des(images[OutputKeys.VIRTUAL_DES])}
        fakes["fake_le"] = self.pool_le(images[OutputKeys.VIRTUAL_LE])
        losses: dict[str, torch.Tensor] = {}
        for part, share in self._micro_batches({**batch, **fakes}, self.disc_des, self.disc_le):
            dtype = part[BatchKeys.LE].dtype
            self.state.output = part  # before the discriminators are asked: a handler may show them the lesion map
            with self._autocast():
                verdicts_des = apply_to_two(
                    part[BatchKeys.DES], part["fake_des"], self.disc_des, self.inferer, self.batched_calls
                )
                verdicts_le = apply_to_two(
                    part[BatchKeys.LE], part["fake_le"], self.disc_le, self.inferer, self.batched_calls
                )
            self.fire_event(CycleGanEvents.DISCRIMINATOR_FORWARD_COMPLETED)
            of_des, of_le = ([verdict.to(dtype) for verdict in pair] for pair in (verdicts_des, verdicts_le))
            self.state.verdicts = dict(zip(("des", "fake_des", "le", "fake_le"), of_des + of_le, strict=True))
            self.state.loss_terms = {
                "disc_des": self.objective.discriminator_term(*of_des),
                "disc_le": self.objective.discriminator_term(*of_le),
            }
            self.fire_event(CycleGanEvents.DISCRIMINATOR_LOSS_COMPLETED)
            self._backward(self.discriminator_scaler, share, losses)
            self.fire_event(CycleGanEvents.DISCRIMINATOR_BACKWARD_COMPLETED)
        self.discriminator_scaler.step(self.discriminator_optimizer)
        self.discriminator_scaler.update()
        self.fire_event(CycleGanEvents.DISCRIMINATOR_MODEL_COMPLETED)
        return losses
