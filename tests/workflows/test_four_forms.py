"""One study as DICOMDIR, as folder, as NRRD and as 8-bit JPEG: the same cases, and the same tensors for a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exam_tree import write_clean_study
from monai.bundle import ConfigParser
from monai.transforms import Compose

from bundle.data.cdd_cesm import write_cdd_cesm
from bundle.data.cesm_dicom import write_cesm_dicom
from bundle.data.datalist import case_items, read_datalist
from bundle.data.ucbm_nrrd import write_ucbm_nrrd

ROOT = Path(__file__).parents[2]
FORMS = ("dicomdir", "folder", "nrrd", "jpeg")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Form -> path of its datalist; patients of the DICOM forms are named by their ID, as the others are."""
    folder = tmp_path_factory.mktemp("forms")
    lists = {}
    for form in FORMS:
        tree, output = write_clean_study(folder / form, form, patients=2), folder / f"{form}_out"
        if form == "nrrd":
            lists[form] = write_ucbm_nrrd(tree.root, output, masks=tree.masks)
        elif form == "jpeg":
            lists[form] = write_cdd_cesm(tree.root, output, align="none")
        else:
            summary = write_cesm_dicom(tree.root, output, masks=tree.masks, keep_ids=True)
            assert summary.attention == 0, summary.lines
            lists[form] = summary.datalist
    return lists


@pytest.fixture(scope="module")
def preprocess():
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs/train.json"))
    parser["image_size"] = 64
    return Compose(parser.get_parsed_content("deterministic_transforms"))


def cases_of(path):
    keys = ("case_id", "patient_id", "laterality", "view")
    return sorted((*(case[key] for key in keys), case["seg"] is not None) for case in read_datalist(path)["cases"])


def tensors_of(path, preprocess):
    items = case_items(read_datalist(path), path.parent)
    return {item["case_id"]: {key: preprocess(item)[key].numpy() for key in ("le", "des", "seg")} for item in items}


def test_the_same_cases(studies):
    cases = {form: cases_of(path) for form, path in studies.items()}
    assert len(cases["folder"]) == 9  # four views of two women, and a second right CC of the first
    assert ("P1_R_CC_2", "P1", "R", "CC") in [case[:4] for case in cases["folder"]]
    assert {True, False} == {case[4] for case in cases["folder"]}
    for form in FORMS:
        assert cases[form] == cases["folder"], form


@pytest.mark.parametrize(("form", "tolerance"), [("dicomdir", 0), ("nrrd", 0), ("jpeg", 3 / 255)])
def test_the_same_tensors_to_the_precision_of_the_form(studies, preprocess, form, tolerance):
    """JPEG holds 256 grey values: a step for rounding and coding, and up to two where the ends of the range, which are
    stretched to 0 and 1, were coded a step off.
    """
    expected, made = tensors_of(studies["folder"], preprocess), tensors_of(studies[form], preprocess)
    for case_id, images in expected.items():
        for key in ("le", "des"):
            np.testing.assert_allclose(made[case_id][key], images[key], atol=tolerance, rtol=0, err_msg=case_id)
            assert np.abs(made[case_id][key] - images[key]).mean() <= tolerance / 6
        np.testing.assert_array_equal(made[case_id]["seg"], images["seg"])
    assert max(float(images["seg"].sum()) for images in expected.values()) > 0
