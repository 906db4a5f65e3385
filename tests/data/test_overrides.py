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


def item(name, taken_for="unknown", reason="", **entries):
    return ExamObject(ROOT / name, Decision(taken_for, reason=reason), **entries)


def test_rows_settle_what_is_unknown(write):
    said = read_overrides(
        write("path,taken_for,laterality,view,partner\na/1,le,L,cc,\na\\2,DES,L,CC,a/1\nb/*,HE,,,\nb/2,other,,,\n")
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
        ("path,view\na,C\n", "line 2: view 'C', expected one of"),
        ("file,taken_for\na,LE\n", "expected path and some of"),
        ("path,taken_for,colour\na,LE,x\n", "expected path and some of"),
        ("", "expected path and some of"),
        ("path,taken_for\na,LE,x\n", "line 2: more values than columns"),
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


def test_partners_that_cannot_be(write):
    said = read_overrides(write("path,partner\nd1,le\nd2,le\nle,d1\nd3,he\nd4,other\n"))
    kinds = {"d1": "DES", "d2": "DES", "d3": "DES", "d4": "DES", "le": "LE", "he": "HE"}
    objects = [item(name, kind) for name, kind in kinds.items()] + [item("other", "LE", view="MLO")]
    with pytest.raises(ValueError, match="has 4 problem") as error:
        apply_overrides(objects, said, ROOT)
    for text in (
        "le is the partner of d2 and of d1",
        "le and its partner d1 are LE and DES, expected DES and LE",
        "d3 and its partner he are DES and HE",
        "d4 and its partner other differ in view",
    ):
        assert text in str(error.value)


def test_a_comma_too_many_changes_nothing(write):
    assert read_overrides(write("path,taken_for\na,LE,\n")).rows[0][1]["path"] == "a"


def test_no_text(tmp_path):
    (tmp_path / "o.csv").write_bytes(b"path,taken_for\nM\xfcller,LE\n")
    with pytest.raises(ValueError, match="is no CSV in UTF-8"):
        read_overrides(tmp_path / "o.csv")
