"""The learning rate of configs/ablation/pool_decay.json: its course, and a resumed run that equals the straight one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from toys import make_batch, make_networks, make_optimizers

from bundle.engines import CycleGanTrainer, ImagePool
from bundle.handlers import TrainingState
from bundle.losses import CycleGanLoss

OVERLAY = json.loads((Path(__file__).parents[2] / "configs/ablation/pool_decay.json").read_text(encoding="utf-8"))
PART = "train#handlers#1#parts#"


def built(max_epochs: int, *names: str):
    """Entries of the overlay, built as the config builds them."""
    known = {key: value for key, value in OVERLAY.items() if key.startswith("learning_rate")}
    parts = {key.removeprefix(PART): value for key, value in OVERLAY.items() if key.startswith(PART)}
    content = {**known, "max_epochs": max_epochs, "parts": parts, "handlers": OVERLAY["+train#handlers"]}
    parser = ConfigParser(content)
    return [parser.get_parsed_content(name) for name in names]


def factor(max_epochs: int):
    return built(max_epochs, "learning_rate_factor")[0]


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
    parts, handlers = built(4, "parts", "handlers")
    state, rates = TrainingState(folder, parts=parts, resume=resume), []
    trainer = CycleGanTrainer(
        "cpu",
        epochs,
        [make_batch(pairs=1)],
        **networks,
        **optimizers,
        objective=CycleGanLoss(),
        pool_des=ImagePool(OVERLAY["pool_size"], seed=1),
        pool_le=ImagePool(OVERLAY["pool_size"], seed=2),
        train_handlers=[state, *handlers],
    )
    trainer.add_event_handler(
        Events.EPOCH_STARTED,
        lambda _: rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers.values()]),
    )
    trainer.run()
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert list(saved["parts"]) == list(parts) == ["learning_rate_schedule"]
    return rates, [value for network in saved["networks"].values() for value in network.values()]


def test_a_resumed_run_equals_the_straight_one(tmp_path):
    rates, straight = run(tmp_path / "straight", 4)
    assert rates == [[1e-3, 1e-3]] * 3 + [[5e-4, 5e-4]]
    first, _ = run(tmp_path / "parts", 3)
    second, resumed = run(tmp_path / "parts", 4, resume=True)
    assert first + second == rates
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(resumed, straight, strict=True))
