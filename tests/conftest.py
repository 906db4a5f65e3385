"""Fixtures that the tests share."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
ROOT = Path(__file__).parents[1]
SHARED_DATA = Path(os.environ.get("CESM_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module", autouse=True)
def nothing_left_to_free():
    """What other runtimes leave is freed here: a forked process that frees an OpenVINO model hangs."""
    gc.collect()


@pytest.fixture
def float64():
    """Exact comparisons are made in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real CESM pairs are not at {SHARED_DATA}; set CESM_SHARED_DATA to their folder")
    return SHARED_DATA
