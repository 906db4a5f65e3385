"""What a model is and how it was trained, in the words of an export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["has_cycle", "network_in_words", "said_of"]

NETWORKS = {"unet": "U-Net", "autoencoder": "convolutional autoencoder"}


def network_in_words(card: Mapping[str, Any]) -> str:
    """Of the generator: a residual network where the card names none."""
    return NETWORKS.get(card["network"].get("name", ""), "residual network")


def has_cycle(card: Mapping[str, Any]) -> bool:
    """Whether it is the generator of a CycleGAN; a method that trains on pairs alone has no weight of a cycle."""
    return not card.get("method") or card.get("lambda_cycle") is not None


def said_of(card: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    """``name`` and ``description`` of a model that is not the paper's, in place of those of ``metadata.json``.

    Args:
        card: of the model.
        content: of ``configs/metadata.json``.
    """
    method = card.get("method")
    if not method and card.get("gamma") != 0:
        return {}
    if method:
        how = "as a generator of a CycleGAN" if has_cycle(card) else "on aligned pairs of LE and DES"
        name, about = method, f'A {network_in_words(card)}, trained {how} (method "{method}" of the configs),'
    else:
        name, about = "CycleGAN", "A CycleGAN (Seg-CycleGAN, arXiv 2505.03018, without its lesion-masked losses)"
    return {
        "name": f"{content['name'].partition(' (')[0]} ({name})",
        "description": f"{about} that{content['description'].partition(' that')[2]}",
    }
