"""A virtual DES on disk: exact values, its origin written into the file, and never half a file."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage, SaveImaged
from PIL import Image

from bundle.inference import SaveVirtualDesd
from bundle.inference.save import NOTICE, made_by, making_options, mark, save_virtual_des


def test_the_notice_says_what_it_is():
    assert NOTICE.startswith("SYNTHETIC")
    assert "not for diagnosis" in NOTICE


class TestPng:
    def test_values_are_exact(self, tmp_path):
        image = np.array([[0.0, 1.0, 0.5], [1 / 65535, 0.25, 0.75]], np.float32)
        save_virtual_des(image, tmp_path / "a.png", "LE.dcm")
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.mode == "I;16"
            pixels = np.asarray(picture)
        assert pixels.dtype == np.uint16
        assert pixels.tolist() == [[0, 65535, 32768], [1, 16384, 49151]]  # 32767.5 and 49151.25, rounded to even

    def test_a_ramp_of_all_values_returns(self, tmp_path):
        values = np.arange(65536).reshape(256, 256)
        save_virtual_des(values / 65535, tmp_path / "a.png", "LE.dcm")
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), values)

    def test_values_outside_are_clipped(self, tmp_path):
        save_virtual_des(np.array([[-0.1, 1.2]]), tmp_path / "a.png", "LE.dcm")
        assert np.asarray(Image.open(tmp_path / "a.png")).tolist() == [[0, 65535]]

    def test_it_carries_the_notice_and_the_name_of_its_source_alone(self, tmp_path):
        save_virtual_des(np.zeros((2, 3)), tmp_path / "a.png", "/data/SURNAME/LE.dcm")
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.text == {"Description": NOTICE, "Source": "LE.dcm"}
            assert picture.size == (3, 2)
        assert b"tEXtDescription" in (tmp_path / "a.png").read_bytes()


class TestNifti:
    def test_grid_affine_and_notice(self, tmp_path):
        affine = np.array([[-0.1, 0, 0, 5], [0, -0.2, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
        source = tmp_path / "le.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.zeros((3, 2, 1), np.uint16), affine), source)
        image = np.array([[0.0, 0.1, 1.5], [0.3, -1.0, 1.0]], np.float32)
        save_virtual_des(image, tmp_path / "a.nii.gz", source)
        written = nibabel.load(tmp_path / "a.nii.gz")
        assert written.shape == (3, 2, 1)
        assert written.get_data_dtype() == np.float32
        np.testing.assert_array_equal(np.asarray(written.dataobj)[..., 0].T, np.clip(image, 0, 1))
        np.testing.assert_allclose(written.affine, affine, atol=1e-7)
        said = written.header["descrip"].item().decode()
        assert said == "SYNTHETIC virtual DES, research only, not for diagnosis"


class TestMark:
    def test_default_options_say_nothing_and_keep_the_mark_of_the_model(self, tmp_path):
        assert making_options("native", "fp32", "torch", "native") == ""
        assert mark("0123456789" * 4) == "012345678901234567890123"
        save_virtual_des(np.zeros((2, 2)), tmp_path / "a.png", "LE.dcm", "m" * 64, "")
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.text.keys() == {"Description", "Source", "Model"}

    def test_others_stand_in_both_forms(self, tmp_path):
        options = making_options(96, "bf16", "openvino", 256)
        assert options == "image_size 96, precision bf16, backend openvino"
        source = tmp_path / "le.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 1), np.uint8), np.eye(4)), source)
        for name in ("a.png", "a.nii.gz"):
            save_virtual_des(np.zeros((2, 2)), tmp_path / name, source, "m" * 64, options)
            assert made_by(tmp_path / name) == mark("m" * 64, options) == "m" * 16 + "92bf71aa"
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.text["Options"] == options
        assert mark("", options) == ""


class TestErrors:
    def test_another_ending(self, tmp_path):
        with pytest.raises(ValueError, match=r"a\.jpg: expected the ending \.png or \.nii\.gz"):
            save_virtual_des(np.zeros((2, 2)), tmp_path / "a.jpg", "LE.dcm")

    def test_another_shape(self, tmp_path):
        with pytest.raises(ValueError, match=r"shape \(1, 2, 2\), expected \(H, W\)"):
            save_virtual_des(np.zeros((1, 2, 2)), tmp_path / "a.png", "LE.dcm")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_an_image_that_is_not_finite(self, tmp_path, value):
        with pytest.raises(ValueError, match=r"virtual DES of LE\.dcm holds NaN or infinite pixels: the model"):
            save_virtual_des(np.array([[0.5, value]]), tmp_path / "a.png", "LE.dcm")
        assert list(tmp_path.iterdir()) == []


class TestWriting:
    def test_folders_are_made_and_no_other_file_is_left(self, tmp_path):
        save_virtual_des(np.zeros((2, 2)), tmp_path / "deep" / "er" / "a.png", "LE.dcm")
        assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["a.png"]

    @pytest.mark.parametrize("name", ["a.png", "a.nii.gz"])
    def test_a_write_that_dies_leaves_the_former_result(self, tmp_path, monkeypatch, name):
        source = tmp_path / "le.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 1), np.uint8), np.eye(4)), source)
        path = tmp_path / "out" / name
        save_virtual_des(np.zeros((2, 2)), path, source)
        before = path.read_bytes()

        def die(_, file, **__):
            with open(file, "wb") as half:
                half.write(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(Image.Image, "save", die)
        monkeypatch.setattr(nibabel, "save", die)
        with pytest.raises(OSError, match="no space left"):
            save_virtual_des(np.ones((2, 2)), path, source)
        assert path.read_bytes() == before


class TestTransform:
    def item(self, tmp_path, **more):
        image = MetaTensor(torch.rand(1, 4, 4), meta={"filename_or_obj": str(tmp_path / "le.dcm")})
        pred = MetaTensor(torch.tensor([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]]]))
        return {"image": image, "pred": pred, "output": str(tmp_path / "P1_virtual_des.png"), **more}

    def test_saves_the_prediction_where_the_item_says(self, tmp_path):
        item = self.item(tmp_path)
        assert SaveVirtualDesd(keys="pred")(item).keys() == item.keys()
        with Image.open(tmp_path / "P1_virtual_des.png") as picture:
            assert np.asarray(picture).tolist() == [[0, 32768, 65535], [65535, 0, 0]]
            assert picture.text["Source"] == "le.dcm"

    def test_the_source_may_have_another_key(self, tmp_path):
        item = self.item(tmp_path)
        item["le"] = item.pop("image")
        SaveVirtualDesd(source_key="le")(item)
        assert (tmp_path / "P1_virtual_des.png").is_file()

    def test_servers_know_it_for_a_saver(self):
        assert isinstance(SaveVirtualDesd(), SaveImaged)
        assert isinstance(SaveVirtualDesd().saver, SaveImage)

    def test_a_missing_prediction_is_an_error(self, tmp_path):
        with pytest.raises(KeyError, match="pred"):
            SaveVirtualDesd()({key: value for key, value in self.item(tmp_path).items() if key != "pred"})
