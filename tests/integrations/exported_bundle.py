"""A Model Zoo bundle of a tiny model, and Python processes that know it but not this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights

ROOT = Path(__file__).parents[2]
SCHEMA = "meta_schema_20240725.json"
NETWORK = {"in_channels": 1, "width": 4, "num_blocks": 1}
CARD = {
    "name": "Seg-CycleGAN LE to virtual DES",
    "image_size": 32,
    "network": NETWORK,
    "padding": "air",
    "intensity": {"method": "window", "window": None, "percentiles": [1.0, 99.0], "air": 0.0},
    "datalist": "CESM phantom",
    "datalist_hash": "1f" * 32,
    "fold": 0,
    "gamma": 35,
    "epoch": 3,
    "validation": {"val_loss": 0.04379908740520477, "val_lesion_l1": 0.13697434931993485},
}
# of the zoo at commit dfae206: setup.cfg, pyproject.toml, runtests.sh
STYLE = {
    "isort": ("--check", "--profile", "black", "--line-length", "120", "-p", "models"),
    "black": (
        "--check",
        "--line-length",
        "120",
        "--skip-magic-trailing-comma",
        "-t",
        "py37",
        "-t",
        "py38",
        "-t",
        "py39",
    ),
    "flake8": (
        *("--select", "B,C,E,F,N,P,T4,W,B9", "--max-line-length", "120"),
        *("--ignore", "E203,E501,E741,W503,W504,C408,N812,B023,B905,B028,B907,C419"),
        *("--per-file-ignores", "__init__.py: F401, __main__.py: F401"),
    ),
}
TINY = {
    "image_size": 32,
    "batch_size": 4,
    "micro_batch_size": 4,
    "num_workers": 0,
    "max_epochs": 1,
    "warmup_epochs": 0,
    "network_def#width": 4,
    "network_def#num_blocks": 1,
    "disc_des#width": 4,
}
# runs modules one after another as python -m does, each with its arguments, in one process
SEVERAL = """
import json, runpy, sys
for module, *arguments in json.loads(sys.argv[1]):
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
"""
WALK = """
import importlib.util, pkgutil
for name in ("bundle", "tests"):
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    assert found is None, f"{name} can be imported from {found}"
import scripts
names = [module.name for module in pkgutil.walk_packages(scripts.__path__, "scripts.")]
for name in names:
    importlib.import_module(name)
print("imported", len(names), "from", scripts.__path__[0])
"""
# in front of everything that Python finds: this repository is not there
BLOCK = """
import sys
class NotHere:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "bundle":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, NotHere)
sys.path[:] = [place for place in sys.path if place.rstrip("/") != {root!r}]
"""


def tiny_model(folder: Path, **card) -> Path:
    """A generator with random weights, and its card."""
    torch.manual_seed(0)
    save_weights(folder / "model.pt", ResnetGenerator(**NETWORK), CARD | card)
    return folder / "model.pt"


class Elsewhere:
    """A Python that does not know this repository.

    Args:
        folder: for what hides the repository from this Python; None where ``python`` is another one without it.
        python: its executable.
    """

    def __init__(self, folder: Path | None, python: str | Path = sys.executable) -> None:
        self.python = str(python)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "VIRTUAL"))}
        self.environment = kept | {"OMP_NUM_THREADS": "1"}
        if folder is not None:
            folder.mkdir()
            (folder / "sitecustomize.py").write_text(BLOCK.format(root=str(ROOT)))
            self.environment["PYTHONPATH"] = str(folder)

    def run(self, cwd: Path, *arguments: object, timeout: float = 400) -> str:
        """What a process says, started in a folder; its failure is the test's."""
        done = subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-4000:]}{done.stderr[-6000:]}"
        return done.stdout + done.stderr

    def run_several(self, cwd: Path, *commands: Sequence[object], first: str = "") -> str:
        """Modules with their arguments, as ``python -m`` runs them, one after another in one process.

        Args:
            cwd: where it starts.
            commands: a module and its arguments each.
            first: code that goes before.
        """
        return self.run(cwd, "-c", first + SEVERAL, json.dumps([list(map(str, command)) for command in commands]))

    def check_style(self, output: Path, *black: Path) -> None:
        """Isort, black and flake8 with the zoo's settings, started outside the bundle, as the zoo starts them.

        Args:
            output: where the bundle and its unit test lie.
            black: what black looks at, which takes the longest; by default everything.
        """
        for tool, options in STYLE.items():
            self.run(output, "-m", tool, *options, *(black if black and tool == "black" else (".",)))


def options_of(values: dict[str, object]) -> list[str]:
    """Overrides of a config as arguments of the runner."""
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def verifications(schema: Path | None) -> list[list[str]]:
    """The zoo's own checks of a bundle, as commands in its root; the first one where there is a schema."""
    files = ["--meta_file", "configs/metadata.json"]
    network = ["--net_id", "network_def", "--config_file", "configs/inference.json", *files]
    commands = [
        ["monai.bundle", "verify_net_in_out", *network],
        ["monai.bundle", "ckpt_export", *network, "--ckpt_file", "models/model.pt", "--filepath", "models/model.ts"],
    ]
    return [["monai.bundle", "verify_metadata", *files, "--filepath", str(schema)], *commands] if schema else commands
