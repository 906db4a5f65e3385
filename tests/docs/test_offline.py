"""The commands of the page on machines without a network, in a namespace that has none."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/offline_and_docker.md"
TINY = ["--image_size", "64", "--max_epochs", "1"]
CUT_OFF = ["unshare", "--net", "--map-root-user"]


@pytest.fixture
def without_network():
    if (
        shutil.which("unshare") is None
        or subprocess.run([*CUT_OFF, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no network namespace can be made here (unshare --net)")
    return CUT_OFF


@pytest.mark.slow
def test_the_quickstart_of_the_page_needs_no_network(without_network, tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    found = [line for line in re.findall(r"^python -m monai\.bundle .*", text, re.M) if "quickstart" in line]
    assert len(found) == 3
    phantom = "-m scripts.prepare phantom --patients 6 --image_size 128 --k 3 --output"
    commands = [[*phantom.split(), f"{tmp_path}/data/phantom"]]
    for line in found:
        sizes = TINY if "inference.json" not in line else ["--output_dir", f"{tmp_path}/virtual_des"]
        commands.append([*shlex.split(line)[1:], "--bundle_root", str(tmp_path), *sizes])
    for command in commands:
        done = subprocess.run(
            [*without_network, sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "DES := LE" in (tmp_path / "eval/quickstart/summary.md").read_text(encoding="utf-8")
    assert len(list(tmp_path.glob("virtual_des/**/*_virtual_des.png"))) == 24
