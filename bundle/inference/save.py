"""Virtual DES images as files that say what they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import SaveImaged

from ..dicom.files import has_dicom_mark, read_dataset
from ..dicom.source import detector_spacing
from ..keys import BatchKeys

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["NOTICE", "SaveVirtualDesd", "made_by", "making_options", "mark", "save_virtual_des"]

HASH = 24  # letters of a hash that a NIfTI header has room for
MODEL = 16  # of them for the model, where options take the rest

NOTICE = (
    "SYNTHETIC virtual DES made by software from an LE image; not an acquisition, research use only, not for diagnosis"
)


def making_options(image_size: int | str, precision: str, backend: str, trained_size: int | str) -> str:
    """What changes pixels besides the weights, in words; "" for what a run does by itself.

    Args:
        image_size: side in pixels that the network sees, or "native".
        precision: "fp32" by default.
        backend: "torch" by default; that of another differs in the last digits even in fp32.
        trained_size: the image size on the model's card, which is the default.
    """
    chosen = {"image_size": image_size, "precision": precision, "backend": backend}
    default = {"image_size": trained_size, "precision": "fp32", "backend": "torch"}
    return ", ".join(f"{name} {value}" for name, value in chosen.items() if value != default[name])


def mark(model: str, options: str = "") -> str:
    """What a result says of its making, at most 24 letters: of the hash of the weights, and where the options are not
    the default of them, of theirs.
    """
    if not (model and options):
        return model[:HASH]
    return model[:MODEL].ljust(MODEL, "-") + hashlib.sha256(options.encode()).hexdigest()[: HASH - MODEL]


def save_virtual_des(
    image: np.ndarray,
    path: str | os.PathLike,
    source: str | os.PathLike | Dataset,
    model: str = "",
    options: str = "",
) -> None:
    """Write one image (H, W) in [0, 1] beside its place and rename it; it keeps the hash of the weights and options.

    ``.png``: 16 bit, 0 to 65535, with the notice and its source as text chunks. ``.nii.gz``: float32 (W, H, 1) with the
    notice as description and the affine of its source: that of a NIfTI file; for DICOM the pixel size of the detector,
    as ITK writes an image that does not say how it lies.

    Args:
        image: to save.
        path: where to.
        source: the file it was made from, or the header of the DICOM object. Of a DICOM object the SOP Instance UID is
            named, because the names of such files are often those of patients.
        model: hash of the weights.
        options: those of :func:`making_options`.

    Raises:
        ValueError: for another ending or shape, or an image that is not finite.
    """
    path = Path(path)
    if isinstance(source, str | os.PathLike) and has_dicom_mark(source):
        source = read_dataset(source, pixels=False)
    if image.ndim != 2:
        raise ValueError(f"an image to save has shape {image.shape}, expected (H, W).")
    if not np.isfinite(image).all():
        raise ValueError(
            f"the virtual DES of {_name(source)} holds NaN or infinite pixels: the model's weights are broken."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.clip(image, 0.0, 1.0)
    if path.name.endswith(".png"):
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_text("Description", NOTICE)
        text.add_text("Source", _name(source))
        if model:
            text.add_text("Model", model)
        if options:
            text.add_text("Options", options)
        beside = path.with_name(f".{path.name[: -len('.png')]}.{os.getpid()}.tmp.png")
        Image.fromarray(np.round(image * 65535).astype(np.uint16)).save(beside, pnginfo=text)
    elif path.name.endswith(".nii.gz"):
        import nibabel

        nifti = nibabel.Nifti1Image(image.T[..., None].astype(np.float32), _affine(source))  # type: ignore[attr-defined]
        nifti.header["aux_file"] = mark(model, options).encode()
        nifti.header["descrip"] = b"SYNTHETIC virtual DES, research only, not for diagnosis"
        beside = path.with_name(f".{path.name[: -len('.nii.gz')]}.{os.getpid()}.tmp.nii.gz")
        nibabel.save(nifti, beside)
    else:
        raise ValueError(f"{path}: expected the ending .png or .nii.gz.")
    os.replace(beside, path)


def _name(source: str | os.PathLike | Dataset) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else str(source.get("SOPInstanceUID", ""))


def _affine(source: str | os.PathLike | Dataset) -> np.ndarray:
    """Of an image (W, H, 1), in mm."""
    if isinstance(source, str | os.PathLike):
        import nibabel

        return nibabel.load(source).affine  # type: ignore[attr-defined]
    rows, columns = detector_spacing(source) or (1.0, 1.0)
    return np.diag([-columns, -rows, 1.0, 1.0])


def made_by(path: str | os.PathLike) -> str:
    """The :func:`mark` of the weights and options that made a file; "" where it does not say."""
    try:
        if str(path).endswith(".png"):
            from PIL import Image

            with Image.open(path) as picture:
                return mark(str(picture.info.get("Model", "")), str(picture.info.get("Options", "")))
        import nibabel

        header: Any = nibabel.load(path).header  # type: ignore[attr-defined]
        return bytes(header["aux_file"].item()).decode("ascii")
    except Exception:  # another's file
        return ""


class SaveVirtualDesd(SaveImaged):
    """Save ``item[key]``, (1, H, W) in [0, 1] on the native grid, to the path ``item["output"]``.

    It is a ``SaveImaged``, so that servers which run a bundle's postprocessing themselves know to leave it out.

    Args:
        keys: the prediction.
        source_key: the image it was made from.
        model: hash of the weights.
        options: those of :func:`making_options`.
    """

    def __init__(
        self,
        keys: KeysCollection = BatchKeys.PRED,
        source_key: str = BatchKeys.IMAGE,
        model: str = "",
        options: str = "",
    ) -> None:
        super().__init__(keys)
        self.source_key = source_key
        self.model = model
        self.options = options

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        source = item[self.source_key].meta["filename_or_obj"]
        for key in self.key_iterator(item):
            save_virtual_des(np.asarray(item[key].detach().cpu())[0], item["output"], source, self.model, self.options)
        return item
