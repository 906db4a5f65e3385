"""The whole way from a file to the network, restated in numpy, and the way back to the native grid."""

import json
import math

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, Invertd, LoadImaged, ScaleIntensityd

from bundle.transforms import AreaResized, CesmReader, ContrastStretchd, EmptySegd, PadToSquared

SHAPES = [(61, 37), (37, 61), (64, 32), (50, 50)]


def chain(keys, size=16):
    return Compose(
        [
            LoadImaged(keys, reader=CesmReader(), ensure_channel_first=True, image_only=True),
            PadToSquared(keys),
            ContrastStretchd(keys),
            ScaleIntensityd(keys),
            AreaResized(keys, size=size),
        ]
    )


def restated(image, side, window, size):
    """Pad, stretch, [0, 1], resize, each step as the paper orders them and from its definition."""
    height, width = image.shape
    length = max(height, width)
    square = np.zeros((length, length))
    if side == "L":
        square[:height, :width] = image
    else:
        square[:height, length - width :] = image
    if window is not None:
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
        square = np.where(square < low, low, np.where(square > high, high, square))
    square = (square - square.min()) / (square.max() - square.min())
    small = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            top, bottom = math.floor(i * length / size), math.ceil((i + 1) * length / size)
            left, right = math.floor(j * length / size), math.ceil((j + 1) * length / size)
            small[i, j] = square[top:bottom, left:right].mean()
    return small


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("windows", [None, ((2360, 900), (2105, 380))])
def test_equals_the_restatement(tmp_path, write_dicom, shape, side, windows):
    rng = np.random.default_rng(1)
    images = {key: rng.integers(0, 4096, shape).astype(np.uint16) for key in ("le", "des")}
    item = {}
    for i, (key, image) in enumerate(images.items()):
        window = {} if windows is None else dict(zip(("WindowCenter", "WindowWidth"), windows[i], strict=True))
        item[key] = str(write_dicom(tmp_path / key, image, ImageLaterality=side, **window))
    out = chain(["le", "des"])(item)
    for i, (key, image) in enumerate(images.items()):
        assert out[key].shape == (1, 16, 16)
        assert out[key].dtype == torch.float32
        expected = restated(image, side, None if windows is None else windows[i], 16)
        np.testing.assert_allclose(out[key].numpy()[0], expected, atol=1e-5)


def test_real_pair(cdd_cesm):
    folders = {"le": "Low energy images of CDD-CESM", "des": "Subtracted images of CDD-CESM"}
    names = {"le": "P102_R_DM_CC", "des": "P102_R_CM_CC"}
    item = {key: str(cdd_cesm / folder / f"{names[key]}.jpg") for key, folder in folders.items()}
    out = chain(["le", "des"], size=100)(item)
    for key, path in item.items():
        image = CesmReader().get_data([path])[0]
        np.testing.assert_allclose(out[key].numpy()[0], restated(image, "R", None, 100), atol=1e-5)


