"""One training step in each of its variants, on equal weights and an equal batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from ..engines import CycleGanTrainer
from ..engines.machine import set_up_machine
from ..handlers import LesionLossHandler
from .outside_reference import outside_model, outside_networks, outside_step
from .reference_step import ReferenceStep, plain_discriminator, plain_generator

__all__ = ["LEVERS", "StepVariant", "build_step", "make_batch", "plain_networks", "product_trainer"]

# root keys of the config that change how a step is computed, and not what it trains; with the types of their values
LEVERS: dict[str, tuple[type, ...]] = {
    "compile": (str, NoneType),
    "channels_last": (bool,),
    "batched_calls": (bool,),
    "micro_batch_size": (int, NoneType),
    "fused": (bool, NoneType),
    "deterministic": (bool,),
}
LEARNING_RATE, WEIGHT_DECAY = 1e-5, 1e-5  # of train.json, on both sides


@dataclass(frozen=True)
class StepVariant:
    """What a step is made of; plain values, so that it can be sent to another process.

    Args:
        kind: "plain" (the restated reference), "product", or "outside" (a checkout of the reference).
        config_file: the product's training config, which builds its networks, objective and optimisers.
        image_size, batch_size, width, num_blocks: of the batch and the networks.
        precision, levers: of the product; levers are some of :data:`LEVERS`.
        gamma: of the lesion losses; 0 leaves them out, as the reference has none.
        device: "cpu" or a CUDA device.
        reference: the checkout of "outside".
        set_up: bring the process to the settings that the config brings it to (memory, TF32).
        seed: of weights and batch.

    Raises:
        ValueError: for a lever that is none, or a value of another kind, all at once.
    """

    kind: str
    config_file: str
    image_size: int = 256
    batch_size: int = 1
    width: int = 64
    num_blocks: int = 9
    precision: str = "fp32"
    levers: Mapping[str, Any] = field(default_factory=dict, hash=False)
    gamma: float = 0.0
    device: str = "cpu"
    reference: str | None = None
    set_up: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if unknown := [key for key in self.levers if key not in LEVERS]:
            problems.append(f"levers {', '.join(unknown)}: expected some of {', '.join(LEVERS)}.")
        for key, value in self.levers.items():
            if key in LEVERS and type(value) not in LEVERS[key]:  # True is an int, too
                kinds = " or ".join("None" if kind is NoneType else kind.__name__ for kind in LEVERS[key])
                problems.append(f"lever {key} is {value!r}, expected {kinds}.")
        if problems:
            raise ValueError("\n".join(problems))


def make_batch(variant: StepVariant, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """``le``, ``des`` in [0, 1] and ``seg`` with a square lesion, (B, 1, H, W) on the device; drawn from the seed."""
    generator = torch.Generator().manual_seed(variant.seed)
    shape = (variant.batch_size, 1, variant.image_size, variant.image_size)
    batch = {key: torch.rand(shape, generator=generator, dtype=torch.float64) for key in ("le", "des")}
    batch["seg"] = torch.zeros(shape, dtype=torch.float64)
    half = variant.image_size // 2
    batch["seg"][..., half : half + half // 4, half : half + half // 4] = 1
    return {key: image.to(variant.device, dtype) for key, image in batch.items()}


def plain_networks(variant: StepVariant, end: type[nn.Module] = nn.Sigmoid) -> dict[str, nn.Module]:
    """The four networks of the restated reference, their weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(variant.seed)
        networks: dict[str, nn.Module] = {
            "gen_le_to_des": plain_generator(variant.width, variant.num_blocks, end),
            "gen_des_to_le": plain_generator(variant.width, variant.num_blocks, end),
            "disc_des": plain_discriminator(variant.width, end if end is nn.Sigmoid else nn.Identity),
            "disc_le": plain_discriminator(variant.width, end if end is nn.Sigmoid else nn.Identity),
        }
    return {name: network.to(variant.device) for name, network in networks.items()}


def copy_weights(source: Mapping[str, nn.Module], target: Mapping[str, nn.Module]) -> None:
    """Give the four networks of ``target`` the weights of ``source``, layer by layer in their order.

    Raises:
        ValueError: when a network has other layers.
    """
    for name, network in target.items():
        theirs, own = list(source[name].parameters()), list(network.parameters())
        if [weight.shape for weight in theirs] != [weight.shape for weight in own]:
            raise ValueError(f"{name} of the two steps differs in its layers: their weights cannot be made equal.")
        with torch.no_grad():
            for mine, given in zip(own, theirs, strict=True):
                mine.copy_(given)


def product_trainer(variant: StepVariant, dtype: torch.dtype = torch.float32) -> Any:
    """The project's trainer as its config builds it, with equal weights; its handlers are the lesion losses alone."""
    parser = ConfigParser()
    parser.read_config(str(Path(variant.config_file)))
    chosen = {
        "device": torch.device(variant.device),
        "precision": variant.precision,
        "gamma": variant.gamma,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "network_def#width": variant.width,
        "network_def#num_blocks": variant.num_blocks,
        "disc_des#width": variant.width,
        **variant.levers,
    }
    if unknown := [key for key in variant.levers if key not in parser]:
        raise ValueError(f"{variant.config_file} has no root key {', '.join(unknown)}: expected some of its own.")
    parser.update(chosen)
    names = ("gen_des_to_le", "disc_des", "disc_le")
    networks = {"gen_le_to_des": parser.get_parsed_content("network_def")}
    networks |= {name: parser.get_parsed_content(name) for name in names}
    copy_weights(plain_networks(variant), networks)
    for network in networks.values():
        network.to(variant.device, dtype)
    weights = [parser.get_parsed_content(key) for key in ("lambda_cycle", "lambda_identity", "lesion_reduction")]
    known = inspect.signature(CycleGanTrainer).parameters
    return CycleGanTrainer(
        device=variant.device,
        max_epochs=1,
        train_data_loader=[],
        **networks,
        generator_optimizer=parser.get_parsed_content("generator_optimizer"),
        discriminator_optimizer=parser.get_parsed_content("discriminator_optimizer"),
        objective=parser.get_parsed_content("objective"),
        precision=variant.precision,
        train_handlers=[LesionLossHandler(variant.gamma, *weights)] if variant.gamma else [],
        to_kwargs={"dtype": dtype},
        **{key: value for key, value in variant.levers.items() if key in known},
    )


def reference_step(variant: StepVariant, dtype: torch.dtype = torch.float32) -> ReferenceStep:
    """The restated step with the learning rate and the decay that the product has here."""
    networks = {name: network.to(dtype) for name, network in plain_networks(variant).items()}
    return ReferenceStep(networks, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)


def build_step(variant: StepVariant) -> Callable[[], dict[str, torch.Tensor]]:
    """The step as a callable without arguments; it updates its networks and gives the losses."""
    torch.manual_seed(variant.seed)
    batch = make_batch(variant)
    if variant.set_up:
        set_up_machine(variant.device, variant.precision, deterministic=variant.levers.get("deterministic", True))
    if variant.kind == "product":
        trainer = product_trainer(variant)
        return lambda: _losses(trainer._iteration(trainer, batch))
    if variant.kind == "outside":
        model = outside_model(variant.reference or "", variant.width, LEARNING_RATE)
        copy_weights(plain_networks(variant), outside_networks(model))
        return lambda: outside_step(model, batch["le"], batch["des"])
    step = reference_step(variant)
    return lambda: step(batch["le"], batch["des"])


def _losses(output: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in output.items() if key.startswith("loss")}
