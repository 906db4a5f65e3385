"""Which image of a CESM exposure a DICOM object is, as far as it says."""

from __future__ import annotations

import json

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bundle.dicom.energy import classify, other_than_le, read_rules

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
    ("RECOMBINED", "DES"),
    ("ORIGINAL", ""),
    ("", ""),
    (None, ""),
]


@pytest.mark.parametrize(("image_type", "name"), IMAGE_TYPES)
def test_energy_by_image_type(write, image_type, name):
    assert classify(pydicom.dcmread(write(ImageType=image_type))).taken_for == (name or "unknown")


def test_energy_in_small_letters():
    header = {"Modality": "MG", "ImageType": ["derived", "primary", "", "recombined"]}
    assert classify(header).taken_for == "DES"


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


def test_synthetic_data_whose_attribute_was_dropped(write):
    said = "it is synthetic data, as its series description says"
    path = write(ImageType=["DERIVED", "SECONDARY", ""], SeriesDescription="SYNTHETIC, not for diagnosis: virtual DES")
    assert other_than_le(path) == said


def coded(value, scheme):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "a meaning"
    return item


def contributing(purpose):
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(purpose, "DCM")]
    return item


@pytest.mark.parametrize(
    ("entries", "where"),
    [
        ({"DerivationDescription": "SYNTHETIC virtual DES, not an acquisition"}, "derivation description"),
        ({"DerivationCodeSequence": [coded("113062", "DCM"), coded("SYNTH-DES", "99SEGCYCLEGAN")]}, "derivation code"),
        ({"ContributingEquipmentSequence": [contributing("109101"), contributing("109100")]}, "contributing equipment"),
        ({"DerivationCodeSequence": [coded("113062", "DCM")]}, ""),
        ({"ContributingEquipmentSequence": [contributing("109101")]}, ""),
    ],
)
def test_synthetic_data_whose_description_was_changed_too(write, entries, where):
    said = f"it is synthetic data, as its {where} says" if where else ""
    assert other_than_le(write(KVP=30, SeriesDescription="low energy", **entries)) == said


class TestFilesThatDoNotSay:
    def test_a_picture(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(200))
        assert other_than_le(tmp_path / "a.png") == ""

    def test_a_broken_dicom_is_left_to_the_reader(self, tmp_path):
        (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
        assert other_than_le(tmp_path / "a.dcm") == ""

    def test_no_file_is_left_to_the_reader(self, tmp_path):
        assert other_than_le(tmp_path / "a.dcm") == ""


class TestClassify:
    """The order of decision: what can be no CESM image, Image Type, processing code, description, KVP, unknown."""

    GE_LE = ("ORIGINAL", "PRIMARY", "", "LOW_ENERGY")

    def header(self, **entries):
        ds = Dataset()
        for keyword, value in {"Modality": "MG", "Rows": 4, "Columns": 4, **entries}.items():
            setattr(ds, keyword, value)
        return ds

    @pytest.mark.parametrize(
        ("entries", "taken_for", "rule"),
        [
            ({"ImageType": list(GE_LE), "AcquisitionDeviceProcessingCode": "GEMS_CESM_1"}, "LE", "image type"),
            (
                {"AcquisitionDeviceProcessingCode": "GEMS_FFDM_PV", "SeriesDescription": "subtracted"},
                "LE",
                "processing code",
            ),
            ({"AcquisitionDeviceProcessingCode": "GEMS_CESM_1", "KVP": 29}, "DES", "processing code"),
            ({"SeriesDescription": "R CC Recombined", "KVP": 29}, "DES", "description"),
            ({"ProtocolName": "LOW-ENERGY"}, "LE", "description"),
            ({"ImageComments": "high energy"}, "HE", "description"),
            ({"AcquisitionDeviceProcessingDescription": "Subtraction"}, "DES", "description"),
            ({"SeriesDescription": "low energy and recombined", "KVP": 30}, "LE", "KVP"),  # of the whole series
            ({"SeriesDescription": "CESM des seins", "KVP": 49}, "HE", "KVP"),  # French
            ({"KVP": 25}, "LE", "KVP"),
            ({"KVP": 34}, "LE", "KVP"),
            ({"KVP": 35}, "unknown", ""),
            ({"KVP": 45}, "HE", "KVP"),
            ({"KVP": None}, "unknown", ""),
            ({"KVP": ""}, "unknown", ""),
        ],
    )
    def test_order(self, entries, taken_for, rule):
        decision = classify(self.header(**entries))
        assert (decision.taken_for, decision.rule) == (taken_for, rule)
        assert bool(decision.reason) == (taken_for not in ("LE", "DES"))

    @pytest.mark.parametrize(
        ("entries", "said"),
        [
            ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "it is tomosynthesis"),
            ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1"}, "FOR PROCESSING"),
            ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "a copy of a screen"),
            ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "its SOP class is 1.2.840.10008.5.1.4.1.1.2, expected Dig"),
            ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "FOR PROCESSING"),
            ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"], "KVP": 29}, "TOMOSYNTHESIS"),
            ({"ImageType": ["DERIVED", "PRIMARY", "", "ADDITION", "LOW_ENERGY"]}, "(Image Type ADDITION)"),
            ({"PixelIntensityRelationship": "LIN"}, "raw detector values"),
            ({"NumberOfFrames": 3}, "3 frames"),
            ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour image (RGB)"),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour image"),
        ],
    )
    def test_refused_before_anything_else_is_asked(self, entries, said):
        decision = classify(self.header(**{"ImageType": list(self.GE_LE), **entries}))
        assert decision.taken_for == "other"
        assert said in decision.reason

    def test_a_processed_image_may_be_linear(self):
        ds = self.header(ImageType=list(self.GE_LE), PixelIntensityRelationship="LIN")
        ds.PresentationIntentType = "FOR PRESENTATION"
        assert classify(ds).taken_for == "LE"


class TestVendorFile:
    def write(self, tmp_path, *entries):
        path = tmp_path / "vendors.json"
        path.write_text(json.dumps({"vendors": list(entries)}))
        return path

    def test_it_goes_before_the_rules_of_the_bundle(self, tmp_path):
        rules = read_rules(
            self.write(
                tmp_path, {"manufacturer": "^Acme", "image_type": {"DES": ["^IODINE$"]}, "kvp": {"LE": [35, 40]}}
            )
        )
        ds = Dataset()
        ds.Modality, ds.ImageType, ds.KVP = "MG", ["DERIVED", "PRIMARY", "IODINE"], 37
        assert classify(ds, rules).taken_for == "unknown"  # another manufacturer
        ds.Manufacturer = "ACME imaging"
        assert classify(ds, rules).taken_for == "DES"
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
        assert (classify(ds, rules).taken_for, classify(ds).taken_for) == ("LE", "unknown")

    def test_everything_that_is_wrong_is_said_at_once(self, tmp_path):
        path = self.write(
            tmp_path,
            7,
            {"image_types": {}},
            {"image_type": {"des": ["A"]}},
            {"description": {"LE": "low"}},
            {"kvp": {"LE": [25]}},
            {"manufacturer": "("},
        )
        with pytest.raises(ValueError, match=r"has 6 problem") as error:
            read_rules(path)
        for said in ("entry 1: 7", "'image_types'", "entry 3", "a list of patterns", "lowest, highest", "no regular"):
            assert said in str(error.value)

    def test_no_vendor_file(self, tmp_path):
        (tmp_path / "a.json").write_text("[1]")
        with pytest.raises(ValueError, match="is no vendor file"):
            read_rules(tmp_path / "a.json")
        with pytest.raises(FileNotFoundError):
            read_rules(tmp_path / "b.json")
