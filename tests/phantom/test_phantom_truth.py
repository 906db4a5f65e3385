"""What the study says is true, against the cases that were drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bundle.data.datalist import read_datalist
from bundle.phantom.case import VIEWS, draw_patient, exam_grid, render_case
from bundle.phantom.exam import write_study
from bundle.phantom.forms.truth import true_maps, write_lesion_table

PATIENTS, SIZE = 3, 64
HALF = 2.0**-11  # relative rounding of float16


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = write_study(tmp_path_factory.mktemp("truth") / "study", PATIENTS, image_size=SIZE)
    return path.parent, read_datalist(path)


@pytest.fixture(scope="module")
def drawn():
    women = {patient: draw_patient(0, patient) for patient in range(1, PATIENTS + 1)}
    cases = [
        render_case(0, patient, woman, *view, exam_grid(SIZE)) for patient, woman in women.items() for view in VIEWS
    ]
    return {case.case_id: case for case in cases}


def test_maps_are_those_that_were_drawn(study, drawn):
    folder, datalist = study
    for entry in datalist["cases"]:
        case = drawn[entry["case_id"]]
        with np.load(folder / entry["truth"]) as maps:
            assert set(maps) == {"iodine", "thickness", "gland"}
            np.testing.assert_allclose(maps["iodine"], case.breast.iodine, rtol=HALF, atol=1e-7)
            np.testing.assert_allclose(maps["thickness"], case.breast.thickness, rtol=HALF, atol=1e-7)
            glandular = maps["gland"].astype(np.float64) * case.breast.thickness
            np.testing.assert_allclose(glandular, case.breast.gland, rtol=2 * HALF, atol=1e-5)
            air = case.breast.thickness == 0
            assert all((maps[name][air] == 0).all() for name in maps)
            assert maps["gland"].max() <= 1
            assert maps["gland"].min() >= 0


def test_maps_are_those_of_the_breast(drawn):
    case = next(iter(drawn.values()))
    maps = true_maps(case)
    np.testing.assert_array_equal(maps["iodine"], case.breast.iodine)
    np.testing.assert_array_equal(maps["thickness"], case.breast.thickness)
    np.testing.assert_array_equal(maps["gland"], case.breast.gland_share)
    assert {values.dtype for values in maps.values()} == {np.dtype(np.float32)}


def test_table_agrees_with_the_datalist_and_the_maps(study, drawn):
    folder, datalist = study
    table = pd.read_csv(folder / "truth" / "lesions.csv")
    expected = [(entry, lesion) for entry in datalist["cases"] for lesion in entry["lesions"]]
    assert len(table) == len(expected) >= 4
    for (entry, lesion), row in zip(expected, table.to_dict("records"), strict=True):
        for key in ("case_id", "patient_id", "laterality", "view"):
            assert row[key] == entry[key]
        for key, value in lesion.items():
            assert row[key] == value, key
        case = drawn[entry["case_id"]]
        assert row["area_mm2"] == pytest.approx(np.count_nonzero(case.breast.lesion) * (285 / SIZE) ** 2, abs=0.01)


def test_without_a_lesion_the_table_has_heads_alone(tmp_path):
    write_lesion_table(tmp_path / "truth" / "lesions.csv", [])
    assert (tmp_path / "truth" / "lesions.csv").read_text() == "case_id,patient_id,laterality,view,number\n"


@pytest.mark.parametrize("form", ["cdd_cesm", "png"])
def test_every_form_names_its_truth_by_its_own_cases(tmp_path, form):
    path = write_study(tmp_path / "study", 1, image_size=SIZE, num_workers=1, form=form)
    entries = read_datalist(path)["cases"]
    table = pd.read_csv(path.parent / "truth" / "lesions.csv")
    assert set(table["case_id"]) == {entry["case_id"] for entry in entries if entry["lesions"]}
    assert all((path.parent / entry["truth"]).is_file() for entry in entries)
    assert {entry["truth"] for entry in entries} == {f"truth/{entry['case_id']}.npz" for entry in entries}


def test_truth_can_be_left_out(tmp_path):
    path = write_study(tmp_path / "study", 1, image_size=SIZE, truth=False)
    assert not (path.parent / "truth").exists()
    assert all("truth" not in entry for entry in read_datalist(path)["cases"])
