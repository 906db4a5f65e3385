"""One network through torch, OpenVINO and ONNX Runtime: the same image, one export, and clear refusals."""

from __future__ import annotations

import copy
import logging
import pickle
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor
from PIL import Image

from bundle.experiments import check_inference
from bundle.experiments.check_config import setting_problems
from bundle.inference import BackendNetwork, backends, exported_model
from bundle.inference.backends import backend_problems
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights

MISSING = [package for package in ("openvino", "onnxruntime", "onnx", "onnxscript") if find_spec(package) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"in the extra fast: {', '.join(MISSING)}")

CONFIGS = Path(__file__).parents[2] / "configs"
NETWORK = {"width": 4, "num_blocks": 2}
EXPORTED = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ResnetGenerator(**NETWORK).eval()


@pytest.fixture(scope="module")
def cached(network, tmp_path_factory):
    """Weights with their card and both exports in fp32; not to be changed."""
    model = tmp_path_factory.mktemp("cached") / "model.pt"
    save_weights(model, network, {"image_size": 64, "network": NETWORK, "intensity": {"method": "window"}})
    for backend in EXPORTED:
        BackendNetwork(network, model, backend).load()
    return model


@pytest.fixture
def model(cached, tmp_path):
    """A copy of the same, to change."""
    return Path(shutil.copytree(cached.parent, tmp_path / "models")) / "model.pt"


@pytest.fixture
def exports(monkeypatch):
    """The paths that are exported to, in their order."""
    made = []

    def export(network, path, *how):
        made.append(path)
        return original(network, path, *how)

    original = backends.export
    monkeypatch.setattr(backends, "export", export)
    return made


def exported_to(model, backend):
    (path,) = model.parent.glob(f"model.{backend}-*{'.xml' if backend == 'openvino' else '.onnx'}")
    return path


@pytest.fixture(scope="module")
def images():
    """Of other sizes and batches than the example of the export."""
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(*shape, generator=generator) for shape in ((1, 1, 64, 64), (3, 1, 128, 72), (1, 1, 256, 256))]


@pytest.mark.parametrize("backend", EXPORTED)
def test_every_backend_computes_the_network(backend, network, cached, images, exports):
    run = BackendNetwork(network, cached, backend)
    for image in images:
        with torch.no_grad():
            assert (run(image) - network(image)).abs().max() < 1e-5
    assert exports == []  # it was there


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_bf16_is_near_and_no_fp32(backend, network, model, images):
    run = BackendNetwork(network, model, backend, "bf16")
    for image in images:
        with torch.no_grad():
            difference = (run(image) - network(image)).abs()
        assert 1e-5 < difference.mean() < 1e-2
        assert run(image).dtype == torch.float32


def test_torch_in_fp32_is_the_network_itself(network, images):
    run = BackendNetwork(network, "nowhere/model.pt")
    made = run(images[0])
    assert torch.equal(made, network(images[0]))
    assert not made.requires_grad
    made += 1  # later steps may write into it
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_metadata_stays(backend, network, cached, images):
    image = MetaTensor(images[0], meta={"filename_or_obj": "le.dcm"})
    made = BackendNetwork(network, cached, backend)(image)
    assert isinstance(made, MetaTensor)
    assert made.meta["filename_or_obj"] == "le.dcm"


@pytest.mark.parametrize("backend", EXPORTED)
def test_flat_air_does_not_spoil_the_sums_of_a_large_image(backend, network, cached):
    """What a runtime's own instance norm adds up one by one in float32 is off by more the larger the image is."""
    image = backends._example(1, 768, 512)
    with torch.no_grad():
        assert (BackendNetwork(network, cached, backend)(image) - network(image)).abs().max() < 2e-5


def test_the_load_refuses_sums_that_go_wrong_in_large_images_alone(network, tmp_path, monkeypatch):
    monkeypatch.setattr(exported_model, "_steady", lambda network: network)
    with pytest.raises(ValueError, match="openvino in fp32 differs from torch in fp32 by up to"):
        BackendNetwork(network, tmp_path / "model.pt", "openvino").load()


