"""``configs/metadata.json`` of one model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..export.metadata import with_spatial_shape
from ..export.objective import said_of
from .provenance import source_of

__all__ = ["metadata_of", "metadata_problems", "scores"]

BASE = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
SCORES = {"val_loss": "validation_l1", "val_lesion_l1": "validation_lesion_l1"}


def metadata_problems(root: Path) -> list[str]:
    """What the repository's own ``configs/metadata.json`` lacks for the zoo."""
    content = json.loads((root / "configs/metadata.json").read_text(encoding="utf-8"))
    if content["version"] in content.get("changelog", {}):
        return []
    return [f"configs/metadata.json: version {content['version']} is not in its changelog. Say there what changed."]


def scores(card: Mapping[str, Any]) -> dict[str, float]:
    """Errors on the validation part that the card knows, images in [0, 1]; those that are numbers."""
    found = {name: (card.get("validation") or {}).get(key) for key, name in SCORES.items()}
    return {name: value for name, value in found.items() if isinstance(value, float | int) and math.isfinite(value)}


def metadata_of(root: Path, card: Mapping[str, Any], dependencies: Sequence[str]) -> dict[str, Any]:
    """The repository's metadata, with what is known of the model and the versions that are installed here.

    Args:
        root: of the repository.
        card: of the model.
        dependencies: names of all packages that the code needs.
    """
    content: dict[str, Any] = json.loads((root / "configs/metadata.json").read_text(encoding="utf-8"))
    versions = {name: version(name).partition("+")[0] for name in dependencies}
    content |= {key: versions.pop(name) for name, key in BASE.items()}
    content["required_packages_version"] = versions
    content |= said_of(card, content)
    source = source_of(card)
    content["data_source"] = f"Trained on {source.name}. {source.about}"
    content["eval_metrics"] = scores(card)
    return with_spatial_shape(card, content)
