"""Every form of the study on disk, read back by the reader that it is made for."""

from __future__ import annotations

import csv
import json
import logging
import re
from functools import cache
from zipfile import ZipFile

import nibabel as nib
import nrrd
import numpy as np
import openpyxl
import pydicom
import pytest
from pydicom.fileset import FileSet

from bundle.data import cesm_dicom as cesm_dicom_module
from bundle.data import ucbm_nrrd as ucbm_nrrd_module
from bundle.data.cdd_cesm_labels import read_workbook
from bundle.data.cesm_dicom import write_cesm_dicom
from bundle.data.datalist import case_items, read_datalist
from bundle.data.images import read_image
from bundle.data.lesion_maps import draw_regions, read_regions, shape_counts
from bundle.data.registration import overlap
from bundle.phantom import exam
from bundle.phantom.anatomy import Grid
from bundle.phantom.case import draw_patient, exam_grid, render_case
from bundle.phantom.exam import write_study
from bundle.phantom.forms import FORMS, MAPS, SYNTAXES, cdd_cesm
from bundle.phantom.forms.hand_drawn import trace
from bundle.phantom.forms.nrrd_file import write_nrrd
from bundle.phantom.forms.workbook import write_workbook

PATIENTS, SIZE = 5, 128


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Readers work in this process, since theirs take seconds to start, and no case is drawn twice."""

    def inline(work, items, *_, **__):
        return map(work, items)

    with pytest.MonkeyPatch.context() as patch:
        for module in (cesm_dicom_module, ucbm_nrrd_module):
            patch.setattr(module, "work_apart", inline)
        patch.setattr(exam, "render_case", cache(render_case))
        yield


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The same women in every form: its folder. CDD-CESM is not cropped."""
    folder = tmp_path_factory.mktemp("forms")
    for form in FORMS:
        write_study(folder / form, PATIENTS, image_size=SIZE, num_workers=1, form=form, crop=False)
    return {form: folder / form for form in FORMS}


def cases_of(folder):
    """Items of a datalist by (number of the patient, side, view)."""
    items = case_items(read_datalist(folder / "datalist.json"), folder)
    return {(int(item["patient_id"].strip("PH")), item["laterality"], item["view"]): item for item in items}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def windowed(item, key):
    pixels, meta = read_image(item[key])
    center, width = item.get(f"{key}_window") or (meta["window_center"], meta["window_width"])
    return np.clip((pixels - (center - width / 2)) / width, 0, 1)


def lesion(item, key="seg"):
    return read_image(item[key])[0] > 0


@pytest.fixture(scope="module")
def cancer():
    """A view of a breast with a cancer, (options, case)."""
    woman = draw_patient(0, 1)
    case = render_case(0, 1, woman, woman.lesions[0].laterality, "CC", exam_grid(256))
    assert case.malignant
    return case


