"""De-identify, then list: which lesion maps survive that, as the page on real exams says."""

from __future__ import annotations

import json

import pytest

from bundle.data.cesm_dicom import write_cesm_dicom
from bundle.data.deidentified_folder import deidentify_folder
from bundle.phantom import write_study


@pytest.mark.parametrize(
    ("form", "survive"), [pytest.param("dicom_seg", True, id="SEG"), pytest.param("seg_nrrd", False, id="NRRD")]
)
def test_maps_after_deidentification(tmp_path, form, survive):
    archive, exams, listed = (tmp_path / name for name in ("archive", "exams", "mine"))
    write_study(archive, 1, image_size=64, num_workers=1, maps=form)
    deidentify_folder(archive, exams, salt="secret", num_workers=1)
    write_cesm_dicom(exams, listed, masks=None if survive else archive, num_workers=1)  # those drawn on the originals
    given, found = (
        [bool(case.get("seg")) for case in json.loads((folder / "datalist.json").read_text(encoding="utf-8"))["cases"]]
        for folder in (archive, listed)
    )
    assert sum(given) == 2
    assert (len(found), sum(found)) == (4, 2 if survive else 0)
