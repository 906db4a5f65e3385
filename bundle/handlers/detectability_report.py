"""Detectability of the lesions of a whole test part, beside its table."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from ..data.whole_files import write_json
from ..evaluation.detectability import kernel_distance, lesion_dice
from ..keys import BatchKeys, CaseKeys, OutputKeys
from ..metrics import breast_mask
from ..transforms import AreaResized

__all__ = ["DetectabilityReport"]

logger = logging.getLogger(__name__)
ABOUT = (
    "lesion_dice: mean Dice of a U-Net that was trained on real DES of the training part. kid_random_features: kernel "
    "distance on features of a network with random weights, not comparable with the KID of other work."
)


class DetectabilityReport:
    """Writes ``detectability.json``: ``lesion_dice`` and ``kernel_distance`` of the model and of the floors.

    What cannot be had (no lesion map, one image alone) is null, with its reason.

    Args:
        output_dir: receives the file.
        training: preprocessed pairs of the training part, ``des`` and ``seg`` (1, H, W); the detector learns from them.
        model: what the virtual DES is called.
        floor_constant: of the floor "constant inside the breast", in [0, 1]; None leaves it out.
        size: images are shrunk to this many pixels by area, a multiple of 8.
        steps, seed: of the detector's training, and the seed of the features.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        training: Iterable[Mapping[str, Any]],
        model: str,
        floor_constant: float | None = None,
        size: int = 96,
        steps: int = 400,
        seed: int = 0,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.training = training
        self.model = model
        self.floor_constant = floor_constant
        self.size = size
        self.steps = steps
        self.seed = seed
        keys = (BatchKeys.LE, BatchKeys.DES, OutputKeys.VIRTUAL_DES)
        self.shrink = AreaResized(keys, seg_keys=BatchKeys.SEG, size=size, allow_missing_keys=True)
        self._cases: list[str] = []
        self._items: list[Mapping[Any, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            engine.add_event_handler(Events.STARTED, self.started)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
            engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        self._cases, self._items = [], []

    def iteration_completed(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for place, case_id in enumerate(batch[CaseKeys.CASE_ID]):
            keys = (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG, OutputKeys.VIRTUAL_DES)
            self._cases.append(case_id)
            self._items.append(self._small({key: output[key][place].float().cpu() for key in keys}))

    def _small(self, item: Mapping[str, Any]) -> Mapping[Any, torch.Tensor]:
        small = self.shrink({key: torch.as_tensor(value) for key, value in item.items()})
        return {key: torch.as_tensor(value).clamp(0, 1) for key, value in small.items()}

    def completed(self, engine: Engine) -> None:
        trained = [self._small({key: item[key] for key in (BatchKeys.DES, BatchKeys.SEG)}) for item in self.training]
        train_real = _stacked(trained, BatchKeys.DES), _stacked(trained, BatchKeys.SEG)
        test_real = _stacked(self._items, BatchKeys.DES), _stacked(self._items, BatchKeys.SEG)
        virtual = {
            self.model: _stacked(self._items, OutputKeys.VIRTUAL_DES),
            "floor_le": _stacked(self._items, BatchKeys.LE),
        }
        if self.floor_constant is not None:
            breasts = [torch.from_numpy(breast_mask(item[BatchKeys.LE][0].numpy()))[None] for item in self._items]
            virtual["floor_constant"] = torch.stack(breasts).float() * self.floor_constant
        record: dict[str, Any] = {
            "about": ABOUT,
            "size": self.size,
            "steps": self.steps,
            "seed": self.seed,
            "training_images": len(trained),
            "test_images": len(self._items),
            "test_images_with_lesion": int(test_real[1].flatten(1).any(dim=1).sum()),
        }
        try:
            dice = lesion_dice(train_real, test_real, virtual, steps=self.steps, seed=self.seed)
            record["lesion_dice"] = {name: float(values.nanmean()) for name, values in dice.items()}
            record["images"] = [
                {"case_id": case_id, **{name: float(values[place]) for name, values in dice.items()}}
                for place, case_id in enumerate(self._cases)
                if not dice["real"][place].isnan()
            ]
        except ValueError as error:
            record |= {"lesion_dice": None, "lesion_dice_reason": str(error)}
        try:
            distances = {
                name: kernel_distance(test_real[0], images, seed=self.seed) for name, images in virtual.items()
            }
            for key in next(iter(distances.values())):
                record[key] = {name: values[key] for name, values in distances.items()}
        except ValueError as error:
            record |= {"kid_random_features": None, "kid_random_features_reason": str(error)}
        path = write_json(self.output_dir / "detectability.json", record)
        logger.info(f"{path}: lesion Dice {record['lesion_dice']}, kernel distance {record['kid_random_features']}")


def _stacked(items: Iterable[Mapping[Any, torch.Tensor]], key: str) -> torch.Tensor:
    return torch.stack([item[key] for item in items])