class TestEveryForm:
    @pytest.mark.parametrize("form", FORMS)
    def test_has_the_cases_of_the_default_form(self, studies, form):
        expected, found = cases_of(studies["dicom"]), cases_of(studies[form])
        assert found.keys() == expected.keys()
        assert len(found) == 4 * PATIENTS
        for key, item in found.items():
            assert ("seg" in item) == ("seg" in expected[key]), key
            assert (item["density"], item["lesions"]) == (expected[key]["density"], expected[key]["lesions"])
            if form == "cdd_cesm" and not item["lesions"]:
                assert item["malignant"] is False  # its workbook says Normal
            else:
                assert item["malignant"] is expected[key]["malignant"], key

    @pytest.mark.parametrize("form", sorted(FORMS.keys() - {"cdd_cesm"}))
    def test_has_the_same_images_bit_for_bit(self, studies, form):
        expected, found = cases_of(studies["dicom"]), cases_of(studies[form])
        for key in list(found)[:6]:
            for image in ("le", "des"):
                np.testing.assert_array_equal(windowed(found[key], image), windowed(expected[key], image))
            if "seg" in found[key]:
                np.testing.assert_array_equal(lesion(found[key]), lesion(expected[key]))

    def test_jpeg_is_the_windowed_image_in_8_bits(self, studies):
        expected, found = cases_of(studies["dicom"]), cases_of(studies["cdd_cesm"])
        for key in list(found)[:6]:
            for image in ("le", "des"):
                error = read_image(found[key][image])[0] / 255 - windowed(expected[key], image)
                assert np.abs(error).max() < 8 / 255
                assert np.abs(error).mean() < 1 / 255

    @pytest.mark.parametrize("form", FORMS)
    def test_says_that_it_is_a_phantom(self, studies, form):
        datalist = read_datalist(studies[form] / "datalist.json")
        assert (datalist["name"], datalist["source"]) == ("CESM phantom", "Computer-generated phantom, not a patient")
        assert (datalist["licence"], datalist["form"]) == ("Apache-2.0", form)
        assert datalist["phantom"] == {"patients": PATIENTS, "seed": 0, "image_size": SIZE}
        assert not datalist.get("skipped")

    @pytest.mark.parametrize("form", FORMS)
    def test_depends_on_the_seed_alone(self, tmp_path, form):
        for name, workers in (("one", 1), ("two", 2)):
            if form == "cdd_cesm":
                workers = 1  # its reader starts processes; tests/data has them
            write_study(tmp_path / name, 1, image_size=64, num_workers=workers, form=form)
        write_study(tmp_path / "other", 1, seed=1, image_size=64, num_workers=1, form=form)
        one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
        assert one == two
        images = [name for name in one if name.endswith((".dcm", ".png", ".nrrd", ".jpg", ".nii.gz")) or "IM00" in name]
        assert len(images) >= 8
        assert all(one[name] != other.get(name) for name in images)

    @pytest.mark.parametrize("form", ["dicomdir", "ucbm_nrrd"])
    def test_is_replaced_only_when_asked_and_whole(self, tmp_path, form, monkeypatch):
        write_study(tmp_path / "study", 1, image_size=64, num_workers=1, form=form)
        before = contents(tmp_path / "study")
        with pytest.raises(FileExistsError, match="holds a study already"):
            write_study(tmp_path / "study", 1, image_size=64, num_workers=1, form=form)

        def fail(*_, **__):
            raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(exam, "_completed", fail)
            with pytest.raises(OSError, match="disk full"):
                write_study(tmp_path / "study", 1, seed=1, image_size=64, num_workers=1, form=form, overwrite=True)
        assert contents(tmp_path / "study") == before
        write_study(tmp_path / "study", 1, image_size=64, num_workers=1, overwrite=True)
        assert not (tmp_path / "study" / "images").exists()
        assert [entry.name for entry in tmp_path.iterdir()] == ["study"]

    def test_a_map_that_the_reader_refuses_is_told(self, caplog):
        entries = [{"case_id": "P1_L_CC", "lesions": [1]}, {"case_id": "P1_R_CC", "lesions": [], "malignant": None}]
        read = {"cases": [{"case_id": "P1_L_CC", "seg": None}]}
        with caplog.at_level(logging.WARNING):
            assert exam._completed(read, entries) == [{"case_id": "P1_L_CC", "seg": None, "lesions": [1]}]
        assert [record.getMessage() for record in caplog.records] == [
            "the reader of this form took no lesion map for P1_L_CC",
            "the reader of this form took no pair for P1_R_CC",
        ]


