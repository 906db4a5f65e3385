"""The same draws for the same (seed, epoch, rank), others for others."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.transforms import Compose, RandGaussianNoise

from bundle.handlers import EpochSeed


def draws(seed: int = 0, epoch: int = 1, rank: int = 0) -> dict[str, float]:
    """One draw of each generator in an epoch, the first of a run that begins there."""
    engine = Engine(lambda *_: None)
    engine.data_loader = torch.utils.data.DataLoader(Dataset(torch.zeros((1, 1, 2)), Compose([RandGaussianNoise(1.0)])))
    engine.state.rank = rank
    drawn = {}

    def go_on(engine):
        engine.state.epoch = engine.state.iteration = epoch - 1

    def draw(engine):
        drawn["torch"] = float(torch.rand(()))
        drawn["numpy"] = float(np.random.random())  # noqa: NPY002
        drawn["python"] = random.random()
        drawn["transform"] = float(engine.data_loader.dataset[0].sum())

    engine.add_event_handler(Events.STARTED, go_on)
    EpochSeed(seed).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, draw)
    engine.run([None], max_epochs=epoch)
    return drawn


@pytest.fixture(autouse=True)
def untouched_generators():
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


def test_the_same_seed_epoch_and_rank_draw_the_same():
    first = draws(3, 5, 1)
    torch.rand(7)
    np.random.random(7)  # noqa: NPY002
    random.random()
    assert draws(3, 5, 1) == first


@pytest.mark.parametrize("source", ["torch", "numpy", "python", "transform"])
def test_any_other_seed_epoch_or_rank_draws_something_else(source):
    found = [draws(*which)[source] for which in [(0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1), (1, 2, 0), (2, 1, 0)]]
    assert len(set(found)) == len(found)


def test_an_epoch_of_a_longer_run_draws_what_a_run_that_begins_there_draws():
    engine, drawn = Engine(lambda *_: None), []
    engine.data_loader = [None]  # no dataset
    EpochSeed(4).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: drawn.append(float(torch.rand(()))))
    engine.run(engine.data_loader, max_epochs=3)
    assert drawn == [draws(4, epoch)["torch"] for epoch in (1, 2, 3)]


class Seeded:
    """A sampler or a ``prepare_batch`` that notes its seeds."""

    def __init__(self):
        self.seeds = []

    def set_random_state(self, seed):
        self.seeds.append(seed)


@pytest.mark.parametrize("rank", [0, 3])
def test_order_and_augmentation_are_seeded_alike_in_every_process(rank):
    seeds = []
    for of_rank in (0, rank):
        engine, sampler, prepare = Engine(lambda *_: None), Seeded(), Seeded()
        engine.data_loader = SimpleNamespace(batch_sampler=sampler)
        engine.prepare_batch = prepare
        engine.state.rank = of_rank
        EpochSeed(4).attach(engine)
        engine.run([None], max_epochs=3)
        seeds.append((sampler.seeds, prepare.seeds))
    assert seeds[0] == seeds[1]
    assert len({*sampler.seeds, *prepare.seeds}) == 6  # another one for each epoch and each of the two
