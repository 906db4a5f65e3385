"""The reader as MONAI wants it, and the empty lesion map."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey

from ..data.images import is_image_file, read_image
from ..keys import BatchKeys

__all__ = ["CesmReader", "EmptySegd", "is_image_file", "only_image", "read_image"]

PathLike = str | os.PathLike


class CesmReader(ImageReader):
    """:func:`read_image` as a MONAI reader, for ``LoadImaged(keys, reader=CesmReader(), ensure_channel_first=True)``.

    Gives a MetaTensor (1, H, W) float32. The file is opened in ``get_data`` and not in ``read``: ``LoadImage`` answers
    an exception of ``read`` by trying MONAI's own readers, which would return the file transposed or not inverted.
    A folder stands for the one image in it: that is how a server hands on a DICOMweb series.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        return all(is_image_file(path) for path in _paths(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[PathLike]:
        return _paths(data)

    def get_data(self, img: Sequence[PathLike]) -> tuple[np.ndarray, dict[str, Any]]:
        if len(img) != 1:
            raise ValueError(f"CesmReader reads one projection image at a time, got {len(img)} files: {list(img)}.")
        image, meta = read_image(only_image(img[0]))
        return image, {**meta, "spatial_shape": np.asarray(image.shape), "original_channel_dim": "no_channel"}


class EmptySegd(MapTransform):
    """A zero lesion map for the pair that has none; a map that is there becomes 0 and 1 (> 0 -> 1).

    Args:
        keys: the lesion maps, (1, H, W).
        like: the image on whose grid the map lies, (1, H, W).

    Raises:
        ValueError: when a map and its image differ in shape.
    """

    def __init__(self, keys: KeysCollection = BatchKeys.SEG, like: str = BatchKeys.DES) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.like = like

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image = item[self.like]
        for key in self.keys:
            seg = item.get(key)
            if seg is None:
                item[key] = torch.zeros_like(image)
                if isinstance(item[key], MetaTensor):
                    item[key].meta = {**image.meta, str(ImageMetaKey.FILENAME_OR_OBJ): ""}
                continue
            if seg.shape != image.shape:
                raise ValueError(
                    f"The lesion map {_source(seg) or key} has shape {tuple(seg.shape)}, expected that of {self.like}, "
                    f"{_source(image)} {tuple(image.shape)}. Bring it onto that grid: python -m scripts.prepare"
                )
            item[key] = (seg > 0).to(torch.float32)
        return item


def only_image(path: PathLike) -> Path:
    """The one image in a folder; a path that is no folder as it is.

    Raises:
        ValueError: where the folder holds none, or several.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    files = sorted(one for one in path.iterdir() if is_image_file(one))
    if len(files) != 1:
        raise ValueError(f"{path} is a folder of {len(files)} images: expected one. Name the file that is meant.")
    return files[0]


def _paths(filename: Sequence[PathLike] | PathLike) -> list[PathLike]:
    return [filename] if isinstance(filename, str | os.PathLike) else list(filename)


def _source(image: torch.Tensor) -> str:
    return str(image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "")) if isinstance(image, MetaTensor) else ""
