"""``python -m scripts.export``: what each command writes, says and refuses."""

from __future__ import annotations

import json
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bundle.integrations.export.forms as forms
from bundle.integrations.export import take_sample
from bundle.networks import ResnetGenerator, generator_of_card
from bundle.networks.weights import load_weights, save_weights
from bundle.phantom import write_study
from scripts import export
from scripts.command_line import call

ROOT = Path(__file__).parents[2]
MAKES_ONE = "python -m monai.bundle run training --config_file configs/train.json"
CARD = {
    "image_size": 32,
    "network": {"in_channels": 1, "width": 2, "num_blocks": 1},
    "intensity": {"method": "window"},
}


def run(words: str, capsys=None):
    """The command as its script runs it."""
    call(export.torchscript, export.onnx, export.openvino, export.zoo, export.hub, arguments=words.split())
    return capsys.readouterr().out if capsys else ""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One woman, four LE images of 96 x 81 pixels, with their datalist."""
    return write_study(tmp_path_factory.mktemp("study") / "ph", patients=1, image_size=96, truth=False).parent


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, with a model in models/."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    save_weights("models/model.pt", ResnetGenerator(width=2, num_blocks=1), CARD)
    return tmp_path


@pytest.fixture
def without_writing(monkeypatch):
    """A form that only copies the weights' names, for what happens around it."""
    form = forms.FORMS["onnx"]
    networks = {}

    def write(network, path, metadata):
        path.write_text(json.dumps(metadata))
        networks[path] = network

    def start(path):
        def applied(image):
            with torch.inference_mode():
                return networks[path](torch.from_numpy(image)).numpy()

        return applied

    monkeypatch.setitem(forms.FORMS, "onnx", type(form)("ONNX", (".onnx",), "onnxruntime", write, start))


COMMANDS = {
    "torchscript": "--output x/model.ts",
    "onnx": "--output x/model.onnx",
    "openvino": "--output x/model.xml",
    "zoo": "--output x",
    "hub": "--repo me/name --output x",
}


@pytest.mark.parametrize("command", COMMANDS)
class TestEveryCommand:
    def test_says_what_makes_a_model_where_there_is_none(self, command, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match=r"^there is no model models/model\.pt\.") as refused:
            run(f"{command} {COMMANDS[command]}")
        assert MAKES_ONE in str(refused.value)
        assert "make quickstart" in str(refused.value)
        assert not list(tmp_path.iterdir())

    def test_refuses_a_card_of_other_weights(self, command, here):
        card = json.loads(Path("models/model.json").read_text())
        Path("models/model.json").write_text(json.dumps(card | {"sha256": "0" * 64}))
        with pytest.raises(
            ValueError, match=r"^models/model\.json belongs to other weights: it says .* 0{12}"
        ) as refused:
            run(f"{command} {COMMANDS[command]}")
        assert MAKES_ONE in str(refused.value)
        assert [each.name for each in here.iterdir()] == ["models"]

    def test_is_told_of_by_the_document(self, command):
        document = (ROOT / "docs/how-to/export.md").read_text(encoding="utf-8")
        assert f"python -m scripts.export {command} " in document


