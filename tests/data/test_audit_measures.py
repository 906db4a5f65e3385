"""Measures of the audit against values worked out by hand, and against what training does."""

import math

import nrrd
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bundle.data.audit.case import CaseRecord, ImageRecord, measure_case
from bundle.data.audit.details import energy_by_path
from bundle.data.audit.findings import Limits
from bundle.data.audit.header import Header, read_header
from bundle.data.audit.identity import StudyIdentity
from bundle.data.audit.patients import patient_findings, text_findings
from bundle.data.audit.pixels import (
    clipped,
    contrast,
    lesion_sizes,
    letters_in_air,
    look,
    mirrored_contrast,
    pixel_hash,
    same_looks,
    stretched,
    wall_share,
)
from bundle.data.audit.rules import pair_findings
from bundle.data.image_check import map_problem, share_in_breast
from bundle.transforms.spatial import AreaResized, PadToSquared


def test_stretch_by_window_counts_the_padding():
    image = np.array([[100.0, 200.0, 300.0]])
    assert stretched(image).tolist() == [[pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]]  # zeros are padded below
    assert stretched(image, (200.0, 100.0)).tolist() == [[0.0, 0.5, 1.0]]
    assert not stretched(np.full((2, 2), 7.0)).any()


def test_the_hash_sees_pixels_and_shape_alone():
    image = np.arange(6).reshape(2, 3)
    assert pixel_hash(image.astype(np.uint8)) == pixel_hash(image.astype(np.float32))
    assert pixel_hash(image) != pixel_hash(image.reshape(3, 2))


@pytest.mark.parametrize("laterality", ["L", "R"])
@pytest.mark.parametrize("shape", [(100, 61), (70, 90), (64, 64)])
def test_lesions_shrink_as_in_training(laterality, shape):
    seg = np.zeros(shape, bool)
    seg[5:30, 3:17] = True
    seg[40:47, 30:58] = True
    expected = {
        "seg": torch.from_numpy(seg[None].astype(np.float32)),
        "laterality": laterality,
    }
    expected = AreaResized(keys=(), seg_keys="seg", size=24)(PadToSquared("seg")(expected))["seg"]
    sizes = lesion_sizes(seg, laterality, 24)
    assert [drawn for drawn, _ in sizes] == [25 * 14, 7 * 28]
    assert sum(trained for _, trained in sizes) == int(expected.sum())


def test_a_speck_vanishes_beside_a_lesion():
    seg = np.zeros((8, 8), bool)
    seg[:4, :4] = True
    seg[6, 6] = True  # a quarter of its pixel at 4 x 4
    assert lesion_sizes(seg, "L", 4) == [(16, 4), (1, 0)]


