"""Images, lesion maps and labels are found by name, and what is ambiguous is told in full."""

import re

import pandas as pd
import pytest
from cdd_cesm_folder import breast, save, write_folder, write_workbook

from bundle.data.cdd_cesm_files import find_files, find_one, parse_name
from bundle.data.cdd_cesm_labels import read_workbook


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "PKG - CDD-CESM")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("P1_L_DM_MLO.jpg", ("DM", (1, "L", "MLO", 0))),
        ("P4_L_CM_MLO .JPG", ("CM", (4, "L", "MLO", 0))),
        ("P99_L_DM_MLO_2.jpeg", ("DM", (99, "L", "MLO", 2))),
        ("P281_R_CM_MLO2", ("CM", (281, "R", "MLO", 2))),
        ("P1_L_DM_XCCL.jpg", None),
        ("x_P1_L_DM_CC.jpg", None),
    ],
)
def test_names_are_taken_apart(name, expected):
    assert parse_name(name) == expected


def test_doubles_are_listed_with_both_places(root):
    save(root / "copy/P1_L_DM_CC.png", breast("DM"))
    save(root / "copy/P7_R_CM_CC.jpg", breast("CM"))
    with pytest.raises(ValueError, match=r"holds 2 name\(s\) more than once. Keep one of each") as caught:
        find_files(root)
    lines = str(caught.value).splitlines()[1:]
    assert [re.sub(r"\S*PKG - CDD-CESM/", "", line).strip() for line in lines] == [
        "image P7_R_CC (CM): copy/P7_R_CM_CC.jpg and merged/Subtracted images of CDD-CESM/P7_R_CM_CC.JPG",
        "image P1_L_CC (DM): Low energy images of CDD-CESM/P1_L_DM_CC.jpg and copy/P1_L_DM_CC.png",
    ]


def test_two_workbooks_are_one_too_many(root):
    write_workbook(root / "Radiology_manual_annotations.xlsx", [])
    with pytest.raises(ValueError, match=r"holds several files 'Radiology manual annotations\.xlsx'. Keep one"):
        find_one(root, "Radiology manual annotations", ".xlsx")


def test_every_bad_row_of_a_workbook_is_named(tmp_path):
    rows = [("P1_L_DM_CC", "C", 4, "", "Malign"), ("scan 3", "C", 4, "", "Benign"), ("P2_L_DM_CC", "C", 4, "", None)]
    path = write_workbook(tmp_path / "book.xlsx", [*rows, rows[2]])
    with pytest.raises(ValueError, match=r"has 3 problem\(s\)") as caught:
        read_workbook(path)
    assert str(caught.value).splitlines()[1:] == [
        "  row 2: pathology 'Malign', expected Normal, Benign or Malignant",
        "  row 3: image name 'scan 3', expected P<n>_<L|R>_<DM|CM>_<CC|MLO>",
        "  row 5: 'P2_L_DM_CC' stands more than once",
    ]
    pd.DataFrame({"Image_name": []}).to_excel(path, sheet_name="all")
    with pytest.raises(ValueError, match=r"lacks the column\(s\) Age, Breast density"):
        read_workbook(path)
    pd.DataFrame().to_excel(path, sheet_name="other")
    with pytest.raises(ValueError, match="has the sheets other; expected one named 'all'"):
        read_workbook(path)


def test_the_real_workbook_is_read_whole(shared_data):
    labels = read_workbook(shared_data / "cdd_cesm_annotations" / "Radiology manual annotations.xlsx")
    counts = pd.Series([row["pathology"] for row in labels.values()]).value_counts().to_dict()
    assert counts == {"Normal": 757, "Malignant": 662, "Benign": 587}
    assert len({name.key for name in labels}) == 1003
