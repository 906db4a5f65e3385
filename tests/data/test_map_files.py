"""Lesion maps of every form lie on the pixels on which they were drawn."""

import math

import highdicom
import itk
import nibabel
import nrrd
import numpy as np
import pytest
from exam_images import make_exposure, windowed
from highdicom.sr.coding import Code
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bundle.data.dicom_seg import read_dicom_seg, seg_references
from bundle.data.map_files import is_map_file, read_map

SHAPE = (6, 8)  # rows, columns
SPACING = (0.2, 0.1)  # row, column in mm
TRUTH = np.zeros(SHAPE, bool)
TRUTH[2:4, 5] = TRUTH[3, 6] = True
PICTURE = ["........", "........", ".....#..", ".....##.", "........", "........"]


def picture(lesion):
    return ["".join(".#"[int(pixel)] for pixel in row) for row in lesion]


def write(path, array, origin=(0, 0, 0), steps=(0.1, 0.2, 1.0), space="left-posterior-superior", **header):
    """An NRRD file; ``array`` with its axes as on disk, ``steps`` a diagonal or a matrix."""
    directions = np.diag(steps).astype(float) if np.ndim(steps) == 1 else np.array(steps, float)
    given = {"space": space, "space directions": directions, "space origin": np.array(origin, float), **header}
    nrrd.write(str(path), array, {key: value for key, value in given.items() if value is not None})
    return path


def on_disk(rows):
    """(H, W) to the axes on disk (W, H, 1)."""
    return np.array(rows, np.uint8).T[..., None]


CROP = on_disk([[1, 0], [1, 1]])  # of TRUTH, first pixel in row 2 and column 5
AT = (0.5, 0.4, 0)


def test_a_cropped_map_is_placed(tmp_path):
    lesion = read_map(write(tmp_path / "m.seg.nrrd", CROP, AT), SHAPE, [SPACING])
    assert picture(lesion) == PICTURE
    assert lesion.dtype == bool
    assert lesion.shape == SHAPE


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_encodings(tmp_path, encoding):
    assert picture(read_map(write(tmp_path / "m.nrrd", CROP, AT, encoding=encoding), SHAPE, [SPACING])) == PICTURE


def test_layers_and_labels_are_joined(tmp_path):
    layers = np.stack([on_disk([[0, 0], [0, 2]]), on_disk([[1, 0], [3, 0]])])
    steps = np.vstack([np.full((1, 3), np.nan), np.diag(np.array([0.1, 0.2, 1]))])
    path = write(tmp_path / "m.seg.nrrd", layers, AT, steps, kinds=["list", "domain", "domain", "domain"])
    assert picture(read_map(path, SHAPE, [SPACING])) == PICTURE


@pytest.mark.parametrize(
    ("array", "origin", "steps", "space"),
    [
        (CROP, (-0.5, -0.4, 0), (-0.1, -0.2, 1), "right-anterior-superior"),
        (CROP, (-0.5, -0.4, 0), (-0.1, -0.2, 1), "RAS"),
        (CROP, (0.5, -0.4, 0), (0.1, -0.2, 1), "LAS"),
        (CROP, AT, (0.1, 0.2, 1), "LPS"),
        (CROP[::-1], (0.6, 0.4, 0), (-0.1, 0.2, 1), "LPS"),
        (CROP[:, ::-1], (0.5, 0.6, 3), (0.1, -0.2, -1), "LPS"),
        (CROP.transpose(1, 0, 2), AT, [(0, 0.2, 0), (0.1, 0, 0), (0, 0, 1)], "LPS"),
        (CROP.transpose(2, 1, 0)[:, ::-1], (0.5, 0.6, 0), [(0, 0, 1), (0, -0.2, 0), (0.1, 0, 0)], "LPS"),
    ],
)
def test_axes_of_every_order_and_sign(tmp_path, array, origin, steps, space):
    assert picture(read_map(write(tmp_path / "m.nrrd", array, origin, steps, space), SHAPE, [SPACING])) == PICTURE