def half_breast(side="L", shape=(200, 160)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    columns = columns if side == "L" else shape[1] - 1 - columns
    return ((rows - 100) / 90) ** 2 + (columns / 90) ** 2 < 1


def test_the_chest_wall_is_where_the_breast_is_cut():
    breast = half_breast("L")
    assert wall_share(breast, "L") > 0.75
    assert wall_share(breast, "R") == pytest.approx(1 - wall_share(breast, "L"))
    assert wall_share(breast[:, ::-1], "R") == pytest.approx(wall_share(breast, "L"))
    assert math.isnan(wall_share(breast & False, "L"))


def test_clipped_shares():
    image = np.full((4, 4), 0.5)
    image[0], image[1, :2] = 0, 1
    assert clipped(image, np.ones((4, 4), bool), 1) == (0.25, 0.125)
    assert clipped(image, np.zeros((4, 4), bool), 1) == (0.0, 0.0)


@pytest.mark.parametrize(("text", "size"), [("L CC", 14), ("DOE JANE 1971", 10)])
def test_letters_in_the_air_are_seen(text, size):
    image = np.where(half_breast(shape=(400, 320))[:, :320], 0.6, 0.0)
    picture = Image.fromarray((255 * image).astype(np.uint8))
    ImageDraw.Draw(picture).text((180, 30), text, fill=255, font=ImageFont.load_default(size))
    written = np.asarray(picture) / 255
    assert letters_in_air(written, image > 0) >= 3
    assert letters_in_air(image, image > 0) == 0
    assert letters_in_air(written, np.ones(image.shape, bool)) == 0  # inside the breast nothing is looked for


def test_two_clips_and_a_marker_are_no_letters():
    image = np.zeros((400, 320))
    image[50:60, 200:206] = image[80:90, 200:206] = image[52:62, 290:296] = 1
    image[100:160, 200:204] = 1
    assert letters_in_air(image, np.zeros(image.shape, bool)) == 1


def test_contrast_over_the_other_breast():
    des = np.array([[0.0, 2.0, 4.0, 9.0]])
    seg = np.array([[False, False, True, False]])
    assert contrast(des, seg, np.array([[True, True, True, False]])) == pytest.approx((4 - 1) / 1)
    assert math.isnan(contrast(des, seg, seg))


def test_contrast_of_mirror_images_that_stay_in_the_breast():
    des = np.array([[0.0, 0.0, 9.0, 9.0], [0.0, 4.0, 0.0, 9.0]])
    breast = np.array([[True, True, False, False], [True, True, True, False]])
    seg = np.zeros((2, 4), bool)
    seg[0, 1] = True
    # top to bottom the map lies on the 4 among four zeros; left to right it leaves the breast
    assert mirrored_contrast(des, seg, breast) == {"top to bottom": pytest.approx(4 / 1e-6)}


def test_one_look_whatever_the_format():
    breast = half_breast()
    picture = breast * (0.3 + 0.6 * np.random.default_rng(0).random((20, 16)).repeat(10, 0).repeat(10, 1))
    other = breast * (0.3 + 0.6 * np.random.default_rng(1).random((20, 16)).repeat(10, 0).repeat(10, 1))
    first = look(picture, breast)
    assert (first.shape, first.dtype, first.min(), first.max()) == ((32, 32), np.float16, 0, 1)
    padded = look(np.pad(1000 * picture + 7, 30), np.pad(breast, 30))
    assert (padded == first).all()
    mirrored = look(picture[:, ::-1], breast[:, ::-1])[:, ::-1]
    [[i, j, correlation], *more] = same_looks([look(other, breast), first], [mirrored], 0.99)
    assert (i, j, more) == (1, 0, [])
    assert correlation == pytest.approx(1, abs=1e-5)
    halved = look(picture.reshape(100, 2, 80, 2).mean(axis=(1, 3)), breast[::2, ::2])
    assert len(list(same_looks([first], [halved], 0.99))) == 1
    assert list(same_looks([], [first], -1)) == []
    assert [place[:2] for place in same_looks([first] * 3, [first], 0.9, rows=2)] == [(0, 0), (1, 0), (2, 0)]
    assert look(picture, breast & False) is None


def test_the_share_in_the_breast_is_that_of_the_rule():
    breast = np.where(half_breast(), 0.6, 0.0)
    seg = np.zeros(breast.shape, bool)
    seg[100, 70:110] = True  # the breast ends at column 89, its margin of 2 % of 200 at column 93
    assert share_in_breast(breast, seg) == pytest.approx(24 / 40, abs=1 / 40)
    assert f"only {share_in_breast(breast, seg):.0%} of it" in map_problem(breast, seg)
    assert math.isnan(share_in_breast(breast, seg & False))


@pytest.mark.parametrize(
    ("name", "energy"),
    [
        ("P1_L_DM_CC.jpg", "LE"),
        ("P4_L_CM_MLO .jpg", "DES"),
        ("P96_76_RMLO_LOW_ENERGY.nrrd", "LE"),
        ("P96_76_RMLO_RECOMBINED.nrrd", "DES"),
        ("x/a_des.png", "DES"),
        ("x/0001_SUBTR.dcm", "DES"),
        ("x/LOWEN-3.dcm", "LE"),
        ("x/LOW ENERGY.dcm", "LE"),
        ("subtracted/0001.dcm", "DES"),
        ("Low_Energy/0001.dcm", "LE"),
        ("low/P1_des.png", "DES"),
        ("DES_folder/0001.dcm", ""),
        ("des/le/0001.dcm", "LE"),
        ("LE_and_DES.png", ""),
        ("adler_model.png", ""),
    ],
)
def test_energy_by_path(name, energy):
    assert energy_by_path(name) == energy


def test_a_header_keeps_its_descriptions_and_words_apart(tmp_path):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.PatientName, ds.PatientID, ds.Manufacturer, ds.ImageLaterality = "Doe^Jane", "MRN-4711", "GE", "L"
    request = Dataset()
    request.RequestedProcedureDescription = "CESM Jane"
    ds.RequestAttributesSequence = [request]
    ds.StudyDescription = "CESM"
    ds.save_as(tmp_path / "a", enforce_file_format=True)
    header = read_header(tmp_path / "a")
    assert header.format == "DICOM, Explicit VR Little Endian"
    assert (header.maker.strip(), header.laterality, header.energy, header.burned_in) == ("GE", "L", "", False)
    expected = {"StudyDescription": "CESM", "RequestedProcedureDescription": "CESM Jane"}
    assert expected.items() <= header.descriptions.items()
    assert "jane" in header.words
    assert "jane" not in repr(header).lower()
    assert read_header("a.nii.gz").format == "NIfTI"


def test_words_of_all_women_name_none():
    identity = StudyIdentity([{"trial": "name", "ann": "name"}, {"trial": "name", "eve": "name"}, {}], many=2)
    assert identity.kinds("trial of Ann") == ["name"]
    assert identity.kinds("trial") == []
    assert identity.masked("Eve, trial") == "***, ***"  # hidden all the same


def case(number=1, patient="P1", entry=None, **images):
    entry = {"case_id": f"c{number}", "patient_id": patient, "laterality": "L", "view": "CC", **(entry or {})}
    entry = {"le": f"{number}.png", "des": f"{number}_2.png", "seg": "map.png", **entry}
    records = {key: ImageRecord(shape=(8, 8), **images.get(key, {})) for key in ("le", "des")}
    return f"c{number}", entry, CaseRecord(images=records)


def found(*cases):
    return {(f.level, f.kind): dict(f.where) for f in pair_findings(cases, Limits(), 256)}


def test_swapped_by_name():
    named = case(entry={"le": "P1_L_CM_CC.jpg", "des": "P1_L_DM_CC.jpg"})
    assert found(named) == {("error", "swapped"): {"c1": "le: its file name says DES, des: its file name says LE"}}


def test_an_le_image_that_is_its_own_des():
    double = case(le={"hash": "x"}, des={"hash": "x"})
    assert found(double)["error", "duplicate"] == {"c1": "des is the image of c1 (le)"}


def test_windows_that_some_lack():
    cases = [case(1, le={"window": (1.0, 2.0)}), case(2)]
    assert found(*cases) == {("warning", "window"): {"c2": "no window"}}


def test_one_woman_under_two_spellings_leaks_between_folds():
    cases = [case(1, "P 01"), case(2, "p1"), case(3, "P10")]
    [finding] = patient_findings(cases, {"P 01": 0, "p1": 1, "P10": 0})
    assert "1 of 1 stand in more than one fold" in finding.message
    assert finding.where == (("c1", "fold 0"), ("c2", "fold 1"))
    assert "patient_ids differ by case, blanks or leading zeros" in next(patient_findings(cases)).message


def test_a_name_in_the_name_of_the_datalist():
    header = Header(words={"doe": "name"})
    cases = [case(1, le={"header": header}), case(2)]
    findings = list(text_findings({"name": "of Mrs Doe"}, cases, StudyIdentity([header.words]), ["name"]))
    assert [(f.level, f.where) for f in findings] == [("warning", (("datalist", "name in name"),))]


def test_a_damaged_file_is_told_without_its_path(tmp_path):
    for name in ("le.png", "des.png", "seg.png"):
        (tmp_path / name).write_bytes(b"no picture")
    item = {key: str(tmp_path / f"{key}.png") for key in ("le", "des", "seg")} | {"laterality": "L"}
    record = measure_case(item)
    told = [record.images["le"].problem, record.images["des"].problem, record.map_problem]
    assert all(text.startswith("could not be read as PNG or JPEG") for text in told)
    assert str(tmp_path) not in " ".join(told)


def test_maps_that_are_empty_or_of_another_size(tmp_path):
    breast = np.where(half_breast(), 120, 0).astype(np.uint8)
    Image.fromarray(breast).save(tmp_path / "le.png")
    Image.fromarray(breast).save(tmp_path / "des.png")
    item = {key: str(tmp_path / f"{key}.png") for key in ("le", "des", "seg")} | {"laterality": "L"}
    Image.fromarray(breast[:150]).save(tmp_path / "seg.png")
    assert measure_case(item).map_problem == "is of 150 x 160, LE of 200 x 160"
    Image.fromarray(0 * breast).save(tmp_path / "seg.png")
    assert measure_case(item).map_problem == "is empty: a pair without a lesion has no map (seg: null)"


def test_maps_of_many_values_and_maps_with_nan(tmp_path):
    breast = np.where(half_breast(), 120, 0).astype(np.uint8)
    for key in ("le", "des"):
        Image.fromarray(breast).save(tmp_path / f"{key}.png")
    seg = np.zeros(breast.shape, np.float32)
    seg[80:90, 20:30], seg[100:110, 20:92] = 1, 2  # three columns in the margin of the breast
    item = {key: str(tmp_path / f"{key}.png") for key in ("le", "des")} | {"laterality": "L"}
    item["seg"] = str(tmp_path / "seg.nrrd")
    nrrd.write(item["seg"], seg.T)
    record = measure_case(item)
    assert (record.map_problem, record.map_values, record.inside) == ("", 3, 1.0)
    assert record.images["le"].look.shape == (32, 32)
    seg[0, :2] = math.nan
    nrrd.write(item["seg"], seg.T)
    assert measure_case(item).map_problem == "holds 2 NaN or infinite pixels"


def test_a_header_is_read_although_the_pixels_cannot_be(tmp_path):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.PatientName, ds.PatientID, ds.ImageLaterality = "Doe^Jane", "MRN-4711", "R"
    ds.save_as(tmp_path / "le", enforce_file_format=True)
    record = measure_case({"le": str(tmp_path / "le"), "des": str(tmp_path / "none"), "laterality": "L"})
    assert record.images["le"].problem.startswith("has no pixel data")
    assert (record.images["le"].header.laterality, "jane" in record.images["le"].header.words) == ("R", True)
    assert (record.images["des"].problem, record.images["des"].header.problem) == ("is missing", "")
