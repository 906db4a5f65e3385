"""The weights in models/: complete, licensed, and what an inference takes in a fresh clone."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from bundle.experiments import check_inference, keep_former_run
from bundle.inference.backends import BackendNetwork
from bundle.integrations.export.weights import _places
from bundle.networks import ResnetGenerator, UnetGenerator, generator_of_card
from bundle.networks.weights import card_path, card_problems, default_model, load_weights, read_card, save_weights

ROOT = Path(__file__).parents[2]
NAMES = ("recommended", "paper_exact")
MOST = 12e6  # bytes
RESULTS = ("psnr", "ssim", "lesion_l1", "background_l1", "lesion_contrast_r")
UNET = {"name": "unet", "in_channels": 1, "width": 2, "num_downsamples": 4}


@pytest.fixture(params=NAMES)
def shipped(request) -> Path:
    path = ROOT / "models" / f"{request.param}.pt"
    assert path.is_file(), f"{path} is missing: python -m scripts.export weights --output models/{path.name} ..."
    return path


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """The working directory: what a clone has, as far as an inference needs it."""
    shutil.copytree(ROOT / "configs", tmp_path / "clone/configs")
    (tmp_path / "clone/models").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def ship(clone, name="recommended"):
    for path in (ROOT / f"models/{name}.pt", ROOT / f"models/{name}.json"):
        shutil.copy(path, clone / "models")


def infer(images, out, *configs, **overrides) -> pd.DataFrame:
    workflow = ConfigWorkflow(
        config_file=[f"configs/{name}" for name in ("inference.json", *configs)],
        logging_file=False,
        workflow_type="infer",
        dataset_dir=str(images),
        output_dir=str(out),
        device="cpu",
        num_workers=0,
        **overrides,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return pd.read_csv(out / "results.csv", keep_default_na=False)


def toy(path, network, size=32, **card):
    torch.manual_seed(0)
    kinds = {"unet": UnetGenerator, "resnet": ResnetGenerator}
    layers = {key: value for key, value in network.items() if key != "name"}
    generator = kinds[network.get("name", "resnet")](**layers)
    return save_weights(
        path, generator, {"image_size": size, "network": network, "intensity": {"method": "window"}} | card
    )


def difference(model, backend, folder) -> float:
    """Largest difference of a backend from torch, on two images; the export stays in ``folder``."""
    for path in (model, card_path(model)):
        shutil.copy(path, folder)
    network = load_weights(model, generator_of_card(read_card(model)["network"])).eval()
    exported = BackendNetwork(network, folder / model.name, backend).load()  # refuses more than 1e-4 on its own image
    image = torch.rand(2, 1, 64, 96)
    with torch.inference_mode():
        return float((exported(image) - network(image)).abs().max())


class TestCard:
    def test_is_of_these_weights_which_are_small(self, shipped):
        assert card_problems(shipped) == []
        assert shipped.stat().st_size <= MOST
        card = read_card(shipped)
        load_weights(shipped, generator_of_card(card["network"]))
        assert card["image_size"] == 256

    def test_says_whose_data_and_for_what(self, shipped):
        card = read_card(shipped)
        assert card["licence"] == card["data"]["licence"] == "CC BY 4.0"
        assert card["data"]["name"] == card["datalist"] == "CDD-CESM"
        assert "Khaled" in card["data"]["attribution"]
        assert "10.7937/29kw-ae92" in card["data"]["attribution"]
        assert "not for diagnosis" in card["notice"]
        assert _places(card) == []

    def test_says_what_it_took_and_how_well_it_does(self, shipped):
        card = read_card(shipped)
        assert min(card["cases"][part]["women"] for part in ("training", "validation", "test")) > 0
        training, results = card["training"], card["results"]
        assert training["steps"] > 0
        assert training["seconds"] > 0
        assert training["machine"]["cpu"]
        assert results["part"] == "test"
        assert results["fold"] == card["fold"]
        assert results["women"] == card["cases"]["test"]["women"]
        for name in RESULTS:
            found = results["metrics"][name]
            assert found["low"] <= found["value"] <= found["high"]
            assert "value" in found["floor_le"]

    def test_the_document_names_it(self, shipped):
        document = (ROOT / "models/README.md").read_text(encoding="utf-8")
        assert f"`{shipped.name}`" in document
        assert f"`{card_path(shipped).name}`" in document

    def test_openvino_makes_the_same_image(self, shipped, tmp_path):
        assert difference(shipped, "openvino", tmp_path) < 1e-4


@pytest.mark.parametrize("name", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.slow)])
def test_onnx_runtime_makes_the_same_image(name, tmp_path):
    assert difference(ROOT / f"models/{name}.pt", "onnxruntime", tmp_path) < 1e-4


class TestFreshClone:
    def test_two_images_and_an_exam_without_ckpt_path(self, clone, phantom, tmp_path, caplog):
        ship(clone)
        sources = sorted(phantom.rglob("*_LE.dcm"))
        (tmp_path / "images").mkdir()
        for path in sources[:2]:
            pixels = pydicom.dcmread(path).pixel_array
            Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "images" / f"{path.stem}.png")
        with caplog.at_level(logging.INFO, "bundle"):
            table = infer(tmp_path / "images", tmp_path / "out")
        assert table["state"].tolist() == ["made", "made"]
        assert all(np.ptp(np.asarray(Image.open(path))) > 0 for path in table["output"])
        card = read_card(clone / "models/recommended.pt")
        (said,) = [text for text in caplog.messages if text.startswith("weights ./models/recommended.pt: ")]
        assert said.count(card["name"]) == 1
        for words in (card["sha256"][:12], "licence CC BY 4.0", "trained on CDD-CESM", card["data"]["attribution"]):
            assert words.rstrip(".") in said
        assert said.endswith(card["notice"])
        exam = infer(phantom, tmp_path / "dicom", "inference_dicom.json")
        made = exam[exam["state"] == "made"]
        assert len(made) == len(sources) == 4
        assert set(made["model_sha256"]) == {card["sha256"]}

    def test_the_other_by_ckpt_path(self, clone, write, tmp_path, caplog):
        ship(clone, "paper_exact")
        write(tmp_path / "images/le.png")
        with caplog.at_level(logging.INFO, "bundle"):
            table = infer(tmp_path / "images", tmp_path / "out", ckpt_path="models/paper_exact.pt")
        assert table["state"].tolist() == ["made"]
        assert any(text.startswith("weights models/paper_exact.pt: ") for text in caplog.messages)

    def test_git_keeps_these_and_nothing_else(self):
        if not (ROOT / ".git").exists() or shutil.which("git") is None:
            pytest.skip("no git checkout")
        kept = [f"models/{name}{suffix}" for name in NAMES for suffix in (".pt", ".json")] + ["models/README.md"]
        names = ("model.pt", "model.json", "checkpoint.pt", "former_1/model.pt", "recommended.openvino-1-fp32-0.xml")
        asked = [*kept, *(f"models/{name}" for name in (*names, "paired/model.pt"))]
        ignored = subprocess.run(
            ["git", "-C", str(ROOT), "check-ignore", "--no-index", *asked], capture_output=True, text=True
        ).stdout.split()
        assert set(asked) - set(ignored) == set(kept)


class TestDefault:
    def test_a_training_comes_first_then_what_ships_then_the_error_of_a_training(self, tmp_path):
        trained, shipped = (tmp_path / "models" / name for name in ("model.pt", "recommended.pt"))
        assert default_model(tmp_path) == str(trained)
        shipped.parent.mkdir()
        shipped.touch()
        assert default_model(tmp_path) == str(shipped)
        trained.touch()
        assert default_model(str(tmp_path)) == str(trained)

    def test_a_training_moves_only_its_own_files_aside(self, tmp_path):
        for name in ("model.pt", "model.json", "checkpoint.pt", "recommended.pt", "recommended.json", "README.md"):
            (tmp_path / name).touch()
        keep_former_run(tmp_path, resume=False)
        names = ["README.md", "former_1", "recommended.json", "recommended.pt"]
        assert sorted(path.name for path in tmp_path.iterdir()) == names

    def test_a_model_of_a_training_is_taken_and_said(self, clone, write, tmp_path, caplog):
        toy("models/recommended.pt", {"width": 2, "num_blocks": 1})
        card = toy("models/model.pt", {"width": 2, "num_blocks": 1}, name="mine")
        write(tmp_path / "images/le.png")
        with caplog.at_level(logging.INFO, "bundle"):
            infer(tmp_path / "images", tmp_path / "out")
        said = f"weights ./models/model.pt: mine, sha256 {card['sha256'][:12]}. SYNTHETIC virtual DES"
        assert [text[: len(said)] for text in caplog.messages if text.startswith("weights")] == [said]

    def test_nothing_is_there(self, clone, tmp_path):
        with pytest.raises(RuntimeError) as caught:
            infer(clone, tmp_path / "out")
        cause: BaseException | None = caught.value
        while cause.__cause__ is not None:
            cause = cause.__cause__
        assert "there is no model models/model.pt." in str(cause)


class TestUnet:
    """A card of another network goes the same way."""

    def test_images_and_exams(self, clone, write, phantom, tmp_path):
        toy("models/model.pt", UNET)
        write(tmp_path / "images/le.png")
        assert infer(tmp_path / "images", tmp_path / "out")["state"].tolist() == ["made"]
        assert infer(tmp_path / "images", tmp_path / "native", image_size="native")["state"].tolist() == ["made"]
        table = infer(phantom, tmp_path / "dicom", "inference_dicom.json")
        assert (table["state"] == "made").sum() == 4

    def test_the_size_is_a_multiple_of_its_own(self, tmp_path):
        toy(tmp_path / "model.pt", UNET)
        settings = {"device": "cpu", "ckpt_path": str(tmp_path / "model.pt"), "dataset_dir": str(tmp_path)}
        check_inference(settings | {"image_size": 48})
        said = r"image_size is 40, expected a multiple of 16 \(the generator halves it 4 time\(s\)\)\."
        with pytest.raises(ValueError, match=said):
            check_inference(settings | {"image_size": 40})

    @pytest.mark.parametrize("backend", ["openvino", pytest.param("onnxruntime", marks=pytest.mark.slow)])
    def test_another_runtime(self, backend, tmp_path):
        toy(tmp_path / "trained/model.pt", UNET)
        assert difference(tmp_path / "trained/model.pt", backend, tmp_path) < 1e-4
