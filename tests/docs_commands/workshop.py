"""A folder that looks like a repository in which somebody has worked, and a quick way to type commands in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import made_up_runs
from page_commands import ROOT, words_of

WARM_PYTHON = Path(__file__).with_name("warm_python.py")
CODE = ("bundle", "configs", "scripts")
FILES = ("Makefile", "constraints.txt", "pyproject.toml", "README.md")
MODELS = ("models/pretrained", "models/finetuned", "models/gamma_100")  # beside models itself
SECONDS = 150


class WarmPython:
    """Runs ``python -m`` commands without the seconds that imports take."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder), "MPLBACKEND": "Agg"}
        self.process = subprocess.Popen(
            [sys.executable, str(WARM_PYTHON)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self._answer() == "ready"

    def run(self, command: str, folder: Path, seconds: int = SECONDS) -> tuple[int, str]:
        """A command's exit status, and all that it printed."""
        program, option, *words = words_of(command)
        assert (program, option) == ("python", "-m"), command
        said = folder / ".said"
        request = {"folder": str(folder), "words": words, "said": str(said), "seconds": seconds}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        status = self._answer()
        return int(status), said.read_text(encoding="utf-8", errors="replace")

    def _answer(self) -> object:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that the first of several processes makes and the others wait for."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole = folder / ".whole"
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


def copy_code(folder: Path) -> None:
    """The part of the repository that commands need."""
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name)
    for name in FILES:
        shutil.copy2(ROOT / name, folder)


def make_data(folder: Path) -> None:
    """Tiny phantoms and made-up runs under the names that pages use for data."""
    from bundle.data import write_folds
    from bundle.phantom import write_study

    copy_code(folder)
    data = folder / "data"
    for seed, name in enumerate(("phantom", "cdd_cesm", "clinical")):
        write_folds(write_study(data / name, patients=6, seed=seed, image_size=64, num_workers=1), k=3)
    for name in ("mine", "ucbm"):
        shutil.copytree(data / "phantom", data / name)
    exams = {"exams": "*/*.dcm", "ARCHIVE": "*/*.dcm", "maps": "*/*_SEG.*", "EXAMS": "PH0001/*.dcm"}
    for name, kept in exams.items():
        for file in sorted((data / "phantom").glob(kept)):
            (folder / name / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, folder / name / file.parent.name)
    (folder / "IMAGES").mkdir()
    for file in sorted((data / "phantom").glob("PH0001/*_LE.dcm")):
        shutil.copy2(file, folder / "IMAGES")
    made_up_runs.write_runs(folder / "runs")


def add_models(folder: Path, train: str, python: WarmPython) -> None:
    """One tiny training, its model under all the names that pages give to models."""
    status, said = python.run(train, folder)
    assert status == 0, said[-3000:]
    for name in MODELS:
        (folder / name).mkdir(parents=True)
        for file in ("model.pt", "model.json", "checkpoint.pt"):
            shutil.copy2(folder / "models" / file, folder / name)
