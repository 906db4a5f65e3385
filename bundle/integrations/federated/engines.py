"""The four-network engines in the form in which ``monai.fl.client.MonaiAlgo`` takes engines."""

from __future__ import annotations

from typing import Any

from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import nn

from ...engines.evaluator import CycleGanEvaluator
from ...engines.trainer import CycleGanTrainer

__all__ = ["FederatedEvaluator", "FederatedTrainer"]


class _OfTrainerClass(SupervisedTrainer):
    """Passes MonaiAlgo's check of an engine's class; nothing of a supervised step is set up."""

    def __init__(self, **settings: Any) -> None:
        super(SupervisedTrainer, self).__init__(**settings)


class _OfEvaluatorClass(SupervisedEvaluator):
    """Passes MonaiAlgo's check of an engine's class; nothing of a supervised step is set up."""

    def __init__(self, **settings: Any) -> None:
        super(SupervisedEvaluator, self).__init__(**settings)


class FederatedTrainer(CycleGanTrainer, _OfTrainerClass):  # type: ignore[misc]
    """A ``CycleGanTrainer`` whose four networks are exchanged as one: ``network`` holds them, unwrapped, by name.

    The optimisers' moments, the image pools and the best local epoch stay where they are.
    """

    @property
    def network(self) -> nn.ModuleDict:  # type: ignore[override]
        return nn.ModuleDict(self.networks)


class FederatedEvaluator(CycleGanEvaluator, _OfEvaluatorClass):
    """A ``CycleGanEvaluator`` whose networks are exchanged as one, by the names of the trainer."""

    @property
    def network(self) -> nn.ModuleDict:  # type: ignore[override]
        names = ("gen_le_to_des", "gen_des_to_le", "disc_des", "disc_le")
        networks = {name: getattr(self, name) for name in names}
        return nn.ModuleDict({name: network for name, network in networks.items() if network is not None})