class TestDicom:
    def test_the_importer_knows_all_three_energies(self, studies, tmp_path):
        """And takes neither HE images nor files of truth for anything else."""
        summary = write_cesm_dicom(studies["dicom"], tmp_path / "out", masks=studies["dicom"], keep_ids=True)
        told = "\n".join(summary.lines)
        assert "taken for: 20 DES, 20 HE, 20 LE" in told
        assert "20 pairs, by: 20 source image" in told
        assert summary.attention == 0
        skipped = list(csv.reader((tmp_path / "out" / "skipped.csv").read_text().splitlines()))[1:]
        he = [reason for path, reason in skipped if path.endswith("_HE.dcm")]
        assert he == ["it is a high-energy image, which is not used"] * 20
        expected, found = cases_of(studies["dicom"]), cases_of(tmp_path / "out")
        assert {key for key in found if "seg" in found[key]} == {key for key in expected if "seg" in expected[key]}

    def test_he_says_what_it_is(self, studies):
        for item in list(cases_of(studies["dicom"]).values())[:4]:
            he, des = (pydicom.dcmread(studies["dicom"] / item[key]) for key in ("he", "des"))
            assert list(he.ImageType) == ["ORIGINAL", "PRIMARY", "", "HIGH_ENERGY"]
            assert (he.KVP, he.SeriesNumber, he.SeriesDescription) == (49, 3, "High energy")
            assert "AcquisitionDeviceProcessingCode" not in he
            assert he.SOPInstanceUID == des.SourceImageSequence[1].ReferencedSOPInstanceUID
            assert not np.array_equal(he.pixel_array, read_image(item["le"])[0])

    @pytest.mark.parametrize("maps", MAPS)
    def test_maps_of_every_form_are_read_as_they_are_and_placed(self, studies, tmp_path, maps):
        path = write_study(tmp_path / "study", 1, image_size=SIZE, num_workers=1, maps=maps, truth=False)
        write_cesm_dicom(path.parent, tmp_path / "read", masks=path.parent, keep_ids=True)
        expected = cases_of(studies["dicom"])
        for folder in (path.parent, tmp_path / "read"):
            items = {key: item for key, item in cases_of(folder).items() if "seg" in item}
            assert len(items) == 2
            for key, item in items.items():
                np.testing.assert_array_equal(lesion(item), lesion(expected[key]))

    def test_highdicom_reads_the_segmentation(self, studies, tmp_path):
        from highdicom.seg import segread

        path = write_study(tmp_path / "study", 1, image_size=SIZE, num_workers=1, maps="dicom_seg")
        item = next(item for item in cases_of(path.parent).values() if "seg" in item)
        uid = pydicom.dcmread(item["des"], stop_before_pixels=True).SOPInstanceUID
        pixels = segread(item["seg"]).get_pixels_by_source_instance([uid], combine_segments=True)
        np.testing.assert_array_equal(pixels[0] > 0, lesion(item))

    @pytest.mark.parametrize("syntax", SYNTAXES)
    def test_every_transfer_syntax_is_lossless_and_changes_no_header(self, studies, tmp_path, syntax):
        path = write_study(tmp_path / "study", 1, image_size=SIZE, num_workers=1, syntax=syntax, truth=False)
        for name in ("LE", "DES", "HE"):
            name = f"PH0001/PH0001_R_MLO_{name}.dcm"
            plain, made = pydicom.dcmread(studies["dicom"] / name), pydicom.dcmread(path.parent / name)
            assert made.file_meta.TransferSyntaxUID == SYNTAXES[syntax][0]
            np.testing.assert_array_equal(read_image(path.parent / name)[0], plain.pixel_array)
            del plain.PixelData, made.PixelData
            assert made == plain

    def test_a_syntax_that_fails_is_told(self, tmp_path):
        from bundle.phantom.forms.dicom_file import _compress

        (tmp_path / "le.dcm").write_bytes(b"nothing")
        with pytest.raises(RuntimeError, match=r"le\.dcm could not be compressed as rle\. Check python-gdcm"):
            _compress(tmp_path / "le.dcm", "rle")


