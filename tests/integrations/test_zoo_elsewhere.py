"""The exported bundle at work where this repository is not installed, and the Model Zoo's own checks of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_bundle import ROOT, SCHEMA, TINY, WALK, Elsewhere, options_of, tiny_model, verifications
from PIL import Image

from bundle.integrations.zoo import write_zoo_bundle
from bundle.networks import ResnetGenerator
from bundle.networks.weights import load_weights, read_card

SCHEMAS = Path(os.environ.get("CESM_SCHEMAS", ROOT.parent / "shared" / "schemas"))
SHAPES = {"a/wide": (48, 64), "high": (70, 50)}


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return write_zoo_bundle(folder / "zoo", tiny_model(folder / "trained"), weights_url="https://zoo.org/model.pt")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("guard") / "path")


@pytest.fixture(scope="module")
def schema() -> Path:
    path = SCHEMAS / SCHEMA
    if not path.is_file():
        pytest.skip(f"MONAI's metadata schema is not at {path}; set CESM_SCHEMAS to its folder")
    return path


@pytest.fixture
def images(tmp_path) -> Path:
    """PNG images of 12 bits below a folder."""
    for name, shape in SHAPES.items():
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = np.linspace(1, 4095, num=shape[0] * shape[1]).reshape(shape)
        Image.fromarray(rows.astype(np.uint16)).save(path)
    return tmp_path / "images"


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(Image.open(folder / f"{name}_virtual_des.png")) for name in SHAPES}


def check_torchscript(export: Path) -> None:
    """``models/model.ts`` gives what the network gives."""
    model = export / "models/model.pt"
    network = load_weights(model, ResnetGenerator(**read_card(model)["network"])).eval()
    image = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(export / "models/model.ts")(image), network(image))
    (export / "models/model.ts").unlink()


def test_the_repository_is_hidden(elsewhere, tmp_path):
    done = subprocess.run([sys.executable, "-c", "import bundle"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, "this test needs the repository to be installed"
    with pytest.raises(AssertionError, match="No module named 'bundle'"):
        elsewhere.run(tmp_path, "-c", "import bundle")


def test_every_module_can_be_imported_the_checks_of_the_zoo_pass_and_it_trains_and_infers(
    export, elsewhere, images, tmp_path
):
    study = ["--output", tmp_path / "study", "--patients", 6, "--image_size", 64, "--k", 3, "--num_workers", 1]
    places = {"dataset_dir": tmp_path / "study", "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval"}
    training = ["training", "--config_file", "configs/train.json", *options_of(places | TINY)]
    outputs = {"dataset_dir": images, "output_dir": tmp_path / "des", "num_workers": 0}
    there = SCHEMAS / SCHEMA
    said = elsewhere.run_several(
        export,
        *verifications(there if there.is_file() else None),
        ["scripts.prepare", "phantom", *study],
        ["monai.bundle", "run", *training],
        ["monai.bundle", "run", "--config_file", "configs/inference.json", *options_of(outputs)],
        first=WALK,
    )
    assert re.search(r"imported \d{3} from .*breast_cesm_virtual_contrast/scripts", said)
    assert "data shape of network is verified with no error" in said
    check_torchscript(export)
    assert json.loads((tmp_path / "models/model.json").read_text(encoding="utf-8"))["datalist"] == "CESM phantom"
    assert json.loads((tmp_path / "eval/run.json").read_text(encoding="utf-8"))["state"] == "completed"
    assert {name: image.shape for name, image in pixels(tmp_path / "des").items()} == SHAPES
    assert all(image.dtype == np.uint16 and image.std() > 0 for image in pixels(tmp_path / "des").values())


def test_its_metadata_fits_the_schema(export, schema):
    """Also where ``verify_metadata`` had none above, this says so."""
    jsonschema = pytest.importorskip("jsonschema")
    metadata = json.loads((export / "configs/metadata.json").read_text(encoding="utf-8"))
    jsonschema.validate(metadata, json.loads(schema.read_text(encoding="utf-8")))


def test_its_unit_test_passes(export, elsewhere):
    assert "\nOK" in elsewhere.run(export.parent, "-m", "unittest", f"test_{export.name}")


def test_its_code_is_in_the_form_of_the_zoo(export, elsewhere):
    rewritten = [*export.parent.glob("test_*.py"), *(export / "scripts").glob("*.py")]
    assert len(rewritten) == 8
    elsewhere.check_style(export.parent, *rewritten)


def own_environment(folder: Path, metadata: dict) -> Elsewhere:
    """One with the packages that the metadata names, and what the zoo's ``requirements-dev.txt`` checks with."""
    venv.create(folder, with_pip=True)
    versions = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    versions = {name: metadata[key] for name, key in versions.items()} | metadata["required_packages_version"]
    needed = [f"{name}=={version}" for name, version in versions.items()]
    needed += ["jsonschema", "parameterized", "pyyaml", "isort", "black", "flake8", "flake8-bugbear"]
    needed += ["flake8-comprehensions", "flake8-executable", "pep8-naming"]
    options = ["--quiet", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([folder / "bin/python", "-m", "pip", "install", *options, *needed], check=True, timeout=1200)
    return Elsewhere(None, folder / "bin/python")


def run_readme(bundle: Path, elsewhere: Elsewhere, images: Path, output: Path) -> None:
    """Each command of the bundle's README, on a tiny study and with tiny sizes, in a process of its own."""
    readme = (bundle / "docs/README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```\n((?:python|torchrun) .*)\n```$", readme, re.MULTILINE)
    assert len(commands) == 7
    study = ["--patients", 6, "--image_size", 64, "--k", 3, "--num_workers", 1]
    elsewhere.run(bundle, "-m", "scripts.prepare", "phantom", "--output", "data/phantom", *study)
    names = {"IMAGES": images, "EXAMS": "data/phantom", "DATA": "data/phantom"}
    names |= {"OUT": output, "DICOM_OUT": output.with_name("dicom")}
    for command in commands:
        program, *arguments = (str(names.get(word, word)) for word in shlex.split(command))
        if "training" in arguments or "evaluating" in arguments:
            arguments += ["--fold", "0", *options_of(TINY)]
        if "evaluating" in arguments:
            arguments += ["--evaluate#metrics#with_vif", "False"]
        elsewhere.run(bundle, *(["-m", "torch.distributed.run"] if program == "torchrun" else []), *arguments)


@pytest.mark.slow
def test_all_of_it_in_an_environment_of_its_own(export, schema, images, tmp_path):
    metadata = json.loads((export / "configs/metadata.json").read_text(encoding="utf-8"))
    elsewhere = own_environment(tmp_path / "venv", metadata)
    elsewhere.run(export, "-c", WALK)

    for module, *arguments in verifications(schema):
        elsewhere.run(export, "-m", module, *arguments)
    check_torchscript(export)

    for place, python, root in (("here", Elsewhere(None), ROOT), ("there", elsewhere, export)):
        values = {"dataset_dir": images, "output_dir": tmp_path / place, "num_workers": 0}
        values |= {"ckpt_path": export / "models/model.pt"}
        python.run(root, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json", *options_of(values))
    there = pixels(tmp_path / "there")
    for name, image in pixels(tmp_path / "here").items():
        np.testing.assert_array_equal(image, there[name])

    elsewhere.run(export.parent, "-m", "unittest", f"test_{export.name}")

    copy = shutil.copytree(export, tmp_path / "copy" / export.name)  # trainings leave files in the bundle
    run_readme(copy, elsewhere, images, tmp_path / "out")
    assert {name: image.shape for name, image in pixels(tmp_path / "out").items()} == SHAPES
    assert len(list((tmp_path / "dicom").rglob("*.dcm"))) == 24
    assert (copy / "eval/metrics.csv").is_file()
    assert (copy / "models/former_3/model.pt").is_file()
    assert (copy / "models/model.ts").is_file()

    elsewhere.check_style(export.parent)  # with more of flake8 than above
