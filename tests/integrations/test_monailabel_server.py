"""Real servers of MONAI Label 0.8.5 on loopback: its own app with the bundle for the Model Zoo, and our app, each with
a folder and with Orthanc. The environment is installed by install_monailabel.sh, once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import nrrd
import numpy as np
import pandas as pd
import pydicom
import pytest
import requests
import torch
from conformance import checked, wrong_attributes
from debian import find_program
from exam_images import SYNTAXES, make_exposure, write_image
from monai.bundle import ConfigWorkflow
from monailabel_server import NAME, Server, environment, our_app, stock_app
from PIL import Image

from bundle.data.images import read_image
from bundle.integrations.zoo import write_zoo_bundle
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


@pytest.fixture(scope="session")
def monailabel():
    """Its environment, and the programs of Debian, all fetched while there is a network."""
    find_program("dciodvfy", "dicom3tools")
    find_program("Orthanc", "orthanc")
    return environment()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Random weights and the card of a training at 64 pixels."""
    torch.manual_seed(0)
    network = {"width": 4, "num_blocks": 1}
    card = {"image_size": 64, "network": network, "intensity": {"method": "window"}, "des_window_median": [2000, 800]}
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_weights(path, ResnetGenerator(**network), card)
    return path


@pytest.fixture(scope="module")
def images(exam, tmp_path_factory):
    """LE objects of 64 x 54 and of a detector's 2850 x 2396 pixels, a picture that is not square, and a DES object."""
    folder = tmp_path_factory.mktemp("images")
    shutil.copy(one(exam, "R_CC_LE"), folder / "le.dcm")
    ds = pydicom.dcmread(one(exam[len(exam) // 2 :], "L_MLO_LE"))
    rows, columns = np.linspace(0, 63, 2850).astype(int), np.linspace(0, 53, 2396).astype(int)
    ds.PixelData, (ds.Rows, ds.Columns) = ds.pixel_array[rows][:, columns].tobytes(), (2850, 2396)
    ds.save_as(folder / "native.dcm")
    pixels = pydicom.dcmread(one(exam, "R_MLO_LE")).pixel_array[:50] >> 4
    Image.fromarray(pixels.astype(np.uint8)).save(folder / "picture.png")
    return folder


def one(exam, name):
    return next(path for path in exam if path.stem.endswith(name))


@pytest.fixture(scope="module")
def by_the_runner(images, model, tmp_path_factory):
    """What inference.json makes of the images here, and inference_dicom.json."""
    outs = []
    for configs in (["inference.json"], ["inference.json", "inference_dicom.json"]):
        outs.append(tmp_path_factory.mktemp("out"))
        workflow = ConfigWorkflow(
            config_file=[str(CONFIGS / name) for name in configs],
            logging_file=False,
            workflow_type="infer",
            bundle_root=str(ROOT),
            ckpt_path=str(model),
            dataset_dir=str(images),
            output_dir=str(outs[-1]),
            device="cpu",
            num_workers=0,
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    table = pd.read_csv(outs[1] / "results.csv", keep_default_na=False)
    table = table[table["state"] == "made"]
    pictures = {
        name: np.asarray(Image.open(outs[0] / f"{name}_virtual_des.png")) for name in ("le", "native", "picture")
    }
    objects = {Path(row.image).stem: pydicom.dcmread(row.output) for row in table.itertuples()}
    return SimpleNamespace(pictures=pictures, objects=objects)


@pytest.fixture(scope="module")
def servers(monailabel, images, model, exam, network, running_orthanc, tmp_path_factory):
    """Four at once: the stock app and ours, each with a folder and with Orthanc."""
    folder = tmp_path_factory.mktemp("servers")
    for name in ("stock", "ours"):
        shutil.copytree(images, folder / f"{name}_studies")
    shutil.copy(one(exam, "R_CC_DES"), folder / "ours_studies" / "des.dcm")
    zoo = write_zoo_bundle(folder / "zoo", model)
    stock = {"models": NAME, "sam2": "false", "skip_trainers": "true"}
    ours = {"bundle": str(ROOT), "ckpt_path": str(model)}
    dicomweb = {
        "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality": "MG"}',
        "MONAI_LABEL_DICOMWEB_CONVERT_TO_NIFTI": "false",
    }
    kinds = {"MONAI_LABEL_DATASTORE_FILE_EXT": '["*.png", "*.dcm", "*.nii.gz", "*.nrrd"]'}
    places = {name: folder / name for name in ("stock", "stock_web", "ours", "ours_web")}
    for name in ("stock", "stock_web"):
        places[name].mkdir()
        places[name] = stock_app(places[name], zoo)
    for name in ("ours", "ours_web"):
        our_app(places[name])
    started = {
        "stock": Server(places["stock"], folder / "stock_studies", stock, **kinds),
        "stock_web": Server(places["stock_web"], running_orthanc.url, stock, **dicomweb),
        "ours": Server(places["ours"], folder / "ours_studies", ours),
        "ours_web": Server(places["ours_web"], running_orthanc.url, {**ours, "push": "true"}),
    }
    try:
        for server in started.values():
            server.wait()
        yield SimpleNamespace(**started, folder=folder)
    finally:
        for server in started.values():
            server.stop()


def pixels(reply):
    """Of a PNG."""
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png"), reply.text[:300]
    with Image.open(io.BytesIO(reply.content)) as picture:
        return np.asarray(picture)


def same(image, expected, most=1):
    """Both 16-bit images of one shape, at most one grey level apart."""
    assert (image.shape, image.dtype, expected.dtype) == (expected.shape, np.uint16, np.uint16)
    assert np.ptp(expected) > 1000
    assert np.abs(image.astype(int) - expected).max() <= most


class TestStockAppWithAFolder:
    def test_it_knows_the_bundle(self, servers):
        model = servers.stock.info()["models"][NAME]
        assert (model["type"], model["labels"], model["dimension"]) == ("segmentation", {"virtual_des": 0}, 2)

    @pytest.mark.parametrize("name", ["picture", "le", "native"])
    def test_an_image_by_its_name(self, servers, by_the_runner, name):
        for _ in range(2):
            same(pixels(servers.stock.infer(name)), by_the_runner.pictures[name])

    @pytest.mark.parametrize("name", ["picture.png", "le.dcm"])
    def test_an_image_that_is_sent_along(self, servers, images, by_the_runner, name):
        same(pixels(servers.stock.infer(file=images / name)), by_the_runner.pictures[Path(name).stem])

    @pytest.mark.parametrize("name", ["picture.png", "le.dcm"])
    def test_an_image_that_was_uploaded(self, servers, images, by_the_runner, name):
        stem = Path(name).stem
        assert servers.stock.upload(f"{stem}_2", images / name).json() == {"image": f"{stem}_2"}
        same(pixels(servers.stock.infer(f"{stem}_2")), by_the_runner.pictures[stem])

    def test_nrrd_and_nifti(self, servers, by_the_runner, tmp_path):
        (tmp_path / "le.nrrd").write_bytes(servers.stock.infer("le", result_extension=".nrrd").content)
        same(nrrd.read(str(tmp_path / "le.nrrd"))[0].T, by_the_runner.pictures["le"])
        (tmp_path / "le.nii.gz").write_bytes(servers.stock.infer("le", result_extension=".nii.gz").content)
        image, _ = read_image(tmp_path / "le.nii.gz")
        np.testing.assert_allclose(image, by_the_runner.pictures["le"] / 65535, atol=1e-5)

    def test_it_says_what_it_is(self, servers):
        told = servers.stock.infer("le", output="json").json()
        assert told["notice"].startswith("SYNTHETIC virtual DES")

    def test_neither_a_des_nor_a_copy_without_a_patient(self, servers, exam):
        assert servers.stock.infer(file=one(exam, "R_CC_DES")).status_code == 500
        assert servers.stock.infer("le", result_extension=".dcm").status_code == 500
        assert "not an LE image: it is DES." in servers.stock.log.read_text()

    def test_a_batch(self, servers, by_the_runner):
        told = servers.stock.batch()
        assert (told.status_code, {"le", "native", "picture"} <= told.json().keys()) == (200, True)
        for name, expected in by_the_runner.pictures.items():
            label = servers.folder / "stock_studies" / "labels" / "original" / f"{name}.png"
            same(np.asarray(Image.open(label)), expected)


class TestOurAppWithAFolder:
    def test_it_knows_the_model(self, servers, model):
        told = servers.ours.info()["models"][NAME]
        assert (told["type"], told["model_sha256"]) == ("others", hashlib.sha256(model.read_bytes()).hexdigest())

    @pytest.mark.parametrize("name", ["le", "native"])
    def test_dicom_becomes_a_derived_object(self, servers, images, by_the_runner, tmp_path, name):
        reply = servers.ours.infer(name)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/dicom"), reply.text[:300]
        path = tmp_path / "made.dcm"
        path.write_bytes(reply.content)
        check_derived(path, images / f"{name}.dcm")
        expected = by_the_runner.objects[name]
        made = pydicom.dcmread(path)
        assert (made.SOPInstanceUID, made.SeriesInstanceUID) == (expected.SOPInstanceUID, expected.SeriesInstanceUID)
        assert np.abs(made.pixel_array.astype(int) - expected.pixel_array).max() <= 1

    @pytest.mark.parametrize("name", ["picture", "le", "native"])
    def test_a_picture(self, servers, by_the_runner, name):
        same(pixels(servers.ours.infer(name, result_extension=".png")), by_the_runner.pictures[name])

    def test_uploaded_and_sent_along(self, servers, images, by_the_runner):
        servers.ours.upload("le_2", images / "le.dcm")
        told = servers.ours.infer("le_2", output="json").json()
        assert told["sop_instance_uid"] == by_the_runner.objects["le"].SOPInstanceUID
        assert servers.ours.infer(file=images / "le.dcm").headers["content-type"] == "application/dicom"
        same(pixels(servers.ours.infer(file=images / "picture.png")), by_the_runner.pictures["picture"])

    def test_what_is_refused(self, servers, exam, tmp_path):
        def told(reply):
            return reply.status_code, reply.json()["detail"]

        assert told(servers.ours.infer("des")) == (422, "not an LE image: it is DES.")
        high = "not an LE image: it is a high-energy image, which is not used."
        assert told(servers.ours.infer(file=one(exam, "R_CC_HE"))) == (422, high)
        assert told(servers.ours.infer("nobody")) == (404, "there is no image of that name.")
        (tmp_path / "own.dcm").write_bytes(servers.ours.infer("le").content)
        assert told(servers.ours.infer(file=tmp_path / "own.dcm")) == (422, "not an LE image: it is synthetic data.")
        assert told(servers.ours.infer("le", push=True))[0] == 409
        assert told(servers.ours.infer("le", push="maybe")) == (422, "push is 'maybe', expected true or false.")

    def test_no_path_is_read_or_written(self, servers, images):
        for image in (images, images / "le.dcm", "/etc/passwd", "/nobody"):
            replaced = {"params": json.dumps({"image": str(image)})}
            url = f"{servers.ours.url}/infer/{NAME}?image=le&output=image"
            for reply in (servers.ours.infer(str(image)), requests.post(url, data=replaced, timeout=60)):
                assert (reply.status_code, reply.json()["detail"]) == (404, "there is no image of that name.")
        before = sorted(servers.folder.rglob("pwned*"))
        for name in ("../pwned", str(servers.folder / "pwned")):
            assert servers.ours.upload(name, images / "le.dcm").status_code == 422
            assert servers.ours.infer("le", save_label=True, label_tag=name).status_code == 422
        assert sorted(servers.folder.rglob("pwned*")) == before == []

    def test_a_batch_in_a_process_of_its_own(self, servers, images):
        url = f"{servers.ours.url}/batch/infer/{NAME}"
        assert requests.post(url, json={"device": "cpu"}, timeout=60).status_code == 200
        began, state = time.monotonic(), "SUBMITTED"
        while state in ("SUBMITTED", "RUNNING") and time.monotonic() - began < 180:
            time.sleep(1)
            state = requests.get(f"{servers.ours.url}/batch/infer", timeout=30).json()["status"]
        assert state == "DONE"
        labels = servers.folder / "ours_studies" / "labels" / "original"
        assert {"le.dcm", "native.dcm", "picture.png"} <= {path.name for path in labels.iterdir()}
        assert not list(labels.glob("des*"))
        check_derived(labels / "native.dcm", images / "native.dcm")

    def test_a_batch_tells_what_became_of_each(self, servers):
        told = servers.ours.batch().json()
        assert told["des"] == {"failed": "not an LE image: it is DES."}
        assert told["le"]["params"]["sop_instance_uid"]

    def test_nothing_is_left_behind(self, servers, until):
        assert servers.ours.infer("le").ok
        assert not servers.ours.infer(file=servers.folder / "ours_studies" / "des.dcm").ok
        until(lambda: not list(servers.ours.temporary.glob("virtual_des_*")))
        until(lambda: not list(servers.ours.temporary.glob("tmp*.dcm")))


def check_derived(path, source):
    """A whole object of the patient, study, side and view of its source, that says it is synthetic."""
    made, le = pydicom.dcmread(path), pydicom.dcmread(source, stop_before_pixels=True)
    for keyword in (
        *("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "ImageLaterality", "ViewPosition"),
        *("Rows", "Columns", "FrameOfReferenceUID"),
    ):
        assert made.get(keyword) == le.get(keyword), keyword
    assert made.SOPInstanceUID != le.SOPInstanceUID
    assert made[0x0008001C].value == "YES"
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == le.SOPInstanceUID
    assert made.SeriesDescription.startswith("SYNTHETIC, not for diagnosis")
    assert wrong_attributes(made) == []
    assert checked("dciodvfy", "-new", str(path)) == (0, [])


@pytest.fixture
def woman(orthanc, exam):
    """All objects of the second woman: her four LE images are one series."""
    paths = exam[len(exam) // 2 :]
    orthanc.add(*paths)
    return paths


class TestWithOrthanc:
    def test_the_stock_app(self, servers, orthanc, exam, by_the_runner):
        source = one(exam, "R_CC_LE")
        orthanc.add(source, one(exam, "R_CC_DES"))
        series = pydicom.dcmread(source).SeriesInstanceUID
        same(pixels(servers.stock_web.infer(series)), by_the_runner.pictures["le"])
        assert servers.stock_web.infer(pydicom.dcmread(one(exam, "R_CC_DES")).SeriesInstanceUID).status_code == 500

    def test_our_app_pushes_and_the_pacs_has_it(self, servers, orthanc, woman, tmp_path):
        source = one(woman, "L_MLO_LE")
        le = pydicom.dcmread(source)
        told = servers.ours_web.infer(le.SeriesInstanceUID)
        assert told.status_code == 422
        assert le.SOPInstanceUID in told.json()["detail"]
        before = set(orthanc.instances())
        asked = {"instance": le.SOPInstanceUID}
        assert servers.ours_web.infer(le.SeriesInstanceUID, **asked).ok
        assert set(orthanc.instances()) == before
        told = servers.ours_web.infer(le.SeriesInstanceUID, output="json", push=True, **asked).json()
        (new,) = set(orthanc.instances()) - before
        assert (told["pushed"], told["sop_instance_uid"]) == (True, new)
        path = tmp_path / "back.dcm"
        path.write_bytes(orthanc.file(new))
        check_derived(path, source)

    def test_a_batch_pushes_what_is_le(self, servers, orthanc, woman):
        before = orthanc.instances()
        told = servers.ours_web.batch(push=True).json()
        made = [one for one in told.values() if "instances" in one]
        assert [len(one["instances"]) for one in made] == [4]
        new = {uid: about for uid, about in orthanc.instances().items() if uid not in before}
        assert len(new) == 4
        assert {about["StudyInstanceUID"] for about in new.values()} == {
            str(pydicom.dcmread(woman[0], stop_before_pixels=True).StudyInstanceUID)
        }
        assert orthanc.instances().keys() - new.keys() == before.keys()

    def test_an_upload_is_not_pushed(self, servers, orthanc, exam):
        told = servers.ours_web.infer(file=one(exam, "R_CC_LE"), push=True)
        assert (told.status_code, orthanc.instances()) == (409, {})
        assert servers.ours_web.upload("1.2.3", one(exam, "R_CC_LE")).status_code == 409

    def test_a_pacs_that_is_down(self, servers, orthanc, woman):
        le = pydicom.dcmread(one(woman, "R_CC_LE"))
        asked = {"instance": le.SOPInstanceUID, "push": True}
        assert servers.ours_web.infer(le.SeriesInstanceUID, instance=le.SOPInstanceUID).ok  # now it is in the cache
        orthanc.stop()
        told = servers.ours_web.infer(le.SeriesInstanceUID, **asked)
        assert told.status_code == 502
        assert told.json()["detail"] in (
            "the DICOMweb server failed (ConnectionError); nothing was stored.",
            "the DICOMweb server does not answer (ConnectionError).",  # the list of its series was a minute old
        )


class TestOldLibraries:
    """pydicom 2.4 and numpy 1.26, as MONAI Label has them."""

    # what cannot run there needs pydicom 3 itself: the tests' encoders, highdicom's tables, dicom-anonymizer
    TESTS = ("tests/dicom", "tests/transforms", "tests/inference/test_save.py", "tests/inference/test_des_pixels.py")
    WITHOUT = ("tests/dicom/test_deidentify.py", "tests/dicom/test_write_conformance.py")

    def test_the_tests_of_what_runs_there(self, monailabel):
        ignored = [f"--ignore={path}" for path in self.WITHOUT]
        command = [str(monailabel / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider", "-q", *ignored]
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
        done = subprocess.run(
            [*command, *self.TESTS, "tests/inference/test_inference_workflow.py"],
            cwd=ROOT,
            env=env | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout.splitlines()[-1])
        assert done.returncode == 0, done.stdout[-3000:]

    def test_every_transfer_syntax_is_decoded_alike(self, monailabel, tmp_path):
        stored = make_exposure(0).le
        for name, syntax in SYNTAXES.items():
            write_image(tmp_path / f"{name}.dcm", stored, syntax)
        code = (
            "import sys, json, hashlib, pathlib, pydicom, numpy; sys.path.insert(0, sys.argv[1])\n"
            "from bundle.data.images import read_image\n"
            "read = {p.stem: hashlib.sha256(read_image(p)[0].tobytes()).hexdigest() for p in "
            "pathlib.Path(sys.argv[2]).iterdir()}\n"
            "print(json.dumps([pydicom.__version__, numpy.__version__, read]))"
        )
        command = [str(monailabel / "bin" / "python"), "-c", code, str(ROOT), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        pydicom_version, numpy_version, read = json.loads(done.stdout.splitlines()[-1])
        assert (pydicom_version[:3], numpy_version[:4]) == ("2.4", "1.26")
        expected = hashlib.sha256(stored.astype(np.float32).tobytes()).hexdigest()
        assert read == dict.fromkeys(SYNTAXES, expected)
