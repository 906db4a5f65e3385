"""The end of an inference inside MONAI Label's ``monaibundle`` app: an image as its writer wants it."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..dicom.energy import other_than_le
from ..keys import BatchKeys
from ..networks.weights import card_problems, read_card
from ..transforms.read import only_image
from .save import NOTICE

__all__ = ["ServedImaged"]

NIFTI = (".nii", ".nii.gz")
ENDINGS = (".png", ".nrrd", *NIFTI)
HIGHEST = {"uint8": 255, "uint16": 65535, "float32": 1}


class ServedImaged(MapTransform):
    """Hand a prediction (1, H, W) in [0, 1] on the native grid over to the writer of MONAI Label 0.8.5.

    That one transposes what it gets and knows neither a channel nor a range. So the image becomes an array (W, H), its
    grid is told in that order to the step that would resize it otherwise, and it fills its type: uint16, float32 for
    NIfTI, or what ``result_dtype`` of the request asks for. The reply is a PNG (NIfTI for NIfTI) where the request has
    no ``result_extension``: the writer's own choice for a DICOM object is a copy without a patient.

    It is the last of the config's ``post_transforms``, a key that MONAI Label reads and the bundle's runner does not.

    Args:
        keys: the prediction.
        source_key: the image it was made from, whose metadata know the native grid.
        model: path of the weights, which MONAI Label loads without a word where they do not fit.
        sha256: of the card that preprocessing and network were built from.

    Raises:
        ValueError: for an input that is known to be no LE image, another ending or type, another grid than the
            input's, pixels that are not finite, and weights that are not those of the card.
    """

    def __init__(
        self,
        keys: KeysCollection = BatchKeys.PRED,
        source_key: str = BatchKeys.IMAGE,
        model: str | os.PathLike = "models/model.pt",
        sha256: str = "",
    ) -> None:
        super().__init__(keys)
        self.source_key = source_key
        self.model = Path(model)
        self.sha256 = sha256
        self._checked: tuple[float, float] | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self._check_weights(item)
        source = item[self.source_key]
        path = str(source.meta.get("filename_or_obj", ""))
        if path and (reason := other_than_le(only_image(path))):
            raise ValueError(f"not an LE image: {reason}.")
        ending, dtype = _form(item, path)
        native = tuple(int(side) for side in source.meta["spatial_shape"])
        for key in self.key_iterator(item):
            image = np.asarray(item[key].detach().cpu())
            if image.shape != (1, *native):
                raise ValueError(f"the virtual DES has shape {image.shape}, expected {(1, *native)}: the input's grid.")
            if not np.isfinite(image).all():
                raise ValueError("the virtual DES holds NaN or infinite pixels: the model's weights are broken.")
            scaled = np.clip(image[0], 0.0, 1.0) * HIGHEST[dtype]
            item[key] = np.ascontiguousarray((scaled if dtype == "float32" else np.rint(scaled)).astype(dtype).T)
        item[self.source_key] = MetaTensor(source.as_tensor(), meta={**source.meta, "spatial_shape": native[::-1]})
        item |= {"result_extension": ending, "result_dtype": dtype}
        item["result"] = {**item.get("result", {}), "notice": NOTICE, "model_sha256": self.sha256}
        return item

    def _check_weights(self, item: Mapping[Hashable, Any]) -> None:
        asked = item.get("model_filename") or self.model.name
        asked = asked if isinstance(asked, str) else asked[0]
        if asked != self.model.name:
            raise ValueError(f"model_filename is {asked!r}, expected {self.model.name}: no other file has a card.")
        card = self.model.with_suffix(".json")
        version = (self.model.stat().st_mtime, card.stat().st_mtime if card.is_file() else 0.0)
        if version == self._checked:
            return
        if problems := card_problems(self.model):
            raise ValueError("\n".join(problems))
        if read_card(self.model)["sha256"] != self.sha256:
            raise ValueError(f"{self.model} was replaced after this server had read its card: start the server anew.")
        self._checked = version


def _form(item: Mapping[Hashable, Any], path: str) -> tuple[str, str]:
    """Ending and type of the reply."""
    ending = item.get("result_extension") or (".nii.gz" if path.lower().endswith(NIFTI) else ".png")
    dtype = item.get("result_dtype") or ("float32" if ending in NIFTI else "uint16")
    if ending not in ENDINGS:
        raise ValueError(f"result_extension is {ending!r}, expected one of {', '.join(ENDINGS)}.")
    if dtype not in HIGHEST or (ending == ".png" and dtype == "float32"):
        raise ValueError(f"result_dtype is {dtype!r}, expected one of {', '.join(HIGHEST)}; a PNG holds no float32.")
    return str(ending), str(dtype)
