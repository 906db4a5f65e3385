"""The reference implementation itself, from a checkout that the user names; nothing of it is part of this project."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

__all__ = ["outside_model"]

MODEL = Path("models", "cycle_gan_model.py")
OPTIONS = {  # those of its command line that its model reads; the latter three are of forks and later versions
    "gpu_ids": [],
    "isTrain": True,
    "name": "benchmark",
    "preprocess": "none",
    "input_nc": 1,
    "output_nc": 1,
    "netG": "resnet_9blocks",
    "netD": "basic",
    "n_layers_D": 3,
    "norm": "instance",
    "no_dropout": True,
    "init_type": "normal",
    "init_gain": 0.02,
    "gan_mode": "lsgan",
    "pool_size": 0,
    "lambda_A": 10.0,
    "lambda_B": 10.0,
    "lambda_identity": 0.5,
    "beta1": 0.5,
    "direction": "AtoB",
    "device": torch.device("cpu"),
    "no_adversarial": False,
    "D_lr_multiplier": 1.0,
}


def outside_model(path: str | os.PathLike, width: int = 64, learning_rate: float = 2e-4) -> Any:
    """The checkout's own ``CycleGANModel`` for one channel on the CPU, with the options that the restated step has.

    Args:
        path: of a checkout of junyanz/pytorch-CycleGAN-and-pix2pix, or of a fork.
        width: ``ngf`` and ``ndf``.
        learning_rate: ``lr``.

    Raises:
        ValueError: where there is no such checkout, or its model asks for something else.
    """
    path = Path(path).resolve()
    if not (path / MODEL).is_file():
        raise ValueError(
            f"--reference {path} holds no {MODEL}: expected a checkout of junyanz/pytorch-CycleGAN-and-pix2pix. "
            "git clone https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix"
        )
    with tempfile.TemporaryDirectory() as folder:
        options = OPTIONS | {"ngf": width, "ndf": width, "lr": learning_rate, "checkpoints_dir": folder}
        try:
            with _importable(path), contextlib.redirect_stdout(io.StringIO()):
                module = importlib.import_module("models.cycle_gan_model")
                return module.CycleGANModel(SimpleNamespace(**options))
        except (AttributeError, ImportError, TypeError) as error:
            raise ValueError(
                f"the model of --reference {path} cannot be made ({error}): expected the interface of "
                "junyanz/pytorch-CycleGAN-and-pix2pix. Check out its branch master, and install what it imports."
            ) from error


def outside_networks(model: Any) -> dict[str, nn.Module]:
    """Its four networks by this project's names, A being LE and B being DES."""
    return {
        "gen_le_to_des": model.netG_A,
        "gen_des_to_le": model.netG_B,
        "disc_des": model.netD_A,
        "disc_le": model.netD_B,
    }


def outside_step(model: Any, le: torch.Tensor, des: torch.Tensor) -> dict[str, torch.Tensor]:
    """One ``optimize_parameters`` on (B, 1, H, W) images; its losses by this project's names."""
    model.set_input({"A": le, "B": des, "A_paths": [""], "B_paths": [""]})
    model.optimize_parameters()
    return {
        "loss_adversarial_des": model.loss_G_A,
        "loss_adversarial_le": model.loss_G_B,
        "loss_cycle": model.loss_cycle_A + model.loss_cycle_B,
        "loss_identity": model.loss_idt_A + model.loss_idt_B,
        "loss": model.loss_G,
        "loss_disc_des": model.loss_D_A,
        "loss_disc_le": model.loss_D_B,
    }


@contextlib.contextmanager
def _importable(path: Path) -> Iterator[None]:
    """Its modules have names of their own choice (``models``, ``util``): they are forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(path))
    try:
        yield
    finally:
        sys.path.remove(str(path))
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("models", "util", "options", "data"):
                del sys.modules[name]
