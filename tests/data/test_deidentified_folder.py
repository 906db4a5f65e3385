"""A folder of exams comes out without names, and every file of it is accounted for."""

import csv
import hashlib
import re

import pydicom
import pytest
from exam_tree import write_traps
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from bundle.data.cesm_dicom import write_cesm_dicom
from bundle.data.datalist import case_items, read_datalist
from bundle.data.deidentified_folder import Row, _deidentify, _own_images, _tidy, _Work, deidentify_folder
from bundle.data.images import read_image
from bundle.dicom.deidentify import new_uid
from bundle.dicom.energy import classify, read_rules

NAME, PATIENT_ID, DAY = "ZWETSCHGE^ANNELIESE", "HOSP774411", "20240506"


def write(path, number=1, study=1, woman=PATIENT_ID, **values):
    """An MG image, LE of the exposure ``number`` unless the values say something else."""
    header = {
        "SOPClassUID": uid.DigitalMammographyXRayImageStorageForPresentation,
        "SOPInstanceUID": f"1.2.3.{study}.{number}",
        "StudyInstanceUID": f"1.2.3.{study}",
        "SeriesInstanceUID": f"1.2.3.{study}.0",
        "ImageType": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"],
        "Modality": "MG",
        "PatientName": NAME,
        "PatientID": woman,
        "StudyDate": DAY,
        "AcquisitionTime": f"12000{number}",
        "InstanceNumber": str(number),
        "BurnedInAnnotation": "NO",
        "PixelData": bytes([number, 0]),
    }
    ds = Dataset()
    for keyword, value in {**header, **values}.items():
        if value is not None:
            setattr(ds, keyword, value)
    if "PixelData" in ds:
        ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_des(path, le, number, **values):
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = pydicom.dcmread(le)["SOPClassUID"].value, ""
    source.ReferencedSOPInstanceUID = pydicom.dcmread(le).SOPInstanceUID
    types = ["DERIVED", "PRIMARY", "", "RECOMBINED"]
    return write(path, number, ImageType=types, SourceImageSequence=[source], **values)


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """Two studies of one woman and one of another, with all that is found on a hospital's disk."""
    root = tmp_path_factory.mktemp("exams") / "in"
    le = write(root / NAME / DAY / "IM1", 1)
    write_des(root / NAME / DAY / "IM2", le, 2)
    write(root / NAME / "later" / "IM1.dcm", 1, study=2, BurnedInAnnotation=None)
    write(root / "other" / "IM1.dcm", 1, study=3, woman="HOSP9")
    write(root / "other" / "IM1 copy.dcm", 1, study=3, woman="HOSP9")
    write(root / "other" / "burned.dcm", 2, study=3, BurnedInAnnotation="YES")
    write(root / "other" / "report.dcm", 3, study=3, PixelData=None, Modality="SR")
    write(root / "other" / "DICOMDIR", 4, study=3)
    (root / "other" / "letter.pdf").write_bytes(b"about " + NAME.encode())
    (root / "other" / "cut.dcm").write_bytes(le.read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def done(exams):
    output = exams.parent / "out"
    return output, deidentify_folder(exams, output, salt="one", num_workers=2)


def files(output):
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in sorted(output.rglob("*.dcm"))}


