"""LE objects on their way to the network: decoded and preprocessed in processes of their own, in batches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.inferers import SimpleInferer
from monai.transforms import Compose
from tqdm.auto import tqdm

from ..data.image_check import image_problem
from ..data.isolation import PACE, Failure, work_apart
from ..data.training_range import outside_of
from ..dicom.files import read_dataset
from ..keys import BatchKeys
from .exam_folder import ExamFolder

__all__ = ["BatchInferer", "ExamLoader", "prepare"]

LEAST_AIR = 0.02  # share of the image


def prepare(item: Mapping[str, Any], transform: Compose, seen: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Read one LE object and bring it to the network's grid; where its file is damaged, one of its copies.

    Args:
        item: of :meth:`ExamFolder.items`.
        transform: preprocessing of the key ``image``; its first step reads the file.
        seen: the model card's ``seen``, what its training images were like.

    Returns:
        ``item`` with ``header``, the object's without pixels, of the same file as these; ``tensor`` (1, S, S), a
        MetaTensor whose traced transforms lead back to the native grid; ``air``,
        a packed mask (bits of H * W) of the background where that is constant, else None, and ``air_value``;
        ``outside``, how the image differs from the training's; seconds ``decode`` and ``preprocess``; ``damaged``, the
        files that could not be used, with the reasons.

    Raises:
        ValueError: where no file can be decoded or no image can be used.
    """
    damaged: dict[str, str] = {}
    for path in (item["image"], *item["copies"]):
        try:
            return {**item, **_prepared(path, transform, seen), "image": path, "damaged": damaged}
        except ValueError as error:
            damaged[path] = str(error).removeprefix(f"{path} ")
        except OSError as error:
            damaged[path] = f"it cannot be read ({error.strerror or type(error).__name__})"
    raise ValueError(damaged[item["image"]])


def _prepared(path: str, transform: Compose, seen: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    began, version = time.monotonic(), _version(path)
    data: dict[str, Any] = transform.transforms[0]({BatchKeys.IMAGE: path})  # type: ignore[assignment,operator]
    header = read_dataset(path, pixels=False)
    if _version(path) != version:  # the pixels of one woman must not get the header of another
        raise ValueError("the file was replaced or written to while it was read: call again")
    decoded = time.monotonic()
    native = data[BatchKeys.IMAGE]
    pixels = np.asarray(native)[0]
    if problem := image_problem(pixels, native.meta):
        raise ValueError(f"the image {problem}")
    lowest = pixels.min()
    air = pixels == lowest
    for step in transform.transforms[1:]:
        data = step(data)  # type: ignore[operator]
    image = data[BatchKeys.IMAGE]
    return {
        "header": header,
        "tensor": image,
        "air": np.packbits(air) if np.count_nonzero(air) >= LEAST_AIR * air.size else None,
        "air_value": float(lowest),
        "outside": outside_of(seen, pixels.shape, np.asarray(image)[0]),
        "decode": decoded - began,
        "preprocess": time.monotonic() - decoded,
    }


def _version(path: str) -> tuple[int, int, int]:
    """What changes when a file is replaced, or written to in its place."""
    stat = os.stat(path)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class ExamLoader:
    """Batches of LE images for an evaluator: ``image`` (B, 1, S, S) float32 in [0, 1], ``items`` what belongs to each.

    A file whose decoder fails, crashes or takes longer than ``time_limit`` is entered in the folder's journal, and its
    batch is smaller, perhaps empty. Batches come in the order of the files; a bounded number is made ahead, so that
    memory does not grow with the number of files.

    Args:
        folder: the work list.
        transform: preprocessing of the key ``image``; its first step reads the file.
        batch_size: images of a batch.
        num_workers: processes; 0 works in this one, without protection from a crash.
        seen: the model card's ``seen``.
        time_limit: seconds for one file.
    """

    def __init__(
        self,
        folder: ExamFolder,
        transform: Compose,
        batch_size: int = 1,
        num_workers: int = 1,
        seen: Mapping[str, Sequence[float]] | None = None,
        time_limit: float = 120.0,
    ) -> None:
        self.folder, self.batch_size, self.num_workers = folder, batch_size, num_workers
        self.work: Callable[[Any], dict[str, Any]] = partial(prepare, transform=transform, seen=seen or {})
        self.time_limit = time_limit

    def __len__(self) -> int:
        return -(-len(self.folder.items()) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        items = self.folder.items()
        batch: list[dict[str, Any]] = []
        for number, (item, prepared) in enumerate(zip(items, self._prepared(items), strict=True), start=1):
            if isinstance(prepared, Failure):
                reason = prepared.reason.removeprefix("ValueError: ")
                for path in (item["image"], *item["copies"]):  # the copies fared no better
                    self.folder.journal.enter(
                        {**item, "image": path, "output": "", "state": "failed", "reason": reason}
                    )
            else:
                for path, reason in prepared.pop("damaged").items():
                    self.folder.journal.enter({"image": path, "state": "failed", "reason": reason})
                batch.append(prepared)
            if number % self.batch_size == 0 or number == len(items):
                yield {BatchKeys.IMAGE: _stacked(batch), "items": batch}
                batch = []

    def _prepared(self, items: Sequence[Any]) -> Iterator[Any]:
        if self.num_workers:
            yield from work_apart(
                self.work, items, self.num_workers, self.time_limit, description="translating", unit="image"
            )
            return
        with tqdm(total=len(items), desc="translating", unit="image", dynamic_ncols=True, bar_format=PACE) as bar:
            for item in items:
                try:
                    prepared: Any = self.work(item)
                except Exception as error:
                    prepared = Failure(f"{type(error).__name__}: {error}")
                bar.update()
                yield prepared


def _stacked(batch: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    if not batch:
        return torch.empty(0, 1, 0, 0)
    return torch.stack([item["tensor"].as_tensor() for item in batch])


class BatchInferer(SimpleInferer):
    """The network over a batch, of which nothing may be left."""

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        return super().__call__(inputs, network, *args, **kwargs) if len(inputs) else inputs