class TestMedium:
    def test_is_a_medium(self, studies):
        folder = studies["dicomdir"] / "medium"
        medium = FileSet(folder / "DICOMDIR")
        assert (medium.ID, len(medium)) == ("PHANTOM", 3 * 4 * PATIENTS)
        medium._stage["t"].cleanup()
        names = [part for path in folder.rglob("*") for part in path.relative_to(folder).parts]
        assert all(len(name) == 8 and name.isupper() and "." not in name for name in names)
        assert not (studies["dicomdir"] / "loose").exists()

    def test_the_entries_name_their_own_he_image(self, studies):
        for item in cases_of(studies["dicomdir"]).values():
            he, le = (pydicom.dcmread(studies["dicomdir"] / item[key], stop_before_pixels=True) for key in ("he", "le"))
            assert "HIGH_ENERGY" in he.ImageType
            assert (he.PatientID, he.ImageLaterality, he.ViewPosition) == (
                le.PatientID,
                le.ImageLaterality,
                le.ViewPosition,
            )

    def test_maps_find_their_case_without_a_key_too(self, studies, tmp_path):
        summary = write_cesm_dicom(
            studies["dicomdir"] / "medium", tmp_path / "out", masks=studies["dicomdir"] / "maps", salt="any"
        )
        assert summary.attention == 0
        maps = len(list((studies["dicomdir"] / "maps").rglob("*_SEG.nii.gz")))
        assert sum("seg" in item for item in case_items(read_datalist(summary.datalist), tmp_path)) == maps == 6


