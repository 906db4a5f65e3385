"""Work in a process of its own: for memory, for threads, and for what changes a whole process."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .timing import timed

__all__ = ["Apart", "peak_of"]

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


class Apart:
    """One variant in a process of its own, which works only when it is asked to.

    Args:
        build: a function of a module; gives the work, a callable without arguments.
        arguments: of ``build``, picklable.

    Raises:
        RuntimeError: when the work failed there, with its reason.
    """

    def __init__(self, build: Callable[..., Callable[[], object]], *arguments: Any) -> None:
        context = get_context("spawn")  # a fork would inherit threads and the heap
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, build, arguments), daemon=True)
        self._process.start()
        there.close()
        self._answer()

    def __call__(self) -> tuple[float, float]:
        """Do the work once; seconds by the clock and of that process's processor time."""
        self._here.send("work")
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self._process.join()

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answer(self) -> Any:
        try:
            answer = self._here.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"the measuring process ended with status {self._process.exitcode}.") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer


def _serve(connection: Connection, build: Callable[..., Callable[[], object]], arguments: tuple) -> None:
    try:
        work = build(*arguments)
        connection.send((0.0, 0.0))
        synchronise = _synchroniser()
        while True:
            connection.recv()
            connection.send(timed(work, synchronise))
    except EOFError:
        return
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def _synchroniser() -> Callable[[], object] | None:
    torch = sys.modules.get("torch")  # the work has imported it where it needs it
    return torch.cuda.synchronize if torch is not None and torch.cuda.is_initialized() else None


def peak_of(build: Callable[..., Callable[[], object]], *arguments: Any, times: int = 2, device: str = "cpu") -> int:
    """Bytes of memory that building the work and doing it ``times`` times takes at most, in a process of its own.

    What the process holds before it begins (the interpreter, the modules that the module of ``build`` imports) is not
    counted. Linux's high-water mark of the process itself is read, because ``ru_maxrss`` starts at the mark of the
    process that started it. On CUDA it is the memory of the device that PyTorch has given out.

    Args:
        build, arguments: as of :class:`Apart`.
        times: repeats; the second step of a training finds its optimiser's state.
        device: where the work is done.

    Raises:
        RuntimeError: when the work failed there, with its reason.
    """
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(there, build, arguments, times, device), daemon=True)
    process.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the measuring process ended with status {process.exitcode}.") from None
    process.join()
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return answer


def _measure(
    connection: Connection, build: Callable[..., Callable[[], object]], arguments: tuple, times: int, device: str
) -> None:
    import torch  # part of the base, and not of the work

    cuda = torch.device(device).type == "cuda"
    try:
        torch.ones(8, 8) @ torch.ones(8, 8)
        if CLEAR.exists():
            CLEAR.write_text("5")  # the mark starts at what is held now (proc(5))
        before = high_water_mark()
        work = build(*arguments)
        for _ in range(times):
            work()
        connection.send(torch.cuda.max_memory_allocated(device) if cuda else max(0, high_water_mark() - before))
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def high_water_mark() -> int:
    """Bytes of memory that this process has held at most."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
