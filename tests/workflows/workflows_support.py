"""The runner as a user calls it, with the tests' tiny sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.json")


def run(*arguments, script=("-m", "monai.bundle"), launcher=(), status=0, **environment):
    """``python -m monai.bundle run ...`` in a process of its own, from the repository's root."""
    done = subprocess.run(
        [sys.executable, *map(str, [*launcher, *script, "run", *arguments])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert status is None or done.returncode == status, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def config_files(*names: str) -> str:
    """The argument of ``--config_file``: configs by name, then the tiny sizes."""
    return str([*(str(ROOT / "configs" / name) for name in names), str(TINY)])
