"""Exports: near torch at every size, with metadata inside, run without this package, or not written at all."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from monai.data import load_net_with_metadata

from bundle.inference.exported_model import runtime
from bundle.integrations.export import FORMS, Difference, describe, preprocessing_in_words, write_export
from bundle.networks import ResnetGenerator

ROOT = Path(__file__).parents[2]
CARD = {
    "sha256": "ab" * 32,
    "notice": "Not for diagnosis.",
    "image_size": 64,
    "network": {"in_channels": 1, "width": 2, "num_blocks": 1},
    "intensity": {"method": "window"},
}
BUNDLE = json.loads((ROOT / "configs/metadata.json").read_text(encoding="utf-8"))


def generator(**layers):
    torch.manual_seed(3)
    return ResnetGenerator(**{"width": 2, "num_blocks": 1} | layers).eval()


def breast(rows, columns, batch=1):
    """(batch, 1, rows, columns) in [0, 1]: a left breast with texture, and air."""
    down, right = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(0, 1.2, columns), indexing="ij")
    depth = (1 - down**2 - right**2).clamp(min=0)
    texture = torch.rand(batch, 1, rows, columns, generator=torch.Generator().manual_seed(1))
    return (depth > 0) * (0.2 + 0.5 * depth.sqrt() + 0.3 * texture)


@pytest.fixture(scope="module")
def network():
    return generator()


@pytest.fixture(scope="module")
def metadata():
    return describe(CARD, BUNDLE, torch="2")


@pytest.fixture(scope="module")
def exports(network, metadata, tmp_path_factory):
    """One of each form: its path, and what it was compared on."""
    folder = tmp_path_factory.mktemp("exports")
    found = {}
    for name, form in FORMS.items():
        path = folder / f"model{form.suffixes[0]}"
        found[name] = path, write_export(network, path, name, metadata, [breast(256, 256, 2), breast(516, 512)])
    return found


@pytest.mark.parametrize("form", FORMS)
class TestWhatIsWritten:
    def test_was_compared_at_every_size(self, exports, form):
        small, large = exports[form][1]
        assert (small.shape, small.bound) == ((2, 1, 256, 256), 1e-4)
        assert (large.shape, large.bound) == ((1, 1, 516, 512), 1e-3)
        assert small.near
        assert large.near

    @pytest.mark.parametrize(("size", "bound"), [((256, 256), 1e-4), ((2296, 1916), 1e-3)])
    def test_differs_from_torch_by_no_more_than_the_bound(self, exports, network, form, size, bound):
        image = breast(*size)
        made = FORMS[form].start(exports[form][0])(image.numpy())
        with torch.inference_mode():
            expected = network(image).numpy()
        np.testing.assert_allclose(made, expected, rtol=0, atol=bound)
        assert expected.std() > 0.01

    def test_are_the_forms_files_and_nothing_else(self, exports, form):
        folder = exports[form][0].parent
        assert {path.name for path in folder.iterdir()} == {"model.ts", "model.onnx", "model.xml", "model.bin"}

    def test_names_no_file_of_the_machine_that_made_it(self, exports, form):
        paths = [exports[form][0].with_suffix(suffix) for suffix in FORMS[form].suffixes]
        contents = [path.read_bytes() for path in paths]
        if form == "torchscript":
            with zipfile.ZipFile(paths[0]) as file:
                contents = [file.read(entry) for entry in file.infolist()]
        assert not [content for content in contents if str(ROOT).encode() in content or b"site-packages" in content]


def test_sides_that_do_not_fit_are_what_the_document_says(exports):
    with pytest.raises(torch.jit.Error, match="takes images whose sides are multiples of 2"):
        FORMS["torchscript"].start(exports["torchscript"][0])(breast(64, 63).numpy())
    for form in ("onnx", "openvino"):
        assert FORMS[form].start(exports[form][0])(breast(64, 63).numpy()).shape == (1, 1, 64, 64)


class TestMetadataInside:
    def test_torchscript_as_monai_reads_it(self, exports, metadata, recwarn):
        _, read, extra = load_net_with_metadata(exports["torchscript"][0], more_extra_files=["model.json"])
        assert read == metadata
        assert json.loads(extra["model.json"]) == CARD

    def test_onnx(self, exports, metadata):
        model = onnx.load(exports["onnx"][0])
        read = {entry.key: entry.value for entry in model.metadata_props}
        assert read["notice"] == model.doc_string == "Not for diagnosis."
        assert json.loads(read["card"]) == CARD
        assert json.loads(read["input"]) == metadata["input"]
        assert read.keys() == metadata.keys()
        assert [each.name for each in (*model.graph.input, *model.graph.output)] == ["image", "pred"]

    def test_openvino(self, exports, metadata):
        model = runtime("openvino").Core().read_model(str(exports["openvino"][0]))
        read = {key: model.get_rt_info(["bundle", key]).value for key in metadata}
        assert read["notice"] == "Not for diagnosis."
        assert json.loads(read["card"]) == CARD
        assert json.loads(read["input"]) == metadata["input"]
        assert [each.any_name for each in (*model.inputs, *model.outputs)] == ["image", "pred"]

    def test_says_what_it_is(self, metadata):
        assert metadata["model_sha256"] == CARD["sha256"]
        assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [64, 64]
        assert BUNDLE["network_data_format"]["inputs"]["image"]["spatial_shape"] == [256, 256]
        assert metadata["input"]["value_range"] == metadata["output"]["value_range"] == [0, 1]
        assert metadata["input"]["sides"] == "multiples of 4; the model was trained at 64 x 64"
        assert "arXiv 2505.03018" in metadata["references"][0]
        assert metadata["versions"]["torch"] == "2"
        assert "commit" in metadata["versions"]
        native = describe({**CARD, "image_size": "native"}, BUNDLE)
        assert native["network_data_format"]["inputs"]["image"]["spatial_shape"] == ["4*(n+1)", "4*(n+1)"]
        assert native["input"]["sides"].endswith("trained at the images' native size")
        without = {key: value for key, value in CARD.items() if key != "notice"}
        assert "not for diagnosis" in describe(without, BUNDLE)["notice"]


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ({}, ["zeros to a square, on the side of the air", "own window", "0 and the largest 1", "64 x 64 by averag"]),
        ({"image_size": "native"}, ["repeat the last row and column until", "own window", "0 and the largest 1"]),
        (
            {"padding": "symmetric", "intensity": {"method": "percentile", "percentiles": [2, 98], "air": 5.0}},
            ["on both sides alike", "percentiles 2 and 98 of the pixels above 5", "0 and", "64 x 64"],
        ),
        ({"intensity": {"method": "window", "window": [500, 800]}}, ["square", "centre 500 and width 800", "0", "64"]),
        ({"intensity": {"method": "none"}}, ["square", "0 and the largest 1", "64 x 64"]),
    ],
)
def test_the_preprocessing_of_a_card_in_words(changed, steps):
    told = preprocessing_in_words(CARD | changed)
    assert told[0].startswith("read the LE image")
    assert len(told) == 1 + len(steps)
    assert all(step in words for step, words in zip(steps, told[1:], strict=True))


DOCUMENT = (ROOT / "docs/how-to/export.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
APART = """
import sys
sys.modules["bundle"] = None  # an import of it fails
sys.modules["openvino_telemetry"] = None  # sends nothing
for number, snippet in enumerate(SNIPPETS):
    names = {}
    exec(snippet, names)
    names["np"].save(f"made_{number}.npy", names["virtual_des"])
    assert "not for diagnosis" in names["notice"].lower(), names["notice"]
