"""The form of a disc: a DICOMDIR and files without suffix in folders of eight letters; lesion maps lie beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

from ...data.cesm_dicom import write_cesm_dicom
from ...data.datalist import read_datalist
from ..case import PhantomCase
from .dicom_file import write_images
from .form import Settings, Written, described
from .lesion_map import write_map

__all__ = ["read_back", "write_case"]

MEDIUM, MAPS, LOOSE = "medium", "maps", "loose"


def write_case(root: Path, case: PhantomCase, settings: Settings) -> Written:
    """Write the images of a case to where the medium takes them from, and its map to ``maps/<Patient ID>``."""
    images = write_images(root / LOOSE / case.case_id, case, settings)
    write_map(root / MAPS / case.patient_id / case.case_id, case, settings, cropped=True)
    return Written(described(case, case.case_id, case.patient_id), images)


def read_back(root: Path, written: Sequence[Written], settings: Settings) -> dict[str, Any]:
    """Make the medium and read it as an exam; where the HE images are on it goes into the entries."""
    medium = FileSet()
    medium.ID = "PHANTOM"
    medium.UID = generate_uid(entropy_srcs=["CESM phantom", "medium", str(settings.seed), str(settings.image_size)])
    high: dict[str, Written] = {}
    for case in written:
        for path in case.notes.values():
            medium.add(path)
        high[str(dcmread(case.notes["he"], stop_before_pixels=True).SOPInstanceUID)] = case
    medium.write(root / MEDIUM)
    for instance in medium:
        if instance.SOPInstanceUID in high:
            high[instance.SOPInstanceUID].entry["he"] = Path(instance.path).relative_to(root).as_posix()
    medium._stage["t"].cleanup()  # a FileSet has no other way to close its own folder, and Python warns of it
    shutil.rmtree(root / LOOSE)
    maps = root / MAPS if (root / MAPS).is_dir() else None
    write_cesm_dicom(root / MEDIUM, root, masks=maps, keep_ids=True, num_workers=settings.num_workers)
    return read_datalist(root / "datalist.json")
