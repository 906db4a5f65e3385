"""One woman is one patient, whatever single files lack or how her ID is spelled."""

from pathlib import Path

import pytest

from bundle.data.exam_objects import ExamObject
from bundle.data.exam_patients import name_patients
from bundle.dicom.energy import Decision


def item(raw_id="", name="", study="1"):
    return ExamObject(Path("x"), Decision("LE"), study_uid=study, raw_id=raw_id, raw_name=name)


def patients(*objects, **options):
    return [each.patient for each in name_patients(objects, **options)[0]]


@pytest.mark.parametrize("other", ["HOSP-1", " hosp-1", "hosp- 1"])
def test_spellings_of_one_id(other):
    first, second = patients(item("hosp-1"), item(other, study="2"))
    assert first == second


def test_leading_zeros_are_no_difference_but_zero_is_an_id():
    first, second, zero, other = patients(item("00123"), item("123"), item("000", study="2"), item("5"))
    assert first == second
    assert len({first, zero, other}) == 3


def test_a_file_without_an_id_has_that_of_its_study():
    named, remarks = name_patients([item("A1"), item()])
    assert named[0].patient == named[1].patient
    assert named[1].patient_source == "patient ID of its study"
    assert remarks == ["1 object(s) without Patient ID got that of their study, or of their name and birth date"]


def test_or_that_of_its_name_and_birth_date():
    first, second = patients(item("A1", "wu^li|19510203"), item("", "wu^li|19510203", study="2"))
    assert first == second


def test_names_do_not_join_two_ids():
    """An anonymiser writes one name for all."""
    objects = [
        item("1", "anonymous|19000101"),
        item("2", "anonymous|19000101", study="2"),
        item("", "anonymous|19000101", "3"),
    ]
    keys = patients(*objects)
    assert len(set(keys)) == 3


def test_without_an_id_name_and_birth_date_then_the_study():
    named, remarks = name_patients([item("", "a|1", "1"), item("", "a|1", "2"), item("", "", "3"), item("", "", "3")])
    assert named[0].patient == named[1].patient != named[2].patient == named[3].patient
    assert [each.patient_source for each in named] == ["name and birth date"] * 2 + ["study"] * 2
    assert remarks == ["1 patient(s) are known by their study alone: two studies of one woman count as two women"]


def test_what_contradicts_itself_is_said():
    _, remarks = name_patients([item("1", "a|1"), item("2", "b|2"), item("1", "c|3", "9")])
    assert remarks == [
        "1 study(ies) hold several Patient IDs: each ID counts as a woman",
        "1 Patient ID(s) stand with several names or birth dates: each ID counts as one woman",
    ]


def test_nothing_at_all():
    assert patients(item(study="")) == [""]


def test_a_salt_changes_the_keys_of_patients_and_studies():
    (one,), _ = name_patients([item("1")], "a")
    (two,), _ = name_patients([item("1")], "b")
    assert one.patient != two.patient
    assert one.study != two.study


def test_ids_are_kept_where_that_is_asked_for():
    assert patients(item("b 7"), item("B7"), item("", study="9"), keep_ids=True)[:2] == ["B7", "B7"]
