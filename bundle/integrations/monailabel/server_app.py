"""The app that ``app/main.py`` hands to MONAI Label."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.session_utils import create_session_from_user_pass
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.utils.others.generic import remove_file, strtobool

from .batch_task import ForgivingBatch
from .exam_store import ExamStore
from .folder_store import FolderStore
from .infer_task import VirtualDesTask
from .refused import Refused
from .safe_names import check_name, sent_along
from .translator import OPTIONS, Translator

__all__ = ["VirtualDesApp"]

NAME = "breast_cesm_virtual_contrast"
CONF = ("bundle", "ckpt_path", "device", "push", *OPTIONS)
OF_THE_SERVER = ("server_mode",)


class VirtualDesApp(MONAILabelApp):
    """Virtual DES of LE images: PNG for pictures, derived DICOM objects that keep the identity for DICOM.

    Args:
        app_dir: folder of ``main.py``; MONAI Label puts its logs there.
        studies: folder of images, or URL of a DICOMweb server.
        conf: ``bundle`` (folder of configs/ and models/, by default that of this package), ``ckpt_path`` (a model.pt
            elsewhere, with its card), ``device``, ``push`` ("true": requests may have results stored on the DICOMweb
            server), and the root keys of ``inference_dicom.json`` in :data:`bundle.integrations.monailabel.translator`.

    Raises:
        ValueError: for an unknown entry of ``conf``, and whatever keeps the model from being used.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        if unknown := [key for key in conf if key not in (*CONF, *OF_THE_SERVER)]:
            raise ValueError(f"--conf {', '.join(unknown)}: expected some of {', '.join(CONF)}.")
        self.studies = studies.rstrip("/") if studies.startswith(("http://", "https://")) else studies
        options = {key: _value(conf[key]) for key in OPTIONS if key in conf}
        root = conf.get("bundle") or Path(__file__).resolve().parents[3]
        self.translator = Translator(root, conf.get("ckpt_path"), conf.get("device"), options)
        super().__init__(
            app_dir,
            self.studies,
            dict(conf),
            name="Virtual DES of CESM",
            description="Synthetic images of research software: no acquisition, not for diagnosis",
            version=self.translator.synthesis.version,
        )

    def init_infers(self) -> dict[str, InferTask]:
        return {NAME: VirtualDesTask(self.translator, self.datastore)}

    def init_batch_infer(self) -> ForgivingBatch:
        return ForgivingBatch()

    def init_datastore(self) -> Any:
        if self.studies.startswith(("http://", "https://")):
            return self._init_dicomweb_datastore()
        kinds = dict.fromkeys((*settings.MONAI_LABEL_DATASTORE_FILE_EXT, "*.jpeg", "*.dcm"))
        return FolderStore(
            self.studies,
            extensions=list(kinds),
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def _init_dicomweb_datastore(self) -> ExamStore:
        """Without the tool for DICOM SEG, which MONAI Label would download."""
        user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
        client = DICOMwebClientX(
            url=self.studies,
            session=create_session_from_user_pass(user, password) if user and password else None,
            qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
            stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
        )
        client.set_http_retry_params(retry=False)  # a client waits for the answer
        wanted = settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER
        cache = (settings.MONAI_LABEL_DICOMWEB_CACHE_PATH or "").strip() or None
        may_push = bool(strtobool(self.conf.get("push", "false")))
        # MONAI Label looks for CT unless it is told what to look for
        return ExamStore(client, {"Modality": "MG"} if wanted == {"Modality": "CT"} else wanted, cache, may_push)

    def infer(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """As MONAI Label has it, but of no other images than those of the store and the file that came with the
        request; and a refusal reaches the client, with its reason.

        Raises:
            HTTPException: with the status of the refusal.
        """
        image = request.get("image")
        sent = sent_along(image)
        try:
            self._check(request, sent)
            made: dict[str, Any] = super().infer({**request, "image_id": "" if sent else image}, datastore)
        except Exception as error:
            if sent:  # MONAI Label deletes it where there is a result
                remove_file(image)
            if isinstance(error, Refused):
                raise HTTPException(error.status, str(error)) from error
            if isinstance(error, requests.RequestException):  # its text may hold the URL of a query, and that a name
                raise HTTPException(502, f"the DICOMweb server does not answer ({type(error).__name__}).") from None
            raise
        return made

    def infer_wsi(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """As :meth:`infer`: MONAI Label would open any path as a whole slide."""
        return self.infer(request, datastore)

    def _check(self, request: Mapping[str, Any], sent: bool) -> None:
        """MONAI Label takes whatever exists on the disk for the image, and lets parameters replace the image's id."""
        image = request.get("image")
        if not sent and not self.datastore().knows(image):
            raise Refused("there is no image of that name.", 404)
        if not sent and os.path.exists(str(image)):  # MONAI Label would take that file or folder
            raise Refused("the image's id is also a path in the folder where the server was started.", 409)
        if (tag := request.get("label_tag")) is not None:
            check_name("label_tag", tag)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
