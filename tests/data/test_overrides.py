"""What a user says of files holds, and a slip of the pen is not passed over."""

from pathlib import Path

import pytest

from bundle.data.exam_objects import ExamObject
from bundle.data.overrides import apply_overrides, read_overrides
from bundle.dicom.energy import Decision

ROOT = Path("root")


@pytest.fixture
def write(tmp_path):
    def make(text):
        path = tmp_path / "overrides.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def item(name, taken_for="unknown", reason=""):
    return ExamObject(ROOT / name, Decision(taken_for, reason=reason))


def test_rows_settle_what_is_unknown(write):
    said = read_overrides(
        write("path,taken_for,laterality,view,partner\na/1,le,L,cc,\na\\2,DES,,,a/1\nb/*,HE,,,\nb/2,other,,,\n")
    )
    objects = [item(name) for name in ("a/1", "a/2", "b/1", "b/2")]
    changed, partners = apply_overrides(objects, said, ROOT)
    assert [each.decision.taken_for for each in changed] == ["LE", "DES", "HE", "other"]
    assert {each.decision.rule for each in changed} == {"override"}
    assert (changed[0].laterality, changed[0].view) == ("L", "CC")
    assert changed[0].decision.reason == ""
    assert changed[3].decision.reason == "the override file leaves it out"
    assert partners == {ROOT / "a/2": ROOT / "a/1"}


def test_a_semicolon_and_a_mark_of_byte_order(write):
    path = write("\ufeffpath;taken_for\nx;LE\ny;DES\n")
    assert [row["taken_for"] for _, row in read_overrides(path).rows] == ["LE", "DES"]


def test_none_changes_nothing():
    objects = [item("a")]
    assert apply_overrides(objects, read_overrides(None), ROOT) == (objects, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,taken_for\na,XX\n,LE\nb,\n", r"has 3 problem.*line 2: taken_for 'XX'.*line 3.*line 4"),
        ("path,laterality\na,left\n", "line 2: laterality 'left', expected one of"),
        ("file,taken_for\na,LE\n", "expected path and some of"),
        ("path,taken_for,colour\na,LE,x\n", "expected path and some of"),
        ("", "is no override file"),
    ],
)
def test_everything_wrong_with_the_file(write, text, said):
    with pytest.raises(ValueError, match=r"(?s)" + said):
        read_overrides(write(text))


def test_rows_that_name_nothing_or_the_impossible(write):
    said = read_overrides(write("path,taken_for,partner\nx,LE,\na,LE,\na*,LE,\nb,DES,z\n"))
    with pytest.raises(ValueError, match="has 3 problem") as error:
        apply_overrides([item("a", "other", "it is tomosynthesis"), item("b")], said, ROOT)
    assert "line 2: x names no DICOM file" in str(error.value)
    assert "line 3: a cannot be used: it is tomosynthesis" in str(error.value)
    assert "line 5: the partner z names no DICOM file" in str(error.value)
