"""One line an epoch, and a bar that counts the whole run."""

from __future__ import annotations

import math

import pytest
from ignite.engine import Events

from bundle.handlers import Progress, progress


@pytest.fixture
def bars(monkeypatch):
    """Every bar that was made, with what it was made with."""
    made = []

    class Bar(progress.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.given, self.shown = kwargs, []
            made.append(self)

        def set_postfix(self, ordered_dict=None, refresh=True, **kwargs):
            self.shown.append(kwargs)
            super().set_postfix(ordered_dict, refresh, **kwargs)

    monkeypatch.setattr(progress, "tqdm", Bar)
    return made


def outputs(iteration):
    """Losses 1, 2, 3, ... of the generators; other entries are no losses."""
    return {
        "le": None,
        "loss_cycle": 2.0 * iteration,
        "loss": float(iteration),
        "loss_disc_des": 0.25,
        "loss_disc_le": 0.5,
    }


def test_one_line_an_epoch_with_the_mean_of_each_loss(script, capsys, bars):
    script(outputs).run([Progress()], epochs=2)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2: cycle 3  loss 1.5  disc_des 0.25  disc_le 0.5",
        "epoch 2/2: cycle 7  loss 3.5  disc_des 0.25  disc_le 0.5",
    ]


def test_the_validation_loss_stands_in_the_line_of_the_epoch_that_it_is_of(script, capsys, bars):
    played = script(lambda _: {"loss": 1.0}, {1: {"val_loss": 0.12345}, 3: {"val_loss": math.nan}, 4: {"other": 1.0}})
    played.run([Progress(played.evaluator)], epochs=4)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/4: loss 1  | val_loss 0.1235",
        "epoch 2/4: loss 1",
        "epoch 3/4: loss 1",
        "epoch 4/4: loss 1",
    ]


def test_the_bar_counts_every_batch_and_shows_the_last_losses(script, bars):
    script(outputs).run([Progress(description="working")], epochs=2, length=3)
    (bar,) = bars
    assert (bar.total, bar.given["initial"], bar.n) == (6, 0, 6)
    assert bar.desc.startswith("working")
    assert bar.shown[-1] == {"epoch": 2, "G": "6", "Dy": "0.25", "Dx": "0.5"}
    assert bar.disable or bar.pos == 0  # closed


def test_a_resumed_run_goes_on_counting(script, capsys, bars):
    script(outputs).run([Progress()], epochs=3, length=2, begin=2)
    (bar,) = bars
    assert (bar.total, bar.given["initial"], bar.n) == (6, 4, 6)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["epoch 3/3"]


def test_an_evaluation_without_losses_has_a_bar_and_no_line(script, capsys, bars):
    script(lambda _: {"virtual_des": None}).run([Progress(description="evaluating")], epochs=1)
    assert bars[0].n == 2
    assert capsys.readouterr().out == ""


def test_each_run_has_a_bar_of_its_own(script, bars):
    played = script(outputs)
    progress_handler = Progress()
    trainer = played.run([progress_handler], epochs=1)
    assert progress_handler._bar is None
    trainer.run(range(2), max_epochs=2)
    assert len(bars) == 2


def test_an_interrupted_run_closes_its_bar(script, bars):
    played = script(outputs)
    played.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda engine: engine.interrupt())
    handler = Progress()
    played.run([handler], epochs=1)
    assert bars[0].n == 1
    assert handler._bar is None


def test_a_run_that_never_began_has_no_bar_to_close(script, bars):
    played = script(outputs)
    played.run([Progress()], epochs=2, begin=2)
    assert bars == []


def test_only_the_first_process_shows_anything(script, capsys, bars):
    played = script(outputs)
    played.trainer.state.rank = 1
    played.run([Progress()], epochs=1)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert bars == []
