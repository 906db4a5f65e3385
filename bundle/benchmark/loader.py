"""``benchmark loader``: augmentation case by case against the batched one, and percentiles against a histogram."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, EnsureTyped, RandAffined, RandFlipd, Randomizable

from ..engines.augmented_batch import AugmentedBatch
from ..engines.prepare_batch import prepare_cesm_batch
from ..transforms import ContrastStretchd, RandAlignedAffined
from ..transforms.batch_affine import BatchAugmentation
from .growth import growth
from .machine import about_machine, synchroniser
from .result import Result
from .timing import Spread, Timings, interleaved, timed

__all__ = ["measure_loader", "measure_percentiles"]

KEYS, IMAGES, SEG = ("le", "des", "seg"), ("le", "des"), "seg"
STOCK, ALIGNED, BATCHED = "three keys, MONAI", "three keys, one draw", "batched"
# of RandAlignedAffined: each of four changes with its own chance; MONAI's has one chance for shift, zoom and turn
CHANCE = 0.3
ANY = 1 - (1 - CHANCE) ** 3


def _items(cases: int, image_size: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.rand(min(cases, 64), 2, 1, image_size, image_size, generator=generator)
    seg = torch.zeros(1, image_size, image_size)
    seg[:, image_size // 4 : image_size // 2, image_size // 4 : image_size // 2] = 1
    return [{"le": pairs[n % 64, 0], "des": pairs[n % 64, 1], "seg": seg} for n in range(cases)]


def _loader(items: Sequence[Any], transforms: Sequence[Any], batch_size: int) -> DataLoader:
    cached = CacheDataset(items, transform=Compose(list(transforms)), progress=False, num_workers=1)
    return DataLoader(cached, batch_size=batch_size, shuffle=False, num_workers=0)


def _variants(
    cases: int, image_size: int, batch_size: int, device: str
) -> dict[str, Callable[[], list[dict[str, torch.Tensor]]]]:
    """An epoch of each path, from cached cases to augmented batches on the device."""
    items = _items(cases, image_size)
    stock = [
        EnsureTyped(KEYS, track_meta=True),
        RandFlipd(KEYS, prob=CHANCE, spatial_axis=1),
        RandAffined(
            KEYS,
            prob=ANY,
            rotate_range=float(np.deg2rad(15)),
            translate_range=(0.1 * image_size, 0.1 * image_size),
            scale_range=0.1,
            mode=("bilinear", "bilinear", "nearest"),
            padding_mode="zeros",
        ),
    ]
    aligned = RandAlignedAffined(IMAGES, SEG, prob=CHANCE)
    batched = AugmentedBatch(BatchAugmentation([RandAlignedAffined(IMAGES, SEG, prob=CHANCE)]))
    plain = EnsureTyped(KEYS, track_meta=False)
    loaders = {
        STOCK: _loader(items, stock, batch_size),
        ALIGNED: _loader(items, [plain, aligned], batch_size),
        BATCHED: _loader(items, [plain], batch_size),
    }

    def epoch(name: str) -> list[dict[str, torch.Tensor]]:
        if name == BATCHED:
            batched.set_random_state(seed=0)
            return [batched(batch, device) for batch in loaders[name]]
        for transform in stock if name == STOCK else (aligned,):
            if isinstance(transform, Randomizable):
                transform.set_random_state(seed=0)
        return [prepare_cesm_batch(batch, device) for batch in loaders[name]]

    return {name: lambda name=name: epoch(name) for name in loaders}  # type: ignore[misc]


def _check_draws(result: Result, image_size: int, batch_size: int) -> None:
    """The batched path against the transform case by case, with the same draws."""
    items = _items(3 * batch_size, image_size)
    alone = Compose([RandAlignedAffined(IMAGES, SEG, prob=CHANCE)])
    alone.set_random_state(seed=7)
    together = BatchAugmentation([RandAlignedAffined(IMAGES, SEG, prob=CHANCE)])
    together.set_random_state(seed=7)
    cases: list[Any] = [alone(item) for item in items]
    worst = dict.fromkeys(KEYS, 0.0)
    for start in range(0, len(items), batch_size):
        batch = together({key: torch.stack([item[key] for item in items[start : start + batch_size]]) for key in KEYS})
        for row, case in enumerate(cases[start : start + batch_size]):
            for key in KEYS:
                worst[key] = max(worst[key], float((batch[key][row] - case[key]).abs().max()))
    result.add_equality("LE and DES, batched and case by case, equal draws", max(worst["le"], worst["des"]), 0.0)
    result.add_equality("SEG, batched and case by case, equal draws", worst["seg"], 0.0)


def measure_loader(
    image_size: int = 256,
    batch_size: int = 8,
    cases: Sequence[int] = (100, 300, 1000),
    repeats: int = 5,
    percentile_shape: tuple[int, int] = (2850, 2396),
    device: str = "cpu",
) -> Result:
    """Seconds a sample of three paths from cached cases to augmented batches, and of two ways to percentiles.

    ``three keys, MONAI`` is ``RandFlipd`` and ``RandAffined`` on MetaTensors, with the ranges of the project's own draw
    and its chance that anything has to be resampled; ``three keys, one draw`` is ``RandAlignedAffined`` case by case;
    ``batched`` is what the training does. The ratios hold CPU seconds, as all three may be hidden behind a GPU.

    Args:
        cases: numbers of cases; the first one decides the ratios, all of them the growth.
        percentile_shape: (H, W) of the image whose percentiles are taken.
    """
    settings = {"image_size": image_size, "batch_size": batch_size, "cases": list(cases), "repeats": repeats}
    result = Result("loader", about_machine(device), settings | {"device": device})
    _check_draws(result, image_size, batch_size)
    _check_percentiles(result, percentile_shape)
    if not result.equal:
        return result
    grown = {}
    for number in cases:
        variants = _variants(number, image_size, batch_size, device)
        timings = interleaved({name: _timed(work, device) for name, work in variants.items()}, repeats)
        samples = {name: _per_sample(each, number) for name, each in timings.items()}
        for name, each in samples.items():
            result.add_row("sample", name, each, image_size=image_size, batch_size=batch_size, cases=number)
        if number == cases[0]:
            cpu = {name: Timings(each.cpu, each.cpu) for name, each in samples.items()}
            result.add_ratio("sample, CPU seconds", BATCHED, STOCK, cpu)
            result.add_ratio("sample, CPU seconds", BATCHED, ALIGNED, cpu)
        grown[number] = Spread.of(timings[BATCHED].wall).median
    if len(grown) > 1:
        result.growth.append(growth("epoch of the loader", "cases", list(grown), list(grown.values())))
    measure_percentiles(result, percentile_shape, repeats)
    return result


def _timed(work: Callable[[], object], device: str) -> Callable[[], tuple[float, float]]:
    return lambda: timed(work, synchroniser(device))


def _per_sample(timings: Timings, cases: int) -> Timings:
    return Timings([second / cases for second in timings.wall], [second / cases for second in timings.cpu])


def _mammogram(shape: tuple[int, int]) -> torch.Tensor:
    """(1, H, W) float32 of 12-bit values, a third of it air at 0."""
    values = torch.randint(1, 4096, (1, *shape), generator=torch.Generator().manual_seed(0)).float()
    values[..., 2 * shape[1] // 3 :] = 0
    return values


def _by_numpy(image: torch.Tensor) -> tuple[float, float]:
    values = np.asarray(image)
    low, high = np.percentile(values[values > 0], (1.0, 99.0))
    return float(low), float(high)


def _check_percentiles(result: Result, shape: tuple[int, int]) -> None:
    image = _mammogram(shape)
    found = ContrastStretchd("le", method="percentile")({"le": image})["le"]
    worst = float((found - torch.clamp(image, *_by_numpy(image))).abs().max())
    result.add_equality("image clipped to percentiles, ContrastStretchd and np.percentile", worst, 0.0)


def measure_percentiles(result: Result, shape: tuple[int, int], repeats: int) -> None:
    """Clipping to percentiles as the project does it, against NumPy's percentiles and a clip."""
    image = _mammogram(shape)
    stretch = ContrastStretchd("le", method="percentile")
    variants: Mapping[str, Callable[[], object]] = {
        "np.percentile": lambda: torch.clamp(image, *_by_numpy(image)),
        "ContrastStretchd": lambda: stretch({"le": image}),
    }
    timings = interleaved({name: _timed(work, "cpu") for name, work in variants.items()}, repeats)
    for name, each in timings.items():
        result.add_row("percentile stretch", name, each, image_size=f"{shape[0]} x {shape[1]}")
    result.add_ratio("percentile stretch", "ContrastStretchd", "np.percentile", timings)
