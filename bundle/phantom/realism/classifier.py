"""How well a small network tells phantom from real tissue: the honest distance between the two.

An AUC of 0.5 is a phantom that nobody could tell; 1.0 is one that gives itself away in every crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn

from .crops import Crops

__all__ = ["VARIANTS", "Auc", "area_under_curve", "auc", "auc_of"]

# what the network is shown: channels of a crop, and whether its grey levels are taken out
VARIANTS: dict[str, tuple[tuple[int, ...], bool]] = {
    "LE and DES": ((0, 1), False),
    "LE alone": ((0,), False),
    "DES alone": ((1,), False),
    "texture of LE and DES": ((0, 1), True),
    "texture of LE": ((0,), True),
    "texture of DES": ((1,), True),
}


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve with phantom as the positive class, and its 95 % interval by bootstrap over patients.

    ``crop`` counts every crop, ``patient`` the mean score of each patient.
    """

    crop: float
    crop_interval: tuple[float, float]
    patient: float
    patient_interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.crop_interval
        return f"{self.crop:.3f} ({low:.3f}-{high:.3f}) per crop, {self.patient:.3f} per patient"


def area_under_curve(real: NDArray, phantom: NDArray) -> float:
    """By Mann and Whitney: how often a phantom's score exceeds a real one's, a tie counting one half."""
    ranks = rankdata(np.concatenate([phantom, real]))[: len(phantom)]
    return float((ranks.mean() - (len(phantom) + 1) / 2) / len(real))


def auc_of(
    real: NDArray, real_patients: NDArray, phantom: NDArray, phantom_patients: NDArray, draws: int = 500, seed: int = 0
) -> Auc:
    """AUC of scores that are high for a phantom.

    Args:
        real, phantom: scores, one a crop.
        real_patients, phantom_patients: whose crop it is.
        draws: of the bootstrap; patients are drawn with replacement, phantom and real apart.
        seed: of those draws.
    """
    rng = np.random.default_rng(seed)
    groups = []
    for scores, patients in ((real, real_patients), (phantom, phantom_patients)):
        groups.append([scores[patients == name] for name in np.unique(patients)])

    def both(real_women: Sequence[NDArray], phantom_women: Sequence[NDArray]) -> tuple[float, float]:
        areas = []
        for gather in (np.concatenate, lambda women: np.array([scores.mean() for scores in women])):
            areas.append(area_under_curve(gather(real_women), gather(phantom_women)))
        return areas[0], areas[1]

    crop, patient = both(*groups)
    drawn = np.array(
        [
            both(*([group[i] for i in rng.integers(len(group), size=len(group))] for group in groups))
            for _ in range(draws)
        ]
    )
    (crop_low, patient_low), (crop_high, patient_high) = np.percentile(drawn, [2.5, 97.5], axis=0)
    return Auc(crop, (float(crop_low), float(crop_high)), patient, (float(patient_low), float(patient_high)))


def _network(channels: int, width: int = 16) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(4):
        out = width * 2 ** min(index, 2)
        layers += [nn.Conv2d(channels, out, 3, stride=2 if index else 1, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, 1))


def _flipped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image as it is, or mirrored left to right, top to bottom, or both."""
    for axis in (2, 3):
        chosen = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(chosen[:, None, None, None], images.flip(axis), images)
    return images


def auc(
    train_real: Crops,
    train_phantom: Crops,
    test_real: Crops,
    test_phantom: Crops,
    variant: str = "LE and DES",
    epochs: int = 15,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> Auc:
    """Train a network of four convolutions to tell phantom from real, on the CPU, and try it on other women.

    Args:
        train_real, train_phantom, test_real, test_phantom: crops; training and test must share no patient.
        variant: what it is shown, a key of ``VARIANTS``.
        epochs, batch_size, learning_rate: of the training (AdamW, one-cycle).
        seed: of weights, order, flips, dropout and bootstrap.

    Raises:
        ValueError: when a patient stands in training and test; for an unknown variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}, expected one of {tuple(VARIANTS)}.")
    for train, test in ((train_real, test_real), (train_phantom, test_phantom)):
        shared = set(train.patients) & set(test.patients)
        if shared:
            raise ValueError(
                f"{len(shared)} patient(s) stand in training and test, for instance {min(shared)}: expected none. "
                "Split by patient."
            )
    channels, texture = VARIANTS[variant]

    def shown(crops: Crops) -> torch.Tensor:
        return torch.from_numpy((crops.texture() if texture else crops).images[:, list(channels)])

    images = torch.cat([shown(train_real), shown(train_phantom)])
    truth = torch.cat([torch.zeros(len(train_real)), torch.ones(len(train_phantom))])
    mean, spread = images.mean(), images.std()
    loss_function = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(len(train_real) / len(train_phantom)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(len(channels))
        optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
        steps = epochs * -(-len(images) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=learning_rate, total_steps=steps)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            for batch in torch.randperm(len(images), generator=generator).split(batch_size):
                scores = network((_flipped(images[batch], generator) - mean) / spread)[:, 0]
                optimiser.zero_grad()
                loss_function(scores, truth[batch]).backward()
                optimiser.step()
                schedule.step()
    network.eval()
    with torch.no_grad():
        real, phantom = (
            torch.cat([network((part - mean) / spread)[:, 0] for part in shown(crops).split(256)]).numpy()
            for crops in (test_real, test_phantom)
        )
    return auc_of(real, test_real.patients, phantom, test_phantom.patients, seed=seed)