def test_two_axes_are_enough(tmp_path):
    path = write(tmp_path / "m.nrrd", CROP[..., 0], (0.5, 0.4), (0.1, 0.2), None, **{"space dimension": 2})
    assert picture(read_map(path, SHAPE, [SPACING])) == PICTURE


def test_a_finer_map_counts_by_coverage(tmp_path):
    """Pixels of half the size: 4, 2 and 1 of them lie in three pixels of the image, and 2 are half of one."""
    fine = on_disk([[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 1]])
    fine = np.concatenate([fine, 0 * fine], axis=2)  # oversampling doubles the slices too
    path = write(tmp_path / "m.seg.nrrd", fine, (0.375 - 0.1, 0.35, -0.25), (0.05, 0.1, 0.5))
    lesion = read_map(path, SHAPE, [SPACING])
    assert picture(lesion)[2] == "...##..."
    assert lesion.sum() == 2


def test_a_coarser_map_is_sampled(tmp_path):
    path = write(tmp_path / "m.nrrd", on_disk([[1]]), (0.25, 0.5, 0), (0.2, 0.4, 1))
    assert picture(read_map(path, SHAPE, [SPACING]))[1:5] == ["........", "..##....", "..##....", "........"]


def test_the_spacing_that_goes_with_the_map(tmp_path):
    path = write(tmp_path / "m.nrrd", CROP, AT)
    assert picture(read_map(path, SHAPE, [(0.18, 0.09), SPACING])) == PICTURE
    assert picture(read_map(path, SHAPE, [(math.nan, math.nan)])) == PICTURE
    assert picture(read_map(path, SHAPE)) == PICTURE
    fine = write(tmp_path / "f.nrrd", np.ones((4, 4, 1), np.uint8), (0.475, 0.35, 0), (0.05, 0.1, 1))
    assert read_map(fine, SHAPE, [(0.12, 0.06), SPACING])[2:4, 5:7].sum() == 4  # half of 0.1, though 0.06 is nearer


def test_a_whole_map_is_taken_as_it_is(tmp_path):
    for steps, origin in (((1, 1, 1), (0, 0, 0)), ((0.37, 0.37, 1), (0, 0, 0)), ((0.1, 0.2, 1), (-40, 0.3, 7))):
        path = write(tmp_path / "m.nrrd", on_disk(TRUTH), origin, steps)
        assert np.array_equal(read_map(path, SHAPE, [SPACING]), TRUTH)
    path = write(tmp_path / "m.nrrd", on_disk(TRUTH)[::-1], (7 * 0.37, 0, 0), (-0.37, 0.74, 1))
    assert np.array_equal(read_map(path, SHAPE, [SPACING]), TRUTH)  # turned, of another spacing


@pytest.mark.parametrize(
    ("misfit", "refused"), [(1.01, False), (0.99, False), (1.02, True), (1.06, True), (0.94, True)]
)
def test_a_crop_of_another_spacing(tmp_path, misfit, refused):
    """A little off is rounding or calibration, and the pixels are the image's; more is a scaled copy."""
    truth = np.zeros((200, 150), bool)
    truth[180:190, 120:140] = True
    crop = on_disk(truth[180:190, 120:140])
    for parts in (1, 2):  # pixels of the map in one of the image
        x, y = 0.1 * misfit / parts, 0.2 * misfit / parts
        fine = crop.repeat(parts, axis=0).repeat(parts, axis=1)
        at = (120 * parts * x + (x - parts * x) / 2, 180 * parts * y + (y - parts * y) / 2, 0)
        path = write(tmp_path / "m.nrrd", fine, at, (x, y, 1))
        if not refused:
            assert np.array_equal(read_map(path, truth.shape, [SPACING]), truth)
            continue
        with pytest.raises(
            ValueError,
            match=rf"m\.nrrd has pixels of {x:g} x {y:g} mm, its image of 0\.1 x 0\.2 mm: expected the same, or a whole"
            r" number or part of it, within 1\.5%\. It was drawn on a scaled copy of the image, or the spacing was",
        ):
            read_map(path, truth.shape, [SPACING])
    if refused:
        assert read_map(path, truth.shape, [SPACING], max_misfit=0.07).any()
        assert read_map(path, truth.shape, [SPACING, (0.2 * misfit, 0.1 * misfit)]).any()  # the calibrated one