def smooth(shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    blob = np.exp(-((rows - 0.3 * shape[0]) ** 2 + (columns - 0.6 * shape[1]) ** 2) / (2 * 25**2))
    return (1000 + 3000 * blob).astype(np.uint16)


def center_of(image):
    weights = np.clip(image - 0.6 * image.max(), 0, None)
    return [float((weights * axis).sum() / weights.sum()) for axis in np.mgrid[: image.shape[0], : image.shape[1]]]


def test_back_to_the_native_grid_through_a_batch(tmp_path):
    shapes, sides = [(301, 187), (187, 301), (290, 200)], ["L", "R", "R"]
    items = []
    for i, (shape, side) in enumerate(zip(shapes, sides, strict=True)):
        nibabel.save(nibabel.Nifti1Image(smooth(shape).T[..., None], np.eye(4)), tmp_path / f"{i}.nii.gz")
        items.append({"image": str(tmp_path / f"{i}.nii.gz"), "laterality": side})
    forward = chain(["image"], size=64)
    back = Invertd(keys="pred", transform=forward, orig_keys="image", nearest_interp=False)
    batch = next(iter(DataLoader(Dataset(items, forward), batch_size=3)))
    batch["pred"] = batch["image"] * 1.0  # a network that returns its input
    assert batch["pred"].shape == (3, 1, 64, 64)
    for item, shape in zip(decollate_batch(batch), shapes, strict=True):
        native = back(item)["pred"]
        assert isinstance(native, MetaTensor)
        assert native.shape == (1, *shape)
        scaled = smooth(shape) / smooth(shape).max()
        error = np.abs(native.numpy()[0] - scaled)[6:-6, 6:-6]  # the rim mixes with padding
        assert error.max() < 0.02
        np.testing.assert_allclose(center_of(native.numpy()[0]), center_of(scaled), atol=0.3)


@pytest.mark.parametrize("nearest", [True, False])
def test_padding_alone_comes_back_bit_for_bit(nearest):
    for shape in SHAPES:
        for side in "LR":
            le = MetaTensor(torch.rand(1, *shape))
            pad = Compose([PadToSquared(["image"])])
            item = pad({"image": le, "laterality": side})
            item["pred"] = MetaTensor(item["image"].as_tensor().clone())
            native = Invertd(keys="pred", transform=pad, orig_keys="image", nearest_interp=nearest)(item)["pred"]
            assert torch.equal(native.as_tensor(), le.as_tensor())


def test_a_lesion_map_comes_back_binary():
    seg = torch.zeros(1, 90, 70)
    seg[0, 30:50, 20:40] = 1
    forward = Compose([PadToSquared(["seg"]), AreaResized((), ["seg"], size=32)])
    item = forward({"seg": MetaTensor(seg), "laterality": "R"})
    native = forward.inverse(item)["seg"]
    assert native.shape == seg.shape
    assert set(native.unique().tolist()) == {0, 1}
    assert (native.as_tensor() != seg).float().mean() < 0.02


def test_pair_with_and_without_a_map_batch_together(tmp_path, mammogram, write_dicom):
    path = str(write_dicom(tmp_path / "a.dcm", mammogram, ImageLaterality="L", WindowCenter=2000, WindowWidth=1500))
    keys = ["le", "des", "seg"]
    prepare = Compose(
        [
            LoadImaged(keys, reader=CesmReader(), ensure_channel_first=True, image_only=True, allow_missing_keys=True),
            EmptySegd(),
            PadToSquared(keys),
            ContrastStretchd(["le", "des"]),
            ScaleIntensityd(["le", "des"]),
            AreaResized(["le", "des"], ["seg"], size=8),
        ]
    )
    items = [{"le": path, "des": path, "seg": path}, {"le": path, "des": path}]
    batch = next(iter(DataLoader(Dataset(items, prepare), batch_size=2)))
    assert batch["seg"].shape == (2, 1, 8, 8)
    assert set(batch["seg"][0].unique().tolist()) == {0, 1}
    assert not batch["seg"][1].any()


def test_config_of_the_chain(tmp_path, mammogram, write_dicom):
    config = {
        "keys": ["le", "des", "seg"],
        "prepare": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "LoadImaged",
                    "keys": "@keys",
                    "reader": {"_target_": "bundle.transforms.CesmReader"},
                    "ensure_channel_first": True,
                    "allow_missing_keys": True,
                },
                {"_target_": "bundle.transforms.EmptySegd"},
                {"_target_": "bundle.transforms.PadToSquared", "keys": "@keys"},
                {"_target_": "bundle.transforms.ContrastStretchd", "keys": ["le", "des"]},
                {"_target_": "ScaleIntensityd", "keys": ["le", "des"]},
                {"_target_": "bundle.transforms.AreaResized", "keys": ["le", "des"], "seg_keys": ["seg"], "size": 8},
                {"_target_": "bundle.transforms.RandAlignedAffined", "keys": ["le", "des"], "seg_keys": ["seg"]},
            ],
        },
    }
    path = str(write_dicom(tmp_path / "a", mammogram))
    prepare = ConfigParser(json.loads(json.dumps(config))).get_parsed_content("prepare")
    out = prepare({"le": path, "des": path, "laterality": "L"})
    assert {out[key].shape for key in config["keys"]} == {(1, 8, 8)}
