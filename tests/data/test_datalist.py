"""A datalist that is written is read back the same, and one that is wrong says all that is wrong."""

import json

import pytest

from bundle.data.datalist import case_items, datalist_hash, read_datalist, write_datalist


def case(number=1, **changes):
    return {
        "case_id": f"P{number}_L_CC",
        "patient_id": f"P{number}",
        "laterality": "L",
        "view": "CC",
        "le": f"images/P{number}_le.png",
        "des": f"images/P{number}_des.png",
        "seg": None,
        **changes,
    }


def write(path, cases, **options):
    return write_datalist(path, "study", "source", "CC BY 4.0", cases, **options)


def test_absolute_paths_become_relative_and_come_back_absolute(tmp_path):
    le = tmp_path / "raw" / "le.jpg"
    path = write(tmp_path / "out" / "datalist.json", [case(le=str(le), seg_le=str(le), age=46)], align="none")
    datalist = read_datalist(path)
    assert datalist["cases"][0]["le"] == "../raw/le.jpg"
    assert (datalist["name"], datalist["licence"], datalist["align"]) == ("study", "CC BY 4.0", "none")
    item = case_items(datalist, path.parent)[0]
    assert item["le"] == item["seg_le"] == str(le)
    assert item["des"] == str(tmp_path / "out/images/P1_des.png")
    assert "seg" not in item
    assert item["age"] == 46


def test_the_hash_follows_the_cases_and_nothing_else(tmp_path):
    first = {"name": "a", "cases": [case(1), case(2)]}
    assert datalist_hash(first) == datalist_hash(
        {"name": "b", "cases": [dict(reversed(c.items())) for c in first["cases"]]}
    )
    for change in ({"seg": "images/seg.png"}, {"patient_id": "P9"}, {"malignant": True}):
        assert datalist_hash({"cases": [case(1), case(2, **change)]}) != datalist_hash(first)


def test_every_problem_of_every_case_is_named(tmp_path):
    cases = [
        case(1),
        case(1),
        case(2, laterality="left", view="LCC"),
        case(3, des=""),
        case(4, malignant=1),
        case(5, patient_id=5),
        {"case_id": "P6_L_CC", "le": "a.png"},
    ]
    expected = [
        "study' has 7 problem(s):",
        "  case 'P1_L_CC': stands more than once",
        "  case 'P2_L_CC': laterality 'left', expected one of ('L', 'R')",
        "  case 'P2_L_CC': view 'LCC', expected one of ('CC', 'MLO')",
        "  case 'P3_L_CC': le and des must both name a file",
        "  case 'P4_L_CC': malignant 1, expected true, false or null",
        "  case 'P5_L_CC': patient_id 5, expected text",
        "  case 'P6_L_CC': lacks patient_id, laterality, view, des, seg",
    ]
    with pytest.raises(ValueError, match="the datalist 'study' has") as caught:
        write(tmp_path / "datalist.json", cases)
    assert str(caught.value).splitlines() == ["the datalist '" + expected[0], *expected[1:]]
    assert not list(tmp_path.iterdir())


def test_a_file_is_kept_unless_asked(tmp_path):
    path = write(tmp_path / "datalist.json", [case(1)])
    with pytest.raises(FileExistsError, match=r"datalist\.json exists already\. Choose another --output, or pass"):
        write(path, [case(2)])
    assert read_datalist(path)["cases"][0]["case_id"] == "P1_L_CC"
    write(path, [case(2)], overwrite=True)
    assert read_datalist(path)["cases"][0]["case_id"] == "P2_L_CC"
    assert [entry.name for entry in tmp_path.iterdir()] == ["datalist.json"]


def test_a_missing_one_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no datalist .*Make one: python -m scripts\.prepare phantom"):
        read_datalist(tmp_path / "datalist.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"datalist\.json is no datalist: expected JSON, but Expecting property name"),
        ("[]", "is no datalist: expected a JSON object with a list 'cases'"),
        (json.dumps({"cases": []}), "names no cases: expected at least one LE / DES pair"),
        (json.dumps({"cases": ["P1"]}), "case 0: 'P1', expected an object"),
    ],
)
def test_what_is_no_datalist_is_refused(tmp_path, content, message):
    path = tmp_path / "datalist.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_datalist(path)


def test_an_empty_study_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="the datalist 'study' names no cases"):
        write(tmp_path / "datalist.json", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"le": 5}, "le is int, expected a path or null"),
        ({"seg": ["a"]}, "seg is list, expected a path or null"),
        ({"le_window": "abc"}, "le_window is no pair of a centre and a width above 0"),
        ({"des_window": [None, None]}, "des_window is no pair"),
        ({"des_window": [1.0, 0.0]}, "des_window is no pair"),
        ({"des_window": [1.0, float("nan")]}, "des_window is no pair"),
    ],
)
def test_paths_and_windows_of_another_kind(tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        write(tmp_path / "datalist.json", [case(**change)])


def test_windows(tmp_path):
    write(tmp_path / "datalist.json", [case(le_window=[2360, 900.0], des_window=None)])
