"""An epoch of the smallest networks: what the loop around the step costs a case."""

from __future__ import annotations

import torch
from monai.data import CacheDataset, DataLoader

from ..engines import CycleGanTrainer
from ..losses import CycleGanLoss
from ..networks import PatchDiscriminator, ResnetGenerator
from .timing import Timings, interleaved, timed

__all__ = ["epoch_seconds"]


def epoch_seconds(cases: int, repeats: int = 3, batch_size: int = 8, image_size: int = 32) -> Timings:
    """Seconds of one epoch over ``cases`` cached pairs, shuffled, in batches; the networks are the narrowest there are.

    Raises:
        ValueError: for fewer than one case.
    """
    if cases < 1:
        raise ValueError(f"cases is {cases}, expected 1 or more.")
    torch.manual_seed(0)
    image = torch.rand(3, 1, image_size, image_size)
    items = [{"le": image[0], "des": image[1], "seg": (image[2] > 0.9).float(), "number": n} for n in range(cases)]
    data = CacheDataset(items, transform=dict, progress=False)
    loader = DataLoader(data, batch_size=batch_size, shuffle=True, num_workers=0)
    generators: list[torch.nn.Module] = [ResnetGenerator(width=1, num_blocks=1) for _ in range(2)]
    discriminators: list[torch.nn.Module] = [PatchDiscriminator(width=1) for _ in range(2)]

    def run() -> None:
        CycleGanTrainer(
            device="cpu",
            max_epochs=1,
            train_data_loader=loader,
            gen_le_to_des=generators[0],
            gen_des_to_le=generators[1],
            disc_des=discriminators[0],
            disc_le=discriminators[1],
            generator_optimizer=_adam(generators),
            discriminator_optimizer=_adam(discriminators),
            objective=CycleGanLoss(),
            micro_batch_size=batch_size,
        ).run()

    return interleaved({"epoch": lambda: timed(run)}, repeats)["epoch"]


def _adam(networks: list[torch.nn.Module]) -> torch.optim.Optimizer:
    return torch.optim.Adam([weight for network in networks for weight in network.parameters()])
