"""Settings of the machine that a training or an inference runs on."""

from __future__ import annotations

import ctypes
import logging
import sys

import torch

__all__ = ["keep_freed_memory", "set_up_machine"]

logger = logging.getLogger(__name__)
# malloc.h of the GNU C library
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST = 2**31 - 1


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
