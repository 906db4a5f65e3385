"""run.json: what ran, with which versions, on which data and machine, for how long."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from ..engines.machine import about_machine
from ..networks.weights import save_bytes
from .logins import without_logins

__all__ = ["RunRecord", "package_versions"]

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "seg-cyclegan-cesm",
    "monai",
    "torch",
    "numpy",
    "pytorch-ignite",
    "pydicom",
    "nibabel",
    "itk",
    "scikit-image",
)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, and the commit of this code."""
    versions = {"python": platform.python_version(), "commit": commit()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@cache
def commit(root: Path = ROOT) -> str:
    """The git commit that is checked out, ``..., changed`` where files of it were edited, or ``unknown``."""
    try:
        top, head, changed = (
            subprocess.run(
                ["git", "--no-optional-locks", "-C", str(root), *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ("rev-parse", "--show-toplevel"),
                ("rev-parse", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    if Path(top).resolve() != root.resolve():  # installed below the checkout of something else
        return "unknown"
    return f"{head}, changed" if changed else head


class RunRecord:
    """Writes ``run.json`` when an engine starts, and again, with the wall time, when it ends.

    Args:
        output_dir: receives ``run.json``.
        config: the config as it was merged with the command line, or None where it is not known; it is recorded
            without the logins of its URIs.
        about: further entries (seed, data hash, ...).
        name: of the file.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        config: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
        name: str = "run.json",
    ) -> None:
        self.path = Path(output_dir) / name
        config = without_logins(config)
        text = json.dumps(config, sort_keys=True, default=str)
        self.record: dict[str, Any] = {
            "state": "new",
            "versions": package_versions(),
            **(about or {}),
            "config_hash": hashlib.sha256(text.encode()).hexdigest(),
            "config": config,
        }
        self._began = 0.0

    def attach(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) != 0:
            return
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        self._began = time.monotonic()
        machine = about_machine(getattr(engine.state, "device", "cpu"))
        self.record |= {"state": "running", "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine}
        self._write()

    def completed(self, engine: Engine) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self.record |= {"state": "completed", "epochs": engine.state.epoch, "wall_time_seconds": seconds}
        self._write()

    def _write(self) -> None:
        save_bytes(self.path, (json.dumps(self.record, indent=1, default=str) + "\n").encode())
