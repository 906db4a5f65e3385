"""One image, whatever format it comes in; and one clear line for what cannot be read."""

import gzip
import math
import traceback
import warnings
from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImaged
from PIL import Image

from bundle.dicom.files import read_dataset
from bundle.keys import MetaKeys
from bundle.transforms import CesmReader, EmptySegd, is_image_file, read_image


def load(path):
    return LoadImaged("image", reader=CesmReader(), ensure_channel_first=True, image_only=True)({"image": path})[
        "image"
    ]


def nrrd(path, array, type_name, encoding="raw", lines=(), pack=bytes):
    """An NRRD of ``array`` whose axes run slowest first."""
    sizes = " ".join(str(size) for size in reversed(array.shape))
    head = ["NRRD0004", f"type: {type_name}", f"dimension: {array.ndim}", f"sizes: {sizes}", f"encoding: {encoding}"]
    path.write_bytes("\n".join([*head, "endian: little", *lines, "", ""]).encode() + pack(array.tobytes()))
    return path


SYNTAXES = {
    "1.2.840.10008.1.2.1": None,
    "1.2.840.10008.1.2.4.70": "JPEGLosslessProcess14_1",
    "1.2.840.10008.1.2.4.80": "JPEGLSLossless",
    "1.2.840.10008.1.2.4.90": "JPEG2000Lossless",
    "1.2.840.10008.1.2.5": "RLELossless",
}


class TestFormats:
    def check(self, path, mammogram):
        image = load(path)
        assert isinstance(image, MetaTensor)
        assert image.shape == (1, 37, 23)
        assert image.dtype == torch.float32
        np.testing.assert_array_equal(image.numpy()[0], mammogram.astype(np.float32))
        assert image.meta["filename_or_obj"] == str(path)
        assert all(
            key in image.meta for key in ("laterality", "view", "window_center", "window_width", "pixel_spacing")
        )

    @pytest.mark.parametrize("uid", SYNTAXES)
    def test_dicom(self, tmp_path, mammogram, write_dicom, uid):
        path = write_dicom(tmp_path / "P1.dcm", mammogram, syntax=SYNTAXES[uid])
        assert uid.encode() in path.read_bytes()[:1000]
        self.check(path, mammogram)

    def test_dicom_without_suffix(self, tmp_path, mammogram, write_dicom):
        self.check(write_dicom(tmp_path / "IM000001", mammogram), mammogram)

    def test_png_of_16_bit(self, tmp_path, mammogram):
        Image.fromarray(mammogram).save(tmp_path / "a.PNG")
        self.check(tmp_path / "a.PNG", mammogram)

    @pytest.mark.parametrize("shape", [(23, 37), (23, 37, 1), (23, 37, 1, 1)])
    @pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1, -1, 1, 1])])
    def test_nifti(self, tmp_path, mammogram, shape, affine):
        nibabel.save(nibabel.Nifti1Image(mammogram.T.reshape(shape), affine), tmp_path / "a.nii.gz")
        self.check(tmp_path / "a.nii.gz", mammogram)

    @pytest.mark.parametrize("pixel", [np.uint16, np.int16, np.float32])
    def test_nrrd_as_itk_writes_it(self, tmp_path, mammogram, pixel):
        volume = itk.image_from_array(mammogram[None].astype(pixel))
        volume.SetSpacing([0.2, 0.1, 1.0])
        itk.imwrite(volume, tmp_path / "a.nrrd", compression=pixel is np.uint16)
        self.check(tmp_path / "a.nrrd", mammogram)
        assert load(tmp_path / "a.nrrd").meta[MetaKeys.PIXEL_SPACING] == pytest.approx((0.1, 0.2))

    def test_nrrd_of_other_types(self, tmp_path, mammogram):
        self.check(nrrd(tmp_path / "a.nrrd", mammogram.astype(np.int64), "int64"), mammogram)
        self.check(nrrd(tmp_path / "b.nrrd", mammogram[None], "ushort", "gzip", pack=gzip.compress), mammogram)
        lines = ("kinds: list domain domain domain", "space directions: none (0.2,0,0) (0,0.1,0) (0,0,1)")
        single_layer = nrrd(tmp_path / "c.seg.nrrd", mammogram[None, ..., None], "uint16", lines=lines)
        self.check(single_layer, mammogram)
        assert read_image(single_layer)[1][MetaKeys.PIXEL_SPACING] == (0.1, 0.2)
        swapped = nrrd(tmp_path / "d.nrrd", mammogram.byteswap(), "uint16")
        swapped.write_bytes(swapped.read_bytes().replace(b"endian: little", b"endian: big"))
        self.check(swapped, mammogram)

    def test_eight_bit_pictures(self, tmp_path, mammogram):
        grey = (mammogram >> 4).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "grey.png")
        Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "equal_channels.png")
        Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
        for name in ("grey", "equal_channels", "palette"):
            np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png")[0], grey)
        Image.fromarray(grey).save(tmp_path / "a.jpeg", quality=95)
        image, meta = read_image(tmp_path / "a.jpeg")
        assert np.abs(image - grey).mean() < 8
        assert math.isnan(meta[MetaKeys.WINDOW_CENTER])
        assert math.isnan(meta[MetaKeys.PIXEL_SPACING][0])
        Image.fromarray(grey > 0).save(tmp_path / "one_bit.png")
        np.testing.assert_array_equal(read_image(tmp_path / "one_bit.png")[0], grey > 0)

    def test_real_jpeg(self, cdd_cesm):
        path = cdd_cesm / "Low energy images of CDD-CESM" / "P102_R_DM_CC.jpg"
        image = load(path)
        assert image.shape == (1, 512, 512)
        assert image[..., 256:].sum() > image[..., :256].sum()  # a right breast: chest wall at the right edge
        seg = load(cdd_cesm / "masks" / "P102_R_DM_CC.png")
        assert set(seg.unique().tolist()) == {0, 1}


