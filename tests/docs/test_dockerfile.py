"""No Docker is at hand where the tests run: what the Dockerfile says is held against the repository."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()


def instructions(name):
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{name} ")]


def let_in(path):
    """Whether .dockerignore lets a path of the repository into the build; the last rule that fits decides."""
    inside = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.strip().removeprefix("!")
        if rule and not rule.startswith("#"):
            parents = [path, *path.parents]
            if any(fnmatch.fnmatch(str(each), rule.removeprefix("**/")) for each in parents if str(each) != "."):
                inside = line.startswith("!")
    return inside


def copied():
    return [Path(source) for line in instructions("COPY") for source in line.split()[:-1]]


def test_all_that_is_copied_exists_and_is_let_in():
    assert {Path("bundle"), Path("configs"), Path("scripts"), Path("constraints.txt")} <= set(copied())
    assert [path for path in copied() if not (ROOT / path).exists() or not let_in(path)] == []


@pytest.mark.parametrize("name", ["data/mine/1.dcm", "models/model.pt", "eval/metrics.csv", ".git/config", ".venv/x"])
def test_nothing_else_is_let_in(name):
    assert not let_in(Path(name))
    assert let_in(Path("bundle/keys.py"))
    assert not let_in(Path("bundle/__pycache__/keys.pyc"))


def test_what_is_installed_is_what_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = (line.partition("=")[2] for line in instructions("ARG") if line.startswith("EXTRAS="))
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)
    python = instructions("FROM")[0].partition(":")[2].split("-")[0]
    assert project["requires-python"] == f">={python}"


def test_torch_of_another_index_comes_beside_pypi():
    """That index alone need not hold the versions that constraints.txt pins for torch's own dependencies."""
    (install,) = (line for line in instructions("RUN") if "TORCH_INDEX" in line)
    assert "--extra-index-url ${TORCH_INDEX}" in install
    assert "--index-url" not in install.replace("--extra-index-url", "")


def test_there_is_a_compiler_for_what_is_compiled_while_it_runs():
    assert '"compile"' in (ROOT / "configs/fast.json").read_text(encoding="utf-8")
    (install,) = (line for line in instructions("RUN") if "apt-get install" in line)
    assert {"gcc", "libc6-dev", "--no-install-recommends"} <= set(install.split())


def test_it_runs_as_nobody_and_writes_to_its_volumes_alone():
    assert instructions("USER") == ["cesm"]
    assert LINES.index("USER cesm") > max(number for number, line in enumerate(LINES) if line.startswith("RUN "))
    assert instructions("VOLUME") == ['["/opt/cesm/data", "/opt/cesm/models", "/opt/cesm/eval"]']


def test_the_entry_point_is_the_runner():
    words = [json.loads(line) for name in ("ENTRYPOINT", "CMD") for line in instructions(name)]
    assert words == [["python", "-m", "monai.bundle"], ["--help"]]
    assert find_spec("monai.bundle.__main__") is not None
