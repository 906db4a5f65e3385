"""LE images to compare an export on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...data.datalist import case_items, read_datalist
from ...dicom.energy import other_than_le
from ...inference.image_folder import ImageFolder
from ...keys import BatchKeys, CaseKeys
from ...phantom import write_study

__all__ = ["Sample", "take_sample"]

Prepare = Callable[[Mapping[str, Any]], Mapping[str, Any]]
CUT = (640, 384)  # pixels, as many as 512 x 480


@dataclass(frozen=True)
class Sample:
    """Images in [0, 1] as a network takes them, and in words where they are from.

    Attributes:
        about: such as "4 LE images of data/phantom".
        images: each (B, 1, H, W) float32; the last is not square, as far as the LE image is not.
    """

    about: str
    images: list[torch.Tensor]


def take_sample(
    source: str | os.PathLike | None, prepare: Prepare, prepare_native: Prepare, number: int = 4, native: bool = False
) -> Sample:
    """Read LE images as an inference does.

    Args:
        source: an image file, a folder of images, a datalist or its folder; None makes phantoms of 512 px.
        prepare: preprocessing of the key ``image``, as the model's card says.
        prepare_native: the same without padding to a square and shrinking, on the native grid.
        number: of images that ``prepare`` is given, spread over the source.
        native: take the first image whole on its native grid, and not a part of at most 640 x 384 pixels.

    Raises:
        ValueError: where there is no LE image, or one that cannot be read.
    """
    if number < 1:
        raise ValueError(f"--number is {number}, expected 1 or more images.")
    with ExitStack() as stack:
        about = f"of {source}"
        if source is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="phantom-"))
            source = write_study(Path(folder, "study"), patients=1, truth=False).parent
            about = "of one phantom woman, made for it"
        items = _le_items(Path(source))
        chosen = items[:: max(1, len(items) // number)][:number]
        prepared = [_prepared(item, prepare) for item in chosen]
        whole = _prepared(chosen[0], prepare_native)
    images = [torch.stack([image for image in prepared if image.shape == shape]) for shape in _shapes(prepared)]
    about = f"{len(chosen)} LE image{'s' if len(chosen) > 1 else ''} {about}"
    return Sample(about, [*images, (whole if native else _centre(whole))[None]])


def _shapes(images: list[torch.Tensor]) -> list[torch.Size]:
    return list(dict.fromkeys(image.shape for image in images))


def _centre(image: torch.Tensor) -> torch.Tensor:
    """At most ``CUT`` pixels about the centre of an image (1, H, W)."""
    for side, most in enumerate(CUT, start=1):
        length = min(image.shape[side], most)
        image = image.narrow(side, (image.shape[side] - length) // 2, length)
    return image.contiguous()


def _prepared(item: Mapping[str, Any], prepare: Prepare) -> torch.Tensor:
    try:
        return torch.as_tensor(prepare(dict(item))[BatchKeys.IMAGE].as_tensor()).contiguous()
    except RuntimeError as error:  # of MONAI's Compose, which says no more than which transform it was
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ValueError(str(cause)) from error


def _le_items(source: Path) -> list[dict[str, Any]]:
    datalist = source / "datalist.json" if source.is_dir() else source
    if datalist.suffix == ".json" and datalist.is_file():
        cases = case_items(read_datalist(datalist), datalist.parent)
        return [{BatchKeys.IMAGE: case[BatchKeys.LE], CaseKeys.LATERALITY: case[CaseKeys.LATERALITY]} for case in cases]
    if source.is_file():
        if other := other_than_le(source):
            raise ValueError(f"{source} is no LE image: {other}. Pass --images with one, or with a folder of them.")
        return [{BatchKeys.IMAGE: str(source)}]
    if not source.is_dir():
        raise ValueError(f"there is nothing at {source}. Pass --images with LE images, or leave it out for a phantom.")
    with tempfile.TemporaryDirectory() as nowhere:
        folder = ImageFolder(source, nowhere)
        items = folder.items()
    if not items:
        told = "".join(f"\n  {each['image']}: {each['state']}, {each['reason']}" for each in folder.results[:10])
        raise ValueError(f"{source} holds no LE image that can be read.{told}\nPass --images with LE images.")
    return items
