"""Events inside one iteration, in the words of MONAI's ``AdversarialIterationEvents``."""

from __future__ import annotations

from ignite.engine import EventEnum

__all__ = ["CycleGanEvents"]


class CycleGanEvents(EventEnum):
    """Where handlers may step into an iteration.

    ``*_FORWARD_COMPLETED``: the images are in ``state.output``. ``*_LOSS_COMPLETED``: the terms are in
    ``state.loss_terms``; a handler may add its own, and whatever stands there is summed and stepped on.
    ``*_BACKWARD_COMPLETED``: gradients are there. These three fire once a micro-batch; ``*_MODEL_COMPLETED`` fires once
    an iteration, after the optimiser's step.
    """

    GENERATOR_FORWARD_COMPLETED = "generator_forward_completed"
    GENERATOR_LOSS_COMPLETED = "generator_loss_completed"
    GENERATOR_BACKWARD_COMPLETED = "generator_backward_completed"
    GENERATOR_MODEL_COMPLETED = "generator_model_completed"
    DISCRIMINATOR_FORWARD_COMPLETED = "discriminator_forward_completed"
    DISCRIMINATOR_LOSS_COMPLETED = "discriminator_loss_completed"
    DISCRIMINATOR_BACKWARD_COMPLETED = "discriminator_backward_completed"
    DISCRIMINATOR_MODEL_COMPLETED = "discriminator_model_completed"
