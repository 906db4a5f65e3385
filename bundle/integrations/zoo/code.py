"""The code and the configs that go along, with the package renamed to ``scripts``."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .wording import VERBS, Wording

__all__ = ["copy_code", "copy_configs", "formatted", "write_json"]

logger = logging.getLogger(__name__)
# what measures this repository or puts it into other systems: none of it trains or infers
LEFT_OUT = (
    "benchmark",
    "phantom/realism",
    *(f"integrations/{name}" for name in ("export", "monailabel", "pacs", "zoo")),
)
TEXTS = (".py", ".j2", ".css", ".js")
ABSOLUTE = re.compile(r"^(\s*from )bundle\.(?=\w)", re.MULTILINE)
# the zoo's own settings (its setup.cfg, pyproject.toml and runtests.sh)
FORMATTERS = {
    "isort": ("--profile", "black", "--line-length", "120"),
    "black": ("--line-length", "120", "--skip-magic-trailing-comma", "-t", "py37", "-t", "py38", "-t", "py39"),
}


def copy_code(root: Path, folder: Path, wording: Wording) -> None:
    """Copy the package ``bundle`` of the repository at ``root`` to ``folder``, and the verbs into it.

    Inside the package imports are relative, so that it works under any name; the verbs' become so. Left out are
    ``benchmark`` and ``phantom/realism``, which measure the repository itself, and the integrations that put it into
    other systems; federated training, which has a config, goes along.
    """
    package = root / "bundle"
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package)
        hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
        if path.is_dir() or hidden or any(name.is_relative_to(part) for part in LEFT_OUT):
            continue
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            write_json(place, wording.content(json.loads(path.read_text(encoding="utf-8"))))
        elif path.suffix in TEXTS:
            place.write_text(wording.text(path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(path, place)
    for verb in ("command_line", *VERBS):
        text = (root / "scripts" / f"{verb}.py").read_text(encoding="utf-8")
        (folder / f"{verb}.py").write_text(wording.text(ABSOLUTE.sub(r"\1.", text)), encoding="utf-8")


def copy_configs(root: Path, folder: Path, wording: Wording) -> None:
    """Copy all configs but ``metadata.json``, whose content depends on the model."""
    for path in sorted((root / "configs").rglob("*.*")):
        place = folder / path.relative_to(root / "configs")
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".json":
            shutil.copyfile(path, place)
        elif path.name != "metadata.json":
            write_json(place, wording.content(json.loads(path.read_text(encoding="utf-8"))))


def write_json(path: Path, content: Any) -> None:
    """Write JSON as the zoo's commits have it: four spaces, ASCII, a last line that ends."""
    path.write_text(json.dumps(content, indent=4, allow_nan=False) + "\n", encoding="utf-8")


def formatted(paths: Sequence[Path]) -> None:
    """Bring Python files into the form that the zoo checks, where isort and black are installed."""
    missing = [tool for tool in FORMATTERS if importlib.util.find_spec(tool) is None]
    if missing:
        logger.warning(
            f"{' and '.join(missing)} not installed: the exported code runs, but is not in the form that the Model Zoo "
            f"checks. pip install {' '.join(missing)}, then export again."
        )
        return
    for tool, options in FORMATTERS.items():
        subprocess.run([sys.executable, "-m", tool, "--quiet", *options, *map(str, paths)], check=True)
