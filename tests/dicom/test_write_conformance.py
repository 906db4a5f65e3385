"""Virtual DES objects before those who check DICOM for a living, and before other decoders."""

from __future__ import annotations

from functools import cache

import gdcm
import imagecodecs
import numpy as np
import pydicom
import pytest
from conformance import checked, wrong_attributes
from le_objects import breast, coded, derived, saved, whole_le
from pydicom.encaps import generate_frames

from bundle.dicom.files import read_dataset
from bundle.dicom.transfer_syntax import SYNTAXES
from bundle.dicom.write import write_object
from bundle.phantom.exam import write_study

SOURCES = {
    "phantom, 64 rows, explicit": ("explicit", 64, "PH0001/PH0001_L_CC_LE.dcm"),
    "phantom, 96 rows, JPEG lossless": ("jpeg_lossless", 96, "PH0001/PH0001_R_MLO_LE.dcm"),
    "phantom, 128 rows, JPEG 2000": ("jpeg2000", 128, "PH0001/PH0001_R_CC_LE.dcm"),
    "all that a vendor says": {},
    "in Japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "InstitutionName": "Klinikum",
        "ReferringPhysicianName": "",
    },
    "SNOMED-RT, MLO": {
        "ViewPosition": "MLO",
        "ViewCodeSequence": [coded("R-10226", "SRT", "medio-lateral oblique")],
        "PatientOrientation": None,
    },
    "poor": dict.fromkeys(
        (
            *("PatientBirthDate", "StudyTime", "AccessionNumber", "StudyID", "ViewCodeSequence", "DetectorType"),
            *("AnatomicRegionSequence", "PositionerType", "PatientOrientation", "FrameOfReferenceUID", "Manufacturer"),
            *("BurnedInAnnotation", "LossyImageCompression", "WindowCenter", "WindowWidth", "SeriesNumber"),
            *("SpecificCharacterSet", "InstitutionName", "ReferringPhysicianName", "PatientName", "InstanceNumber"),
        )
    ),
    "lossy": {"LossyImageCompression": "01", "LossyImageCompressionRatio": "10"},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Path of an LE object by its name in ``SOURCES``."""
    folder = tmp_path_factory.mktemp("sources")

    @cache
    def path(name):
        said = SOURCES[name]
        if isinstance(said, dict):
            return saved(whole_le(**said), folder / f"{list(SOURCES).index(name)}.dcm")
        syntax, rows, file = said
        write_study(folder / syntax, 1, image_size=rows, num_workers=1, syntax=syntax, truth=False)
        return folder / syntax / file

    return path


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("syntax", SYNTAXES)
class TestObjects:
    @pytest.fixture
    def pair(self, source, tmp_path, name, syntax):
        le = read_dataset(source(name), pixels=False)
        made = derived(le, breast((le.Rows, le.Columns), "right" if "_R_" in source(name).name else "left"),
                       transfer_syntax=syntax)  # fmt: skip
        return source(name), write_object(made, tmp_path / "made.dcm")

    def test_dicom3tools(self, pair):
        le, made = pair
        assert checked("dciodvfy", "-new", made) == (0, [])
        assert checked("dcentvfy", le, made) == (0, [])

    def test_types_1_and_2(self, pair):
        assert wrong_attributes(pydicom.dcmread(pair[1])) == []


class TestTheCheckers:
    """They find what they are there to find."""

    def test_dicom3tools(self, tmp_path):
        le = saved(whole_le(), tmp_path / "le.dcm")
        made = derived()
        made.ViewCodeSequence = made.ImageLaterality = None
        made.PatientID = "somebody else"
        path = write_object(made, tmp_path / "made.dcm")
        status, lines = checked("dciodvfy", "-new", path)
        assert status == 1
        assert {word for line in lines for word in ("ViewCodeSequence", "ImageLaterality") if word in line} == {
            "ViewCodeSequence",
            "ImageLaterality",
        }
        assert checked("dcentvfy", le, path)[0] == 1

    def test_types_1_and_2(self):
        made = derived()
        made.OrganExposed = ""
        del made.DetectorType, made.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeMeaning
        del made.ViewCodeSequence[0].ViewModifierCodeSequence
        assert set(wrong_attributes(made)) == {
            ("1", "OrganExposed"),
            ("2", "DetectorType"),
            ("1", "SourceImageSequence", "PurposeOfReferenceCodeSequence", "CodeMeaning"),
            ("2", "ViewCodeSequence", "ViewModifierCodeSequence"),
        }


def by_gdcm(path):
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    image = reader.GetImage()
    raw = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(raw, "<u2").reshape(image.GetDimension(1), image.GetDimension(0))


def by_imagecodecs(path):
    ds = pydicom.dcmread(path)
    if not ds.file_meta.TransferSyntaxUID.is_compressed:
        return np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    decode = {"90": imagecodecs.jpeg2k_decode, "80": imagecodecs.jpegls_decode}
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    return decode[ds.file_meta.TransferSyntaxUID[-2:]](frame)


def read_back_equal(pixels, syntax, path):
    le = whole_le(Rows=pixels.shape[0], Columns=pixels.shape[1])
    made = derived(le, pixels, transfer_syntax=syntax)
    assert made.file_meta.TransferSyntaxUID == SYNTAXES[syntax]
    assert np.array_equal(made.pixel_array, pixels)
    write_object(made, path)
    for decoded in (read_dataset(path).pixel_array, by_gdcm(path), by_imagecodecs(path)):
        assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize("syntax", SYNTAXES)
class TestPixels:
    @pytest.mark.parametrize("size", [(64, 48), (63, 47)])
    def test_read_back_equal(self, tmp_path, syntax, size):
        pixels = np.random.default_rng(0).integers(0, 4096, size, np.uint16)
        pixels[0, :2] = 0, 4095
        read_back_equal(pixels, syntax, tmp_path / "x.dcm")

    @pytest.mark.slow
    def test_native_size(self, tmp_path, syntax):
        pixels = breast((2850, 2396)) + np.random.default_rng(0).integers(0, 200, (2850, 2396), np.uint16)
        path = tmp_path / "x.dcm"
        read_back_equal(pixels, syntax, path)
        assert checked("dciodvfy", "-new", path) == (0, [])


def test_a_codestream_says_the_depth_of_what_it_holds():
    def frame(syntax):
        return next(generate_frames(derived(transfer_syntax=syntax).PixelData, number_of_frames=1))

    assert frame("jpegls")[:7].hex() == "ffd8fff7000b0c"  # SOI, SOF55, length, 12 bits (ISO 14495-1, C.2.2)
    assert frame("jpeg2000")[:4].hex() == "ff4fff51"  # SOC, SIZ (ISO 15444-1, A.5.1)
