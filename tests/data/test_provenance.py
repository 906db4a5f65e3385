"""What a model remembers of its data: hashes that change when it matters, and the median DES window."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bundle.data import des_window_median, fold_hash, write_datalist, write_folds
from bundle.data.datalist import datalist_hash


def case(patient, number, seg=None):
    name = f"P{patient}_{number}"
    views = {"laterality": "LR"[number % 2], "view": "CC"}
    return {"case_id": name, "patient_id": f"P{patient}", **views, "le": "le.png", "des": "des.png", "seg": seg}


@pytest.fixture
def files(tmp_path):
    cases = [case(patient, number, "seg.png" if patient % 2 else None) for patient in range(6) for number in (0, 1)]
    datalist = write_datalist(tmp_path / "datalist.json", "study", "here", "CC0", cases)
    return datalist, write_folds(datalist, k=3)


class TestFoldHash:
    def test_worked_out_by_hand(self, files):
        datalist, folds = (json.loads(path.read_text()) for path in files)
        of_list = datalist_hash(datalist)
        parts = json.dumps([of_list, folds["folds"], 1], sort_keys=True)
        assert fold_hash(*files, 1) == {
            "datalist": "study",
            "datalist_hash": of_list,
            "data_hash": hashlib.sha256(parts.encode()).hexdigest(),
            "lesions": "all",
        }
        assert re.fullmatch("[0-9a-f]{64}", fold_hash(*files, 1)["data_hash"])

    def test_another_fold_is_another_data_hash(self, files):
        hashes = [fold_hash(*files, fold) for fold in range(3)]
        assert len({found["data_hash"] for found in hashes}) == 3
        assert len({found["datalist_hash"] for found in hashes}) == 1

    def test_another_split_is_another_data_hash(self, files, tmp_path):
        for seed in range(1, 9):
            other = write_folds(files[0], tmp_path / f"folds_{seed}.json", k=3, seed=seed)
            if json.loads(other.read_text())["folds"] != json.loads(files[1].read_text())["folds"]:
                break
        assert fold_hash(files[0], other, 0)["data_hash"] != fold_hash(*files, 0)["data_hash"]

    def test_the_place_of_the_files_does_not_count(self, files, tmp_path):
        (tmp_path / "moved").mkdir()
        moved = [path.rename(tmp_path / "moved" / path.name) for path in files]
        assert fold_hash(*moved, 0)["datalist"] == "study"
        copies = [path.rename(tmp_path / path.name) for path in moved]
        assert fold_hash(*copies, 0) == fold_hash(*files, 0)

    def test_lesions_are_remembered_beside_the_hash(self, files):
        every, malignant = (fold_hash(*files, 0, lesions) for lesions in ("all", "malignant"))
        assert malignant == {**every, "lesions": "malignant"}

    def test_folds_of_another_list_are_refused(self, files):
        content = json.loads(files[0].read_text())
        content["cases"][0]["view"] = "MLO"
        files[0].write_text(json.dumps(content))
        with pytest.raises(ValueError, match="was made from another list of 12 cases"):
            fold_hash(*files, 0)


class TestDesWindowMedian:
    @pytest.fixture
    def des(self, tmp_path):
        def write(number, center=None, width=None):
            ds = Dataset()
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
            if center is not None:
                ds.WindowCenter, ds.WindowWidth = center, width
            ds.preamble = b"\0" * 128
            pydicom.dcmwrite(tmp_path / f"{number}.dcm", ds)
            return {"des": str(tmp_path / f"{number}.dcm")}

        return write

    def test_median_of_centre_and_of_width(self, des):
        items = [des(0, 2105, 380), des(1, 2085, 265), des(2, 2000, 900)]
        assert des_window_median(items) == [2085.0, 380.0]
        assert des_window_median(items[:2]) == [2095.0, 322.5]
        assert json.loads(json.dumps(des_window_median(items))) == [2085.0, 380.0]

    def test_files_without_a_window_do_not_count(self, des, tmp_path):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "des.png")
        items = [{"des": str(tmp_path / "des.png")}, des(0), des(1, 2085, 265)]
        assert des_window_median(items) == [2085.0, 265.0]

    def test_none_has_one(self, des):
        assert des_window_median([des(0)]) is None
        assert des_window_median([]) is None
