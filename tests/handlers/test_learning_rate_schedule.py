"""One course of the learning rate for the optimisers of an engine and of its handlers."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from toys import make_batch, make_networks, make_trainer

from bundle.engines import PairedTrainer
from bundle.handlers import LearningRateSchedule, OwnDiscriminator, TrainingState
from bundle.networks import PatchDiscriminator


def factor(epoch: int) -> float:
    return min(1.0, 2.0 * (1.0 - epoch / 4))


def own() -> OwnDiscriminator:
    torch.manual_seed(7)
    discriminator = PatchDiscriminator(2, width=4)
    return OwnDiscriminator(discriminator, torch.optim.Adam(discriminator.parameters(), lr=1e-2))


def paired(batches, handlers, max_epochs):
    generator = make_networks()["gen_le_to_des"]
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    return PairedTrainer("cpu", max_epochs, batches, generator, optimizer, train_handlers=handlers)


def four(batches, handlers, max_epochs):
    return make_trainer(batches, handlers=handlers, max_epochs=max_epochs)


def run(make, folder, epochs, resume=False):
    """Rates of the engine's optimisers and of the further discriminator's as each epoch starts, and what was saved."""
    pair, schedule, rates = own(), LearningRateSchedule(factor), []
    parts = {"pair": pair, "schedule": schedule}
    state = TrainingState(folder, parts=parts, resume=resume)
    trainer = make([make_batch(pairs=1)], [state, pair, schedule], max_epochs=epochs)
    optimizers = [*trainer.optimizers.values(), pair.optimizer]
    trainer.add_event_handler(
        Events.EPOCH_STARTED, lambda _: rates.append([each.param_groups[0]["lr"] for each in optimizers])
    )
    trainer.run()
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    return rates, [*saved["networks"]["gen_le_to_des"].values(), *saved["parts"]["pair"]["discriminator"].values()]


@pytest.mark.parametrize(("make", "engines"), [(four, [1e-3, 1e-3]), (paired, [1e-3])])
def test_every_optimiser_takes_it_and_a_resumed_run_equals_the_straight_one(make, engines, tmp_path):
    rates, straight = run(make, tmp_path / "straight", 4)
    whole = [*engines, 1e-2]
    assert rates == [whole] * 3 + [[0.5 * rate for rate in whole]]
    first, _ = run(make, tmp_path / "parts", 3)
    second, resumed = run(make, tmp_path / "parts", 4, resume=True)
    assert first + second == rates
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(resumed, straight, strict=True))