class TestDicom:
    def test_header_reaches_the_metadata(self, tmp_path, mammogram, write_dicom):
        path = write_dicom(
            tmp_path / "a.dcm",
            mammogram,
            ImageLaterality="R",
            ViewPosition="MLO",
            WindowCenter=["2105", "9"],
            WindowWidth=["380", "9"],
            ImagerPixelSpacing=["0.1", "0.2"],
        )
        meta = load(path).meta
        assert (meta["laterality"], meta["view"], meta["window_center"], meta["window_width"]) == (
            "R",
            "MLO",
            2105,
            380,
        )
        assert meta["pixel_spacing"] == (0.1, 0.2)

    def test_rescaling(self, tmp_path, mammogram, write_dicom):
        path = write_dicom(tmp_path / "a.dcm", mammogram, RescaleSlope="0.5", RescaleIntercept="-100")
        np.testing.assert_array_equal(read_image(path)[0], mammogram * 0.5 - 100)

    @pytest.mark.parametrize(("pixel", "low_plus_high"), [(np.uint16, 4095), (np.int16, -1)])
    @pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": "2", "RescaleIntercept": "-1024"}])
    def test_monochrome1_equals_its_monochrome2_twin(
        self, tmp_path, mammogram, write_dicom, pixel, low_plus_high, rescale
    ):
        bright = mammogram.astype(pixel) - (2048 if pixel is np.int16 else 0)
        dark = (low_plus_high - bright.astype(int)).astype(pixel)
        slope, intercept = float(rescale.get("RescaleSlope", 1)), float(rescale.get("RescaleIntercept", 0))
        centers = [float(2105 * slope), float(low_plus_high * slope + 2 * intercept - 2105 * slope)]
        twins = [
            write_dicom(
                tmp_path / f"{kind}.dcm",
                image,
                PhotometricInterpretation=kind,
                WindowCenter=center,
                WindowWidth=380,
                **rescale,
            )
            for kind, image, center in zip(("MONOCHROME2", "MONOCHROME1"), (bright, dark), centers, strict=True)
        ]
        (two, meta_two), (one, meta_one) = map(read_image, twins)
        np.testing.assert_array_equal(one, two)
        assert meta_one["window_center"] == meta_two["window_center"]
        assert meta_one["window_width"] == meta_two["window_width"] == 380


