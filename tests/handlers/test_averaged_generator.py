"""Averaged weights are what is validated and kept; what is trained does not notice."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import MeanAbsoluteError, ValidationHandler
from toys import make_batch, make_networks, make_trainer

from bundle.engines import CycleGanEvaluator, CycleGanEvents, PairedTrainer
from bundle.handlers import AveragedGenerator, BestModel, TrainingState
from bundle.networks import ResnetGenerator


class Steps:
    """A generator of one weight that takes the values that it is told."""

    def __init__(self, values, handler_of):
        self.gen_le_to_des = torch.nn.BatchNorm2d(1)
        handler = handler_of(self.gen_le_to_des)

        def step(engine, value):
            engine.gen_le_to_des = self.gen_le_to_des
            for tensor in (self.gen_le_to_des.weight, self.gen_le_to_des.running_mean):
                tensor.data.fill_(value)
            engine.fire_event(CycleGanEvents.GENERATOR_MODEL_COMPLETED)
            self.averages.append(float(handler.network.weight))

        self.averages: list[float] = []
        engine = Engine(step)
        engine.register_events(*CycleGanEvents)
        handler.attach(engine)
        engine.run(values)
        self.handler = handler


def test_averages_by_hand():
    """d_1 = 2/11 and d_2 = 3/12 while the average is young, 0.5 at most."""
    averages = Steps([4.0, 15.0, 3.0, 3.0], lambda network: AveragedGenerator(network, decay=0.3)).averages
    second = 2 / 11 * 4 + 9 / 11 * 15
    third = 0.25 * second + 0.75 * 3
    assert averages == pytest.approx([4, second, third, 0.3 * third + 0.7 * 3])


def test_without_a_warmup_the_initial_weights_are_still_no_part_of_it():
    steps = Steps([4.0, 2.0, 2.0], lambda network: AveragedGenerator(network, decay=0.5, warmup=1))
    assert steps.averages == pytest.approx([4, 3, 2.5])


def test_a_decay_of_0_and_buffers_are_copies():
    steps = Steps([4.0, 2.0], lambda network: AveragedGenerator(network, decay=0.0))
    assert steps.averages == [4, 2]
    steps = Steps([4.0, 2.0], lambda network: AveragedGenerator(network, decay=0.9))
    assert float(steps.handler.network.running_mean) == 2
    assert not any(parameter.requires_grad for parameter in steps.handler.network.parameters())


def weights(network) -> list[torch.Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def all_equal(one, other) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


class Run:
    """A training that validates and keeps the averaged generator."""

    def __init__(self, folder, epochs, resume=False, averaged=True):
        self.networks = make_networks()
        self.averaged = AveragedGenerator(self.networks["gen_le_to_des"], decay=0.9)
        kept = self.averaged.network if averaged else self.networks["gen_le_to_des"]
        evaluator = CycleGanEvaluator(
            "cpu",
            [make_batch(9)],
            kept,
            key_val_metric={"val_loss": MeanAbsoluteError(output_transform=lambda o: (o["virtual_des"], o["des"]))},
        )
        best = BestModel(folder, kept, evaluator, warmup_epochs=0)
        parts = {"best_model": best, "averaged_generator": self.averaged}
        handlers = [TrainingState(folder, parts=parts, resume=resume), ValidationHandler(1, evaluator), best]
        trainer = make_trainer(
            [make_batch(seed, pairs=1) for seed in range(2)],
            self.networks,
            [*handlers, *([self.averaged] * averaged)],
            max_epochs=epochs,
        )
        trainer.run()
        self.validated = evaluator.state.output["virtual_des"]
        self.model = torch.load(folder / "model.pt", weights_only=True)
        self.checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)


def test_what_is_validated_and_kept_is_the_average_and_the_training_goes_on_without_it(tmp_path):
    run, plain = Run(tmp_path / "averaged", 1), Run(tmp_path / "plain", 1, averaged=False)
    for name in run.networks:
        assert all_equal(weights(run.networks[name]), weights(plain.networks[name]))
    assert all_equal(run.model.values(), weights(run.averaged.network))
    assert not all_equal(run.model.values(), plain.model.values())
    le = make_batch(9)["le"]
    with torch.no_grad():
        assert torch.equal(run.validated, run.averaged.network(le))
    generator = ResnetGenerator(width=4, num_blocks=2)
    generator.load_state_dict(run.model)  # a model like any other
    assert json.loads((tmp_path / "averaged/model.json").read_text())["epoch"] == 1


def test_a_resumed_run_equals_the_straight_one(tmp_path):
    straight = Run(tmp_path / "straight", 3)
    Run(tmp_path / "parts", 2)
    resumed = Run(tmp_path / "parts", 3, resume=True)
    assert all_equal(weights(resumed.averaged.network), weights(straight.averaged.network))
    assert all_equal(resumed.model.values(), straight.model.values())
    mine, theirs = (run.checkpoint["parts"]["averaged_generator"] for run in (resumed, straight))
    assert int(mine["n_averaged"]) == int(theirs["n_averaged"]) == 6
    assert all_equal(mine.values(), theirs.values())
    assert all_equal(
        resumed.checkpoint["networks"]["gen_le_to_des"].values(), weights(straight.networks["gen_le_to_des"])
    )


def test_a_trainer_on_pairs_has_it_too():
    generator = make_networks()["gen_le_to_des"]
    handler, found = AveragedGenerator(generator), []
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    trainer = PairedTrainer("cpu", 1, [make_batch(0), make_batch(1)], generator, optimizer, train_handlers=[handler])
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: found.append(copy.deepcopy(weights(generator))))
    trainer.run()
    for average, first, second in zip(weights(handler.network), *found, strict=True):
        torch.testing.assert_close(average, 2 / 11 * first + 9 / 11 * second)


@pytest.mark.parametrize("arguments", [{"decay": 1.0}, {"decay": -0.1}, {"warmup": 0}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=r"decay is .*, expected in \[0, 1\); warmup is .*, expected 1 or more"):
        AveragedGenerator(torch.nn.Linear(1, 1), **arguments)
