"""From one image that a server holds to its virtual DES: a derived DICOM object, or a picture."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from ...data.image_check import image_problem
from ...dicom.energy import read_rules
from ...dicom.files import has_dicom_mark, read_dataset
from ...dicom.write import derived_uids
from ...inference.exam_loader import prepare
from ...inference.save import NOTICE, save_virtual_des
from ...inference.write_results import write
from ...keys import BatchKeys, CaseKeys
from ...networks.weights import card_path, load_weights
from .le_object import le_object
from .refused import Refused

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["OPTIONS", "Translated", "Translator"]

CONFIGS = ("inference.json", "inference_dicom.json", "metadata.json")
# root keys of these configs that a server can be started with
OPTIONS = ("transfer_syntax", "series_number", "series_description", "visible_mark", "vendors", "unknown_is_le")
BUILT = (
    *("ckpt_path", "device", "card", "network_def", "preprocessing", "inferer", "postprocessing"),
    *("synthesis", "form", "making_options", "vendors", "unknown_is_le"),
)
NIFTI = (".nii", ".nii.gz")
# that the reasons begin with where the name of the file has been taken off
VERBS = ("has", "holds", "is", "was", "could", "does", "gives", "names", "says", "spans", "lies")


@dataclass(frozen=True)
class Translated:
    """A virtual DES: its file, what a client is told about it, and the derived object, where it is one, with the Series
    Instance UID of its LE object.
    """

    path: Path
    about: dict[str, Any]
    dataset: Dataset | None = None
    series: str = ""


class Translator:
    """The pipeline of ``inference.json`` and ``inference_dicom.json``, one image at a time.

    Args:
        bundle_root: folder of ``configs/`` and, unless ``ckpt_path`` says another place, ``models/model.pt``.
        ckpt_path: the weights, with their card beside them; None for the config's own.
        device: to compute on; None for the config's own.
        options: further root keys of the configs, of :data:`OPTIONS`.

    Raises:
        ValueError: for a folder without the configs; for weights that are missing, that are not those of their card, or
            that do not fit the network; for options that the configs refuse.
    """

    def __init__(
        self,
        bundle_root: str | os.PathLike,
        ckpt_path: str | os.PathLike | None = None,
        device: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        root = Path(bundle_root).resolve()
        configs = [root / "configs" / name for name in CONFIGS]
        if missing := [str(path) for path in configs if not path.is_file()]:
            raise ValueError(f"there is no {' and no '.join(missing)}: expected the root folder of this bundle.")
        parser = ConfigParser()
        parser.read_config([str(path) for path in configs[:2]])
        parser.update({"bundle_root": str(root), **(options or {})})
        if ckpt_path:
            parser["ckpt_path"] = str(Path(ckpt_path).resolve())
        if device:
            parser["device"] = torch.device(device)
        sys.path.insert(0, str(root))  # the package that the configs name lies there
        try:
            built = {key: parser.get_parsed_content(key) for key in BUILT}
        except RuntimeError as error:  # of the parser, around the one that says what is wrong
            raise ValueError(str(_first(error))) from error
        finally:
            sys.path.remove(str(root))
        self.model, self.card, self.device = Path(built["ckpt_path"]), built["card"], torch.device(built["device"])
        self.network = load_weights(self.model, built["network_def"].to(self.device), self.device).eval()
        self.preprocessing, self.postprocessing = built["preprocessing"], built["postprocessing"]
        self.inferer, self.synthesis, self.form = built["inferer"], built["synthesis"], built["form"]
        self.making_options = built["making_options"]
        self.rules, self.unknown_is_le = read_rules(built["vendors"]), bool(built["unknown_is_le"])
        self.description: str = json.loads((root / "configs" / "metadata.json").read_text())["description"]
        self._version = self._files()

    def __call__(self, image: str | os.PathLike, ending: str = "", instance: str = "", side: str = "") -> Translated:
        """Translate one image into a new file below the folder for temporary files.

        Args:
            image: a DICOM file, a folder of one series, or an image file of another format.
            ending: ".dcm", ".png" or ".nii.gz" for DICOM, ".nii.gz" or ".png" for NIfTI, else ".png"; "" for the first.
            instance: SOP Instance UID, where a folder holds several LE objects.
            side: "L" or "R", of an image that does not say it.

        Raises:
            Refused: with the reason.
        """
        source = Path(image)
        if not str(image) or not source.exists():
            raise Refused("there is no image of that name.", 404)
        if self._files() != self._version:
            raise Refused(f"{self.model.name} was replaced: start the server anew.", 503)
        dicom = source.is_dir() or has_dicom_mark(source)
        endings = _endings(dicom, source)
        ending = ending or endings[0]
        if ending not in endings:
            why = "" if dicom else "; only a DICOM object says whose image it is"
            raise Refused(f"result_extension is {ending!r}, expected {' or '.join(endings)} for this image{why}.")
        if side not in ("", "L", "R"):
            raise Refused(f"laterality is {side!r}, expected L or R.")
        try:
            if dicom:
                source = le_object(source, self.rules, self.unknown_is_le, instance)
                return self._of_object(source, ending)
            return self._of_picture(source, ending, side)
        except Refused:
            raise
        except ValueError as error:
            raise Refused(_without_path(str(error), source)) from error

    def _of_object(self, source: Path, ending: str) -> Translated:
        item = prepare({"image": str(source), "copies": ()}, self.preprocessing, self.card.get("seen") or {})
        header = item["header"]
        about = self._about() | {"source": str(header.get("SOPInstanceUID") or ""), "outside": item["outside"]}
        item[BatchKeys.PRED] = self._network(item["tensor"])
        if ending != ".dcm":
            return Translated(self._saved(item["tensor"], item[BatchKeys.PRED], ending, header), about)
        series, uid = derived_uids(header, self.synthesis, self.form)
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, str(header.StudyInstanceUID), series, f"{uid}.dcm")
            write(self.postprocessing, {**item, "output": str(made)})
            path = _kept(made, ending)
        about |= {"series_instance_uid": series, "sop_instance_uid": uid}
        return Translated(path, about, read_dataset(path), str(header.get("SeriesInstanceUID") or ""))

    def _of_picture(self, source: Path, ending: str, side: str) -> Translated:
        item: dict[str, Any] = {BatchKeys.IMAGE: str(source)} | ({CaseKeys.LATERALITY: side} if side else {})
        for number, step in enumerate(self.preprocessing.transforms):
            item = step(item)
            if not number and (problem := image_problem(np.asarray(item[BatchKeys.IMAGE])[0])):
                raise Refused(f"the image {problem}.")
        image = item[BatchKeys.IMAGE]
        return Translated(self._saved(image, self._network(image), ending, source), self._about())

    def _network(self, image: MetaTensor) -> torch.Tensor:
        with torch.inference_mode():
            made = self.inferer(image.as_tensor()[None].to(self.device), self.network)
        return made[0].float().cpu()

    def _saved(self, image: MetaTensor, pred: torch.Tensor, ending: str, source: Any) -> Path:
        inverse = self.postprocessing.transforms[0]
        native = inverse({BatchKeys.IMAGE: image, BatchKeys.PRED: MetaTensor(pred)})[BatchKeys.PRED]
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, f"image{ending}")
            save_virtual_des(np.asarray(native)[0], made, source, self.synthesis.weights, self.making_options)
            return _kept(made, ending)

    def _about(self) -> dict[str, Any]:
        return {"notice": NOTICE, "model_sha256": self.synthesis.weights}

    def _files(self) -> tuple[int, ...]:
        """What changes when the model or its card is replaced."""
        paths = (self.model, card_path(self.model))
        return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)


def _endings(dicom: bool, source: Path) -> tuple[str, ...]:
    """Of the files that can be made of an image, its own kind first."""
    if dicom:
        return (".dcm", ".png", ".nii.gz")
    return (".nii.gz", ".png") if source.name.lower().endswith(NIFTI) else (".png",)


def _without_path(reason: str, source: Path) -> str:
    """What is wrong, said of the image: a client has no use for where the server keeps it."""
    reason = reason.replace(str(source), "the image")
    return f"the image {reason}" if reason.split(" ")[0] in VERBS else reason


def _first(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _kept(made: Path, ending: str) -> Path:
    """A finished file under a name of its own among the temporary files; the server deletes it once it is sent."""
    handle, path = tempfile.mkstemp(prefix="virtual_des_", suffix=ending)
    os.close(handle)
    os.replace(made, path)
    return Path(path)