@pytest.mark.parametrize("backend", EXPORTED)
@pytest.mark.parametrize("damage", ["cut", "empty", "another model's"])
def test_a_damaged_file_is_made_anew(backend, damage, network, model, images, exports, caplog, monkeypatch):
    path = exported_to(model, backend)
    weights = path.with_suffix(".bin") if backend == "openvino" else path
    content = weights.read_bytes()
    if damage == "another model's":
        values = np.frombuffer(content, dtype=np.uint8).copy()
        values[len(values) // 4 : len(values) // 2] ^= 0x18
        weights.write_bytes(values.tobytes())
    else:
        weights.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    if backend == "onnxruntime":  # whose export takes seconds: it is what it was
        monkeypatch.setattr(
            backends, "export", lambda network, path, *how: (exports.append(path), path.write_bytes(content))
        )
    made = BackendNetwork(network, model, backend)(images[0])
    assert exports == [path]
    assert "made anew" in caplog.text
    assert (made - network(images[0])).abs().max() < 1e-5
    BackendNetwork(network, model, backend).load()
    assert exports == [path]
    assert not list(model.parent.glob(f".{'[0-9]'}*"))  # nothing half written is left


def test_another_model_gets_another_file(network, model, exports):
    first = exported_to(model, "openvino")
    torch.manual_seed(1)
    BackendNetwork(ResnetGenerator(**NETWORK), model, "openvino").load()
    linear = ResnetGenerator(**NETWORK, output_activation=None)
    linear.load_state_dict(network.state_dict())  # the same weights, another image
    BackendNetwork(linear, model, "openvino", tolerance=1e-2).load()
    assert len({*exports, first}) == 3
    assert len(exported_to_all(model)) == 3


def test_an_export_of_older_code_is_not_kept(network, model, exports, monkeypatch):
    older = exported_to(model, "openvino")
    monkeypatch.setattr(exported_model, "FORMAT", exported_model.FORMAT + 1)
    BackendNetwork(network, model, "openvino").load()
    assert len(exports) == 1
    assert exports[0] != older


@pytest.mark.parametrize("backend", EXPORTED)
def test_a_copy_and_new_weights_load_anew(backend, network, cached, images, exports):
    original = BackendNetwork(network, cached, backend).load()
    for other in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert torch.equal(other(images[0]), original(images[0]))
    assert exports == []
    other = BackendNetwork(copy.deepcopy(network), cached, "openvino" if backend == "openvino" else "torch").load()
    other.load_state_dict({name: value / 2 for name, value in other.state_dict().items()})
    with torch.no_grad():
        expected = other.network(images[0])
    assert (expected - network(images[0])).abs().max() > 1e-3
    assert (other(images[0]) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_every_backend_takes_an_empty_batch_and_refuses_the_same_sides(backend, network, cached):
    run = BackendNetwork(network, cached, backend)
    assert run(torch.zeros(0, 1, 64, 72)).shape == (0, 1, 64, 72)
    for shape in ((1, 1, 66, 64), (2, 1, 64, 63)):
        with pytest.raises(
            ValueError, match=r"^the generator takes images whose sides are multiples of 2 \*\* num_down"
        ):
            run(torch.zeros(shape))


def test_a_network_that_changes_the_sides_is_refused(network, cached):
    run = BackendNetwork(network, cached, "openvino")
    with pytest.raises(
        ValueError, match=r"openvino makes \(1, 1, 8, 4\) of an image \(1, 1, 8, 8\), expected the same"
    ):
        run._on_arrays(lambda image: image[..., ::2], torch.zeros(1, 1, 8, 8))


def exported_to_all(model):
    return sorted(model.parent.glob("model.openvino-*.xml"))


def test_the_difference_is_said_and_refused_above_the_bound(network, model, caplog):
    caplog.set_level(logging.INFO)
    BackendNetwork(network, model, "openvino").load().load()
    said = [line for line in caplog.messages if "openvino in fp32 differs from torch in fp32 by up to" in line]
    assert len(said) == 1
    assert "(bound: 0.0001 at most)" in said[0]
    with pytest.raises(
        ValueError,
        match=r"model\.pt: torch in bf16 differs from torch in fp32 by up to .*, expected 1e-09 on average\. Take "
        r"--backend torch --precision fp32, or set --backend_tolerance",
    ):
        BackendNetwork(network, model, "torch", "bf16", tolerance=1e-9).load()
    with pytest.raises(ValueError, match="expected 1e-12 at most"):
        BackendNetwork(network, model, "openvino", tolerance=1e-12).load()


def test_a_folder_that_cannot_be_written_to(network, tmp_path, monkeypatch, caplog, exports, images):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bundle.inference.exported_model.try_lock", refuse)
    run = BackendNetwork(network, tmp_path / "model.pt", "openvino").load()
    assert list(tmp_path.iterdir()) == []
    assert f"{tmp_path} cannot be written to (Permission denied)" in caplog.text
    assert not exports[0].exists()
    assert (run(images[0]) - network(images[0])).abs().max() < 1e-5


def test_openvino_does_not_phone_home(cached):
    assert sys.modules["openvino_telemetry"] is None


def test_all_problems_at_once(monkeypatch):
    assert backend_problems("torch", "bf16", "cuda:0") == backend_problems("openvino", "bf16") == []
    assert backend_problems("tensorrt", "fp8", tolerance=0) == [
        "backend is 'tensorrt', expected one of torch, openvino, onnxruntime.",
        "precision is 'fp8', expected fp32 or bf16.",
        "backend_tolerance is 0, expected None or a number above 0.",
    ]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert backend_problems("onnxruntime", "bf16", "cuda:0") == [
        "precision bf16 is nothing that ONNX Runtime has on the CPU. Take fp32, or --backend openvino or torch.",
        "backend onnxruntime works on the CPU, but device is cuda:0. Pass --device cpu or --backend torch.",
        "backend onnxruntime needs onnxruntime, onnxscript, not installed here. "
        'Run: pip install -c constraints.txt -e ".[fast]"',
    ]
    with pytest.raises(ValueError, match="precision bf16 is nothing that ONNX Runtime has"):
        BackendNetwork(torch.nn.Identity(), "model.pt", "onnxruntime", "bf16")


def test_an_inference_lists_them_with_the_rest(cached, tmp_path):
    settings = {"device": "cpu", "ckpt_path": str(cached), "dataset_dir": str(tmp_path / "none"), "batch_size": 0}
    settings |= {"backend": "onnx", "precision": "fp16", "backend_tolerance": "small", "image_size": "native"}
    with pytest.raises(ValueError, match="inference cannot start, 5 problem") as caught:
        check_inference(settings)
    for words in ("batch_size is 0", "backend is 'onnx'", "precision is 'fp16'", "backend_tolerance is 'small'"):
        assert words in str(caught.value)


@pytest.fixture
def infer(model, tmp_path):
    """Run inference.json, or with ``dicom`` the batch; returns results.csv."""

    def run(images, name, dicom=False, **overrides):
        configs = [str(CONFIGS / "inference.json"), *([str(CONFIGS / "inference_dicom.json")] if dicom else [])]
        places = {"bundle_root": tmp_path, "ckpt_path": model, "dataset_dir": images, "output_dir": tmp_path / name}
        workflow = ConfigWorkflow(
            config_file=configs,
            logging_file=False,
            workflow_type="infer",
            device="cpu",
            num_workers=0,
            **{key: str(path) for key, path in places.items()},
            **overrides,
        )
        workflow.initialize()
        if not dicom:
            assert workflow.check_properties() == []
        workflow.run()
        workflow.finalize()
        return pd.read_csv(tmp_path / name / "results.csv", keep_default_na=False)

    return run


def test_a_folder_of_images_by_every_backend(infer, write, tmp_path, exports):
    write(tmp_path / "images" / "le.png")
    made = {}
    for backend, precision in (("torch", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"), ("onnxruntime", "fp32")):
        infer(tmp_path / "images", f"{backend}_{precision}", backend=backend, precision=precision)
        with Image.open(tmp_path / f"{backend}_{precision}" / "le_virtual_des.png") as picture:
            made[backend, precision] = np.asarray(picture) / 65535
    expected = made.pop(("torch", "fp32"))
    for (backend, precision), image in made.items():
        difference = np.abs(image - expected)
        if precision == "fp32":
            assert difference.max() < 1e-4, backend
        else:
            assert 0 < difference.mean() < 1e-2
    assert [path.suffix for path in exports] == [".xml"]  # in bf16 alone


def test_a_batch_of_exams_by_openvino(infer, phantom, tmp_path):
    tables = {
        name: infer(phantom, name, dicom=True, backend=name.split("_")[0], precision=name.split("_")[1])
        for name in ("torch_fp32", "openvino_fp32", "openvino_bf16")
    }
    made = {name: table[table["state"] == "made"].set_index("image") for name, table in tables.items()}
    for image, row in made["torch_fp32"].iterrows():
        expected = pydicom.dcmread(row["output"])
        same = pydicom.dcmread(made["openvino_fp32"].loc[image, "output"])
        other = pydicom.dcmread(made["openvino_bf16"].loc[image, "output"])
        assert np.abs(same.pixel_array.astype(int) - expected.pixel_array).max() <= 1
        # a grey level may differ, and what differs is another object
        assert len({ds.SOPInstanceUID for ds in (expected, same, other)}) == 3
        assert np.abs(other.pixel_array.astype(int) - expected.pixel_array).mean() < 0.01 * float(expected.WindowWidth)


@pytest.mark.parametrize("shape", [(46, 30), (32, 44)])
def test_native_size_shrinks_nothing(shape, infer, network, write, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, size=shape).astype(np.uint8)
    image[0, :2] = 0, 255
    write(tmp_path / "images" / "le.png", image)
    infer(tmp_path / "images", "out", image_size="native")
    with Image.open(tmp_path / "out" / "le_virtual_des.png") as picture:
        made = np.asarray(picture)
    padded = np.pad(image, [(0, -side % 4) for side in shape], mode="edge")
    with torch.no_grad():
        expected = network(torch.from_numpy(padded / np.float32(255))[None, None])[0, 0, : shape[0], : shape[1]]
    assert made.shape == shape
    np.testing.assert_allclose(made, np.round(expected.numpy() * 65535.0), atol=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 2}, "image_size native leaves images of different sizes, but batch_size is 2: pass 1."),
    ],
)
def test_native_size_where_it_cannot_be(settings, said):
    base = {"device": "cpu", "batch_size": 1, "image_size": "native"}
    assert setting_problems(base | {"backend": "torch"}) == []
    assert said in "".join(setting_problems(base | {"backend": "torch"} | settings))
    assert "image_size is 'native', expected a whole number" in "".join(setting_problems(base))  # of a training


def test_a_batch_of_exams_at_their_native_size(infer, phantom):
    table = infer(phantom, "native", dicom=True, image_size="native")
    made = [pydicom.dcmread(output) for output in table.loc[table["state"] == "made", "output"]]
    assert len(made) == 4
    for ds in made:
        assert f"made at the native {ds.Rows} x {ds.Columns} pixels" in ds.DerivationDescription
        assert "enlarged" not in ds.DerivationDescription
