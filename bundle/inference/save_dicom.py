"""Virtual DES images as derived DICOM objects."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import SaveImaged

from ..dicom.write import Form, Synthesis, virtual_des_object, write_object
from .des_pixels import des_pixels
from .save import save_virtual_des

__all__ = ["SaveDicomd"]

ALSO = {"png": ".png", "nifti": ".nii.gz"}


class SaveDicomd(SaveImaged):
    """Save ``item[key]``, (1, H, W) in [0, 1] on the native grid, as an MG object derived from its LE object.

    The LE object's header is ``item["header"]``, read along with its pixels; the result goes to ``item["output"]``,
    ``<study>/<series>/<object>.dcm``. It is a ``SaveImaged``, so that servers which run a bundle's postprocessing
    themselves know to leave it out.

    Args:
        keys: the prediction.
        synthesis: what made the images, see :class:`bundle.dicom.write.Synthesis`.
        form: of the objects, see :class:`bundle.dicom.write.Form`.
        window: (centre, width) of a DES image, see :func:`bundle.inference.des_pixels.des_pixels`.
        also: further files beside the object: ``"png"`` (16 bit), ``"nifti"``; [0, 1] as the network made it, air 0.

    Raises:
        ValueError: for another kind of file in ``also``; see also ``virtual_des_object``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        synthesis: Synthesis,
        form: Form,
        window: Sequence[float] | None = None,
        also: Sequence[str] = (),
    ) -> None:
        super().__init__(keys)
        unknown = [kind for kind in also if kind not in ALSO]
        if unknown:
            raise ValueError(f"also is {list(also)}, expected some of {list(ALSO)}.")
        self.synthesis, self.form, self.window, self.also = synthesis, form, window, tuple(also)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        le, path = item["header"], Path(item["output"])
        for key in self.key_iterator(item):
            virtual = np.asarray(item[key].detach().cpu())[0]
            air = item.get("air")
            if air is not None:
                air = np.unpackbits(air, count=virtual.size).reshape(virtual.shape).astype(bool)
            pixels, window = des_pixels(virtual, self.window, air, item.get("air_value", 0.0))
            made = datetime.datetime.now().astimezone()
            ds = virtual_des_object(le, pixels, window, self.synthesis, self.form, made)
            if path.parts[-3:] != (ds.StudyInstanceUID, ds.SeriesInstanceUID, f"{ds.SOPInstanceUID}.dcm"):
                raise ValueError("the file was replaced by another object while it was worked on: call again")
            # the object last: where it stands, the others stand too
            for kind in self.also:
                shown = virtual if air is None else np.where(air, 0.0, virtual)
                save_virtual_des(shown, path.with_suffix(ALSO[kind]), le, self.synthesis.weights)
            write_object(ds, path)
        return item