OFFSET = "Segmentation_ReferenceImageExtentOffset"


def test_the_extent_offset_of_slicer_stands_in_for_the_origin(tmp_path):
    for origin in ({"space origin": None}, {}):
        path = write(tmp_path / "m.seg.nrrd", CROP, AT, **{OFFSET: "5 2 0", **origin})
        assert picture(read_map(path, SHAPE, [SPACING])) == PICTURE
    layers = np.stack([CROP, CROP])
    steps = np.vstack([np.full((1, 3), np.nan), np.diag([-0.1, -0.2, 1])])
    header = {"kinds": ["list", "domain", "domain", "domain"], "space origin": None, OFFSET: "5 2 -1"}
    path = write(tmp_path / "m.seg.nrrd", layers, None, steps, "RAS", **header)
    assert picture(read_map(path, SHAPE, [SPACING])) == PICTURE


def test_an_offset_of_a_finer_grid_counts_its_pixels(tmp_path):
    """At four times the pixels the origin lies 1.5 of them before the corner that the offset counts from."""
    fine = CROP.repeat(4, axis=0).repeat(4, axis=1)
    at = (0.5 - 1.5 * 0.025, 0.4 - 1.5 * 0.05, 0)
    path = write(tmp_path / "m.seg.nrrd", fine, at, (0.025, 0.05, 0.25), **{OFFSET: "20 8 0"})
    assert picture(read_map(path, SHAPE, [SPACING])) == PICTURE


def test_two_places_of_one_map_are_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"m\.seg\.nrrd says two places: \(0\.5, 0\.4\) mm by space origin, \(0\.3, 0\.4\) mm by Segmentation_Refe"
        r"renceImageExtentOffset: expected one, within a pixel\. Save it again from 3D Slicer, or uncropped on its",
    ):
        read_map(write(tmp_path / "m.seg.nrrd", CROP, AT, **{OFFSET: "3 2 0"}), SHAPE, [SPACING])
    for offset in ("4 2 0", "", "5 2", "a b c"):  # within a pixel, or nothing that can be read
        path = write(tmp_path / "m.seg.nrrd", CROP, AT, **{OFFSET: offset})
        assert picture(read_map(path, SHAPE, [SPACING])) == PICTURE
    backwards = write(tmp_path / "m.nrrd", CROP[::-1], (0.6, 0.4, 0), (-0.1, 0.2, 1), **{OFFSET: "1 2 0"})
    assert picture(read_map(backwards, SHAPE, [SPACING])) == PICTURE  # counted from the right


def test_a_square_map_may_be_turned_all_the_same(tmp_path):
    square = np.zeros((6, 6), bool)
    square[1, 4] = True
    path = write(tmp_path / "m.nrrd", on_disk(square.T), steps=[(0, 0.2, 0), (0.2, 0, 0), (0, 0, 1)])
    assert np.array_equal(read_map(path, (6, 6), [(0.2, 0.2)]), square)


def test_without_a_place_the_size_decides(tmp_path):
    path = tmp_path / "m.nrrd"
    nrrd.write(str(path), on_disk(TRUTH), {})
    assert np.array_equal(read_map(path, SHAPE), TRUTH)
    nrrd.write(str(path), CROP, {"spacings": [0.1, 0.2, 1.0]})
    with pytest.raises(
        ValueError, match=r"m\.nrrd has 2 x 2 pixels: expected 8 x 6 as its image. Export it on that image's"
    ):
        read_map(path, SHAPE)


@pytest.mark.parametrize("directions", [None, [0.1, 0.2, 1.0]])
def test_an_origin_without_directions(tmp_path, directions):
    header = {"space": "LPS", "space origin": np.array(AT)} | ({"spacings": directions} if directions else {})
    nrrd.write(str(tmp_path / "m.nrrd"), CROP, header)
    assert picture(read_map(tmp_path / "m.nrrd", SHAPE, [SPACING])) == PICTURE


