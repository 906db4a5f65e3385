"""The CycleGAN iteration as a MONAI trainer: four networks, two optimisers, events where losses can be added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from ignite.engine import Engine
from monai.engines import Trainer, default_metric_cmp_fn
from monai.inferers import Inferer, SimpleInferer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ..keys import BatchKeys, OutputKeys
from ..losses import CycleGanLoss
from .events import CycleGanEvents
from .image_pool import ImagePool
from .prepare_batch import prepare_cesm_batch

__all__ = ["AUTOCAST_TYPES", "CycleGanTrainer", "translate", "unwrapped"]

AUTOCAST_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, without the wrapper that synchronises its gradients."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def translate(
    batch: Mapping[str, torch.Tensor], gen_le_to_des: nn.Module, gen_des_to_le: nn.Module, inferer: Inferer
) -> dict[str, torch.Tensor]:
    """The six images of an iteration, each (B, 1, H, W) in [0, 1], in the precision of the batch.

    Returns:
        G(x), F(y), F(G(x)), G(F(y)), G(y), F(x) under their ``OutputKeys``.
    """
    le, des = batch[BatchKeys.LE], batch[BatchKeys.DES]
    virtual_des = inferer(le, gen_le_to_des)
    virtual_le = inferer(des, gen_des_to_le)
    images = {
        OutputKeys.VIRTUAL_DES: virtual_des,
        OutputKeys.VIRTUAL_LE: virtual_le,
        OutputKeys.CYCLE_LE: inferer(virtual_des, gen_des_to_le),
        OutputKeys.CYCLE_DES: inferer(virtual_le, gen_le_to_des),
        OutputKeys.IDENTITY_DES: inferer(des, gen_le_to_des),
        OutputKeys.IDENTITY_LE: inferer(le, gen_des_to_le),
    }
    return {key: image.to(le.dtype) for key, image in images.items()}


class CycleGanTrainer(Trainer):
    """Trains the two generators, then the two discriminators, on each batch (Eqs 1-4 of arXiv 2505.03018).

    One iteration: freeze the discriminators, make the six images, fire GENERATOR_FORWARD_COMPLETED, put the terms of
    Eq 4 into ``state.loss_terms``, fire GENERATOR_LOSS_COMPLETED (where handlers add terms), sum, backward, step; then
    the same for the discriminators on the detached fakes. ``state.output`` ends as one flat dictionary: the batch, the
    six images, ``loss_<term>`` for each term as it entered the sum, ``loss``, ``loss_disc_des`` and ``loss_disc_le``.

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
        inferer: how a network is applied; instance norm needs the whole image, so ``SimpleInferer``.
        train_handlers: handlers; ``decollate`` is off, as the outputs are batches.

    Raises:
        ValueError: for an unknown precision, fp16 without CUDA, or a micro-batch below 1.
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
        if precision not in AUTOCAST_TYPES:
            raise ValueError(f"precision is {precision!r}, expected one of {', '.join(AUTOCAST_TYPES)}.")
        if precision == "fp16" and device.type != "cuda":
            raise ValueError(f"precision fp16 needs a CUDA device, but the device is {device}: take bf16 or fp32.")
        if micro_batch_size is not None and micro_batch_size < 1:
            raise ValueError(f"micro_batch_size is {micro_batch_size}, expected 1 or more, or null.")
        # everything that handlers may ask for must stand before the base class attaches them
        self.gen_le_to_des, self.gen_des_to_le = gen_le_to_des, gen_des_to_le
        self.disc_des, self.disc_le = disc_des, disc_le
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.objective = objective
        self.pool_des = pool_des if pool_des is not None else ImagePool()
        self.pool_le = pool_le if pool_le is not None else ImagePool()
        self.precision = precision
        self.micro_batch_size = micro_batch_size
        self.inferer = inferer if inferer is not None else SimpleInferer()
        # two scalers of its own: MONAI's trainer makes a new one for every run
        self.generator_scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.discriminator_scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
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

    def _iteration(self, engine: Engine, batchdata: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if batchdata is None:
            raise ValueError("there is no batch for this iteration: the data loader is empty.")
        batch = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        for network in self.networks.values():
            network.train()
        images, generator_losses = self._generator_step(batch)
        discriminator_losses = self._discriminator_step(batch, images)
        self.state.output = {**batch, **images, **generator_losses, **discriminator_losses}
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
                images = translate(part, self.gen_le_to_des, self.gen_des_to_le, self.inferer)
            self.state.output = {**part, **images}
            self.fire_event(CycleGanEvents.GENERATOR_FORWARD_COMPLETED)
            with self._autocast():
                verdict_des = self.inferer(images[OutputKeys.VIRTUAL_DES], disc_des)
                verdict_le = self.inferer(images[OutputKeys.VIRTUAL_LE], disc_le)
            dtype = part[BatchKeys.LE].dtype
            self.state.loss_terms = self.objective.generator_terms(
                self.state.output, verdict_des.to(dtype), verdict_le.to(dtype)
            )
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
            with self._autocast():
                verdicts = {
                    "real_des": self.inferer(part[BatchKeys.DES], self.disc_des),
                    "fake_des": self.inferer(part["fake_des"], self.disc_des),
                    "real_le": self.inferer(part[BatchKeys.LE], self.disc_le),
                    "fake_le": self.inferer(part["fake_le"], self.disc_le),
                }
            verdicts = {key: verdict.to(dtype) for key, verdict in verdicts.items()}
            self.state.output = part
            self.fire_event(CycleGanEvents.DISCRIMINATOR_FORWARD_COMPLETED)
            self.state.loss_terms = {
                "disc_des": self.objective.discriminator_term(verdicts["real_des"], verdicts["fake_des"]),
                "disc_le": self.objective.discriminator_term(verdicts["real_le"], verdicts["fake_le"]),
            }
            self.fire_event(CycleGanEvents.DISCRIMINATOR_LOSS_COMPLETED)
            self._backward(self.discriminator_scaler, share, losses)
            self.fire_event(CycleGanEvents.DISCRIMINATOR_BACKWARD_COMPLETED)
        self.discriminator_scaler.step(self.discriminator_optimizer)
        self.discriminator_scaler.update()
        self.fire_event(CycleGanEvents.DISCRIMINATOR_MODEL_COMPLETED)
        return losses

    def _autocast(self) -> torch.autocast:
        dtype = AUTOCAST_TYPES[self.precision]
        return torch.autocast(self.state.device.type, dtype=dtype, enabled=dtype is not None)

    def _micro_batches(
        self, batch: dict[str, torch.Tensor], *networks: nn.Module
    ) -> Iterator[tuple[dict[str, torch.Tensor], float]]:
        """Slices of the batch with their share of it; wrapped networks synchronise gradients on the last one alone."""
        pairs = len(batch[BatchKeys.LE])
        whole = pairs if self.state.device.type == "cuda" else 1
        size = self.micro_batch_size or whole
        for start in range(0, pairs, size):
            part = {key: tensor[start : start + size] for key, tensor in batch.items()}
            with _unsynchronised(networks if start + size < pairs else ()):
                yield part, len(part[BatchKeys.LE]) / pairs

    def _backward(
        self, scaler: torch.amp.GradScaler, share: float, losses: dict[str, torch.Tensor], total: str | None = None
    ) -> None:
        """Backward through the sum of ``state.loss_terms``; adds this micro-batch's share of each to ``losses``."""
        terms = self.state.loss_terms
        loss = torch.stack(list(terms.values())).sum()
        scaler.scale(loss * share).backward()
        named = {f"loss_{name}": term for name, term in terms.items()}
        if total is not None:
            named[total] = loss
        for name, term in named.items():
            losses[name] = losses.get(name, torch.zeros_like(term)).detach() + share * term.detach()


@contextmanager
def _unsynchronised(networks: Sequence[nn.Module]) -> Iterator[None]:
    with ExitStack() as stack:
        for network in networks:
            if isinstance(network, DistributedDataParallel):
                stack.enter_context(network.no_sync())
        yield
