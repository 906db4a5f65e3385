"""Which LE images of a folder are translated, where each result goes, and what became of the others."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ..data.datalist import case_items, read_datalist
from ..dicom.energy import other_than_le
from ..evaluation.tables import write_table
from ..keys import BatchKeys, CaseKeys
from ..transforms import is_image_file, read_image

__all__ = ["ImageFolder"]

logger = logging.getLogger(__name__)
NIFTI = (".nii", ".nii.gz")
SUFFIX = "_virtual_des"


def _stem(path: Path) -> Path:
    """A path without its image suffix; dots inside a name, as in a UID, stay."""
    name = path.name
    for ending in (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".dcm", ".png", ".jpg", ".jpeg"):
        if name.lower().endswith(ending):
            return path.with_name(name[: -len(ending)])
    return path


class ImageFolder:
    """The work list of an inference over a folder.

    A folder with a ``datalist.json`` gives the LE images of its cases; any other gives every image file in it, at any
    depth, that is not known to be something else than an LE image. A file that cannot be read is reported and the
    rest goes on. Results that exist already are kept, unless ``overwrite`` asks for new ones.

    Args:
        dataset_dir: the folder of images.
        output_dir: receives ``<relative stem>_virtual_des.png`` (16 bit; ``.nii.gz`` for NIfTI) and ``results.csv``.
        overwrite: make results anew that exist already.
    """

    def __init__(self, dataset_dir: str | os.PathLike, output_dir: str | os.PathLike, overwrite: bool = False) -> None:
        self.dataset_dir = Path(dataset_dir)
        self.output_dir = Path(output_dir)
        self.overwrite = overwrite
        self.results: list[dict[str, str]] = []
        self._items: list[dict[str, Any]] | None = None

    def items(self) -> list[dict[str, Any]]:
        """Items for a MONAI dataset: ``image`` (path), ``output`` (path) and, from a datalist, ``laterality``.

        Every file is read once here, so that a broken one cannot end the run later.
        """
        if self._items is None:
            self._items = self._found()
        return self._items

    def _found(self) -> list[dict[str, Any]]:
        if not self.dataset_dir.is_dir():
            return []
        items: list[dict[str, Any]] = []
        outputs: dict[str, str] = {}
        for item in tqdm(self._candidates(), desc="looking through the images", unit="image"):
            reason, state = self._reason_against(item), "failed"
            if not reason and outputs.get(item["output"]):
                reason = f"would be written to the same file as {outputs[item['output']]}: rename one of the two"
            elif not reason and Path(item["output"]).exists() and not self.overwrite:
                reason, state = "the result exists already; --overwrite True makes it anew", "kept"
            elif reason.startswith("not an LE image"):
                state = "skipped"
            if not reason:
                outputs[item["output"]] = item["image"]
                items.append(item)
            self._note(item, state if reason else "made", reason)
        return items

    def _candidates(self) -> list[dict[str, Any]]:
        datalist = self.dataset_dir / "datalist.json"
        if datalist.is_file():
            cases = case_items(read_datalist(datalist), self.dataset_dir)
            return [
                {
                    "image": case[BatchKeys.LE],
                    CaseKeys.LATERALITY: case[CaseKeys.LATERALITY],
                    "output": self._output_of(Path(case[BatchKeys.LE]), case[CaseKeys.CASE_ID]),
                }
                for case in cases
            ]
        results = self.output_dir.resolve()
        paths = sorted(path for path in self.dataset_dir.rglob("*") if path.is_file() and is_image_file(path))
        paths = [path for path in paths if results not in path.resolve().parents]
        return [{"image": str(path), "output": self._output_of(path, path.name)} for path in paths]

    def _output_of(self, path: Path, name: str) -> str:
        root = self.dataset_dir.resolve()
        relative = path.resolve().relative_to(root) if root in path.resolve().parents else Path(name)
        ending = ".nii.gz" if path.name.lower().endswith(NIFTI) else ".png"
        stem = _stem(relative)
        return str(self.output_dir / stem.with_name(f"{stem.name}{SUFFIX}{ending}"))

    @staticmethod
    def _reason_against(item: dict[str, Any]) -> str:
        try:
            other = other_than_le(item["image"])
            if other:
                return f"not an LE image: {other}"
            image, _ = read_image(item["image"])
        except (OSError, ValueError) as error:
            return str(error)
        return "" if image.min() < image.max() else "the image is constant"

    def _note(self, item: dict[str, Any], state: str, reason: str) -> None:
        self.results.append({"image": item["image"], "output": item["output"], "state": state, "reason": reason})

    def finish(self) -> None:
        """Write ``results.csv`` and log the count of each state.

        Raises:
            SystemExit: with status 1 when an image failed, or when there was none at all.
        """
        for result in self.results:
            if result["state"] == "made" and not Path(result["output"]).is_file():
                result.update(state="failed", reason="no result was written")
        table = pd.DataFrame(self.results, columns=["image", "output", "state", "reason"])
        path = write_table(table, self.output_dir / "results.csv")
        counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items()) or "no image"
        logger.info(f"{path}: {counts}")
        for result in self.results:
            if result["state"] == "failed":
                logger.error(f"{result['image']}: {result['reason']}")
        if table.empty or (table["state"] == "failed").any():
            raise SystemExit(1)
