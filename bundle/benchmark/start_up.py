"""From starting Python to the first training step of the real config, as a user waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from ..data.folds import write_folds
from ..phantom.exam import write_study
from .timing import Timings

__all__ = ["FirstStep", "start_up_seconds"]


class FirstStep:
    """A handler that notes when the first step begins, and ends the process there.

    Args:
        path: file to write: seconds since 1970, and of the processor.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.path.write_text(json.dumps({"at": time.time(), "cpu": time.process_time()}))
        os._exit(0)


def start_up_seconds(config_file: str, repeats: int = 3, patients: int = 6, overrides: Any = None) -> Timings:
    """Seconds from starting Python to the first step of ``config_file`` on a small phantom.

    One run comes first that does not count: it fills the caches of the disk, and the config's own where it has one.

    Args:
        config_file: the training config; its folder's parent is where ``bundle`` lies.
        repeats: runs that count.
        patients: women of the phantom, 6 or more; every second one has a lesion, and there are three folds.
        overrides: root keys of the config.

    Raises:
        RuntimeError: when a run does not come so far, with the end of what it said.
    """
    root = Path(config_file).resolve().parents[1]
    timings = Timings()
    with tempfile.TemporaryDirectory() as folder:
        study, overlay, noted = Path(folder, "study"), Path(folder, "overlay.json"), Path(folder, "noted.json")
        write_study(study, patients=patients, seed=0, image_size=256)
        write_folds(study / "datalist.json", k=3, seed=0)
        handler = {"_target_": "bundle.benchmark.start_up.FirstStep", "path": str(noted)}
        content = {"+train#handlers": [handler], "bundle_root": str(root), "dataset_dir": str(study)}
        content |= {"ckpt_dir": str(Path(folder, "models")), "output_dir": str(Path(folder, "eval"))}
        overlay.write_text(json.dumps(content | dict(overrides or {})))
        files = str([str(Path(config_file).resolve()), str(overlay)])
        command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", files]
        for number in range(repeats + 1):
            noted.unlink(missing_ok=True)
            began = time.time()
            done = subprocess.run(command, cwd=root, capture_output=True, text=True)
            if not noted.exists():
                raise RuntimeError(
                    f"the training did not reach its first step:\n{(done.stderr or done.stdout)[-1500:]}"
                )
            note = json.loads(noted.read_text())
            if number:
                timings.wall.append(note["at"] - began)
                timings.cpu.append(note["cpu"])
    return timings
