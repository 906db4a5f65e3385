"""The research form of CESM@UCBM: NRRD pairs, 3D Slicer's maps, and index texts that hold the windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...data.datalist import read_datalist
from ...data.ucbm_nrrd import write_ucbm_nrrd
from ..case import VIEWS, PhantomCase
from .form import Settings, Written, described, patient_number, window
from .lesion_map import write_map
from .nrrd_file import write_nrrd

__all__ = ["read_back", "write_case"]

ROOT = "CESM@UCBM"
COLUMNS = ("id", "img_x", "img_y", "r_l", "wc_x", "ww_x", "wc_y", "ww_y")
KINDS = (("le", "Low Energy", "LOW_ENERGY"), ("des", "Recombined", "RECOMBINED"))


def write_case(root: Path, case: PhantomCase, settings: Settings) -> Written:
    """Write ``Low Energy/P1_2_LMLO_LOW_ENERGY.nrrd``, its DES and its map; the notes are its row of an index."""
    patient = patient_number(case)
    number = len(VIEWS) * (patient - 1) + VIEWS.index((case.laterality, case.view)) + 1
    name = f"P{patient}_{number}_{case.laterality}{case.view}"
    files, windows = [], []
    for key, folder, kind in KINDS:
        path = root / ROOT / folder / f"{name}_{kind}.nrrd"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nrrd(path, getattr(case, key), case.breast.spacing)
        files.append(f"{folder}/{path.name}")
        windows += [f"{value:g}" for value in window(case, key)]
    write_map(root / ROOT / "masks" / name, case, settings, cropped=True)
    entry = described(case, f"P{patient}_{case.laterality}_{case.view}", f"P{patient}")
    return Written(entry, (patient, [str(number), *files, case.laterality, *windows]))


def read_back(root: Path, written: Sequence[Written], settings: Settings) -> dict[str, Any]:
    """Write ``train.txt`` and, of every fifth woman, ``test.txt``, and read the tree."""
    for name, is_test in (("train", False), ("test", True)):
        rows = [row for patient, row in (case.notes for case in written) if (patient % 5 == 0) == is_test]
        if rows:
            text = "\n".join("\t".join(row) for row in (COLUMNS, *rows))
            (root / ROOT / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")
    return read_datalist(write_ucbm_nrrd(root / ROOT, root, num_workers=settings.num_workers))
