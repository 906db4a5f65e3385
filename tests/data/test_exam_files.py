"""Every file of a medium is found once, and each that is no DICOM has its reason."""

import os

import pytest

from bundle.data.exam_files import find_exam_files, walk


@pytest.fixture
def dicom(tmp_path):
    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(128) + b"DICM" + bytes(40))
        return path

    return make


def reasons(found, root):
    return {entry.path.relative_to(root).as_posix(): (entry.reason, entry.expected) for entry in found.skipped}


def test_by_their_mark_and_not_by_their_name(tmp_path, dicom):
    paths = [dicom("B/2"), dicom("a deep/földer/1.DCM"), dicom("c")]
    (tmp_path / "text.dcm").write_text("no image")
    (tmp_path / "notes.txt").write_text("x" * 200)
    (tmp_path / "empty").touch()
    found = find_exam_files(tmp_path)
    assert sorted(found.dicom) == sorted(paths)
    assert reasons(found, tmp_path) == {
        "text.dcm": ("not DICOM: it lacks 'DICM' at byte 128, although its name says so: export it again", False),
        "notes.txt": ("not DICOM: it lacks 'DICM' at byte 128", True),
        "empty": ("an empty file", True),
    }


@pytest.mark.parametrize("start", [b"\x02\0\0\0UL\x04\0", b"\x08\0\x05\0CS\x0a\0", b"\x08\0\x05\0\x0a\0\0\0"])
def test_dicom_without_its_preamble(tmp_path, start):
    (tmp_path / "1").write_bytes(start + bytes(300))
    (entry,) = find_exam_files(tmp_path).skipped
    assert "begins like DICOM without its preamble" in entry.reason
    assert not entry.expected


def test_a_folder_that_is_left_out(tmp_path, dicom):
    dicom("out/1"), dicom("in/1")
    assert [path.parent.name for path in find_exam_files(tmp_path, [tmp_path / "out"]).dicom] == ["in"]


def test_links_are_followed_once(tmp_path, dicom):
    dicom("a/1")
    os.symlink(tmp_path, tmp_path / "a" / "up")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "2").write_bytes(bytes(128) + b"DICM")
    os.symlink(outside, tmp_path / "b")
    assert [path.name for path in walk(tmp_path)] == ["1", "2"]


def test_a_dicomdir_that_cannot_be_read_is_said_and_its_folder_walked(tmp_path, dicom):
    dicom("DICOMDIR"), dicom("1")
    found = find_exam_files(tmp_path)
    assert [path.name for path in found.dicom] == ["1"]
    assert found.media == 1
    assert "this DICOMDIR cannot be read" in found.skipped[0].reason
    assert found.skipped[1].reason == "a DICOMDIR: what it names was looked up"


def test_a_link_to_nothing(tmp_path):
    os.symlink(tmp_path / "gone", tmp_path / "link")
    assert "cannot be opened" in find_exam_files(tmp_path).skipped[0].reason


def test_a_name_that_is_not_utf8(tmp_path):
    with open(os.fsencode(tmp_path) + b"/f\xfcr", "wb") as file:
        file.write(bytes(128) + b"DICM")
    found = find_exam_files(tmp_path)
    assert found.dicom == []
    assert "its name is not UTF-8" in found.skipped[0].reason


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected DICOM media or folders"):
        find_exam_files(tmp_path / "none")
