"""Which LE images of a folder are translated, where each result goes, and what became of the others."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ..data.cdd_cesm_files import parse_name
from ..data.datalist import case_items, read_datalist
from ..data.image_check import image_problem
from ..data.images import is_image_file, read_image
from ..data.whole_files import write_table
from ..dicom.energy import other_than_le
from ..keys import BatchKeys, CaseKeys
from .save import MODEL, made_by, mark

__all__ = ["ImageFolder"]

logger = logging.getLogger(__name__)
NIFTI = (".nii", ".nii.gz")
SUFFIX = "_virtual_des"


def _stem(path: Path) -> Path:
    """A path without its image suffix; dots inside a name, as in a UID, stay."""
    name = path.name
    for ending in (".nii.gz", ".nii", ".nrrd", ".dcm", ".png", ".jpg", ".jpeg"):
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
        model: hash of the weights; a result that says it is another model's is not kept for this one's.
        options: those of :func:`bundle.inference.save.making_options`; nor is a result of others.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike,
        output_dir: str | os.PathLike,
        overwrite: bool = False,
        model: str = "",
        options: str = "",
    ) -> None:
        self.dataset_dir = Path(dataset_dir)
        self.output_dir = Path(output_dir)
        self.overwrite = overwrite
        self.model = model
        self.options = options
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
        claimed: dict[str, str] = {}
        for item in tqdm(self._candidates(), desc="looking through the images", unit="image"):
            state, reason = self._state_of(item["image"], item["output"], claimed)
            if state == "made":
                items.append(item)
            self.results.append({"image": item["image"], "output": item["output"], "state": state, "reason": reason})
        return items

    def _state_of(self, image: str, output: str, claimed: dict[str, str]) -> tuple[str, str]:
        """What becomes of an image, and why; ``claimed`` (output -> image) grows by those that get a result."""
        other = self._other_than_le(image)
        if other:
            return "skipped", f"not an LE image: {other}"
        if output not in claimed and Path(output).exists() and not self.overwrite:
            claimed[output] = image
            before, now = made_by(output), mark(self.model, self.options)
            if before and now and before != now:
                whose = "a result of another image size, precision or backend"
                if before[:MODEL] != now[:MODEL]:
                    whose = "another model's result"
                return "failed", f"{whose} is there: --overwrite True replaces it, or pass --output_dir"
            return "kept", "the result exists already; --overwrite True makes it anew"
        try:
            pixels, meta = read_image(image)
        except (OSError, ValueError) as error:
            return "failed", str(error)
        wrong = image_problem(pixels, meta)
        if wrong:
            return "failed", f"the image {wrong}"
        if ((pixels == pixels.min()) | (pixels == pixels.max())).all():
            return "skipped", "not an LE image: it holds two grey values alone, as a lesion map does"
        if output in claimed:
            return "failed", f"would be written to the same file as {claimed[output]}: rename one of the two"
        claimed[output] = image
        return "made", ""

    @staticmethod
    def _other_than_le(image: str) -> str:
        if image.lower().endswith(".seg.nrrd"):
            return "its name says that it is a lesion map"
        if _stem(Path(image)).name.endswith(SUFFIX):
            return "its name says that it is a virtual DES"
        named = parse_name(Path(image).name)
        if named is not None and named.kind == "CM":
            return "its name says that it is DES, as CDD-CESM names them"
        return other_than_le(image)

    def _candidates(self) -> list[dict[str, Any]]:
        datalist = self.dataset_dir / "datalist.json"
        if datalist.is_file():
            items = []
            for case in case_items(read_datalist(datalist), self.dataset_dir):
                path, root = Path(case[BatchKeys.LE]), self.dataset_dir.resolve()
                relative = path.relative_to(root) if root in path.parents else Path(case[CaseKeys.CASE_ID])
                items.append(
                    {
                        "image": str(path),
                        CaseKeys.LATERALITY: case[CaseKeys.LATERALITY],
                        "output": self._output_of(path, relative),
                    }
                )
            return items
        paths = sorted(path for path in self.dataset_dir.rglob("*") if path.is_file() and is_image_file(path))
        return [
            {"image": str(path), "output": self._output_of(path, path.relative_to(self.dataset_dir))}
            for path in paths
            if not self._is_result(path)
        ]

    def _is_result(self, path: Path) -> bool:
        """Whether a file was written by an earlier run to this ``output_dir``, which may lie inside ``dataset_dir``."""
        return _stem(path).name.endswith(SUFFIX) and self.output_dir.resolve() in path.resolve().parents

    def _output_of(self, path: Path, relative: Path) -> str:
        ending = ".nii.gz" if path.name.lower().endswith(NIFTI) else ".png"
        stem = _stem(relative)
        return str(self.output_dir / stem.with_name(f"{stem.name}{SUFFIX}{ending}"))

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
