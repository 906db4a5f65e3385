"""What every training step shares: micro-batches, precision, and a backward pass whose gradients add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..keys import BatchKeys

__all__ = ["AUTOCAST_TYPES", "COMPILE_MODES", "MicroBatches", "batch_share", "check_machine", "unwrapped"]

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")
AUTOCAST_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, without the wrapper that synchronises its gradients."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def batch_share(engine: Any) -> float:
    """What a mean over this process's batch weighs in that over the joint batch: 0 for a stand-in, 1 in one process."""
    weight = getattr(engine, "batch_weight", None)
    return 1.0 if weight is None else float(weight((engine.state.iteration - 1) % int(engine.state.epoch_length or 1)))


def check_machine(
    device: torch.device, precision: str, micro_batch_size: int | None = None, compile: str | None = None
) -> None:
    """Refuse what no step can be taken with.

    Raises:
        ValueError: for an unknown precision or mode, fp16 without CUDA, or a micro-batch below 1.
    """
    if precision not in AUTOCAST_TYPES:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(AUTOCAST_TYPES)}.")
    if precision == "fp16" and device.type != "cuda":
        raise ValueError(f"precision fp16 needs a CUDA device, but the device is {device}: take bf16 or fp32.")
    if micro_batch_size is not None and micro_batch_size < 1:
        raise ValueError(f"micro_batch_size is {micro_batch_size}, expected 1 or more, or null.")
    if compile is not None and compile not in COMPILE_MODES:
        raise ValueError(f"compile is {compile!r}, expected null or one of {', '.join(COMPILE_MODES)}.")


class MicroBatches:
    """Forward and backward on slices of a batch, for a trainer with ``state.loss_terms``."""

    state: Any
    precision: str
    micro_batch_size: int | None
    batch_weight: Callable[[int], float] | None

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
        weight = batch_share(self)
        for start in range(0, pairs, size):
            part = {key: tensor[start : start + size] for key, tensor in batch.items()}
            with _unsynchronised(networks if start + size < pairs else ()):
                yield part, weight * len(part[BatchKeys.LE]) / pairs

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
