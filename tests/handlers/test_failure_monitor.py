"""Each failure is said once, by name and epoch, and only beyond its threshold."""

from __future__ import annotations

import math

import pytest

from bundle.handlers import FailureMonitor

HEALTHY = {"val_lesion_l1": 0.2, "val_background_l1": 0.1, "val_background_bias": 0.01}


def outputs(des=0.25, le=0.25):
    """Discriminators' losses, constant or by iteration."""

    def output(iteration):
        values = (value(iteration) if callable(value) else value for value in (des, le))
        return dict(zip(("loss_disc_des", "loss_disc_le"), values, strict=True))

    return output


def test_a_healthy_run_is_silent(script, warned):
    played = script(outputs(), dict.fromkeys((1, 2, 3), HEALTHY))
    monitor = FailureMonitor(played.evaluator)
    played.run([monitor], epochs=3)
    assert warned() == []
    assert monitor.state_dict() == {"warned": {}}


def test_a_discriminator_that_collapses_is_named_once(script, warned):
    played = script(outputs(des=lambda iteration: 0.25 if iteration <= 4 else 0.01))
    monitor = FailureMonitor(played.evaluator)
    played.run([monitor], epochs=5)
    assert warned() == [
        "discriminator_collapse_disc_des in epoch 3: disc_des's mean loss is 0.01, below 0.02: it tells real from "
        "synthetic without effort. Try a lower learning rate or an image pool."
    ]
    assert monitor.warned == {"discriminator_collapse_disc_des": 3}


def test_both_discriminators_are_watched(script, warned):
    played = script(outputs(des=0.001, le=0.002))
    played.run([FailureMonitor(played.evaluator)], epochs=2)
    assert [message.split(":")[0] for message in warned()] == [
        "discriminator_collapse_disc_des in epoch 1",
        "discriminator_collapse_disc_le in epoch 1",
    ]


def test_the_mean_of_an_epoch_counts_not_one_iteration_nor_former_epochs(script, warned):
    # two iterations an epoch, with means of 0.025, 0.025, 0.6 and 0.015
    losses = {1: 0.001, 2: 0.049, 3: 0.049, 4: 0.001, 5: 0.6, 6: 0.6, 7: 0.015, 8: 0.015}
    played = script(outputs(le=losses.get))
    monitor = FailureMonitor(played.evaluator)
    played.run([monitor], epochs=4)
    assert monitor.warned == {"discriminator_collapse_disc_le": 4}


@pytest.mark.parametrize(
    ("name", "metrics", "text"),
    [
        (
            "lesion_error",
            {"val_lesion_l1": 0.41},
            "the error in lesions (0.41) is more than 4 times the background's (0.1). Try a larger gamma.",
        ),
        (
            "background_drift",
            {"val_background_bias": 0.11},
            "the background of the virtual DES lies +0.11 off the real one, beyond 0.1. Look at the panels.",
        ),
        (
            "background_drift",
            {"val_background_bias": -0.11},
            "the background of the virtual DES lies -0.11 off the real one, beyond 0.1. Look at the panels.",
        ),
    ],
)
def test_failures_of_a_validation_are_said_once(script, warned, name, metrics, text):
    played = script(outputs(), {1: HEALTHY, 2: HEALTHY | metrics, 3: HEALTHY | metrics})
    monitor = FailureMonitor(played.evaluator)
    played.run([monitor], epochs=3)
    assert warned() == [f"{name} in epoch 2: {text}"]
    assert monitor.warned == {name: 2}


@pytest.mark.parametrize(
    "metrics",
    [
        {"val_lesion_l1": 0.39},
        {"val_background_bias": 0.09},
        {"val_background_bias": -0.09},
        {"val_lesion_l1": math.nan},  # no lesion in the validation part
        {"val_background_bias": math.nan},
    ],
)
def test_below_the_thresholds_and_without_a_value_nothing_is_said(script, warned, metrics):
    played = script(outputs(0.021, 0.021), {1: HEALTHY | metrics})
    played.run([FailureMonitor(played.evaluator)], epochs=1)
    assert warned() == []


def test_thresholds_and_prefix_are_arguments(script):
    metrics = {"mine_lesion_l1": 0.21, "mine_background_l1": 0.1, "mine_background_bias": 0.06}
    played = script(outputs(0.1, 0.3), {1: metrics})
    monitor = FailureMonitor(
        played.evaluator, discriminator_loss=0.2, lesion_ratio=2.0, background_bias=0.05, prefix="mine"
    )
    played.run([monitor], epochs=1)
    assert monitor.warned == dict.fromkeys(["discriminator_collapse_disc_des", "lesion_error", "background_drift"], 1)


def test_validations_are_judged_when_they_are_made(script):
    played = script(outputs(), {1: HEALTHY | {"val_background_bias": 1.0}, 2: HEALTHY})
    monitor = FailureMonitor(played.evaluator, interval=2)
    played.run([monitor], epochs=2)
    assert monitor.warned == {}


def test_a_run_without_validation_is_watched_too(script):
    played = script(outputs(0.01))
    monitor = FailureMonitor(played.evaluator)
    played.run([monitor], epochs=1)
    assert list(monitor.warned) == ["discriminator_collapse_disc_des"]


def test_a_resumed_run_does_not_say_it_again(script, warned):
    first = script(outputs(0.01))
    monitor = FailureMonitor(first.evaluator)
    first.run([monitor], epochs=1)
    state = monitor.state_dict()
    warned.forget()

    second = script(outputs(0.01, 0.01))
    resumed = FailureMonitor(second.evaluator)
    resumed.load_state_dict(state)
    second.run([resumed], epochs=3, begin=1)
    assert [message.split(":")[0] for message in warned()] == ["discriminator_collapse_disc_le in epoch 2"]
    assert resumed.warned == {"discriminator_collapse_disc_des": 1, "discriminator_collapse_disc_le": 2}
    assert state == {"warned": {"discriminator_collapse_disc_des": 1}}  # what was loaded stays as it was
    resumed.state_dict()["warned"].clear()  # and what is saved is a copy
    assert len(resumed.warned) == 2


def test_only_the_first_process_speaks(script, warned):
    played = script(outputs(0.01))
    played.trainer.state.rank = 1
    monitor = FailureMonitor(played.evaluator)
    played.run([monitor], epochs=1)
    assert warned() == []
    assert monitor.warned == {"discriminator_collapse_disc_des": 1}


@pytest.mark.parametrize("wrong", ["discriminator_loss", "lesion_ratio", "background_bias"])
def test_a_threshold_that_is_not_positive_is_refused(wrong):
    with pytest.raises(ValueError, match=r"the monitor's thresholds .* must be positive"):
        FailureMonitor(None, **{wrong: 0.0})


def test_any_discriminator_is_watched_but_no_loss_of_lesions_alone(script):
    low = dict.fromkeys(["loss_disc_pair", "loss_disc_des_lesion", "loss_disc_crops", "loss_adversarial_pair"], 0.01)
    played = script(lambda _: low)
    monitor = FailureMonitor(played.evaluator)
    played.run([monitor], epochs=1)
    assert monitor.warned == {"discriminator_collapse_disc_pair": 1}
