"""What is true of a study, on disk: maps of iodine, thickness and gland, and a table of all lesions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...data.whole_files import write_table
from ...keys import CaseKeys
from ..case import PhantomCase

__all__ = ["lesion_rows", "true_maps", "write_lesion_table", "write_true_maps"]

IDENTITY = (CaseKeys.CASE_ID, CaseKeys.PATIENT_ID, CaseKeys.LATERALITY, CaseKeys.VIEW)


def true_maps(case: PhantomCase) -> dict[str, NDArray[np.float32]]:
    """The true maps of a case, (rows, columns) each: ``iodine`` in mg/cm2, ``thickness`` in mm, and ``gland``, the
    share of glandular tissue of the tissue on the ray, [0, 1] and 0 in air."""
    breast = case.breast
    return {"iodine": breast.iodine, "thickness": breast.thickness, "gland": breast.gland_share}


def write_true_maps(path: Path, case: PhantomCase) -> None:
    """Write :func:`true_maps` as ``.npz``: ``np.load(path)["iodine"]``.

    The values are float16, each within 0.05 % (2**-11) of the true one: 0.25 MB and 15 ms a case of 512 rows. NIfTI
    would be taken for lesion maps where a study is read as exams with its maps (``cesm_dicom --masks``).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    maps: dict[str, Any] = {name: values.astype(np.float16) for name, values in true_maps(case).items()}
    np.savez_compressed(path, **maps)


def lesion_rows(case: PhantomCase, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """A row of the lesion table for each lesion of a case; ``entry`` is its entry of the datalist.

    ``area_mm2`` is that of the lesion map, of all lesions of the breast together.
    """
    area = round(int(np.count_nonzero(case.breast.lesion)) * case.breast.spacing**2, 2)
    known = {key: entry[key] for key in IDENTITY}
    return [
        known | {"number": number, "area_mm2": area} | lesion.truth() for number, lesion in enumerate(case.lesions, 1)
    ]


def write_lesion_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write ``lesions.csv``, a row a lesion and view; heads alone where nobody has a lesion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(list(rows))
    write_table(table if len(table) else pd.DataFrame(columns=[*IDENTITY, "number"]), path)
