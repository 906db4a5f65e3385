"""Which image of a CESM exposure a DICOM object is, as far as it says."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bundle.dicom.energy import energy, other_than_le

DIGITAL_MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"


@pytest.fixture
def write(tmp_path):
    """A header without pixels: that is all which is read."""

    def make(**entries):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = DIGITAL_MAMMOGRAPHY
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        for keyword, value in {"Modality": "MG", **entries}.items():
            if value is not None:
                setattr(ds, keyword, value)
        ds.preamble = b"\0" * 128
        ds.save_as(tmp_path / "image.dcm")
        return tmp_path / "image.dcm"

    return make


IMAGE_TYPES = [
    (["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"], "LE"),  # GE
    (["DERIVED", "SECONDARY", "", "LOW_ENER"], "LE"),
    (["ORIGINAL", "PRIMARY", "", "HIGH_ENERGY"], "HE"),
    (["DERIVED", "PRIMARY", "", "RECOMBINED"], "DES"),
    (["DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION", "LOW_ENERGY"], "DES"),  # PS3.3: what it was made from
    (["ORIGINAL", "PRIMARY", "POST_CONTRAST", "", "LOW_ENERGY"], "LE"),  # PS3.3
    (["ORIGINAL", "PRIMARY", "POST_CONTRAST", "", "HIGH_ENERGY"], "HE"),
    (["ORIGINAL", "PRIMARY"], ""),
    (["DERIVED", "PRIMARY", "", "ADDITION"], ""),
    ("RECOMBINED", "DES"),
    ("ORIGINAL", ""),
    ("", ""),
    (None, ""),
]


@pytest.mark.parametrize(("image_type", "name"), IMAGE_TYPES)
def test_energy_by_image_type(write, image_type, name):
    assert energy(pydicom.dcmread(write(ImageType=image_type))) == name


def test_energy_in_small_letters():
    assert energy({"ImageType": ["derived", "primary", "", "recombined"]}) == "DES"


@pytest.mark.parametrize(("image_type", "name"), IMAGE_TYPES)
def test_only_des_and_he_are_known_to_be_another(write, image_type, name):
    said = other_than_le(write(ImageType=image_type))
    assert said == (f"it is {name}" if name in ("DES", "HE") else "")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"Modality": "SEG"}, "its modality is SEG, expected MG"),
        ({"Modality": None}, "its modality is not given, expected MG"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "it is FOR PROCESSING, expected FOR PRESENTATION"),
        ({"PresentationIntentType": "FOR PRESENTATION"}, ""),
        ({"NumberOfFrames": 60}, "it has 60 frames, as tomosynthesis does"),
        ({"NumberOfFrames": 1}, ""),
        ({"NumberOfFrames": None}, ""),
    ],
)
def test_what_else_a_header_says(write, entries, said):
    assert other_than_le(write(ImageType=["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"], **entries)) == said


@pytest.mark.parametrize(("value", "said"), [("YES", "it is synthetic data"), ("NO", "")])
def test_synthetic_data(write, value, said):
    """Synthetic Data (0008,001C), which pydicom 2.4 does not know by name."""
    path = write(ImageType=["DERIVED", "PRIMARY", "", "LOW_ENERGY"])
    ds = pydicom.dcmread(path)
    ds.add_new(0x0008001C, "CS", value)
    ds.save_as(path)
    assert other_than_le(path) == said


class TestFilesThatDoNotSay:
    def test_a_picture(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(200))
        assert other_than_le(tmp_path / "a.png") == ""

    def test_a_broken_dicom_is_left_to_the_reader(self, tmp_path):
        (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
        assert other_than_le(tmp_path / "a.dcm") == ""

    def test_no_file_is_left_to_the_reader(self, tmp_path):
        assert other_than_le(tmp_path / "a.dcm") == ""
