"""Prepared cases on the disk: made once, read in every epoch and every run, never stale."""

from __future__ import annotations

import io
import logging
import os
import pickle
import random
import zlib
from collections.abc import Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose, RandomizableTrait
from monai.utils import convert_to_tensor
from tqdm.auto import tqdm

from ..keys import BatchKeys
from .fingerprint import file_identity, fingerprint, transform_identity
from .whole_files import beside

__all__ = ["CACHES", "DiskCacheDataset", "cached_dataset"]

logger = logging.getLogger(__name__)
CACHES = ("memory", "disk")
FORMAT = 1
CHECK_BYTES = 4


def cached_dataset(
    data: Sequence[Mapping[str, Any]],
    transform: Compose,
    cache: str = "memory",
    cache_dir: str | os.PathLike = "cache",
    num_workers: int = 1,
) -> Dataset:
    """Cases after their deterministic transforms, made once: MONAI's ``CacheDataset``, or one on the disk.

    Args:
        cache: "memory" makes them anew in each process and keeps them; "disk" keeps them in ``cache_dir``, where every
            process and every later run finds them.

    Raises:
        ValueError: for another ``cache``.
    """
    if cache not in CACHES:
        raise ValueError(f"cache is {cache!r}, expected one of {', '.join(CACHES)}.")
    if cache == "disk":
        return DiskCacheDataset(data, transform, cache_dir, num_workers)
    return CacheDataset(data, transform, cache_rate=1.0, num_workers=max(1, num_workers))


class DiskCacheDataset(Dataset):
    """Cases after their deterministic transforms, each in a file of its own.

    A file's name is the hash of all that it depends on: the case as the datalist has it, path, inode, size and times of
    change of its files, the transforms with their parameters, their code and the versions of the libraries. What has
    changed gets another file; the former one is left, and may be deleted at any time. Files appear whole, several
    processes may fill one folder at once, and one that is damaged is made anew. A folder that holds all is only read.

    MONAI's ``PersistentDataset`` knows neither that a file has changed nor that code has, and stops at a cut file.

    Args:
        data: cases with the paths ``le``, ``des`` and, where there is one, ``seg``.
        transform: none of it random; what it gives is saved as plain tensors.
        cache_dir: receives the files; it holds images of patients like the data it is made from.
        num_workers: threads that make what is missing.

    Raises:
        ValueError: for a transform that is random or that has no lasting description.
        OSError: where an image is missing, or a case has to be made and the folder cannot be written.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], transform: Compose, cache_dir: str | os.PathLike, num_workers: int = 1
    ) -> None:
        super().__init__(data, transform)
        transforms = transform.flatten().transforms
        chance = [type(each).__name__ for each in transforms if isinstance(each, RandomizableTrait)]
        if chance:
            raise ValueError(
                f"{', '.join(chance)} draws at random, but what the cache on disk holds must not change. Put it into "
                "random_transforms, or use --cache memory."
            )
        folder, identity = Path(cache_dir), transform_identity(transforms)
        self.paths = [folder / f"{self._key(identity, item)}.pt" for item in data]
        self._make_missing(max(1, num_workers))

    @staticmethod
    def _key(identity: str, item: Mapping[str, Any]) -> str:
        images = (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG)
        files = [(key, file_identity(item[key])) for key in images if item.get(key)]
        said = sorted((key, repr(value)) for key, value in item.items())
        return fingerprint(FORMAT, identity, files, said, str(torch.get_default_dtype()))

    def _make_missing(self, num_workers: int) -> None:
        missing = [index for index, path in enumerate(self.paths) if not path.is_file()]
        if not missing:
            return
        folder = self.paths[0].parent
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(
                f"{folder} lacks {len(missing)} of {len(self.paths)} prepared cases and cannot be written to. Pass "
                "another --cache_dir, or --cache memory."
            )
        random.Random(os.getpid()).shuffle(missing)  # processes that start together share the work
        with ThreadPool(num_workers) as pool:
            made = pool.imap_unordered(self._make_if_missing, missing)
            for _ in tqdm(made, total=len(missing), desc="preparing", unit="pair"):
                pass

    def _make_if_missing(self, index: int) -> None:
        if not self.paths[index].is_file():
            self._make(index)

    def _make(self, index: int) -> dict[str, Any]:
        case = self.transform(dict(self.data[index]), threading=True)
        case = convert_to_tensor(case, convert_numeric=False, track_meta=False)
        case = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in case.items()}
        buffer = io.BytesIO()
        torch.save(case, buffer)
        content = buffer.getvalue()
        with beside(self.paths[index]) as place:
            place.write_bytes(zlib.crc32(content).to_bytes(CHECK_BYTES, "big") + content)
        return case

    def _transform(self, index: int) -> dict[str, Any]:
        path = self.paths[index]
        try:
            content = path.read_bytes()
            if zlib.crc32(memoryview(content)[CHECK_BYTES:]) != int.from_bytes(content[:CHECK_BYTES], "big"):
                raise ValueError("its checksum is wrong")
            return torch.load(io.BytesIO(memoryview(content)[CHECK_BYTES:]), weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            logger.warning(f"{path} of the cache cannot be read and is made anew: {error}")
            return self._make(index)
