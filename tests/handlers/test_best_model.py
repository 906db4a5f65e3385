"""Which epoch's generator is kept, when a run stops, and what the card says."""

from __future__ import annotations

import hashlib
import json
import logging
import math

import pytest
import torch
from ignite.engine import Events
from torch import nn

from bundle.handlers import BestModel
from bundle.networks.weights import card_problems

CARD = {"image_size": 32, "network": {"width": 4}, "intensity": {"method": "window"}}


class Epochs(nn.Module):
    """A network whose only weight is the number of epochs it was trained for."""

    def __init__(self):
        super().__init__()
        self.register_buffer("epoch", torch.zeros(()))

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: self.epoch.fill_(engine.state.epoch))


@pytest.fixture
def run(script, tmp_path):
    """Runs losses (by epoch, from 1) through the handler; returns it, the last epoch and what was saved."""

    def run(losses, state=None, begin=0, epochs=None, **kwargs):
        interval = kwargs.get("interval", 1)
        validations = {epoch: {"val_loss": loss} for epoch, loss in enumerate(losses, start=1) if epoch % interval == 0}
        played, network = script(validations=validations), Epochs()
        best = BestModel(tmp_path, network, played.evaluator, CARD, **kwargs)
        if state is not None:
            best.load_state_dict(state)
        trainer = played.run([network, best], epochs=epochs or len(losses), begin=begin)
        return best, trainer.state.epoch

    return run


def kept(folder) -> tuple[int, dict]:
    """The epoch whose weights are in model.pt, and the card."""
    state = torch.load(folder / "model.pt", weights_only=True)
    return int(state["epoch"]), json.loads((folder / "model.json").read_text())


def test_the_lowest_loss_is_kept_with_a_card_that_fits(run, tmp_path):
    best, last = run([0.5, 0.3, 0.2, 0.4, 0.2], warmup_epochs=0)
    epoch, card = kept(tmp_path)
    assert (epoch, last) == (3, 5)  # a draw is not better
    assert (best.best_epoch, best.best_metric) == (3, 0.2)
    assert card == {
        "sha256": hashlib.sha256((tmp_path / "model.pt").read_bytes()).hexdigest(),
        **CARD,
        "epoch": 3,
        "validation": {"val_loss": 0.2},
    }
    assert card_problems(tmp_path / "model.pt") == []


def test_the_warm_up_is_not_judged(run, tmp_path):
    best, _ = run([0.1, 0.1, 0.5, 0.4, 0.6], warmup_epochs=2)
    assert kept(tmp_path)[0] == 4
    assert best.state_dict() == {"best_metric": 0.4, "best_epoch": 4}


@pytest.mark.parametrize(
    ("losses", "warmup", "patience", "last"),
    [
        ([0.3, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2], 0, 3, 5),  # from the best epoch
        ([0.1, 0.1, 0.5, 0.6, 0.6, 0.6, 0.6], 2, 3, 6),  # from the best epoch after the warm-up
        ([0.1] * 3 + [math.nan] * 6, 3, 3, 6),  # from the end of the warm-up, where no epoch was ever best
        ([0.1] * 10, 6, 1, 8),  # epoch 7 is the first that counts; 8 is not better
        ([0.7, 0.6, 0.5, 0.4, 0.3], 0, 1, 5),  # better each time: the run goes to its end
    ],
)
def test_patience_counts_from_the_later_of_warm_up_and_best(run, losses, warmup, patience, last, caplog):
    with caplog.at_level(logging.INFO, "bundle"):
        assert run(losses, warmup_epochs=warmup, patience=patience)[1] == last
    text = f"epoch {last}: no better val_loss for {patience} epochs, stopping"
    assert (text in caplog.messages) == (last < len(losses))


def test_a_run_that_ends_in_the_warm_up_saves_its_last_generator_and_says_so(run, tmp_path, warned):
    best, last = run([0.3, 0.1, 0.2], warmup_epochs=50)
    epoch, card = kept(tmp_path)
    assert (epoch, last, card["epoch"], card["validation"]) == (3, 3, 3, {"val_loss": 0.2})
    assert best.best_epoch == 0
    assert warned() == [
        "the run ended after epoch 3, and no epoch beyond the warm-up of 50 has a val_loss: "
        f"{tmp_path / 'model.pt'} holds the last generator, not the best one"
    ]
    assert card_problems(tmp_path / "model.pt") == []


def test_a_run_with_a_best_epoch_is_silent_at_its_end(run, tmp_path, warned):
    run([0.3, 0.1, 0.2], warmup_epochs=0)
    assert warned() == []
    assert kept(tmp_path)[0] == 2


def test_a_loss_that_is_no_number_is_never_best_and_the_card_stays_json(run, tmp_path):
    best, last = run([math.nan] * 4, warmup_epochs=0, patience=2)
    assert (best.best_epoch, last) == (0, 2)
    assert "NaN" not in (tmp_path / "model.json").read_text()
    assert kept(tmp_path)[1]["validation"] == {"val_loss": None}


def test_with_an_interval_only_validated_epochs_are_judged(run, tmp_path):
    best, last = run([0.1, 0.5, 0.1, 0.3, 0.1, 0.4, 0.1, 0.4, 0.1, 0.1], warmup_epochs=0, interval=2, patience=3)
    assert kept(tmp_path)[0] == 4
    assert best.best_metric == 0.3
    assert last == 8  # epoch 6 waited 2 epochs, epoch 8 waited 4


def test_a_resumed_run_keeps_its_best(run, tmp_path):
    run([0.5, 0.2], warmup_epochs=0)
    best, _ = run([0.5, 0.2, 0.3, 0.4], state={"best_metric": 0.2, "best_epoch": 2}, begin=2, warmup_epochs=0)
    assert (best.best_epoch, kept(tmp_path)[0]) == (2, 2)


def test_a_run_that_was_over_stays_over(run, tmp_path):
    _, last = run([0.1] * 9, state={"best_metric": 0.01, "best_epoch": 2}, begin=5, warmup_epochs=0, patience=3)
    assert last == 5
    assert not (tmp_path / "model.pt").exists()


def test_a_resume_between_two_validations_is_judged_at_the_next_one(run):
    losses = [0.5] * 4 + [0.5, 0.5, 0.5, 0.1] + [0.5] * 4
    straight = run(losses, warmup_epochs=0, interval=4, patience=2)
    resumed = run(losses, state={"best_metric": 0.5, "best_epoch": 4}, begin=7, warmup_epochs=0, interval=4, patience=2)
    assert resumed[0].state_dict() == straight[0].state_dict() == {"best_metric": 0.1, "best_epoch": 8}
    assert resumed[1] == straight[1] == 12


def test_only_the_first_process_writes(script, tmp_path):
    played = script(validations={1: {"val_loss": 0.1}})
    best = BestModel(tmp_path, Epochs(), played.evaluator, CARD, warmup_epochs=0)
    played.trainer.state.rank = 1
    played.run([best], epochs=1)
    assert best.best_epoch == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"patience": 0}, {"interval": 0}, {"warmup_epochs": -1}])
def test_numbers_that_cannot_work_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match=r"must be 1 or more, warm-up -?\d+ 0 or more"):
        BestModel(tmp_path, Epochs(), None, **wrong)
