"""What our app takes from MONAI Label 0.8.5, in small: the rest of it is not installed where the short tests run."""

from __future__ import annotations

import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace


class InferType(StrEnum):
    OTHERS = "others"


class InferTask:
    def __init__(self, type, labels, dimension, description, config=None):
        self.type, self.labels, self.dimension, self.description = type, labels, dimension, description
        self._config = dict(config or {})

    def info(self):
        return {"type": self.type, "labels": self.labels, "description": self.description, "config": self._config}


def remove_file(path):
    if path and os.path.exists(path):
        os.unlink(path)


def strtobool(text):
    return text if isinstance(text, bool) else str(text).lower() in ("1", "true", "yes", "on", "y", "t")


class BatchInferTask:
    def __call__(self, request, datastore, infer):
        if request.get("multi_gpu", True):
            raise ZeroDivisionError  # as it happens where there is no GPU
        made = {}
        for image in sorted(datastore.list_images()):
            made[image] = infer({**request, "image": image, "save_label": True}, datastore)
            remove_file(made[image].pop("file", ""))
        return made


class LocalDatastore:
    def __init__(self, folder, extensions=(), auto_reload=False, read_only=False):
        self.folder, self.extensions = Path(folder), extensions
        self._datastore = SimpleNamespace(objects={}, image_path=lambda: str(self.folder))
        self.labels = {}

    def refresh(self):
        self.refreshed = True

    def list_images(self):
        return [path.stem for path in self.folder.iterdir() if f"*{path.suffix}" in self.extensions]

    def get_image_uri(self, image):
        return next((str(path) for path in self.folder.iterdir() if path.stem == image), "")

    def add_image(self, image_id, image_filename, image_info):
        shutil.copy(image_filename, self.folder / f"{image_id}{Path(image_filename).suffix}")
        return image_id

    def save_label(self, image_id, label_filename, label_tag, label_info):
        (self.folder / "labels" / label_tag).mkdir(parents=True, exist_ok=True)
        shutil.copy(label_filename, self.folder / "labels" / label_tag / f"{image_id}{Path(label_filename).suffix}")
        self.labels[image_id] = Path(label_filename).read_bytes()
        return image_id


class DICOMWebDatastore(LocalDatastore):
    """Its series are the folders of ``cache_path``, as if they had been fetched."""

    def __init__(self, client, search_filter, cache_path=None, fetch_by_frame=False, convert_to_nifti=True):
        assert not fetch_by_frame
        assert not convert_to_nifti
        super().__init__(cache_path)
        self._client, self._search_filter = client, search_filter

    def get_image_uri(self, image_id):
        return [str(path) for path in self.folder.iterdir() if path.name == image_id].pop()  # or an IndexError

    def get_label_uri(self, label_id, label_tag, image_id=""):
        return str(self.folder / "labels" / label_tag / label_id)

    def _dicom_info(self, series):
        return {"SeriesInstanceUID": series}


class MONAILabelApp:
    def __init__(self, app_dir, studies, conf, name="", description="", version="2.0"):
        self.studies, self.conf = studies, conf
        self.name, self.description, self.version = name, description, version
        self._datastore = self.init_datastore()
        self._infers, self._batch_infer = self.init_infers(), self.init_batch_infer()

    def datastore(self):
        return self._datastore

    def infer(self, request, datastore=None):
        image = request["image"]
        if not os.path.exists(image):
            request = {**request, "image": self._datastore.get_image_uri(image)}
        path, about = self._infers[request["model"]](request)
        if request.get("save_label"):
            self._datastore.save_label(image, path, request.get("label_tag", "original"), about)
        return {"label": path, "file": path, "params": about}

    def batch_infer(self, request):
        return self._batch_infer(request, self._datastore, self.infer)


class HTTPException(Exception):
    def __init__(self, status_code, detail=None):
        super().__init__(detail)
        self.status_code, self.detail = status_code, detail


SETTINGS = SimpleNamespace(
    MONAI_LABEL_DATASTORE_FILE_EXT=["*.nii.gz", "*.png"],
    MONAI_LABEL_DATASTORE_AUTO_RELOAD=True,
    MONAI_LABEL_DATASTORE_READ_ONLY=False,
    MONAI_LABEL_DICOMWEB_USERNAME="",
    MONAI_LABEL_DICOMWEB_PASSWORD="",
    MONAI_LABEL_DICOMWEB_CACHE_PATH="",
    MONAI_LABEL_DICOMWEB_SEARCH_FILTER={"Modality": "CT"},
    MONAI_LABEL_QIDO_PREFIX=None,
    MONAI_LABEL_WADO_PREFIX=None,
    MONAI_LABEL_STOW_PREFIX=None,
)
MODULES = {
    "fastapi": {"HTTPException": HTTPException},
    "dicomweb_client": {},
    "dicomweb_client.session_utils": {"create_session_from_user_pass": lambda user, password: (user, password)},
    "monailabel": {},
    "monailabel.config": {"settings": SETTINGS},
    "monailabel.datastore": {},
    "monailabel.datastore.dicom": {
        "DICOMWebDatastore": DICOMWebDatastore,
        "DICOMwebClientX": lambda **about: SimpleNamespace(set_http_retry_params=lambda retry: None, **about),
    },
    "monailabel.datastore.local": {
        "LocalDatastore": LocalDatastore,
        "DataModel": SimpleNamespace,
        "ImageLabelModel": SimpleNamespace,
    },
    "monailabel.interfaces": {},
    "monailabel.interfaces.app": {"MONAILabelApp": MONAILabelApp},
    "monailabel.interfaces.tasks": {},
    "monailabel.interfaces.tasks.batch_infer": {"BatchInferTask": BatchInferTask},
    "monailabel.interfaces.tasks.infer_v2": {"InferTask": InferTask, "InferType": InferType},
    "monailabel.utils": {},
    "monailabel.utils.others": {},
    "monailabel.utils.others.generic": {"strtobool": strtobool, "remove_file": remove_file},
}
OURS = ("server_app", "infer_task", "batch_task", "exam_store", "folder_store", "answered")


def put_in_place(monkeypatch) -> None:
    """Until the end of a test, in the place of MONAI Label; our modules that import it are loaded anew."""
    for name, content in MODULES.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    for name in OURS:
        monkeypatch.delitem(sys.modules, f"bundle.integrations.monailabel.{name}", raising=False)
