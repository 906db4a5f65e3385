"""A trainer and an evaluator that only count, for handlers that do not look at images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pytest
from ignite.engine import Engine, Events

LOSSES = {"loss": 3.0, "loss_cycle": 2.0, "loss_disc_des": 0.25, "loss_disc_le": 0.25}


class Script:
    """A run whose outputs and validations are written down beforehand.

    Args:
        outputs: what an iteration gives, by its number from 1.
        validations: the evaluator's metrics, by epoch; an epoch that is not in it is not validated.
    """

    def __init__(self, outputs: Callable[[int], dict] | None = None, validations: dict[int, dict] | None = None):
        self.trainer = Engine(lambda engine, _: (outputs or (lambda _: LOSSES))(engine.state.iteration))
        self.evaluator = Engine(lambda *_: None)
        self.validations = validations or {}
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)

    def validate(self, engine: Engine) -> None:
        if engine.state.epoch in self.validations:
            self.evaluator.state.epoch = engine.state.epoch
            self.evaluator.state.metrics = dict(self.validations[engine.state.epoch])

    def run(self, handlers: Sequence, epochs: int, length: int = 2, begin: int = 0) -> Engine:
        """Run up to ``epochs`` epochs, going on after ``begin`` of them like a resumed run."""

        def go_on(engine):
            engine.state.epoch, engine.state.iteration = begin, begin * length

        self.trainer.add_event_handler(Events.STARTED, go_on)
        for handler in handlers:
            handler.attach(self.trainer)
        self.trainer.run(range(length), max_epochs=epochs)
        return self.trainer


@pytest.fixture
def script() -> type[Script]:
    return Script


class Warned:
    """The warnings that the product has logged, in their order."""

    def __init__(self, caplog: pytest.LogCaptureFixture):
        self.caplog = caplog

    def __call__(self) -> list[str]:
        records = (record for record in self.caplog.records if record.name.startswith("bundle"))
        return [record.getMessage() for record in records if record.levelno >= logging.WARNING]

    def forget(self) -> None:
        self.caplog.clear()


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Warned:
    return Warned(caplog)
