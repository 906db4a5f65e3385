"""Small networks, batches and engines that the tests share."""

from __future__ import annotations

import torch

from bundle.engines import CycleGanEvents, CycleGanTrainer, ImagePool
from bundle.losses import CycleGanLoss
from bundle.networks import PatchDiscriminator, ResnetGenerator


def make_networks(seed: int = 0, width: int = 4) -> dict[str, torch.nn.Module]:
    torch.manual_seed(seed)
    return {
        "gen_le_to_des": ResnetGenerator(width=width, num_blocks=2),
        "gen_des_to_le": ResnetGenerator(width=width, num_blocks=2),
        "disc_des": PatchDiscriminator(width=width),
        "disc_le": PatchDiscriminator(width=width),
    }


def make_optimizers(networks, learning_rate: float = 1e-3) -> dict[str, torch.optim.Optimizer]:
    def adam(*names):
        parameters = [parameter for name in names for parameter in networks[name].parameters()]
        return torch.optim.Adam(parameters, lr=learning_rate, betas=(0.5, 0.999), weight_decay=1e-5)

    return {
        "generator_optimizer": adam("gen_le_to_des", "gen_des_to_le"),
        "discriminator_optimizer": adam("disc_des", "disc_le"),
    }


def make_batch(seed: int = 0, pairs: int = 3, size: int = 32, lesions: bool = True) -> dict[str, torch.Tensor]:
    """A batch in which the last pair has no lesion, so that both kinds meet."""
    generator = torch.Generator().manual_seed(seed)
    le, des = (torch.rand((pairs, 1, size, size), generator=generator, dtype=torch.float64) for _ in range(2))
    seg = torch.zeros_like(le)
    if lesions:
        for pair in range(pairs - 1):
            seg[pair, 0, 4 + pair : 12, 6 : 10 + 3 * pair] = 1
    dtype = torch.get_default_dtype()
    return {"le": le.to(dtype), "des": des.to(dtype), "seg": seg.to(dtype)}


def make_trainer(
    batches, networks=None, handlers=None, pool_size: int = 0, max_epochs: int = 1, device: str = "cpu", **kwargs
):
    networks = networks or make_networks()
    return CycleGanTrainer(
        device=device,
        max_epochs=max_epochs,
        train_data_loader=batches,
        **networks,
        **make_optimizers(networks),
        objective=CycleGanLoss(),
        pool_des=ImagePool(pool_size, seed=1),
        pool_le=ImagePool(pool_size, seed=2),
        train_handlers=handlers,
        **kwargs,
    )


class Gradients:
    """Keeps what each optimiser was about to step on."""

    def attach(self, engine):
        engine.add_event_handler(CycleGanEvents.GENERATOR_BACKWARD_COMPLETED, self.keep, "gen")
        engine.add_event_handler(CycleGanEvents.DISCRIMINATOR_BACKWARD_COMPLETED, self.keep, "disc")
        self.kept = {}

    def keep(self, engine, kind):
        self.kept[kind] = [
            parameter.grad.clone()
            for name, network in engine.networks.items()
            if name.startswith(kind)
            for parameter in network.parameters()
        ]
