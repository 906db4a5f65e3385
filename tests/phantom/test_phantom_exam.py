"""The study on disk, read back by pydicom and nibabel alone."""

from __future__ import annotations

import time
from collections import Counter

import nibabel as nib
import numpy as np
import pydicom
import pytest

from bundle.data.datalist import read_datalist
from bundle.phantom import case as case_module
from bundle.phantom import exam, write_study
from bundle.phantom.case import VIEWS, draw_patient, exam_grid, render_case


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The default women, small: their folder and their cases."""
    path = write_study(tmp_path_factory.mktemp("phantom") / "study", image_size=64)
    return path.parent, read_datalist(path)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def window(image):
    low = float(image.WindowCenter) - float(image.WindowWidth) / 2
    return np.clip((image.pixel_array - low) / float(image.WindowWidth), 0, 1)


def lesion_map(folder, case):
    return np.asarray(nib.load(folder / case["seg"]).dataobj)[:, :, 0].T.astype(bool)


def test_default_study_has_80_pairs_of_20_women_10_of_them_with_maps(study):
    folder, datalist = study
    cases = datalist["cases"]
    assert Counter(case["patient_id"] for case in cases) == {f"PH{number:04d}": 4 for number in range(1, 21)}
    assert {(c["laterality"], c["view"]) for c in cases[:4]} == {(s, v) for s in "LR" for v in ("CC", "MLO")}
    with_map = [case for case in cases if case["seg"]]
    assert (len(cases), len(with_map), len({case["patient_id"] for case in with_map})) == (80, 20, 10)
    assert Counter(case["malignant"] for case in cases) == {None: 60, True: 14, False: 6}
    assert cases[0]["case_id"] == "PH0001_L_CC"
    assert cases[0]["le"] == "PH0001/PH0001_L_CC_LE.dcm"
    assert datalist["phantom"] == {"patients": 20, "seed": 0, "image_size": 64}
    for case in cases:
        assert bool(case["seg"]) == bool(case["lesions"]) == (case["malignant"] is not None)
        assert case["density"] in "ABCD"
        assert all((folder / case[key]).is_file() for key in ("le", "des", "seg") if case[key])


def test_views_of_a_woman_share_density_and_lesion(study):
    for number in range(1, 21):
        cases = [case for case in study[1]["cases"] if case["patient_id"] == f"PH{number:04d}"]
        assert len({case["density"] for case in cases}) == 1
        with_map = [case for case in cases if case["seg"]]
        assert [case["view"] for case in with_map] == (["CC", "MLO"] if number % 2 else [])
        assert len({case["laterality"] for case in with_map}) <= 1


def test_headers_follow_a_real_exam(study):
    folder, datalist = study
    for case in datalist["cases"][:8]:
        le, des = pydicom.dcmread(folder / case["le"]), pydicom.dcmread(folder / case["des"])
        assert list(le.ImageType) == ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"]
        assert list(des.ImageType) == ["DERIVED", "PRIMARY", "", "RECOMBINED"]
        assert (le.AcquisitionDeviceProcessingCode, des.AcquisitionDeviceProcessingCode) == (
            "GEMS_FFDM_PV",
            "GEMS_CESM_1",
        )
        assert (le.WindowCenter, le.WindowWidth, des.WindowCenter, des.WindowWidth) == (2360, 900, 2085, 265)
        assert (le.KVP, des.KVP) == (34, 49)
        assert des.SourceImageSequence[0].ReferencedSOPInstanceUID == le.SOPInstanceUID
        for image in (le, des):
            assert image.SOPClassUID == pydicom.uid.DigitalMammographyXRayImageStorageForPresentation
            assert image.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
            assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
            assert (image.Modality, image.PresentationIntentType, image.PatientSex) == ("MG", "FOR PRESENTATION", "F")
            assert (image.ImageLaterality, image.ViewPosition) == (case["laterality"], case["view"])
            code = {"CC": "399162004", "MLO": "399368009"}[case["view"]]
            assert (image.ViewCodeSequence[0].CodeValue, image.ViewCodeSequence[0].CodingSchemeDesignator) == (
                code,
                "SCT",
            )
            assert image.PatientOrientation[0] == {"L": "A", "R": "P"}[case["laterality"]]
            assert (image.Rows, image.Columns, image.BitsStored, image.HighBit) == (64, 54, 12, 11)
            assert image.PhotometricInterpretation == "MONOCHROME2"
            assert float(image.ImagerPixelSpacing[0]) == pytest.approx(285 / 64, abs=1e-5)
            assert image.pixel_array.dtype == np.uint16
            assert image.pixel_array.max() <= 4095


def test_nothing_passes_for_a_real_acquisition(study):
    folder, datalist = study
    for case in datalist["cases"][:4]:
        for key in ("le", "des", "he"):
            image = pydicom.dcmread(folder / case[key])
            assert str(image.PatientName).startswith("PHANTOM")
            assert image.PatientComments == image.ImageComments == "Computer-generated phantom, not a patient"
            assert image.Manufacturer == "seg-cyclegan-cesm"
            assert (image.QualityControlImage, image.BurnedInAnnotation) == ("YES", "NO")
            assert (0x0008, 0x001C) not in image  # Synthetic Data marks a model's output


def test_identifiers_are_unique_and_a_woman_is_one_study(study):
    folder, datalist = study
    images = [
        pydicom.dcmread(folder / case[key], stop_before_pixels=True)
        for case in datalist["cases"]
        for key in ("le", "des", "he")
    ]
    assert len({image.SOPInstanceUID for image in images}) == 240
    assert len({image.SeriesInstanceUID for image in images}) == 60
    assert len({(image.StudyInstanceUID, image.PatientID) for image in images}) == 20


def test_map_lies_on_the_grid_of_its_des_and_inside_the_breast(study):
    folder, datalist = study
    for case in datalist["cases"]:
        if case["seg"]:
            volume = nib.load(folder / case["seg"])
            des = pydicom.dcmread(folder / case["des"])
            assert volume.shape == (des.Columns, des.Rows, 1)
            assert volume.get_data_dtype() == np.uint8
            spacing = 285 / 64
            np.testing.assert_allclose(volume.affine, np.diag([-spacing, -spacing, 1, 1]), atol=1e-4)
            lesion = lesion_map(folder, case)
            assert lesion.any()
            assert (des.pixel_array[lesion] > 0).all()


def test_map_is_the_lesion_that_was_drawn_transposed(study):
    folder, datalist = study
    for patient in (1, 7):
        for number, (laterality, view) in enumerate(VIEWS):
            case = datalist["cases"][4 * (patient - 1) + number]
            if case["seg"]:
                drawn = render_case(0, patient, draw_patient(0, patient), laterality, view, exam_grid(64))
                np.testing.assert_array_equal(lesion_map(folder, case), drawn.breast.lesion)


def test_women_and_views_draw_from_streams_of_their_own():
    streams = [
        case_module._rng(seed, patient, view) for seed in (0, 1) for patient in (1, 2) for view in (None, 0, 1, 2, 3)
    ]
    assert len({rng.random() for rng in streams}) == 20


def test_air_is_0_and_lies_away_from_the_chest_wall(study):
    folder, datalist = study
    for case in datalist["cases"]:
        for key in ("le", "des"):
            pixels = pydicom.dcmread(folder / case[key]).pixel_array
            wall, front = (0, -1) if case["laterality"] == "L" else (-1, 0)
            assert (pixels[:, wall] > 0).sum() > 20
            assert (pixels[:, front] == 0).all()


def test_enhancing_cancers_stand_out_in_des_and_benign_lesions_do_not(study):
    folder, datalist = study
    contrast = {True: [], False: []}
    for case in datalist["cases"]:
        if case["seg"]:
            des, lesion = window(pydicom.dcmread(folder / case["des"])), lesion_map(folder, case)
            around = (pydicom.dcmread(folder / case["des"]).pixel_array > 0) & ~lesion
            contrast[case["malignant"]].append((des[lesion].mean() - des[around].mean()) / des[around].std())
    assert np.mean(contrast[True]) > 0.7
    assert np.mean(contrast[False]) < 0.5 * np.mean(contrast[True])


def test_images_look_like_mammograms_as_training_scales_them(study):
    """Loose bounds around what CDD-CESM measures: LE mean 0.31, SD 0.16; DES mean 0.25, SD 0.09; correlation 0.4."""
    folder, datalist = study
    figures = []
    for case in datalist["cases"]:
        le, des = (pydicom.dcmread(folder / case[key]) for key in ("le", "des"))
        inside = le.pixel_array > 0
        le, des = (window(image) / window(image).max() for image in (le, des))  # as training and CDD-CESM scale them
        le, des = le[inside], des[inside]
        figures.append((le.mean(), le.std(), des.mean(), des.std(), np.corrcoef(le, des)[0, 1]))
    le_mean, le_sd, des_mean, des_sd, correlation = np.median(figures, axis=0)
    assert 0.24 < le_mean < 0.38
    assert 0.10 < le_sd < 0.22
    assert 0.19 < des_mean < 0.33
    assert 0.05 < des_sd < 0.17
    assert 0.05 < correlation < 0.66


def test_files_depend_on_the_seed_alone(tmp_path):
    for name, changed in {"one": {"num_workers": 1}, "two": {"num_workers": 2}, "other": {"seed": 1}}.items():
        write_study(tmp_path / name, patients=2, image_size=64, **changed)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert len(one) == 2 * (4 * 3 + 4) + 2 + 1 + 1  # images and truth, maps, table, datalist
    assert one == two
    images = [name for name in one if name.endswith(".dcm")]
    assert all(one[name] != other[name] for name in images)


def test_more_women_leave_the_earlier_ones_as_they_are(tmp_path, study):
    write_study(tmp_path / "three", patients=3, image_size=64)
    few, many = contents(tmp_path / "three"), contents(study[0])
    few.pop("datalist.json")
    table = few.pop("truth/lesions.csv")
    assert many["truth/lesions.csv"].startswith(table)
    assert len(few) == 3 * (4 * 3 + 4) + 4
    assert all(many[name] == content for name, content in few.items())
    assert read_datalist(tmp_path / "three" / "datalist.json")["cases"] == study[1]["cases"][:12]


def test_a_study_is_replaced_only_when_asked(tmp_path):
    path = write_study(tmp_path / "study", patients=1, image_size=64)
    with pytest.raises(FileExistsError, match=r"holds a study already\. Choose another --output, or pass --overwrite"):
        write_study(tmp_path / "study", patients=2, image_size=64)
    assert len(read_datalist(path)["cases"]) == 4
    write_study(tmp_path / "study", patients=2, image_size=64, overwrite=True)
    assert len(read_datalist(path)["cases"]) == 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["study"]


def test_what_is_no_phantom_is_never_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else than a phantom study"):
        write_study(tmp_path, patients=1, image_size=64, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(exam, "write_datalist", fail)
    with pytest.raises(OSError, match="disk full"):
        write_study(tmp_path / "study", patients=1, image_size=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"patients": 0}, "patients is 0, expected 1 or more"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"image_size": 32}, "image_size is 32, expected 64 or more"),
    ],
)
def test_numbers_that_make_no_study_are_refused(tmp_path, changed, said):
    with pytest.raises(ValueError, match=said):
        write_study(tmp_path / "study", **changed)


def test_a_pair_of_512_rows_takes_less_than_a_second(tmp_path):
    start = time.process_time()
    write_study(tmp_path / "study", patients=1, image_size=512, num_workers=1)
    assert (time.process_time() - start) / 4 < 1.0
    image = pydicom.dcmread(tmp_path / "study" / "PH0001" / "PH0001_L_CC_LE.dcm")
    assert (image.Rows, image.Columns) == (512, 430)