def test_a_baseline_of_another_network(study, here):
    layers = {"name": "unet", "in_channels": 1, "width": 2, "num_downsamples": 4}
    card = CARD | {"network": layers, "method": "unet_l1", "gamma": None, "lambda_cycle": None}
    save_weights("models/model.pt", generator_of_card(layers), card)
    run(f"torchscript --output model.ts --images {study}")
    extra = {"metadata.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its TorchScript deprecated
        network = torch.jit.load("model.ts", _extra_files=extra)
    image = torch.rand(1, 1, 32, 48)
    with torch.inference_mode():
        expected = load_weights("models/model.pt", generator_of_card(layers)).eval()(image)
        torch.testing.assert_close(network(image), expected)
    told = json.loads(extra["metadata.json"])
    assert told["name"] == "Virtual contrast-enhanced mammography (unet_l1)"
    assert told["description"].startswith("A U-Net, trained on aligned pairs of LE and DES (method")
    assert told["input"]["sides"].startswith("multiples of 16;")


def test_a_card_of_another_network(here):
    card = json.loads(Path("models/model.json").read_text())
    Path("models/model.json").write_text(json.dumps(card | {"network": {"width": 4, "num_blocks": 1}}))
    said = r"models/model\.pt does not fit the network: its card says \{'width': 4, 'num_blocks': 1\}\."
    with pytest.raises(ValueError, match=said) as refused:
        run("torchscript --output model.ts")
    assert MAKES_ONE in str(refused.value)


def test_all_that_is_in_the_way_is_said_at_once(tmp_path):
    (tmp_path / "m.xml").touch()
    with pytest.raises(ValueError, match=rf"(?s)^there is no model no\.pt\..*\n{tmp_path}/m\.xml is there already\."):
        run(f"openvino --output {tmp_path}/m.xml --ckpt_path no.pt")


def test_openvino_on_a_study(here, study, capsys):
    told = run(f"openvino --output out/model.xml --images {study}", capsys)
    lines = told.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["out/model.xml", "out/model.bin"]
    assert lines[2] == f"compared with torch in fp32 on 4 LE images of {study}, range 0 to 1:"
    assert lines[3].startswith("  4 image(s) of 32 x 32 pixels: largest difference ")
    assert lines[4].startswith("  1 image(s) of 96 x 84 pixels: largest difference ")  # 81 columns, padded
    assert len(lines) == 5


def test_without_images_it_makes_a_phantom_and_says_so(here, capsys):
    told = run("torchscript --output model.ts", capsys)
    assert "on 4 LE images of one phantom woman, made for it" in told
    assert "1 image(s) of 512 x 384 pixels" in told
    assert {path.name for path in here.iterdir()} == {"models", "model.ts"}


def test_takes_the_phantom_that_is_there(here, study, capsys, without_writing):
    Path("data").mkdir()
    Path("data/phantom").symlink_to(study)
    assert "on 2 LE images of ./data/phantom" in run("onnx --output model.onnx --number 2", capsys)
    metadata = json.loads(Path("model.onnx").read_text())
    assert metadata["card"] == json.loads(Path("models/model.json").read_text())
    assert metadata["versions"].keys() >= {"torch", "onnxruntime", "commit"}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Preprocessing at the model's size, and on the native grid."""
    model = tmp_path_factory.mktemp("model") / "model.pt"
    save_weights(model, ResnetGenerator(width=2, num_blocks=1), CARD)
    return [
        export._inference(str(model), **settings).get_parsed_content("preprocessing")
        for settings in ({}, {"image_size": "native"})
    ]


class TestSample:
    def test_one_file_a_folder_a_datalist(self, steps, study):
        (path,) = study.rglob("*_L_CC_LE.dcm")
        one = take_sample(path, *steps)
        assert one.about == f"1 LE image of {path}"
        assert [tuple(images.shape) for images in one.images] == [(1, 1, 32, 32), (1, 1, 96, 84)]
        listed = take_sample(study / "datalist.json", *steps)
        folder = take_sample(path.parent, *steps)
        for sample in (listed, folder):
            assert sample.about.startswith("4 LE images of ")
            assert tuple(sample.images[0].shape) == (4, 1, 32, 32)
        assert any(torch.equal(one.images[0][0], image) for image in listed.images[0])
        assert all(image.min() >= 0 and 0.5 < image.max() <= 1 for image in folder.images[0])

    def test_a_large_image_is_cut_unless_asked(self, steps, tmp_path):
        pixels = np.random.default_rng(0).integers(1, 2**16, (900, 701), dtype=np.uint16)
        Image.fromarray(pixels).save(tmp_path / "le.png")
        for native, shape in ((False, (1, 1, 640, 384)), (True, (1, 1, 900, 704))):
            cut = take_sample(tmp_path, *steps, native=native).images[-1]
            assert tuple(cut.shape) == shape
        expected = (pixels[130, 160] - float(pixels.min())) / float(pixels.max() - pixels.min())
        cut = take_sample(tmp_path, *steps).images[-1]
        assert cut[0, 0, 0, 0] == pytest.approx(expected, abs=1e-6)  # the middle of 900 x 704

    def test_images_of_several_native_sizes(self, steps, tmp_path):
        for name, shape in (("a", (40, 30)), ("b", (40, 30)), ("c", (52, 30))):
            pixels = np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        sample = take_sample(tmp_path, steps[1], steps[1])
        assert [tuple(images.shape) for images in sample.images] == [(2, 1, 40, 32), (1, 1, 52, 32), (1, 1, 40, 32)]

    def test_what_is_no_le_image(self, steps, study, tmp_path):
        (des,) = study.rglob("*_L_CC_DES.dcm")
        with pytest.raises(ValueError, match=rf"^{des} is no LE image: .*\. Pass --images with one, or with a folder"):
            take_sample(des, *steps)
        with pytest.raises(ValueError, match=r"^there is nothing at nowhere\. Pass --images with LE images, or leave"):
            take_sample("nowhere", *steps)
        (tmp_path / "le.png").write_bytes(b"no picture")
        said = rf"^{tmp_path} holds no LE image that can be read\.\n  {tmp_path}/le\.png: failed, "
        with pytest.raises(ValueError, match=said):
            take_sample(tmp_path, *steps)
        with pytest.raises(ValueError, match=rf"^{tmp_path}/le\.png"):
            take_sample(tmp_path / "le.png", *steps)
        with pytest.raises(ValueError, match=r"^--number is 0, expected 1 or more images\.$"):
            take_sample(study, *steps, number=0)


def test_zoo_hands_on_what_it_is_given(here, monkeypatch, capsys):
    given = []

    def write(output, model, weights_url, overwrite):
        given.append((output, model, weights_url, overwrite))
        (here / "z/cesm").mkdir(parents=True)
        (here / "z/cesm/LICENSE").write_text("x" * 2_000_000)
        return Path(output, "cesm")

    monkeypatch.setattr("bundle.integrations.zoo.write_zoo_bundle", write)
    told = run("zoo --output z --weights_url https://example.org/model.pt --overwrite", capsys)
    assert given == [("z", "models/model.pt", "https://example.org/model.pt", True)]
    assert told == "z/cesm: 1 files, 2.0 MB\nz/test_cesm.py: its test, for the zoo's ci/unit_tests\n"


def test_the_script_ends_with_a_line_and_no_traceback(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "scripts.export")
    monkeypatch.setattr(sys, "argv", ["export", "onnx", "--output", str(tmp_path / "m.onnx"), "--ckpt_path", "no.pt"])
    with pytest.raises(SystemExit, match=r"^there is no model no\.pt\.") as ended:
        runpy.run_module("scripts.export", run_name="__main__")
    assert ended.value.__suppress_context__
