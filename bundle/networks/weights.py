"""The trained generator on disk: ``model.pt``, a plain state dict, and its card ``model.json``."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = [
    "DEFAULT_CARD",
    "card_path",
    "card_problems",
    "default_model",
    "load_weights",
    "read_card",
    "save_bytes",
    "save_weights",
]

# what is assumed of a model before one has been trained: the paper's own
DEFAULT_CARD: dict[str, Any] = {
    "image_size": 256,
    "network": {"in_channels": 1, "width": 64, "num_blocks": 9, "upsample": "transposed"},
    "intensity": {"method": "window"},
}
NEEDED = ("sha256", "image_size", "network", "intensity")


def save_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file beside its place, make sure that it is on the disk, and rename it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def default_model(bundle_root: str | os.PathLike) -> str:
    """The weights of an inference that names none: ``models/model.pt`` of a training, else those that ship.

    Returns:
        ``bundle_root/models/model.pt``; ``bundle_root/models/recommended.pt`` where only that is there.
    """
    trained, shipped = (f"{bundle_root}/models/{name}.pt" for name in ("model", "recommended"))
    return shipped if Path(shipped).is_file() and not Path(trained).is_file() else trained


def card_path(model: str | os.PathLike) -> Path:
    """The card of ``model.pt`` is ``model.json`` beside it."""
    return Path(model).with_suffix(".json")


def save_weights(path: str | os.PathLike, network: nn.Module, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write the network's state dict to ``path`` and its card, with the file's SHA-256, beside it; both atomically.

    Returns:
        the card as written.
    """
    buffer = io.BytesIO()
    torch.save({key: value.detach().cpu() for key, value in network.state_dict().items()}, buffer)
    content = buffer.getvalue()
    # first in the file, and never the hash of a card that was read from another model
    written = {"sha256": "", **card} | {"sha256": hashlib.sha256(content).hexdigest()}
    save_bytes(path, content)
    save_bytes(card_path(path), (json.dumps(written, indent=1) + "\n").encode())
    return written


def read_card(model: str | os.PathLike) -> dict[str, Any]:
    """The card of a model; where there is none (yet), the paper's own values without a hash.

    A run must not trust such a card: :func:`card_problems` says what is wrong with it.

    Raises:
        ValueError: when the file is no card.
    """
    path = card_path(model)
    if not path.is_file():
        return copy.deepcopy(DEFAULT_CARD)
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): copy the card that the training wrote.") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path} is no model's card: copy the card that the training wrote.")
    return card


def card_problems(model: str | os.PathLike) -> list[str]:
    """Everything that keeps a model from being used: no file, no card, or a card that belongs to other weights."""
    model = Path(model)
    if not model.is_file():
        return [f"there is no model {model}. Train one (python -m monai.bundle run training ...) or pass --ckpt_path."]
    if not card_path(model).is_file():
        return [f"{model} has no card {card_path(model)}: copy both files that the training wrote."]
    try:
        card = read_card(model)
    except ValueError as error:
        return [str(error)]
    missing = [key for key in NEEDED if key not in card]
    if missing:
        return [f"{card_path(model)} lacks {', '.join(missing)}: copy the card that the training wrote."]
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    if found != card["sha256"]:
        return [
            f"{card_path(model)} belongs to other weights: it says sha256 {str(card['sha256'])[:12]}..., {model} has "
            f"{found[:12]}.... Copy both files that the training wrote."
        ]
    return []


def load_weights(path: str | os.PathLike, network: nn.Module, device: torch.device | str = "cpu") -> nn.Module:
    """Load ``model.pt`` into a network whose card fits, strictly.

    Raises:
        ValueError: with what is wrong with the model or its card, or when the network is another one.
    """
    problems = card_problems(path)
    if problems:
        raise ValueError("\n".join(problems))
    try:
        network.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit the network: its card says {read_card(path)['network']}. Build network_def with that."
        ) from error
    return network
