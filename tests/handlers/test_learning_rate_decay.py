"""The learning rate of configs/ablation/pool_decay.json: its course, and a resumed run that equals the straight one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.handlers import LrScheduleHandler
from toys import make_batch, make_networks, make_optimizers

from bundle.engines import CycleGanTrainer, ImagePool
from bundle.handlers import TrainingState
from bundle.losses import CycleGanLoss

OVERLAY = Path(__file__).parents[2] / "configs/ablation/pool_decay.json"


def factor(max_epochs: int):
    overlay = json.loads(OVERLAY.read_text(encoding="utf-8"))
    config = {"max_epochs": max_epochs, "learning_rate_factor": overlay["learning_rate_factor"]}
    return ConfigParser(config).get_parsed_content("learning_rate_factor")


def test_it_stands_over_the_first_half_and_falls_to_0_over_the_second():
    course = [factor(200)(epoch) for epoch in range(201)]
    assert course[:101] == [1.0] * 101
    assert course[150] == pytest.approx(0.5)
    assert (course[199], course[200]) == (pytest.approx(0.01), 0)
    falls = torch.tensor(course[100:]).diff()
    torch.testing.assert_close(falls, torch.full_like(falls, -0.01))


def run(folder, epochs, resume=False):
    """Of a training planned for four epochs."""
    networks = make_networks()
    optimizers = make_optimizers(networks)
    schedules = {
        name: torch.optim.lr_scheduler.LambdaLR(optimizer, factor(4)) for name, optimizer in optimizers.items()
    }
    state, rates = TrainingState(folder, parts=schedules, resume=resume), []
    trainer = CycleGanTrainer(
        "cpu",
        epochs,
        [make_batch(pairs=1)],
        **networks,
        **optimizers,
        objective=CycleGanLoss(),
        pool_des=ImagePool(2, seed=1),
        pool_le=ImagePool(2, seed=2),
        train_handlers=[state, *(LrScheduleHandler(schedule, print_lr=False) for schedule in schedules.values())],
    )
    trainer.add_event_handler(
        Events.EPOCH_STARTED,
        lambda _: rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers.values()]),
    )
    trainer.run()
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert list(saved["parts"]) == list(schedules)
    return rates, [value for network in saved["networks"].values() for value in network.values()]


def test_a_resumed_run_equals_the_straight_one(tmp_path):
    rates, straight = run(tmp_path / "straight", 4)
    assert rates == [[1e-3, 1e-3]] * 3 + [[5e-4, 5e-4]]
    first, _ = run(tmp_path / "parts", 3)
    second, resumed = run(tmp_path / "parts", 4, resume=True)
    assert first + second == rates
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(resumed, straight, strict=True))
