"""The machine that a training or an inference runs on: what it is, and its settings."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

__all__ = ["about_machine", "keep_freed_memory", "set_up_machine"]

logger = logging.getLogger(__name__)
# malloc.h of the GNU C library
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST = 2**31 - 1


def about_machine(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Processor, cores and threads, the GPU with its memory, and the versions that decide how fast it is."""
    device = torch.device(device)
    about: dict[str, Any] = {
        "cpu": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {"gpu": properties.name, "gpu_bytes": properties.total_memory, "cuda": torch.version.cuda}
    return about


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed for the next use in place of handing it back to the system.

    Images of a training step are large enough to be mapped anew each time, page by page. It holds for the whole
    process, from now on.

    Returns:
        whether the C library can.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, LARGEST))


def set_up_machine(
    device: torch.device | str, precision: str = "fp32", deterministic: bool = True, keep_memory: bool = True
) -> None:
    """Bring PyTorch, and on the CPU the C library, to the settings of a run.

    Args:
        device: of the run.
        precision: "fp32" forbids TF32, which PyTorch takes in convolutions by itself; otherwise what autocast leaves in
            float32 may use it.
        deterministic: have cuDNN take the same algorithms every time; False lets it try which are fastest, and two runs
            differ in their last digits.
        keep_memory: on the CPU, see :func:`keep_freed_memory`.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic
    if torch.device(device).type == "cpu" and keep_memory and not keep_freed_memory():
        logger.info("the C library of this machine cannot be told to keep freed memory: a step takes somewhat longer.")
