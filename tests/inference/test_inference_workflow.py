"""configs/inference.json from end to end: a folder of every form in, virtual DES of the native size out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from bundle.inference.save import NOTICE
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights
from bundle.transforms import read_image

CONFIG = Path(__file__).parents[2] / "configs" / "inference.json"
SIZE = 32


@pytest.fixture
def model(tmp_path):
    """Random weights and the card of a training at 32 pixels."""
    torch.manual_seed(0)
    network = {"width": 4, "num_blocks": 1}
    card = {"image_size": SIZE, "network": network, "intensity": {"method": "window"}}
    save_weights(tmp_path / "model" / "model.pt", ResnetGenerator(**network), card)
    return tmp_path / "model" / "model.pt"


@pytest.fixture
def infer(model, tmp_path):
    def run(images, out=tmp_path / "out", **overrides):
        workflow = ConfigWorkflow(
            config_file=str(CONFIG),
            logging_file=False,
            workflow_type="infer",
            bundle_root=str(tmp_path),
            ckpt_path=str(model),
            dataset_dir=str(images),
            output_dir=str(out),
            device="cpu",
            num_workers=0,
            **overrides,
        )
        workflow.initialize()
        assert workflow.check_properties() == []
        workflow.run()
        workflow.finalize()
        return pd.read_csv(out / "results.csv", keep_default_na=False).set_index("image")

    return run


@pytest.fixture
def same(monkeypatch):
    """A generator whose answer is known: the image itself."""
    monkeypatch.setattr(ResnetGenerator, "forward", lambda _, x: x)


@pytest.fixture
def seen(monkeypatch):
    """The batches that the network gets, in their order."""
    batches = []

    def forward(_, x):
        batches.append(x.clone())
        return x

    monkeypatch.setattr(ResnetGenerator, "forward", forward)
    return batches


@pytest.mark.parametrize("name", ["a.png", "a.nii.gz"])
def test_another_models_result_is_neither_kept_nor_replaced(name, infer, model, write, tmp_path):
    write(tmp_path / "images" / name)
    assert infer(tmp_path / "images")["state"].tolist() == ["made"]
    assert infer(tmp_path / "images")["state"].tolist() == ["kept"]
    torch.manual_seed(1)
    save_weights(model, ResnetGenerator(width=4, num_blocks=1), json.loads(model.with_suffix(".json").read_text()))
    with pytest.raises(SystemExit):
        infer(tmp_path / "images")
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table["reason"].str.startswith("another model's result is there").all()
    assert infer(tmp_path / "images", overwrite=True)["state"].tolist() == ["made"]


def read_png(path):
    with Image.open(path) as picture:
        assert picture.mode == "I;16"
        assert picture.text["Description"] == NOTICE
        return np.asarray(picture).astype(np.float64) / 65535


@pytest.fixture
def images(tmp_path, write, breast, phantom):
    """A left and a right breast in PNG, a DICOM LE and a NIfTI, none of them square."""
    folder = tmp_path / "images"
    write(folder / "left.png")
    write(folder / "right.png", np.ascontiguousarray(breast[:, ::-1]))
    shutil.copy(phantom / "PH0001/PH0001_R_MLO_LE.dcm", folder / "exam.dcm")
    write(folder / "volume.nii.gz", breast.astype(np.float32) * 10)
    return folder


def test_every_form_at_its_native_size(images, infer, same, tmp_path, breast):
    table = infer(images)
    assert set(table["state"]) == {"made"}
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "exam_virtual_des.png",
        "left_virtual_des.png",
        "results.csv",
        "right_virtual_des.png",
        "volume_virtual_des.nii.gz",
    ]

    le, meta = read_image(images / "exam.dcm")
    assert le.shape == (64, 54)
    low = meta["window_center"] - meta["window_width"] / 2
    expected = {"exam": np.clip((le - low) / meta["window_width"], 0, 1), "left": breast / breast.max()}
    expected["right"] = expected["left"][:, ::-1]
    for name, image in expected.items():
        made = read_png(out / f"{name}_virtual_des.png")
        assert made.shape == image.shape
        # shrunk to 32 pixels and back, an image keeps its place: nowhere else does it fit as well
        errors = {
            shift: np.abs(np.roll(made, shift, axis=(0, 1)) - image).mean()
            for shift in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))
        }
        assert min(errors, key=errors.get) == (0, 0)
        assert errors[0, 0] < 0.06
        assert np.corrcoef(made.ravel(), image.ravel())[0, 1] > 0.95

    nifti = nibabel.load(out / "volume_virtual_des.nii.gz")
    assert nifti.shape == (30, 48, 1)
    np.testing.assert_array_equal(nifti.affine, nibabel.load(images / "volume.nii.gz").affine)
    made = np.asarray(nifti.dataobj)[..., 0].T
    np.testing.assert_allclose(made, read_png(out / "left_virtual_des.png"), atol=1e-5)  # grey values alone differ


def test_a_mirrored_breast_gives_the_mirrored_image(images, infer, tmp_path, monkeypatch):
    """With a generator that tells up from down and air from breast, but not left from right."""

    def forward(_, x):
        return (x + torch.linspace(0, 1, x.shape[-2])[:, None]) / 2

    monkeypatch.setattr(ResnetGenerator, "forward", forward)
    infer(images)
    left, right = (read_png(tmp_path / "out" / f"{side}_virtual_des.png") for side in ("left", "right"))
    np.testing.assert_allclose(right, left[:, ::-1], atol=2 / 65535)
    assert np.abs(left - left[:, ::-1]).mean() > 0.1


def test_the_network_sees_the_square_with_the_chest_wall_at_its_edge(images, infer, seen, breast):
    infer(images)
    seen = dict(zip(("exam", "left", "right", "volume"), seen, strict=True))
    for name, image in seen.items():
        assert image.shape == (1, 1, SIZE, SIZE), name
        assert (float(image.min()), image.dtype) == (0.0, torch.float32)
        if name == "exam":  # bright lines of a pixel lose by area averaging
            le, meta = read_image(images / "exam.dcm")
            low = meta["window_center"] - meta["window_width"] / 2
            shown = np.clip((le - low) / meta["window_width"], 0, 1)
            square = np.pad(shown / shown.max(), ((0, 0), (shown.shape[0] - shown.shape[1], 0)))
            brightest = square.reshape(SIZE, 2, SIZE, 2).mean(axis=(1, 3)).max()
            assert float(image.max()) == pytest.approx(brightest, abs=1e-5)
        else:
            assert 0.9 < float(image.max()) <= 1.0
    columns = SIZE * breast.shape[1] // breast.shape[0]  # 20 of 32 hold the image, the rest is padding
    assert seen["left"][..., columns:].abs().max() == 0 < seen["left"][..., 0].max()
    assert seen["right"][..., :-columns].abs().max() == 0 < seen["right"][..., -1].max()
    torch.testing.assert_close(seen["right"], seen["left"].flip(-1))
    torch.testing.assert_close(seen["volume"][..., 0], seen["left"][..., 0], rtol=0, atol=1e-5)


def test_a_trained_network_speaks_through_its_own_weights(images, infer, tmp_path, model):
    infer(images, batch_size=3)
    network = ResnetGenerator(width=4, num_blocks=1).eval()
    network.load_state_dict(torch.load(model, weights_only=True))
    (images / "square.png").write_bytes(b"")
    square = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    Image.fromarray(square).save(images / "square.png")
    infer(images)
    x = torch.from_numpy(square / 255.0).float()[None, None]
    with torch.no_grad():
        expected = np.round(network(x)[0, 0].numpy().astype(np.float64) * 65535)
    made = read_png(tmp_path / "out" / "square_virtual_des.png") * 65535
    np.testing.assert_allclose(made, expected, atol=1)


def test_a_broken_file_ends_with_status_1_and_a_second_run_makes_the_rest(images, infer, same, tmp_path):
    (images / "broken.dcm").write_bytes(b"not a DICOM file")
    with pytest.raises(SystemExit) as status:
        infer(images)
    assert status.value.code == 1
    out = tmp_path / "out"
    states = pd.read_csv(out / "results.csv")["state"].to_list()
    assert sorted(states) == ["failed", "made", "made", "made", "made"]

    (images / "broken.dcm").unlink()
    (out / "left_virtual_des.png").unlink()
    before = (out / "right_virtual_des.png").stat().st_mtime_ns
    table = infer(images)
    assert table["state"].value_counts().to_dict() == {"kept": 3, "made": 1}
    assert (out / "right_virtual_des.png").stat().st_mtime_ns == before
    table = infer(images, overwrite=True)
    assert set(table["state"]) == {"made"}
    assert (out / "right_virtual_des.png").stat().st_mtime_ns > before


@pytest.mark.filterwarnings("ignore:`dataloader` is empty")
def test_a_run_with_nothing_left_to_do_is_a_success(images, infer, same):
    infer(images)
    assert set(infer(images)["state"]) == {"kept"}


@pytest.mark.filterwarnings("ignore:`dataloader` is empty")
def test_a_folder_without_images_ends_with_status_1(infer, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as status:
        infer(tmp_path / "empty")
    assert status.value.code == 1
    assert (tmp_path / "out" / "results.csv").read_text() == "image,output,state,reason\n"


def test_a_phantom_study_is_translated_by_its_datalist(phantom, infer, same, tmp_path):
    table = infer(phantom)
    cases = json.loads((phantom / "datalist.json").read_text())["cases"]
    assert sorted(table.index) == sorted(str(phantom / case["le"]) for case in cases)
    for case in cases:
        made = read_png(tmp_path / "out" / case["le"].replace(".dcm", "_virtual_des.png"))
        le = pydicom.dcmread(phantom / case["le"]).pixel_array
        assert made.shape == le.shape
        wall = made[:, 0] if case["laterality"] == "L" else made[:, -1]
        air = made[:, -1] if case["laterality"] == "L" else made[:, 0]
        assert wall.mean() > 10 * air.mean()


def test_the_model_is_checked_before_any_image(images, infer, model, tmp_path):
    model.with_suffix(".json").write_text(model.with_suffix(".json").read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(RuntimeError) as caught:
        infer(images)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "belongs to other weights" in str(caught.value.__cause__)
    assert not (tmp_path / "out").exists()
