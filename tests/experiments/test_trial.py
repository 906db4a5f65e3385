"""A step and an image are timed at the plan's own config, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bundle.experiments import trial
from bundle.experiments.plan import Run
from bundle.experiments.protocol import build_plan
from bundle.experiments.trial import Pace, try_out

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tried(phantom, tmp_path):
    overlays = [ROOT / "tests/workflows/tiny.json"]
    plan = build_plan(
        tmp_path / "runs",
        phantom,
        gammas=[35],
        folds=[0],
        config_files=overlays,
        overrides={"image_size": 96},
        root=ROOT,
    )

    def call(**changed) -> Pace:
        return try_out(*plan, ROOT, **changed)

    return call


def test_it_times_what_the_plan_is_to_run_and_writes_nothing(tried, tmp_path, monkeypatch):
    threads, before = torch.get_num_threads(), sorted(tmp_path.rglob("*"))
    sizes = []
    timed = trial._timed
    monkeypatch.setattr(trial, "_timed", lambda *given: sizes.append(given[3:]) or timed(*given))
    pace = tried(threads=1, seconds=600)
    assert sizes == [(64, 4), (96, 4)]  # a micro-batch of the overlay, at last in full size
    assert min(pace.training, pace.validation, pace.evaluation, pace.reading) > 0
    assert pace.source == "steps of 4 pair(s) at 96 px on cpu"
    assert torch.get_num_threads() == threads
    assert sorted(tmp_path.rglob("*")) == before


def test_where_the_full_size_takes_too_long_the_time_goes_with_the_pixels(tried, monkeypatch):
    monkeypatch.setattr(trial, "_timed", lambda *given: (4.0, 8.0, 16.0))
    pace = tried(seconds=0)
    assert (pace.training, pace.validation, pace.evaluation) == (9, 18, 36)  # (96 / 64)^2
    assert pace.source == "steps of 4 pair(s) at 64 px on cpu, for 96 px"


def test_a_run_is_its_epochs_and_its_reading():
    pace = Pace(training=2, validation=3, evaluation=5, reading=0.5, source="")
    training = Run("a", "training", 2, 0, 0, [], [], {}, max_epochs=10, pairs={"training": 8, "validation": 4})
    evaluation = Run("b", "evaluating", 2, 0, 0, [], [], {}, pairs={"training": 8, "test": 6})
    assert pace.epoch(training) == 16 + 12
    assert pace.seconds(training) == 280 + 12
    assert pace.seconds(evaluation) == 30 + 14