assert not [name for name in sys.modules if name.partition(".")[0] in ("bundle", "monai") and sys.modules[name]]
"""


def test_the_document_tells_the_preprocessing_of_the_papers_card():
    told = [line.partition(" ")[2].rstrip(";.") for line in DOCUMENT.splitlines() if re.match(r"\d\. ", line)]
    assert told == preprocessing_in_words(CARD | {"image_size": 256})


def test_the_document_has_a_way_to_run_each_form():
    assert len(SNIPPETS) == len(FORMS)
    assert all(any(f'"model{form.suffixes[0]}"' in snippet for snippet in SNIPPETS) for form in FORMS.values())


def test_runs_without_this_package_as_the_document_says(exports, network):
    folder = exports["onnx"][0].parent
    image = breast(100, 60, 3)
    np.save(folder / "image.npy", image.numpy())
    try:
        script = f"SNIPPETS = {SNIPPETS!r}{APART}"
        subprocess.run([sys.executable, "-I", "-c", script], cwd=folder, check=True)
        with torch.inference_mode():
            expected = network(image).numpy()
        for number in range(len(SNIPPETS)):
            np.testing.assert_allclose(np.load(folder / f"made_{number}.npy"), expected, rtol=0, atol=1e-5)
    finally:
        for path in folder.glob("*.npy"):
            path.unlink()


@pytest.mark.parametrize("form", ["torchscript", "openvino", pytest.param("onnx", marks=pytest.mark.slow)])
def test_other_layers_are_exported_too(form, metadata, tmp_path):
    path = tmp_path / f"model{FORMS[form].suffixes[0]}"
    network = generator(upsample="resize", norm=("BATCH", {"affine": True}), num_downsamples=3, output_activation=None)
    (found,) = write_export(network, path, form, metadata, [breast(64, 96)])
    assert found.largest <= 1e-5


class TestRefusals:
    def test_bounds(self):
        assert Difference((9, 1, 512, 512), 1e-4).near
        assert not Difference((9, 1, 512, 512), 1.1e-4).near
        assert Difference((1, 1, 516, 512), 1e-3).near
        assert not Difference((1, 1, 2852, 2396), 1.1e-3).near
        assert not Difference((1, 1, 64, 64), math.nan).near
        assert str(Difference((2, 1, 64, 96), 2e-7)) == (
            "2 image(s) of 64 x 96 pixels: largest difference 2e-07, bound 0.0001"
        )

    @pytest.mark.parametrize("form", ["torchscript", "openvino"])
    def test_what_differs_too_much_is_not_kept(self, form, network, metadata, tmp_path, monkeypatch):
        chosen = FORMS[form]
        path = tmp_path / f"model{chosen.suffixes[0]}"
        path.write_text("an earlier one")

        def start(place):
            run = chosen.start(place)
            return lambda image: run(image) + np.float32(2e-4)

        monkeypatch.setitem(FORMS, form, type(chosen)(*[*vars(chosen).values()][:-1], start))
        with pytest.raises(ValueError, match="was not written") as refused:
            write_export(network, path, form, metadata, [breast(64, 64), breast(516, 516)], overwrite=True)
        assert str(refused.value) == (
            f"{path} was not written: its images differ from torch's in fp32 by more than they may.\n"
            "  1 image(s) of 64 x 64 pixels: largest difference 0.0002, bound 0.0001\n"
            f"Take another form of torchscript, onnx, openvino, or another version of the {chosen.backend} package."
        )
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
        assert path.read_text() == "an earlier one"

    def test_another_shape(self, network, metadata, tmp_path, monkeypatch):
        form = FORMS["torchscript"]
        cut = type(form)(*[*vars(form).values()][:-1], lambda path: lambda image: image[:, :, 4:])
        monkeypatch.setitem(FORMS, "torchscript", cut)
        with pytest.raises(ValueError, match=r"^the export makes \(1, 1, 60, 64\) of images \(1, 1, 64, 64\), exp"):
            write_export(network, tmp_path / "model.ts", "torchscript", metadata, [breast(64, 64)])
        assert not list(tmp_path.iterdir())

    def test_nothing_is_overwritten_without_being_asked(self, network, metadata, tmp_path):
        for name in ("model.xml", "model.bin"):  # both are said
            (tmp_path / name).touch()
        with pytest.raises(ValueError, match="is there already") as refused:
            write_export(network, tmp_path / "model.xml", "openvino", metadata, [])
        assert str(refused.value) == (
            f"{tmp_path}/model.xml is there already. Pass --overwrite, or another --output.\n"
            f"{tmp_path}/model.bin is there already. Pass --overwrite, or another --output."
        )
        write_export(network, tmp_path / "model.xml", "openvino", metadata, [breast(64, 64)], overwrite=True)
        assert (tmp_path / "model.xml").stat().st_size > 1000

    def test_cut_off_between_two_files_no_earlier_one_stands_beside_other_weights(
        self, network, metadata, tmp_path, monkeypatch
    ):
        for name in ("model.xml", "model.bin"):
            (tmp_path / name).write_text("an earlier one")
        replace = os.replace

        def cut_off(source, target):
            if Path(target) == tmp_path / "model.xml":
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr("bundle.integrations.export.write.os.replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            write_export(network, tmp_path / "model.xml", "openvino", metadata, [breast(64, 64)], overwrite=True)
        assert [each.name for each in tmp_path.iterdir()] == ["model.bin"]

    def test_another_ending(self, network, metadata, tmp_path):
        path = tmp_path / "model.pt"
        with pytest.raises(ValueError, match=rf"^--output is {path}, expected a file whose name ends with \.ts\.$"):
            write_export(network, path, "torchscript", metadata, [], overwrite=True)

    def test_a_missing_package(self, network, metadata, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(ValueError, match=r"^backend onnxruntime needs onnxscript, not installed here\. Run: pip"):
            write_export(network, tmp_path / "model.onnx", "onnx", metadata, [])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "openvino"])  # TorchScript is torch's own code
def test_the_papers_width_at_native_size(form, metadata, tmp_path):
    path = tmp_path / f"model{FORMS[form].suffixes[0]}"
    network = generator(width=64, num_blocks=9)
    small, large = write_export(network, path, form, metadata, [breast(256, 256), breast(2848, 2396)])
    assert small.largest <= 1e-4
    assert large.largest <= 1e-3
