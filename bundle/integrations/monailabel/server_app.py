"""The app that ``app/main.py`` hands to MONAI Label."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.session_utils import create_session_from_user_pass
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.utils.others.generic import strtobool

from .batch_task import ForgivingBatch
from .exam_store import ExamStore
from .infer_task import VirtualDesTask
from .refused import Refused
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
            name="Seg-CycleGAN: virtual DES of CESM",
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
        return LocalDatastore(
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
        """As MONAI Label has it, but a refusal reaches the client, with its reason.

        Raises:
            HTTPException: with the status of the refusal.
        """
        try:
            made: dict[str, Any] = super().infer(request, datastore)
        except Refused as error:
            raise HTTPException(error.status, str(error)) from error
        except requests.RequestException as error:  # its text may hold the URL of a query, and that a name
            raise HTTPException(502, f"the DICOMweb server does not answer ({type(error).__name__}).") from None
        return made


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
