"""A tiny phantom study for every workflow."""

from __future__ import annotations

from pathlib import Path

import pytest
import workflows_support

from bundle.data import write_folds
from bundle.phantom import write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """Six women, 24 pairs, three folds."""
    folder = tmp_path_factory.mktemp("study") / "phantom"
    write_folds(write_study(folder, patients=6, image_size=64, num_workers=1), k=3)
    return folder


@pytest.fixture(scope="session")
def run_bundle():
    return workflows_support.run
