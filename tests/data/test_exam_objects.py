"""What is kept of a header tells and pairs an object, and names nobody."""

import numpy as np
import pytest
from exam_images import write_image

from bundle.data.exam_objects import read_object

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
DAY = 86400.0


@pytest.fixture
def read(tmp_path):
    def make(**tags):
        return read_object(write_image(tmp_path / "image", PIXELS, **tags))

    return make


def test_what_it_is(read):
    item = read(
        ImageType=["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"], ImageLaterality="L", ViewPosition="MLO", PatientID="7"
    )
    assert (item.decision.taken_for, item.laterality, item.view) == ("LE", "L", "MLO")
    assert (item.rows, item.columns) == (3, 4)
    assert item.is_original


def test_the_patient_id_is_not_shown(read):
    assert "HOSP-774411" not in repr(read(PatientID="HOSP-774411"))


@pytest.mark.parametrize(
    ("tags", "seconds"),
    [
        ({"AcquisitionTime": "101530.25", "StudyDate": ""}, 10 * 3600 + 15 * 60 + 30.25),
        ({"AcquisitionTime": "10", "StudyDate": ""}, 36000.0),
        ({"AcquisitionTime": "", "ContentTime": "000001", "StudyDate": ""}, 1.0),
        ({"AcquisitionTime": "25:61", "ContentTime": "", "StudyDate": ""}, None),
        ({"AcquisitionTime": "", "ContentTime": ""}, None),
    ],
)
def test_the_moment_of_an_exposure(read, tags, seconds):
    assert read(**{"AcquisitionDate": "", "ContentDate": "", "ContentTime": "", **tags}).moment == seconds


def test_moments_of_two_days(read):
    times = {"AcquisitionTime": "235959", "ContentTime": ""}
    first = read(**times, AcquisitionDate="20240131").moment
    assert read(**times, AcquisitionDate="20240201").moment - first == DAY
    assert read(AcquisitionTime="", ContentTime="", AcquisitionDateTime="20240201235959").moment - first == DAY


def test_spacings_of_the_detector_go_first(read):
    item = read(ImagerPixelSpacing=[0.1, 0.2], PixelSpacing=[0.05, 0.1])
    assert item.spacings == ((0.1, 0.2), (0.05, 0.1))
    assert read(ImagerPixelSpacing=None).spacings in ((), ((0.05, 0.1),))


def test_an_unknown_object_is_listed_with_its_tags_but_nobody_is_named(read):
    tags = {"ImageType": ["ORIGINAL", "PRIMARY"], "KVP": 40, "PatientName": "Zwetschge^Anne", "Manufacturer": "Acme"}
    item = read(SeriesDescription="Zwetschge 03.02.1951\nright", PatientBirthDate="19510203", **tags)
    assert item.decision.taken_for == "unknown"
    assert "ImageType ORIGINAL\\PRIMARY" in item.decision.reason
    assert "SeriesDescription given" in item.decision.reason
    assert "wetschge" not in item.decision.reason
    assert "name it in --overrides" in item.decision.reason
    assert item.shown["manufacturer"] == "Acme"


class TestNoImage:
    def test_a_header_that_ends(self, tmp_path):
        path = write_image(tmp_path / "image", PIXELS)
        path.write_bytes(path.read_bytes()[:200])
        item = read_object(path)
        assert item.decision.taken_for == "unreadable"
        assert item.decision.reason

    def test_garbage_behind_the_mark(self, tmp_path):
        (tmp_path / "image").write_bytes(bytes(128) + b"DICM" + b"\xff" * 64)
        assert read_object(tmp_path / "image").decision.taken_for == "unreadable"

    def test_no_file(self, tmp_path):
        item = read_object(tmp_path / "none")
        assert item.decision.reason == "its header cannot be read (FileNotFoundError): export it again"
