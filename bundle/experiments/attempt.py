"""One attempt at a run of a plan: a process of its own that goes on from the last checkpoint, and its log."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..data.folder_lock import try_lock
from .plan import Run, command_of

__all__ = ["LOG_FILE", "RESUME_CONFIG", "Outcome", "Workplace", "attempt", "is_finished", "try_lock"]

LOG_FILE = "run.log"
LOCK_FILE = ".run.lock"
RESUME_CONFIG = "configs/resume.json"


@dataclass(frozen=True)
class Workplace:
    """Where and how the processes of a plan run.

    Attributes:
        folder: of the plan.
        root: the repository.
        runner: arguments of Python in front of the run's own.
        cpus: threads of a run, unless OMP_NUM_THREADS is set; None leaves it to the libraries.
        options: further overrides that do not change results, such as num_workers.
        configs: SHA-256 of each config as the plan knows it; no run starts with another.
        poll: seconds between two looks at a process.
        patience: seconds that a process which is asked to stop may take.
    """

    folder: str
    root: str
    runner: tuple[str, ...] = ("-m", "monai.bundle")
    cpus: int | None = None
    options: tuple[str, ...] = ()
    configs: Mapping[str, str] = field(default_factory=dict)
    poll: float = 0.1
    patience: float = 20.0


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: ``reason`` is empty when it went well; ``epochs`` are those of a whole training.

    ``hopeless`` says that no run of the plan can start any more.
    """

    seconds: float
    reason: str = ""
    epochs: int | None = None
    hopeless: bool = False


def is_finished(run: Run, folder: str | os.PathLike) -> bool:
    """Whether the files of a run say that it went to its end."""
    results = ["models/model.pt", "models/checkpoint.pt"] if run.run_id == "training" else ["metrics.csv"]
    there = all((Path(folder) / run.name / path).is_file() for path in results)
    return there and _record(run, folder).get("state") == "completed"


def _record(run: Run, folder: str | os.PathLike) -> dict[str, Any]:
    """What the run itself has written down; empty where it has not, or not wholly."""
    path = Path(folder) / run.name / ("eval/run.json" if run.run_id == "training" else "evaluation.json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def attempt(run: Run, workplace: Workplace, stopped: Callable[[], bool] = lambda: False) -> Outcome:
    """Carry out a run, from its checkpoint where it has one, and wait for its end.

    Its process holds the lock of the run's folder. So a process whose parent was killed is waited for, not doubled.

    Args:
        run: of a plan.
        workplace: where and how.
        stopped: asked now and then; True ends the process by SIGINT, and by force where that does not help.
    """
    began = time.monotonic()
    place = Path(workplace.folder) / run.name
    lock = _lock(place / LOCK_FILE, workplace, stopped)
    if lock is None:
        return Outcome(time.monotonic() - began, "stopped")
    with lock:
        if is_finished(run, workplace.folder):
            return Outcome(time.monotonic() - began, epochs=_epochs(run, workplace.folder))
        if changed := _changed_configs(workplace):
            return Outcome(time.monotonic() - began, changed, hopeless=True)
        status = _process(run, workplace, stopped, lock.fileno())
    seconds = time.monotonic() - began
    if stopped():
        return Outcome(seconds, "stopped")
    if status < 0:
        return Outcome(seconds, f"ended by signal {signal.Signals(-status).name}")
    if status > 0:
        return Outcome(seconds, f"exit status {status}")
    if not is_finished(run, workplace.folder):
        return Outcome(seconds, "it ended without its results")
    return Outcome(seconds, epochs=_epochs(run, workplace.folder))


def _changed_configs(workplace: Workplace) -> str:
    """Which configs are others than those of the plan, so that its runs would not be comparable; empty for none."""
    paths = {path: Path(workplace.root) / path for path in workplace.configs}
    changed = [
        path
        for path, place in paths.items()
        if not place.is_file() or hashlib.sha256(place.read_bytes()).hexdigest() != workplace.configs[path]
    ]
    if not changed:
        return ""
    return (
        f"{', '.join(changed)} changed while the plan was under way, so no further run was started. Put back what the "
        "runs before had and give the same call again, or begin anew with --overwrite."
    )


def _epochs(run: Run, folder: str | os.PathLike) -> int | None:
    return _record(run, folder).get("epochs") if run.run_id == "training" else None


def _lock(path: Path, workplace: Workplace, stopped: Callable[[], bool]) -> IO[str] | None:
    while not stopped():
        lock = try_lock(path)
        if lock is not None:
            return lock
        time.sleep(workplace.poll)
    return None


def _process(run: Run, workplace: Workplace, stopped: Callable[[], bool], lock: int) -> int:
    place = Path(workplace.folder) / run.name
    resumes = run.run_id == "training" and (place / "models/checkpoint.pt").is_file()
    arguments = [*workplace.runner, *command_of(run, RESUME_CONFIG if resumes else None), *workplace.options]
    with open(place / LOG_FILE, "a", encoding="utf-8") as log:
        log.write(f"== {time.strftime('%Y-%m-%dT%H:%M:%S%z')} python {' '.join(arguments)}\n")
        log.flush()
        # Ray's workers block SIGINT, and a process begins with the mask of the thread that starts it
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=workplace.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(workplace.cpus),
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C reaches it through us alone, once
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            while process.poll() is None and not stopped():
                time.sleep(workplace.poll)
        finally:
            if process.poll() is None:
                _stop(process, workplace.patience)
    return process.returncode


def _environment(cpus: int | None) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if cpus is not None:
        environment.setdefault("OMP_NUM_THREADS", str(cpus))
    return environment


def _stop(process: subprocess.Popen, patience: float) -> None:
    """Interrupt a process and those that it started; what does not heed is ended."""
    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    for number in signals:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return
