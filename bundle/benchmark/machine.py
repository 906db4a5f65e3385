"""What a number was measured on: the machine, and what its convolutions can reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from ..engines.machine import about_machine
from .timing import timed

__all__ = ["about_machine", "free_bytes", "gflop", "peak_gflops", "synchroniser"]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def free_bytes() -> int:
    """Memory that is free for new work; without /proc, all there is."""
    path = Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return free[0] if free else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def synchroniser(device: torch.device | str) -> Any:
    """What waits for the device's work; None where there is nothing to wait for."""
    return torch.cuda.synchronize if torch.device(device).type == "cuda" else None


def gflop(work: Any) -> float:
    """Thousand million floating-point operations of one call: convolutions and matrix products, forward and backward.

    Nothing is computed where the work's tensors lie on the device ``meta``.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def peak_gflops(device: torch.device | str = "cpu", repeats: int = 5, size: int = 64) -> dict[str, float]:
    """GFLOP/s that the device reaches at its best in each precision: the measure of what a step could reach.

    The best of ``repeats`` of a 3 x 3 convolution of 256 channels on ``size`` x ``size`` pixels (the generator's
    residual blocks at 256 px), the same for 4 images, and a matrix product.
    """
    best = {}
    for name, dtype in PRECISIONS.items():
        weight = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
        matrix = torch.randn(32 * size, 32 * size, device=device, dtype=dtype)
        rates = [_rate(lambda matrix=matrix: matrix @ matrix, device, repeats)]
        for images in (1, 4):
            image = torch.randn(images, 256, size + 2, size + 2, device=device, dtype=dtype)
            rates.append(_rate(lambda image=image, weight=weight: F.conv2d(image, weight), device, repeats))
        best[name] = max(rates)
    return best


def _rate(work: Any, device: torch.device | str, repeats: int) -> float:
    with torch.inference_mode():
        done = gflop(work)
        work()
        return done / min(timed(work, synchroniser(device))[0] for _ in range(repeats))
