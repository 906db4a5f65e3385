"""The virtual DES as a task of MONAI Label: image to image."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from .exam_store import ExamStore
from .refused import Refused
from .translator import Translator

__all__ = ["VirtualDesTask", "wants_push"]


def wants_push(request: Mapping[str, Any]) -> bool:
    """Of a request's parameter ``push``.

    Raises:
        Refused: for what is neither true nor false.
    """
    push = request.get("push")
    text = "false" if push is None else str(push).lower()
    if not isinstance(push, bool | str | None) or text not in ("true", "false"):
        raise Refused(f"push is {push!r}, expected true or false.")
    return text == "true"


class VirtualDesTask(InferTask):
    """Answers a request with the file of a virtual DES and what is said of it.

    Parameters of a request: ``result_extension`` (".dcm", ".png", ".nii.gz"), ``instance`` (SOP Instance UID, where a
    series holds several LE images), ``laterality`` ("L" or "R", of an image that does not say it), ``push`` (store the
    derived object on the server that the image came from).

    Args:
        translator: makes the images.
        store: gives MONAI Label's store, once there is one.
    """

    def __init__(self, translator: Translator, store: Callable[[], Any]) -> None:
        super().__init__(InferType.OTHERS, {"virtual_des": 0}, 2, translator.description, {"push": False})
        self.translator, self.store = translator, store

    def is_valid(self) -> bool:
        return True

    def info(self) -> dict[str, Any]:
        about: dict[str, Any] = super().info()
        return about | {"version": self.translator.synthesis.version, "model_sha256": self.translator.synthesis.weights}

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        began = time.monotonic()
        image, store = str(request.get("image") or ""), self.store()
        ending, image_id = _text(request, "result_extension"), _text(request, "image_id")
        push = wants_push(request)
        if push:
            if not isinstance(store, ExamStore):
                raise Refused("this server has no PACS to push to: start it with --studies http://HOST/dicom-web.", 409)
            store.check_push(image_id)
            if ending not in ("", ".dcm"):
                raise Refused(f"only a derived object can be pushed: result_extension is {ending!r}, expected .dcm.")
        made = self.translator(image, ending, _text(request, "instance"), _text(request, "laterality").upper())
        about = made.about | {"label_names": self.labels, "pushed": push}
        if push:
            try:
                store.push(made.dataset, made.series, image_id)
            except Refused:
                made.path.unlink()
                raise
        about["latencies"] = {"total": round(time.monotonic() - began, 2)}
        return str(made.path), about


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    return "" if value is None else str(value)