def test_every_file_is_accounted_for(exams, done):
    output, rows = done
    assert [row[:2] for row in rows] == [
        ("ZWETSCHGE^ANNELIESE/20240506/IM1", "written"),
        ("ZWETSCHGE^ANNELIESE/20240506/IM2", "written"),
        ("ZWETSCHGE^ANNELIESE/later/IM1.dcm", "written"),
        ("other/DICOMDIR", "skipped"),
        ("other/IM1 copy.dcm", "written"),
        ("other/IM1.dcm", "skipped"),
        ("other/burned.dcm", "refused"),
        ("other/cut.dcm", "refused"),
        ("other/letter.pdf", "skipped"),
        ("other/report.dcm", "refused"),
    ]
    reasons = {row.path.split("/", 1)[1]: row.reason for row in rows}
    assert reasons["20240506/IM1"] == reasons["20240506/IM2"] == reasons["IM1 copy.dcm"] == ""
    assert "does not say whether its pixels name the patient: look at them" in reasons["later/IM1.dcm"]
    assert "it is a DICOMDIR" in reasons["DICOMDIR"]
    assert "another file of the same SOP Instance UID was written already" in reasons["IM1.dcm"]
    assert "Burned In Annotation is YES" in reasons["burned.dcm"]
    assert reasons["cut.dcm"].startswith("it lacks SOPClassUID, SOPInstanceUID, StudyInstanceUID, expected a complete")
    assert "it is no DICOM file" in reasons["letter.pdf"]
    assert "it is no image" in reasons["report.dcm"]
    with (output.parent / "out_deidentified.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [list(Row._fields), *map(list, rows)]


def test_names_of_files_and_their_bytes_hold_nothing_of_her(done):
    output, rows = done
    assert len(files(output)) == 4
    for name, raw in files(output).items():
        assert re.fullmatch(r"P[0-9a-f]{12}/2\.25\.\d+/2\.25\.\d+\.dcm", name)
        for word in ("ZWETSCHGE", "ANNELIESE", PATIENT_ID, "HOSP9", DAY, "1.2.3.", "12000"):
            assert word.encode() not in raw.replace(uid.PYDICOM_IMPLEMENTATION_UID.encode(), b"")
    assert not any(word in row.reason for row in rows for word in ("ZWETSCHGE", PATIENT_ID, DAY, "1.2.3"))
    assert all(path.suffix == ".dcm" for path in output.rglob("*") if path.is_file())  # what leaves the house


def test_studies_women_and_pairs_stay_together(exams, done):
    output, _ = done
    found = [pydicom.dcmread(output / name) for name in files(output)]
    by_uid = {ds.SOPInstanceUID: ds for ds in found}
    le, des = by_uid[new_uid("1.2.3.1.1", "one")], by_uid[new_uid("1.2.3.1.2", "one")]
    assert (classify(le).taken_for, classify(des).taken_for) == ("LE", "DES")
    assert des.SourceImageSequence[0].ReferencedSOPInstanceUID == le.SOPInstanceUID
    assert (le.StudyInstanceUID, le.SeriesInstanceUID) == (des.StudyInstanceUID, des.SeriesInstanceUID)
    assert le.PixelData == pydicom.dcmread(exams / NAME / DAY / "IM1").PixelData
    assert len({ds.PatientID for ds in found}) == 2
    assert len({ds.StudyInstanceUID for ds in found}) == 3
    for name, ds in zip(files(output), found, strict=True):
        assert name == f"{ds.PatientID}/{ds.StudyInstanceUID}/{ds.SOPInstanceUID}.dcm"


def test_one_salt_gives_the_same_bytes_and_no_salt_another_study(exams, done, tmp_path):
    output, rows = done
    assert deidentify_folder(exams, tmp_path / "again", salt="one", num_workers=1) == rows
    assert files(tmp_path / "again") == files(output)
    assert deidentify_folder(exams, tmp_path / "secret", num_workers=1) == rows
    assert not files(tmp_path / "secret").keys() & files(output).keys()
    drawn = {ds.split("/")[1] for ds in files(tmp_path / "secret")}
    assert not drawn & {new_uid(f"1.2.3.{study}", "") for study in (1, 2, 3)}


def test_a_second_run(tmp_path, caplog):
    root, output = tmp_path, tmp_path / "out"
    write(root / "IM1")
    gone = write(root / "IM2", 2, study=2, woman="HOSP9")
    first = deidentify_folder(root, output, salt="one", num_workers=1)
    assert len(files(output)) == 2
    with pytest.raises(FileExistsError, match=r"out_deidentified.csv exists already. Choose another --output, or pass"):
        deidentify_folder(root, output, salt="one")
    with pytest.raises(ValueError, match=r"--overwrite came without --salt: a new random one would leave each woman"):
        deidentify_folder(root, output, overwrite=True)
    gone.unlink()
    again = deidentify_folder(root, output, salt="one", num_workers=1, overwrite=True)
    assert again == first[:1]  # neither what the first run wrote nor its table is read
    assert len(files(output)) == 1
    assert "1 image(s) of the earlier run, not written by this one, were removed" in caplog.text
    deidentify_folder(root, output, salt="two", num_workers=1, overwrite=True)
    assert "holds 1 image(s) of an earlier run too" in caplog.text


def test_nothing_but_images_of_an_earlier_run_is_removed(tmp_path, caplog):
    woman, other = "P" + "0" * 12, "P" + "1" * 12
    names = [f"{woman}/2.25.1/2.25.{number}.dcm" for number in (1, 2)] + [f"{other}/2.25.3/2.25.4.dcm"]
    mine = ["P1/2.25.1/2.25.1.dcm", f"{woman}/2.25.1/mine.dcm", f"{woman}/2.25.1/2.25.x.dcm", "notes.txt"]
    for name in (*names, *mine):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    earlier = _own_images(tmp_path)
    assert earlier == set(names)
    _tidy(tmp_path, earlier, {names[0]}, overwrite=False)
    assert _own_images(tmp_path) == earlier
    _tidy(tmp_path, earlier, {names[0]}, overwrite=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {names[0], *mine}
    assert not (tmp_path / other).exists()
    assert "2 image(s) of the earlier run, not written by this one, were removed" in caplog.text


def test_an_error_is_reported_without_its_text(tmp_path):
    path = write(tmp_path / NAME / "IM1")
    done = _deidentify(_Work(path, tmp_path / NAME / "gone" / "0.dcm"), "one", read_rules())
    assert done == ("failed", "it could not be read or written as DICOM (FileNotFoundError); export it again", "")


def test_what_cannot_be_done(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere. Expected one with DICOM files"):
        deidentify_folder(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match=r"is both the folder to read and the one to write. Choose another --output"):
        deidentify_folder(tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"the salt is empty, expected a secret text. Leave --salt out"):
        deidentify_folder(tmp_path, tmp_path / "out", salt="")


def test_the_same_images_are_paired_before_and_after(tmp_path):
    """Two exposures of one view that times alone told apart must not change partners once the times are gone."""

    def pairs(root, output, **options):
        datalist = write_cesm_dicom(root, output, **options).datalist
        items = case_items(read_datalist(datalist), datalist.parent)
        images = [[read_image(item[key])[0].tobytes() for key in ("le", "des")] for item in items]
        return sorted(tuple(hashlib.sha256(image).hexdigest() for image in pair) for pair in images)

    tree = write_traps(tmp_path / "in")
    deidentify_folder(tree.root, tmp_path / "out", salt="one")
    before = pairs(tree.root, tmp_path / "before")
    after = pairs(tmp_path / "out", tmp_path / "after")
    assert len(before) == 40  # one more pair is known by the override file alone
    assert after == before
