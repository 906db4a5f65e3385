"""One generator on pairs: its step by hand, its micro-batches, its events."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from bundle.engines import CycleGanEvents, PairedTrainer
from bundle.handlers import LesionDiscriminatorHandler, LesionLossHandler
from bundle.losses import PairedL1Loss


class Scale(nn.Module):
    """G(x) = a x."""

    def __init__(self, factor=0.5):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return self.factor * x


def _batch(pairs=4, size=8):
    torch.manual_seed(3)
    le, des = torch.rand(pairs, 1, size, size), torch.rand(pairs, 1, size, size)
    return {"le": le, "des": des, "seg": (torch.rand(pairs, 1, size, size) > 0.8).float()}


def _trainer(network, batch, rate=0.1, **options):
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    return PairedTrainer("cpu", 1, [batch], network, optimizer, **options)


def test_a_step_by_hand():
    batch = {"le": torch.full((1, 1, 2, 2), 0.8), "des": torch.full((1, 1, 2, 2), 1.0), "seg": torch.zeros(1, 1, 2, 2)}
    network = Scale(0.5)
    trainer = _trainer(network, batch, weight=10.0)
    trainer.run()
    # 10 |0.5 * 0.8 - 1| = 6; its slope in a is -10 * 0.8
    assert trainer.state.output["loss"].item() == pytest.approx(6.0)
    assert trainer.state.output["loss_paired"].item() == pytest.approx(6.0)
    assert network.factor.item() == pytest.approx(0.5 + 0.1 * 8.0)
    assert isinstance(trainer, SupervisedTrainer)


def test_micro_batches_add_up_to_the_batch():
    batch, ends = _batch(), []
    for size in (None, 1, 3, 4):
        network = nn.Conv2d(1, 1, 3, padding=1)
        torch.manual_seed(0)
        nn.init.normal_(network.weight)
        nn.init.zeros_(network.bias)
        trainer = _trainer(network, batch, micro_batch_size=size, objective=PairedL1Loss(lesion_weight=10.0))
        trainer.run()
        ends.append((network.weight.detach().clone(), trainer.state.output["loss"]))
        assert trainer.state.output["virtual_des"].shape == (4, 1, 8, 8)
    for weight, loss in ends[1:]:
        assert torch.allclose(weight, ends[0][0], atol=1e-6)
        assert torch.allclose(loss, ends[0][1], atol=1e-6)


def test_handlers_add_terms_and_every_event_fires():
    batch, fired = _batch(), []

    class Extra:
        def attach(self, engine):
            for event in CycleGanEvents:
                engine.add_event_handler(event, lambda engine, event=event: fired.append(event.name))
            engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)

        def __call__(self, engine):
            engine.state.loss_terms["extra"] = 2.0 * engine.state.output["virtual_des"].mean()

    plain, other = Scale(), Scale()
    _trainer(plain, batch).run()
    trainer = _trainer(other, batch, micro_batch_size=4, train_handlers=[Extra()])
    trainer.run()
    output = trainer.state.output
    assert torch.allclose(output["loss"], output["loss_paired"] + output["loss_extra"])
    assert not torch.equal(plain.factor, other.factor)
    parts = ("FORWARD", "LOSS", "BACKWARD", "MODEL")
    assert fired == [f"GENERATOR_{part}_COMPLETED" for part in parts]


def test_the_weights_of_the_objective_are_those_of_the_paired_loss():
    batch = _batch()
    network = Scale()
    trainer = _trainer(copy.deepcopy(network), batch, objective=PairedL1Loss(lesion_weight=10.0), weight=3.0)
    trainer.run()
    error = (0.5 * batch["le"] - batch["des"]).abs()
    expected = 3.0 * ((1 + 10 * batch["seg"]) * error).mean()
    assert trainer.state.output["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "int8"}, "precision is 'int8', expected one of fp32, bf16, fp16"),
        ({"precision": "fp16"}, "needs a CUDA device"),
        ({"micro_batch_size": 0}, "micro_batch_size is 0"),
        ({"compile": "fast"}, "compile is 'fast'"),
        ({"weight": -1.0}, "weight is -1.0, expected 0 or more"),
    ],
)
def test_what_cannot_work_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        _trainer(Scale(), _batch(), **options)


def test_processes_whose_generators_would_part_are_refused(monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"2 processes .* Lay configs/multi_gpu_train.json after the baseline"):
        _trainer(Scale(), _batch())


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (LesionLossHandler(35.0), "this PairedTrainer has no gen_des_to_le .* takes gamma 0 and no rule for gamma"),
        (LesionDiscriminatorHandler("weight"), "this PairedTrainer has no disc_des and disc_le to be told of lesions"),
        (LesionDiscriminatorHandler("concatenate"), "this PairedTrainer has no disc_des and disc_le"),
    ],
)
def test_a_handler_that_needs_four_networks_is_refused_before_a_step(handler, said):
    with pytest.raises(ValueError, match=said):
        _trainer(Scale(), _batch(), train_handlers=[handler])