def test_itk_moves_the_origin_of_a_region(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 50), bool)
    truth[31:47, 8:30] = rng.random((16, 22)) > 0.5
    image = itk.image_from_array(truth[None].astype(np.uint8))
    image.SetSpacing((0.0940909, 0.0940909, 1.0))
    region = itk.ImageRegion[3]()
    region.SetIndex((5, 30, 0))
    region.SetSize((27, 19, 1))
    crop = itk.region_of_interest_image_filter(image, region_of_interest=region)
    itk.imwrite(crop, str(tmp_path / "m.nrrd"), True)
    assert np.array_equal(read_map(tmp_path / "m.nrrd", truth.shape, [(0.0940909, 0.0940909)]), truth)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_crop_goes_back_to_its_place(tmp_path, data):
    rows, columns = data.draw(st.integers(2, 12)), data.draw(st.integers(2, 12))
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns))
    step = (data.draw(st.floats(0.02, 2)), data.draw(st.floats(0.02, 2)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    truth = np.zeros((rows, columns), bool)
    truth[top:bottom, left:right] = rng.random((bottom - top, right - left)) > 0.5
    truth[top, left] = True
    flips = [data.draw(st.booleans()), data.draw(st.booleans())]
    crop = truth[top:bottom, left:right].T[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1, None]
    first = (right - 1 if flips[0] else left, bottom - 1 if flips[1] else top)
    path = write(
        tmp_path / "m.nrrd",
        crop.astype(np.uint8),
        (first[0] * step[1], first[1] * step[0], 0),
        (step[1] * (-1) ** flips[0], step[0] * (-1) ** flips[1], 1),
    )
    assert np.array_equal(read_map(path, truth.shape, [step]), truth)


def test_a_little_may_be_lost_outside(tmp_path):
    path = write(tmp_path / "m.nrrd", np.ones((8, 5, 1), np.uint8), (0, -0.2, 0))
    assert read_map(path, SHAPE, [SPACING], max_lost=0.2).sum() == 32
    with pytest.raises(
        ValueError,
        match=r"lies in rows -1 to 3, columns 0 to 7, 20% of it outside the image of 8 x 6 pixels: expected at most 2%"
        r"\. It is probably another image's: rename it, or save it again on this one",
    ):
        read_map(path, SHAPE, [SPACING])


@pytest.mark.parametrize(
    ("array", "given", "message"),
    [
        (0 * CROP, {}, "is empty: expected at least one pixel of lesion. Draw it again, or leave it out"),
        (
            CROP,
            {"steps": (1, 1, 1)},
            "has pixels of 1 x 1 mm, its image of 0.1 x 0.2 mm: expected about the same",
        ),
        (
            np.ones((2, 2, 3), np.uint8),
            {},
            "has 3 slices: expected one, as a projection image has",
        ),
        (np.ones((8, 9, 1), np.uint8), {}, "spans 8 x 9 pixels of the image, which has 8 x 6: expected no more"),
        (
            CROP,
            {"steps": [(0.1, 0, 0), (0.1, 0, 0), (0, 0, 1)]},
            "has the axes .* expected two in the plane of the image",
        ),
        (
            CROP - 1.5,
            {},
            "holds values from -1.5 to -0.5: expected whole labels from 0 upwards, or probabilities",
        ),
        (CROP + 0.5, {}, "holds values from 0.5 to 1.5: expected whole labels"),
        (CROP * np.nan, {}, "holds values from nan to nan"),
        (
            np.ones((2, 2, 2, 1, 1), np.uint8),
            {"steps": np.eye(5)[:, :3]},
            "has 5 spatial axes: expected .W, H. or .W, H, 1",
        ),
        (
            np.ones((3, 2, 2, 1), np.uint8),
            {"steps": np.vstack([np.full((1, 3), np.nan), np.eye(3)]), "kinds": ["vector", *["domain"] * 3]},
            "has 3 values along an axis of kind 'vector': expected a label map, its layers of kind 'list'. Export the",
        ),
    ],
)
def test_nrrd_that_is_refused(tmp_path, array, given, message):
    with pytest.raises(ValueError, match=rf"m\.nrrd {message}"):
        read_map(write(tmp_path / "m.nrrd", array, **given), SHAPE, [SPACING])


def test_probabilities_from_a_half(tmp_path):
    path = write(tmp_path / "m.nrrd", np.float32([[[0.49], [0.5]], [[0], [1]]]), AT)
    assert np.argwhere(read_map(path, SHAPE, [SPACING])).tolist() == [[3, 5], [3, 6]]


GREYS = np.arange(48).reshape(SHAPE) * 80  # 47 above 0


@pytest.mark.parametrize("form", [np.uint16, np.float32])
def test_an_image_is_no_map(tmp_path, form):
    message = (
        r"holds 47 grey values up to 3760: expected at most 46 labels\. This is an image, no lesion map: export the se"
    )
    path = write(tmp_path / "m.nrrd", GREYS.T[..., None].astype(form))
    assert read_map(path, SHAPE, max_labels=47).sum() == 47
    with pytest.raises(ValueError, match=rf"m\.nrrd {message}"):
        read_map(path, SHAPE, max_labels=46)
    nibabel.save(nibabel.Nifti1Image(GREYS.T[..., None].astype(form), np.eye(4)), tmp_path / "m.nii")
    with pytest.raises(ValueError, match=rf"m\.nii {message}"):
        read_map(tmp_path / "m.nii", SHAPE, max_labels=46)
    Image.fromarray(GREYS.astype(np.uint16)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=rf"m\.png {message}"):
        read_map(tmp_path / "m.png", SHAPE, max_labels=46)


def test_a_mammogram_is_no_map(tmp_path):
    """Even a small one, of which much is rim."""
    shown = make_exposure(1, "L", (64, 54))
    write(tmp_path / "m.nrrd", shown.des.T[..., None], steps=(0.12, 0.1, 1))
    Image.fromarray(windowed(shown.des, "DES")).save(tmp_path / "m.png")
    for name in ("m.nrrd", "m.png"):
        with pytest.raises(ValueError, match=rf"{name} holds \d+ grey values up to \d+: expected at most 32 labels"):
            read_map(tmp_path / name, (64, 54))


def test_a_drawing_with_soft_rims_is_cut_at_half(tmp_path):
    rows, columns = np.mgrid[:256, :80]
    distance = np.hypot(rows - 40, columns - 30) - 15
    for top, kind in ((255, np.uint8), (65535, np.uint16)):
        soft = np.round(np.clip(0.5 - distance / 6, 0, 1) * top).astype(kind)  # a rim of six pixels
        assert len(np.unique(soft)) > 60
        Image.fromarray(soft).save(tmp_path / "m.png")
        assert np.array_equal(read_map(tmp_path / "m.png", soft.shape), distance <= 0)


def test_labels_of_a_picture_are_no_rims(tmp_path):
    """Lesions of their own greys, and small labels that touch."""
    greys = np.zeros((60, 60), np.uint8)
    greys[5:25, 5:25], greys[30:50, 30:50], greys[5:25, 30:50] = 100, 255, 20
    for drawn in (greys, np.where(greys > 100, 2, greys > 0).astype(np.uint8)):
        Image.fromarray(drawn).save(tmp_path / "m.png")
        assert np.array_equal(read_map(tmp_path / "m.png", drawn.shape), greys > 0)


def test_nifti_is_transposed_whatever_its_affine(tmp_path):
    for name in ("m.nii", "m.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(2 * on_disk(TRUTH), np.diag([-3.0, -3, 1, 1])), tmp_path / name)
        assert np.array_equal(read_map(tmp_path / name, SHAPE, [SPACING]), TRUTH)
    with pytest.raises(ValueError, match=r"m\.nii has 8 x 6 pixels: expected 6 x 8 as its image"):
        read_map(tmp_path / "m.nii", SHAPE[::-1])
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 6, 2), np.uint8), np.eye(4)), tmp_path / "m.nii")
    with pytest.raises(
        ValueError, match=r"holds an array \(8, 6, 2\): expected \(W, H\) or \(W, H, 1\). Export one slice"
    ):
        read_map(tmp_path / "m.nii", SHAPE)
    nibabel.save(nibabel.Nifti1Image(on_disk(TRUTH).astype(np.complex64), np.eye(4)), tmp_path / "m.nii")
    with pytest.raises(
        ValueError, match=r"holds complex64 values: expected labels or probabilities\. Export a label map"
    ):
        read_map(tmp_path / "m.nii", SHAPE)


