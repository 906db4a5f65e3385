"""An epoch of the smallest networks in the product's loop: what all around the step costs a case."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, EnsureTyped

from ..engines import CycleGanTrainer
from ..engines.augmented_batch import AugmentedBatch
from ..engines.joint_batches import JointBatches
from ..handlers import EpochSeed, LesionLossHandler, LossCurves, Progress
from ..losses import CycleGanLoss
from ..networks import PatchDiscriminator, ResnetGenerator
from ..transforms import RandAlignedAffined
from ..transforms.batch_affine import BatchAugmentation
from .timing import Timings, interleaved, timed

__all__ = ["epoch_seconds"]

KEYS, IMAGES, SEG = ("le", "des", "seg"), ("le", "des"), "seg"


def epoch_seconds(cases: int, repeats: int = 3, batch_size: int = 8, image_size: int = 32) -> Timings:
    """Seconds of one epoch over ``cases`` cached pairs; the networks are the narrowest there are.

    The loop is that of ``train.json``: order, loader, augmentation, seeds, lesion losses, curves and progress (its bar
    is not shown), each batch in one piece. Validation and checkpoints are left out.

    Raises:
        ValueError: for fewer than one case.
    """
    if cases < 1:
        raise ValueError(f"cases is {cases}, expected 1 or more.")
    torch.manual_seed(0)
    image = torch.rand(3, 1, image_size, image_size)
    pair = {"le": image[0], "des": image[1], "seg": (image[2] > 0.9).float()}
    items = [pair | {"case_id": f"case_{number}"} for number in range(cases)]
    data = CacheDataset(items, Compose([EnsureTyped(KEYS, track_meta=False)]), num_workers=1, progress=False)
    loader = DataLoader(data, batch_sampler=JointBatches(cases, batch_size), num_workers=0)
    generators: list[torch.nn.Module] = [ResnetGenerator(width=1, num_blocks=1) for _ in range(2)]
    discriminators: list[torch.nn.Module] = [PatchDiscriminator(width=1) for _ in range(2)]
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:

        def trainer() -> CycleGanTrainer:
            return CycleGanTrainer(
                device="cpu",
                max_epochs=1,
                train_data_loader=loader,
                prepare_batch=AugmentedBatch(BatchAugmentation([RandAlignedAffined(IMAGES, SEG, prob=0.3)])),
                gen_le_to_des=generators[0],
                gen_des_to_le=generators[1],
                disc_des=discriminators[0],
                disc_le=discriminators[1],
                generator_optimizer=_adam(generators),
                discriminator_optimizer=_adam(discriminators),
                objective=CycleGanLoss(),
                micro_batch_size=batch_size,
                train_handlers=[LesionLossHandler(35.0), EpochSeed(0), LossCurves(writer), Progress()],
            )

        def epoch() -> tuple[float, float]:
            with _hidden():
                return timed(trainer().run)

        return interleaved({"epoch": epoch}, repeats)["epoch"]


@contextmanager
def _hidden() -> Iterator[None]:
    """What is drawn and written goes nowhere; it is made all the same."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _adam(networks: list[torch.nn.Module]) -> torch.optim.Optimizer:
    return torch.optim.Adam([weight for network in networks for weight in network.parameters()])
