"""DICOM to DICOM as one would put it together from MONAI's stock transforms and pydicom, in float32."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor, PydicomReader
from monai.transforms import BorderPadd, Compose, EnsureTyped, Invertd, LoadImaged, Resized, ScaleIntensityRanged
from monai.utils import TraceKeys

from ..dicom.transfer_syntax import encoded
from .timing import timed

__all__ = ["StockPath"]

HIGHEST = 4095  # of 12 bits


class StockPath:
    """One LE object after the other: load, window, pad, resize by area, network, invert, write.

    It follows the rules of the project's preprocessing, so that the results can be compared: the window of each image
    (its bounds narrowed to the grey values that occur), padding on the side of the air, bilinear enlargement. It does
    nothing that a quick script would leave out: no header of its own, no background, no fsync.

    Args:
        network: eager, in float32.
        image_size: of the network's input.
        window: (centre, width) of the DES images; None for the whole range of 12 bits.
    """

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        image_size: int = 256,
        window: Sequence[float] | None = None,
    ) -> None:
        self.network, self.image_size, self.window = network, image_size, window
        logging.getLogger("monai").setLevel(logging.ERROR)  # its reader misses a package, once an image
        reader: Any = PydicomReader(swap_ij=False)
        self.load = LoadImaged("image", reader=reader, image_only=True, ensure_channel_first=True)
        self.steps: dict[str, tuple[float, float]] = {}

    def __call__(self, source: str | os.PathLike, target: str | os.PathLike) -> None:
        """Write ``target``; ``steps`` holds the seconds of reading, preprocessing, network and writing."""
        import pydicom

        state: dict[str, Any] = {}

        def read() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a mammogram has no position in space
                state["item"] = self.load({"image": str(source)})
            state["header"] = pydicom.dcmread(source, stop_before_pixels=True)

        def preprocess() -> None:
            state["transform"] = self._transform(state["item"]["image"], state["header"])
            state["item"] = state["transform"](state["item"])

        def apply() -> None:
            with torch.no_grad():
                state["item"]["pred"] = MetaTensor(self.network(state["item"]["image"].as_tensor()[None])[0])

        def write() -> None:
            pred = self._inverted(state["item"], state["transform"])
            self._write(np.asarray(pred)[0], state["header"], Path(target))

        for name, step in (("read", read), ("preprocess", preprocess), ("network", apply), ("write", write)):
            self.steps[name] = timed(step)

    def _transform(self, image: MetaTensor, header: Any) -> Compose:
        center, width = float(header.WindowCenter), float(header.WindowWidth)
        lowest, highest = float(image.min()), float(image.max())
        rows, columns = image.shape[-2:]
        side = max(rows, columns)
        low, high = max(center - width / 2, min(lowest, 0.0 if rows != columns else lowest)), center + width / 2
        below, beside = side - rows, side - columns
        border = [0, below, 0, beside] if header.ImageLaterality == "L" else [0, below, beside, 0]
        return Compose(
            [
                BorderPadd("image", spatial_border=border),
                ScaleIntensityRanged("image", a_min=low, a_max=min(high, highest), b_min=0.0, b_max=1.0, clip=True),
                Resized("image", spatial_size=(self.image_size, self.image_size), mode="area"),
                EnsureTyped("image", dtype=torch.float32),
            ]
        )

    def _inverted(self, item: dict[str, Any], transform: Compose) -> torch.Tensor:
        for done in item["image"].applied_operations:  # area averaging the other way round would leave blocks
            if done[TraceKeys.CLASS_NAME] == "Resize":
                done[TraceKeys.EXTRA_INFO]["mode"] = "bilinear"
        invert: Any = Invertd("pred", transform=transform, orig_keys="image", nearest_interp=False, to_tensor=True)
        return invert(item)["pred"]

    def _write(self, virtual: np.ndarray, header: Any, target: Path) -> None:
        from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

        center, width = self.window or ((HIGHEST + 1) / 2, HIGHEST + 1.0)
        low, high = (0.0, float(HIGHEST)) if self.window is None else (center - width / 2, center + width / 2)
        pixels = np.clip(np.rint(low + virtual * (high - low)), 0, HIGHEST).astype(np.uint16)
        syntax = header.file_meta.TransferSyntaxUID
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        header.SeriesInstanceUID = generate_uid()
        header.ImageType = ["DERIVED", "SECONDARY"]
        header.WindowCenter, header.WindowWidth = center, width
        header.PixelData = pixels.tobytes()
        header["PixelData"].VR = "OW"
        if syntax == JPEG2000Lossless:  # pydicom's compress calls the same library, which also needs pylibjpeg
            header.PixelData = encoded(pixels, "jpeg2000")
            header["PixelData"].VR, header["PixelData"].is_undefined_length = "OB", True
            header.file_meta.TransferSyntaxUID = JPEG2000Lossless
        target.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(target)
