"""A copy of LE is said once for each region, and only above the level and beyond the margin."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bundle.handlers import CopyMonitor

CONFIG = Path(__file__).parents[2] / "configs/train.json"


def validation(lesion: float = 0.4, background: float = 0.2) -> dict[str, float]:
    """Means of a validation whose real DES have 0.4 and 0.2."""
    virtual = {"val_lesion_le_correlation_virtual": lesion, "val_background_le_correlation_virtual": background}
    return virtual | {"val_lesion_le_correlation_real": 0.4, "val_background_le_correlation_real": 0.2}


def test_a_virtual_des_like_the_real_one_is_silent(script, warned):
    played = script(None, dict.fromkeys((1, 2, 3), validation()))
    monitor = CopyMonitor(played.evaluator)
    played.run([monitor], epochs=3)
    assert warned() == []
    assert monitor.state_dict() == {"warned": {}}


def test_a_copy_is_named_once_in_each_region(script, warned):
    played = script(None, {1: validation(), 2: validation(0.95), 3: validation(1.0, 0.92), 4: validation(1.0, 1.0)})
    monitor = CopyMonitor(played.evaluator)
    played.run([monitor], epochs=4)
    assert warned() == [
        "copying_lesion in epoch 2: the correlation of the virtual DES with LE in the lesion (0.95) is above 0.9, "
        "and exceeds that of the real DES (0.4) by more than 0.3: it is close to a copy of LE. Where pairs are "
        "registered, try a paired loss or a baseline of configs/baselines.",
        "copying_background in epoch 3: the correlation of the virtual DES with LE in the background (0.92) is above "
        "0.9, and exceeds that of the real DES (0.2) by more than 0.3: it is close to a copy of LE. Where pairs are "
        "registered, try a paired loss or a baseline of configs/baselines.",
    ]
    assert monitor.warned == {"copying_lesion": 2, "copying_background": 3}


@pytest.mark.parametrize(
    "metrics",
    [
        validation(0.69, 0.49),
        validation(0.89, 0.89),  # a regressor of LE follows it more than the real DES does
        {name: 0.95 if "virtual" in name else 0.7 for name in validation()},  # as far as the real one allows
        validation(-1.0, -1.0),  # the contrary of LE is no copy
        validation(math.nan, math.nan),  # no lesion, or nothing that varies
        {},  # an evaluation without these columns
    ],
)
def test_below_the_margin_and_without_a_value_nothing_is_said(script, warned, metrics):
    played = script(None, {1: metrics})
    played.run([CopyMonitor(played.evaluator)], epochs=1)
    assert warned() == []


def test_level_margin_prefix_and_interval_are_arguments(script):
    metrics = {name.replace("val_", "mine_"): value for name, value in validation(0.55, 0.25).items()}
    played = script(None, {1: metrics, 2: metrics})
    monitor = CopyMonitor(played.evaluator, level=0.5, margin=0.1, interval=2, prefix="mine")
    played.run([monitor], epochs=2)
    assert monitor.warned == {"copying_lesion": 2}


def test_a_resumed_run_does_not_say_it_again(script, warned):
    first = script(None, {1: validation(1.0)})
    monitor = CopyMonitor(first.evaluator)
    first.run([monitor], epochs=1)
    state = monitor.state_dict()
    warned.forget()

    second = script(None, {2: validation(1.0), 3: validation(1.0, 1.0)})
    resumed = CopyMonitor(second.evaluator)
    resumed.load_state_dict(state)
    second.run([resumed], epochs=3, begin=1)
    assert [message.split(":")[0] for message in warned()] == ["copying_background in epoch 3"]
    assert resumed.warned == {"copying_lesion": 1, "copying_background": 3}
    assert state == {"warned": {"copying_lesion": 1}}  # what was loaded stays as it was
    resumed.state_dict()["warned"].clear()  # and what is saved is a copy
    assert len(resumed.warned) == 2


def test_only_the_first_process_speaks(script, warned):
    played = script(None, {1: validation(1.0)})
    played.trainer.state.rank = 1
    monitor = CopyMonitor(played.evaluator)
    played.run([monitor], epochs=1)
    assert warned() == []
    assert monitor.warned == {"copying_lesion": 1}


@pytest.mark.parametrize("wrong", [0.0, -0.1, 2.0, math.nan])
def test_a_margin_that_can_never_or_always_be_exceeded_is_refused(wrong):
    with pytest.raises(ValueError, match=r"the copy monitor's margin is .*, expected a difference of correlations"):
        CopyMonitor(None, margin=wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, math.nan])
def test_a_level_that_no_correlation_exceeds_is_refused(wrong):
    with pytest.raises(ValueError, match=r"the copy monitor's level is .*, expected a correlation of 0 or more and"):
        CopyMonitor(None, level=wrong)


def test_the_training_has_it_after_the_validation_and_saves_its_state():
    train = json.loads(CONFIG.read_text(encoding="utf-8"))["train"]["handlers"]
    names = [handler["_target_"].rpartition(".")[2] for handler in train]
    assert names.index("CopyMonitor") > names.index("ValidationHandler")
    (state,) = (handler for handler in train if handler["_target_"].endswith("TrainingState"))
    assert state["parts"]["copy_monitor"] == f"@train#handlers#{names.index('CopyMonitor')}"