class TestErrors:
    def test_several_frames(self, tmp_path, mammogram, write_dicom):
        path = write_dicom(tmp_path / "a.dcm", mammogram, NumberOfFrames=2, PixelData=mammogram.tobytes() * 2)
        with pytest.raises(
            ValueError, match=r"a\.dcm has 2 frames: expected one projection image\. Leave tomosynthesis"
        ):
            load(path)

    def test_no_pixels(self, tmp_path, mammogram, write_dicom):
        path = write_dicom(tmp_path / "a.dcm", mammogram, PixelData=None)
        with pytest.raises(
            ValueError, match=r"a\.dcm has no pixel data: expected a mammogram\. Leave it out, or export"
        ):
            load(path)

    def test_truncated_pixels(self, tmp_path, mammogram, write_dicom):
        path = write_dicom(tmp_path / "a.dcm", mammogram, PixelData=b"\0\0")
        with pytest.raises(
            ValueError, match=r"a\.dcm could not be read as DICOM pixels of transfer syntax Explicit VR"
        ):
            load(path)

    def test_colour_dicom(self, tmp_path, mammogram, write_dicom):
        path = write_dicom(tmp_path / "a.dcm", mammogram, PhotometricInterpretation="PALETTE COLOR")
        with pytest.raises(
            ValueError, match=r"PALETTE COLOR: expected one, MONOCHROME1 or MONOCHROME2\. Export the orig"
        ):
            load(path)

    def test_dicom_suffix_alone(self, tmp_path):
        (tmp_path / "a.dcm").write_bytes(b"nothing")
        with pytest.raises(ValueError, match=r"a\.dcm is named \.dcm but lacks 'DICM' at byte 128"):
            load(tmp_path / "a.dcm")

    def test_colour_pictures(self, tmp_path, mammogram):
        grey = (mammogram >> 4).astype(np.uint8)
        Image.fromarray(np.stack([grey, grey, grey // 2], -1)).save(tmp_path / "a.png")
        with pytest.raises(ValueError, match=r"a\.png is a colour picture \(RGB\): expected grey\. Export it without"):
            load(tmp_path / "a.png")
        itk.imwrite(itk.image_from_array(np.stack([mammogram] * 3, -1), is_vector=True), tmp_path / "deep.png")
        with pytest.raises(ValueError, match=r"deep\.png is a 16-bit colour PNG: expected grey\. Save it as 16-bit"):
            load(tmp_path / "deep.png")

    def test_several_slices_and_layers(self, tmp_path):
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / "a.nii")
        with pytest.raises(
            ValueError, match=r"a\.nii holds an array \(4, 5, 6\) uint8: expected one grey slice \(W, H\)"
        ):
            load(tmp_path / "a.nii")
        layers = nrrd(tmp_path / "a.nrrd", np.zeros((5, 4, 2), np.uint8), "uint8", lines=["kinds: list domain domain"])
        with pytest.raises(
            ValueError, match=r"a\.nrrd has 2 layers \(list\): expected one image\. Lesion maps of several"
        ):
            load(layers)

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.nii", "a.nii.gz", "a.nrrd"])
    def test_damaged_file(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"no such format" * 20)
        with pytest.raises(ValueError, match=rf"{name} could not be read as .* (Export|Save) it again"):
            load(tmp_path / name)

    def test_detached_nrrd_without_its_pixels(self, tmp_path):
        path = nrrd(tmp_path / "a.nrrd", np.zeros((5, 4), np.uint8), "uint8", lines=["data file: /exams/MEIER/a.raw"])
        with pytest.raises(
            ValueError, match=r"a\.nrrd could not be .* NRRD \(a file that it names is missing\)\. Save"
        ):
            read_image(path)
        assert "MEIER" not in told(path)

    def test_unknown_format_missing_file_and_several_files(self, tmp_path, mammogram, write_dicom):
        (tmp_path / "a.bmp").write_bytes(b"BM")
        with pytest.raises(ValueError, match=r"a\.bmp is of no format that is read here: expected DICOM .* Convert it"):
            read_image(tmp_path / "a.bmp")
        with pytest.raises(FileNotFoundError, match=r"There is no image file .*b\.png\. Check the datalist"):
            read_image(tmp_path / "b.png")
        one = str(write_dicom(tmp_path / "a.dcm", mammogram))
        with pytest.raises(ValueError, match="one projection image at a time, got 2 files"):
            load([one, one])


def told(path):
    """All that a log may show of an unreadable file: the message and what a traceback would print with it."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        read_image(path)
    return "".join(traceback.format_exception(caught.value))


class TestNothingOfTheFileIsQuoted:
    """A damaged or foreign header may hold a name anywhere."""

    def damaged(self, path, old, new):
        raw = path.read_bytes()
        assert old in raw
        path.write_bytes(raw.replace(old, new, 1))
        return path

    def test_a_number_that_is_none(self, tmp_path, mammogram, write_dicom):
        path = write_dicom(tmp_path / "a.dcm", mammogram, RescaleSlope="1.0000000000")
        text = told(self.damaged(path, b"1.0000000000", b"MEIER^ANNA 2"))
        assert "a.dcm could not be read as DICOM (ValueError). Export it again." in text
        assert "MEIER" not in text

    @pytest.mark.parametrize(
        ("uid", "said"),
        [
            (b"1.2.840.MEIER^ANNA\0", "unknown [unreadable] (NotImplementedError). Install python-gdcm"),
            (b"1.2.840.99.1.2.3.4\0", "unknown [1.2.840.99.1.2.3.4] (NotImplementedError). Install python-gdcm"),
        ],
    )
    def test_transfer_syntax(self, tmp_path, mammogram, write_dicom, uid, said):
        path = write_dicom(tmp_path / "a.dcm", mammogram)
        raw = path.read_bytes()
        long = uid.ljust(20, b"\0")
        path.write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", long, 1))
        assert said in (text := told(path))
        assert "MEIER" not in text

    @pytest.mark.parametrize(("code", "said"), [("RGB", "RGB"), ("MEIER^ANNA", "unreadable"), ("meier", "unreadable")])
    @pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, while the test writes a wrong code
    def test_photometric_interpretation(self, tmp_path, mammogram, write_dicom, code, said):
        path = write_dicom(tmp_path / "a.dcm", mammogram, PhotometricInterpretation=code)
        assert f"has 1 sample(s) a pixel, {said}: expected one, MONOCHROME1" in told(path)

    def test_kinds_of_nrrd(self, tmp_path):
        array = np.zeros((5, 4, 2), np.uint8)
        path = nrrd(tmp_path / "a.nrrd", array, "uint8", lines=["kinds: meier-anna domain domain"])
        assert "a.nrrd has 2 layers (of an unknown kind): expected one image" in told(path)

    def test_pydicom_warns_and_logs_nothing(self, tmp_path, mammogram, write_dicom, caplog, recwarn):
        path = write_dicom(tmp_path / "a.dcm", mammogram, SpecificCharacterSet="ISO_IR 192", SeriesDescription="é")
        self.damaged(path, b"ISO_IR 192", b"MEIER^ANNA")
        ds = read_dataset(path)
        assert ds.SeriesDescription  # decoded here, which is when pydicom complains
        read_image(path)
        assert not recwarn.list
        assert caplog.text == ""
        before = list(warnings.filters)
        read_dataset(path)
        assert warnings.filters == before  # a change would make warnings that were said once be said again


class TestIsImageFile:
    def test_by_suffix_in_any_case(self):
        for name in ("a.dcm", "a.DCM", "a.nii", "a.Nii.GZ", "a.nrrd", "a.seg.nrrd", "a.png", "a.JPG", "a.jpeg"):
            assert is_image_file(name), name
        for name in ("a.txt", "a.gz", "README", "desktop.ini", "._a.dcm"):
            assert not is_image_file(Path(name)), name

    def test_by_mark(self, tmp_path, mammogram, write_dicom):
        for name in ("IM000001", "1.2.840.113619.2.4"):
            assert is_image_file(write_dicom(tmp_path / name, mammogram))
        assert not is_image_file(write_dicom(tmp_path / "DICOMDIR", mammogram))
        (tmp_path / "folder.png").mkdir()
        assert not is_image_file(tmp_path / "folder.png")
        (tmp_path / "short").write_bytes(b"DICM")
        assert not is_image_file(tmp_path / "short")

    def test_reader_asks_the_same(self, tmp_path):
        assert CesmReader().verify_suffix("a.dcm")
        assert CesmReader().verify_suffix(["a.dcm", "b.nii.gz"])
        assert not CesmReader().verify_suffix(["a.dcm", "b.txt"])


class TestEmptySegd:
    def test_adds_an_empty_map(self):
        des = MetaTensor(torch.rand(1, 5, 4), meta={"laterality": "R", "filename_or_obj": "des.dcm"})
        seg = EmptySegd()({"des": des})["seg"]
        assert isinstance(seg, MetaTensor)
        assert seg.shape == des.shape
        assert not seg.any()
        assert (seg.meta["laterality"], seg.meta["filename_or_obj"]) == ("R", "")
        assert des.meta["filename_or_obj"] == "des.dcm"

    def test_binarises_a_map(self):
        item = {"des": torch.zeros(1, 1, 4), "seg": torch.tensor([[[0.0, 1.0, 255.0, 0.2]]])}
        assert EmptySegd(keys="seg", like="des")(item)["seg"].tolist() == [[[0, 1, 1, 1]]]

    def test_refuses_another_grid(self):
        seg = MetaTensor(torch.zeros(1, 5, 5), meta={"filename_or_obj": "seg.png"})
        with pytest.raises(
            ValueError, match=r"lesion map seg\.png has shape \(1, 5, 5\), expected that of des.*\(1, 5, 4\)"
        ):
            EmptySegd()({"des": torch.zeros(1, 5, 4), "seg": seg})
