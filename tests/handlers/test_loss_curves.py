"""Each iteration's losses reach TensorBoard, in one piece an epoch."""

from __future__ import annotations

import torch

from bundle.handlers import LossCurves


class Writer:
    def __init__(self):
        self.written = []

    def add_scalar(self, name, value, iteration):
        self.written.append((name, value, iteration))


def outputs(iteration):
    return {"le": None, "loss": torch.tensor(float(iteration)), "loss_disc_le": 0.5}


def test_every_iteration_of_every_epoch(script):
    writer = Writer()
    script(outputs).run([LossCurves(writer)], epochs=2, length=2)
    losses = [(value, iteration) for name, value, iteration in writer.written if name == "loss"]
    assert losses == [(1.0, 1), (2.0, 2), (3.0, 3), (4.0, 4)]
    assert [row for row in writer.written if row[0] != "loss"] == [("loss_disc_le", 0.5, i) for i in (1, 2, 3, 4)]


def test_a_resumed_run_goes_on_where_it_stopped(script):
    writer = Writer()
    script(outputs).run([LossCurves(writer)], epochs=3, length=2, begin=2)
    assert sorted({iteration for _, _, iteration in writer.written}) == [5, 6]


def test_a_process_without_a_writer_writes_nothing(script):
    script(outputs).run([LossCurves()], epochs=1)


def test_a_term_that_comes_only_now_and_then_is_written_then(script):
    writer = Writer()
    often = {1: {"loss": 1.0}, 2: {"loss": 2.0, "loss_extra": 7.0}}
    script(lambda iteration: often[iteration]).run([LossCurves(writer)], epochs=1, length=2)
    assert [row for row in writer.written if row[0] == "loss_extra"] == [("loss_extra", 7.0, 2)]