class TestCddCesm:
    def test_workbook_and_regions_have_the_form_of_the_real_ones(self, studies):
        folder = studies["cdd_cesm"] / "CDD-CESM"
        sheet = openpyxl.load_workbook(folder / "Radiology manual annotations.xlsx")["all"]
        assert (sheet.max_row, sheet.max_column) == (1 + 8 * PATIENTS, 12)
        labels = read_workbook(folder / "Radiology manual annotations.xlsx")
        assert {name.kind for name in labels} == {"DM", "CM"}
        assert {row["density"] for name, row in labels.items() if name.kind == "CM"} == {None}
        assert {(row["pathology"], *row["birads"]) for row in labels.values()} >= {("Normal", 1), ("Malignant", 5)}
        regions = read_regions(folder / "Radiology_hand_drawn_segmentations_v2.csv")
        expected = {key: item for key, item in cases_of(studies["dicom"]).items() if "seg" in item}
        assert len(regions) == 2 * len(expected)
        for (patient, side, view), item in expected.items():
            for kind in ("DM", "CM"):
                drawn = draw_regions(regions[f"P{patient}_{side}_{kind}_{view}"], lesion(item).shape)
                assert overlap(drawn, lesion(item)) > 0.8
        text = (folder / "Radiology_hand_drawn_segmentations_v2.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        assert all((next(folder.rglob(row["#filename"]))).stat().st_size == int(row["file_size"]) for row in rows)

    def test_the_workbook_does_not_tell_when_it_was_written(self, tmp_path):
        write_workbook(tmp_path / "book.xlsx", "all", ["one", "two"], [[1, "x"]])
        with ZipFile(tmp_path / "book.xlsx") as book:
            assert {entry.date_time for entry in book.infolist()} == {(2000, 1, 1, 0, 0, 0)}
            times = re.findall(rb">(\d{4}-[^<]*)<", book.read("docProps/core.xml"))
            assert times == [b"2000-01-01T00:00:00Z"] * 2
        sheet = openpyxl.load_workbook(tmp_path / "book.xlsx")["all"]
        assert list(sheet.iter_rows(values_only=True)) == [("one", "two"), (1, "x")]

    def test_a_crop_keeps_the_breast_and_moves_des(self, studies, tmp_path):
        whole = cases_of(studies["cdd_cesm"])
        items = cases_of(write_study(tmp_path / "study", 3, image_size=SIZE, num_workers=1, form="cdd_cesm").parent)
        shifts = []
        for key, item in items.items():
            image, uncropped = read_image(item["le"])[0], read_image(whole[key]["le"])[0]
            assert image.shape[0] < uncropped.shape[0]
            assert image.shape[1] < uncropped.shape[1]
            kept = (image > 20).sum() / (uncropped > 20).sum()
            assert 0.9 < kept < 1.05
            shifts.append(item["alignment"]["shift"])
            assert ("seg" in item) == ("seg" in whole[key])
            assert item["alignment"]["overlap"] > 0.9
            if "seg" in item:
                assert overlap(lesion(item), lesion(item, "seg_le")) > 0.6
        assert any(shift != [0, 0] for shift in shifts)

    @pytest.mark.parametrize("side", ["L", "R"])
    def test_a_crop_is_about_the_breast(self, side):
        case = render_case(0, 2, draw_patient(0, 2), side, "CC", exam_grid(256))
        rows, columns = np.nonzero(case.breast.thickness)
        boxes = {str(cdd_cesm._crop(np.random.default_rng(seed), case)) for seed in range(9)}
        assert len(boxes) == 9
        for seed in range(9):
            box = cdd_cesm._crop(np.random.default_rng(seed), case)
            assert 0 <= rows.min() - box[0].start <= 8
            assert 0 <= box[0].stop - 1 - rows.max() <= 8
            before, behind = columns.min() - box[1].start, box[1].stop - 1 - columns.max()
            front, wall = (behind, before) if side == "L" else (before, behind)
            assert 0 <= front <= 8
            assert -3 <= wall <= 0

    def test_a_crop_cuts_the_axilla_where_the_breast_leaves_the_image(self):
        case = render_case(0, 2, draw_patient(0, 2), "R", "MLO", exam_grid(256))
        assert case.breast.thickness[0].any()
        tops = [cdd_cesm._crop(np.random.default_rng(seed), case)[0].start for seed in range(20)]
        assert min(tops) >= 0
        assert 5 <= max(tops) <= 8

    def test_values_are_those_of_the_window(self):
        pixels = np.array([[0, 1910, 2360, 2810, 4095]], np.uint16)
        assert cdd_cesm._windowed(pixels, 2360.0, 900.0).tolist() == [[0, 0, 128, 255, 255]]

    @pytest.mark.parametrize(
        "region",
        [
            {"name": "circle", "cx": 40.0, "cy": 50.0, "r": 12.0},
            {"name": "ellipse", "cx": 40.0, "cy": 50.0, "rx": 22.0, "ry": 9.0},
            {"name": "polygon", "all_points_x": [10, 60, 60, 20, 10], "all_points_y": [10, 10, 20, 30, 70]},
        ],
        ids=lambda region: region["name"],
    )
    def test_a_shape_is_drawn_as_that_shape(self, region):
        drawn = draw_regions([region], (100, 80))
        (traced,) = trace(drawn)
        assert traced["name"] == region["name"]
        assert overlap(draw_regions([traced], drawn.shape), drawn) > 0.97
        for key in region.keys() & {"cx", "cy", "rx", "ry", "r"}:
            assert traced[key] == pytest.approx(region[key], abs=0.6)
        json.dumps(traced)

    def test_parts_are_regions_of_their_own_and_a_pixel_is_one_too(self):
        drawn = np.zeros((40, 40), bool)
        drawn[5, 5] = drawn[20:30, 20:22] = True
        traced = trace(drawn)
        assert len(traced) == 2
        np.testing.assert_array_equal(draw_regions(traced, drawn.shape), drawn)
        assert trace(np.zeros((9, 9), bool)) == []

    def test_a_cancer_is_a_polygon(self, cancer):
        counts = shape_counts({"": trace(cancer.breast.lesion)})
        assert set(counts) <= {"polygon", "ellipse", "circle"}
        assert overlap(draw_regions(trace(cancer.breast.lesion), cancer.le.shape), cancer.breast.lesion > 0) > 0.9


class TestUcbm:
    def test_index_texts_hold_windows_and_names(self, studies):
        folder = studies["ucbm_nrrd"] / "CESM@UCBM"
        head, first, *rest = (folder / "train.txt").read_text().splitlines()
        assert head.split("\t") == ["id", "img_x", "img_y", "r_l", "wc_x", "ww_x", "wc_y", "ww_y"]
        case_id, le, des, *others = first.split("\t")
        assert (case_id, le) == ("1", "Low Energy/P1_1_LCC_LOW_ENERGY.nrrd")
        assert des == "Recombined/P1_1_LCC_RECOMBINED.nrrd"
        assert others[0] == "L"
        assert [float(value) for value in others[1:]] == [
            value for key in ("le", "des") for value in cases_of(studies["ucbm_nrrd"])[1, "L", "CC"][f"{key}_window"]
        ]
        assert len(rest) == 4 * (PATIENTS - 1) - 1
        assert len((folder / "test.txt").read_text().splitlines()) == 1 + 4  # of the fifth woman
        assert len(list((folder / "masks").glob("*.seg.nrrd"))) == 6

    def test_nrrd_says_where_it_lies_and_not_when_it_was_written(self, tmp_path):
        write_nrrd(tmp_path / "a.nrrd", np.array([[1, 2, 3], [4, 5, 6]], np.uint16), 0.1, (10, 20), {"key": "value"})
        assert b"#" not in (tmp_path / "a.nrrd").read_bytes().split(b"\n\n")[0]
        values, header = nrrd.read(str(tmp_path / "a.nrrd"))
        assert values[:, :, 0].T.tolist() == [[1, 2, 3], [4, 5, 6]]
        np.testing.assert_allclose(header["space origin"], [2.0, 1.0, 0.0])
        np.testing.assert_allclose(header["space directions"], np.diag([0.1, 0.1, 1.0]))
        assert (header["space"], header["key"]) == ("left-posterior-superior", "value")

    def test_maps_are_cropped_as_slicer_does(self, studies):
        for path in (studies["ucbm_nrrd"] / "CESM@UCBM" / "masks").iterdir():
            image = read_image(path)[0]
            assert image.shape[0] < SIZE / 2
            assert image.any(axis=0).all()


def test_nifti_pairs_are_transposed_with_their_spacing(studies):
    item = next(iter(cases_of(studies["nifti"]).values()))
    volume, image = nib.load(item["le"]), read_image(item["le"])[0]
    assert volume.shape == (*image.shape[::-1], 1)
    assert volume.get_data_dtype() == np.uint16
    assert volume.header.get_zooms()[0] == pytest.approx(285 / SIZE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "mha"}, "form is 'mha', expected one of dicom, dicomdir, cdd_cesm, ucbm_nrrd, png, nifti"),
        ({"syntax": "jpeg"}, "syntax is 'jpeg', expected one of explicit, implicit, jpeg_lossless, jpeg_ls, jpeg2000"),
        ({"maps": "mha"}, "maps is 'mha', expected one of nifti, seg_nrrd, nrrd, png, dicom_seg for the form dicom"),
        ({"form": "png", "maps": "dicom_seg"}, "maps is 'dicom_seg', expected one of png, nifti, seg_nrrd, nrrd for"),
        ({"form": "cdd_cesm", "maps": "png"}, "maps is 'png', but the form cdd_cesm draws lesions as regions of its"),
        ({"form": "nifti", "syntax": "rle"}, "syntax is 'rle', but the form nifti holds no DICOM images"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        write_study(tmp_path / "study", **options)
    assert list(tmp_path.iterdir()) == []


def test_native_sizes_are_drawn_one_by_one():
    assert exam._threads(16, Grid(2850, 2396, 0.1)) == exam._threads(16, Grid(2294, 1916, 0.1)) == 1
    assert exam._threads(2, exam_grid(512)) == 2
    assert exam._threads(64, exam_grid(1024)) == 9  # 1.5 GiB / (200 B * 1024 * 861)
    assert exam._threads(None, exam_grid(64)) >= 1