def test_png_of_every_grey(tmp_path):
    grey = Image.fromarray(TRUTH.astype(np.uint8) * 7)
    for number, form in enumerate((grey, grey.convert("RGB"), grey.convert("P"), Image.fromarray(TRUTH))):
        form.save(tmp_path / f"{number}.PNG")
        assert np.array_equal(read_map(tmp_path / f"{number}.PNG", SHAPE), TRUTH)
    Image.fromarray(np.dstack([TRUTH, TRUTH, ~TRUTH]).astype(np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"is a colour picture \(RGB\): expected grey"):
        read_map(tmp_path / "m.png", SHAPE)


@pytest.mark.parametrize(
    ("name", "what"), [("m.nrrd", "NRRD"), ("m.nii", "NIfTI"), ("m.nii.gz", "NIfTI"), ("m.png", "PNG")]
)
def test_a_damaged_file_says_so_in_one_line(tmp_path, name, what):
    for content in (b"", b"NRRD0005\ntype: uint8\n", b"\x89PNG\r\n\x1a\nbroken", b"\xff\xd8\xff a JPEG"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"{name} (could not be read as {what}|.*PNG or JPEG).*\. Export it again\.$"
        ) as raised:
            read_map(tmp_path / name, SHAPE)
        assert "\n" not in str(raised.value)


def test_an_unknown_form(tmp_path):
    (tmp_path / "m.jpg").touch()
    with pytest.raises(ValueError, match=r"m\.jpg is of no form that is read as a lesion map: expected \.seg\.nrrd, "):
        read_map(tmp_path / "m.jpg", SHAPE)


def mammogram():
    """An MG header as highdicom needs it, without frame of reference."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = (f"1.2.826.0.1.{number}" for number in (1, 2, 3))
    ds.Rows, ds.Columns = SHAPE
    ds.ImagerPixelSpacing = list(SPACING)
    ds.Modality, ds.PatientID, ds.PatientName = "MG", "1", "Test^"
    for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(ds, keyword, "")
    return ds


def seg(path, kind="BINARY", maps=None):
    """A DICOM SEG of two segments by highdicom."""
    codes = [Code(value, "SCT", meaning) for value, meaning in (("49755003", "Lesion"), ("108369006", "Neoplasm"))]
    algorithm = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    segments = [
        highdicom.seg.SegmentDescription(number, f"s{number}", codes[0], codes[1], algorithm) for number in (1, 2)
    ]
    if maps is None:
        maps = np.stack([TRUTH & (np.arange(8) == 5), TRUTH & (np.arange(8) == 6)], axis=-1)[None]
    highdicom.seg.Segmentation(
        [mammogram()], maps, kind, segments, "1.2.826.0.1.4", 1, "1.2.826.0.1.5", 1, "m", "m", "1", "1"
    ).save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_dicom_seg_of_highdicom(tmp_path, kind):
    path = seg(tmp_path / "m", kind)
    assert seg_references(path) == ("1.2.826.0.1.1",)
    assert np.array_equal(read_map(path, SHAPE), TRUTH)
    assert np.array_equal(read_dicom_seg(path, "1.2.826.0.1.1", SHAPE), TRUTH)


def test_fractions_from_a_half(tmp_path):
    maps = np.zeros((1, *SHAPE, 2), np.float32)
    maps[0, 0, :3, 0] = 0.4, 0.51, 1
    lesion = read_map(seg(tmp_path / "m", "FRACTIONAL", maps), SHAPE)
    assert np.argwhere(lesion).tolist() == [[0, 1], [0, 2]]


def test_the_frames_of_one_image_only(tmp_path):
    ds = dcmread(seg(tmp_path / "m"))
    derivation = ds.PerFrameFunctionalGroupsSequence[1].DerivationImageSequence[0]
    derivation.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.9"
    ds.save_as(tmp_path / "m")
    assert seg_references(tmp_path / "m") == ("1.2.826.0.1.1", "1.2.9")
    assert np.argwhere(read_map(tmp_path / "m", SHAPE, sop_uid="1.2.9")).tolist() == [[3, 6]]
    with pytest.raises(
        ValueError, match=r"m has no frame of this image: it refers to 2 image\(s\) by SOP Instance UID. Exp"
    ):
        read_map(tmp_path / "m", SHAPE, sop_uid="1.2.8")
    with pytest.raises(ValueError, match="has no frame of one image alone: it refers to 2"):
        read_map(tmp_path / "m", SHAPE)


def test_references_of_all_frames(tmp_path):
    ds = dcmread(seg(tmp_path / "m"))
    for group in ds.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    ds.save_as(tmp_path / "m")
    assert seg_references(tmp_path / "m") == ("1.2.826.0.1.1",)  # the one image of the series
    source = Dataset()
    source.ReferencedSOPInstanceUID = "1.2.9"
    derivation = Dataset()
    derivation.SourceImageSequence = Sequence([source])
    ds.SharedFunctionalGroupsSequence[0].DerivationImageSequence = Sequence([derivation])
    ds.save_as(tmp_path / "m")
    assert seg_references(tmp_path / "m") == ("1.2.9",)
    assert np.array_equal(read_map(tmp_path / "m", SHAPE), TRUTH)


def test_dicom_that_is_refused(tmp_path):
    path = seg(tmp_path / "m")
    with pytest.raises(ValueError, match="m has 8 x 6 pixels: expected 6 x 8 as its image"):
        read_map(path, SHAPE[::-1])
    ds = dcmread(path)
    for keyword, value, message in (
        ("SegmentationType", "SURFACE", "is a segmentation of type SURFACE: expected BINARY, FRACTIONAL or LABELMAP"),
        ("PixelData", b"\0" * len(ds.PixelData), "is empty: expected"),
        ("PixelData", b"", "could not be read as pixels of a DICOM SEG"),
        ("PixelData", None, "has no pixel data: expected a segmentation of pixels, not of surfaces"),
        (
            "Modality",
            "MG",
            "is DICOM of modality MG: expected a segmentation .SEG.. Export the segmentation, not the image",
        ),
    ):
        wrong = dcmread(path)
        if value is None:
            del wrong[keyword]
        else:
            setattr(wrong, keyword, value)
        wrong.save_as(tmp_path / "wrong")
        with pytest.raises(ValueError, match=f"wrong {message}"):
            read_map(tmp_path / "wrong", SHAPE)
    (tmp_path / "wrong").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\xff\xff")
    with pytest.raises(ValueError, match=r"wrong (could not be read as DICOM|is DICOM of modality unknown)"):
        seg_references(tmp_path / "wrong")


def test_which_files_are_maps(tmp_path):
    seg(tmp_path / "IM1")
    mg = mammogram()
    mg.file_meta.MediaStorageSOPClassUID, mg.file_meta.MediaStorageSOPInstanceUID = mg.SOPClassUID, generate_uid()
    mg.save_as(tmp_path / "IM2.dcm", enforce_file_format=True)
    for name in ("m.seg.nrrd", "m.NRRD", "m.nii", "m.nii.gz", "m.png", "m.jpg", "m.dcm", ".m.png", "m.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    found = {path.name for path in tmp_path.iterdir() if is_map_file(path)}
    assert found == {"IM1", "m.seg.nrrd", "m.NRRD", "m.nii", "m.nii.gz", "m.png"}
    assert seg_references(tmp_path / "m.png") == ()
