"""What MONAI Label does to configs/inference.json, restated in small; and our app, without a server.

tests/integrations/test_monailabel_server.py has the real servers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import monailabel_stand_in
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor
from monai.transforms import LoadImaged, Resize, SaveImaged
from PIL import Image

from bundle.inference import ServedImaged
from bundle.inference.save import NOTICE
from bundle.integrations.monailabel.refused import Refused
from bundle.integrations.monailabel.translator import Translator
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights

ROOT = Path(__file__).parents[2]
INFERENCE, DICOM = ROOT / "configs" / "inference.json", ROOT / "configs" / "inference_dicom.json"
NAME = "breast_cesm_virtual_contrast"


def random_model(path, seed=0, **network):
    """Random weights and the card of a training at 32 pixels."""
    torch.manual_seed(seed)
    network = {"width": 4, "num_blocks": 1} | network
    card = {"image_size": 32, "network": network, "intensity": {"method": "window"}, "des_window_median": [2000, 800]}
    save_weights(path, ResnetGenerator(**network), card)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A bundle with a small model."""
    root = tmp_path_factory.mktemp("bundle")
    shutil.copytree(ROOT / "configs", root / "configs")
    random_model(root / "models" / "model.pt")
    return root


@pytest.fixture(scope="module")
def studies(exam, tmp_path_factory):
    """One LE object, the DES and HE of its exposure, and an 8-bit picture that is not square."""
    folder = tmp_path_factory.mktemp("studies")
    for kind in ("LE", "DES", "HE"):
        shutil.copy(next(path for path in exam if path.name.endswith(f"_R_CC_{kind}.dcm")), folder / f"{kind}.dcm")
    rows, columns = np.mgrid[:48, :30]
    depth = 1 - (columns / 24) ** 2 - ((rows - 22) / 20) ** 2
    breast = np.where(depth > 0, 60 + 120 * depth + 60 * (47 - rows) / 47, 0).astype(np.uint8)
    Image.fromarray(breast).save(folder / "picture.png")
    for name, kind in {"series": "LE", "other_series": "DES"}.items():
        (folder / name).mkdir()
        shutil.copy(folder / f"{kind}.dcm", folder / name / "1.dcm")
    return folder


@pytest.fixture(scope="module")
def by_the_runner(root, studies, tmp_path_factory):
    """What inference.json and inference_dicom.json write for these images."""
    outs = []
    for configs in ([INFERENCE], [INFERENCE, DICOM]):
        outs.append(tmp_path_factory.mktemp("out"))
        workflow = ConfigWorkflow(
            config_file=[str(path) for path in configs],
            logging_file=False,
            workflow_type="infer",
            bundle_root=str(root),
            dataset_dir=str(studies),
            output_dir=str(outs[-1]),
            device="cpu",
            num_workers=0,
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    table = pd.read_csv(outs[1] / "results.csv", keep_default_na=False)
    pictures = {
        name: np.asarray(Image.open(outs[0] / f"{name}_virtual_des.png")) for name in ("LE", "picture", "series/1")
    }
    return SimpleNamespace(pictures=pictures, derived=Path(next(filter(None, table["output"]))))


class Served:
    """BundleInferTask, Restored and Writer of MONAI Label 0.8.5, without its HTTP."""

    def __init__(self, root):
        self.parser = ConfigParser()
        self.parser.read_config(str(root / "configs" / "inference.json"))
        self.parser.config.update({"bundle_root": str(root), "device": "cpu"})
        self.network = self.parser.get_parsed_content("network_def")
        self.network.load_state_dict(torch.load(root / "models" / "model.pt"), strict=False)
        self.network.eval()

    def __call__(self, image, **request):
        data = {"image": str(image), "image_path": str(image), "device": "cpu", **request}
        for step in self.parser.get_parsed_content("preprocessing").transforms:
            if isinstance(step, LoadImaged):
                step._loader.image_only = False
            data = step(data)
        with torch.no_grad():
            data["pred"] = self.parser.get_parsed_content("inferer")(data["image"][None], self.network)[0]
        for key in ("postprocessing", "post_transforms"):  # the last one counts
            steps = [
                step for step in self.parser.get_parsed_content(key).transforms if not isinstance(step, SaveImaged)
            ]
        for step in steps:
            data = step(data)
        return self.restored(data)

    @staticmethod
    def restored(data):
        result, meta = data["pred"], data["image"].meta
        size = result.shape[1:]
        native = meta.get("spatial_shape", size)[-len(size) :]
        if np.any(np.not_equal(size, native)):
            result = Resize(spatial_size=native, mode="nearest")(result)
        array = result.array if isinstance(result, MetaTensor) else result
        array = array.transpose().copy()  # write_itk
        return array.astype(data["result_dtype"]), data


@pytest.fixture(scope="module")
def served(root):
    return Served(root)


class TestServedByTheStockApp:
    @pytest.mark.parametrize(
        ("image", "name"), [("picture.png", "picture"), ("LE.dcm", "LE"), ("series", "LE")], ids=lambda one: one
    )
    def test_the_pixels_are_those_of_the_runner(self, served, studies, by_the_runner, image, name):
        for _ in range(2):  # the second time from parsed objects
            array, data = served(studies / image)
            expected = by_the_runner.pictures[name]
            assert (array.shape, array.dtype, np.ptp(expected) > 0) == (expected.shape, np.uint16, True)
            assert np.abs(array.astype(int) - expected).max() <= 1
            assert data["result_extension"] == ".png"
            assert data["result"]["notice"] == NOTICE

    def test_other_types_hold_the_same_image(self, served, studies, by_the_runner):
        expected = by_the_runner.pictures["picture"] / 65535
        nifti, data = served(studies / "picture.png", result_extension=".nii.gz")
        assert (nifti.dtype, data["result_extension"]) == (np.float32, ".nii.gz")
        np.testing.assert_allclose(nifti, expected, atol=1e-5)
        small, _ = served(studies / "picture.png", result_extension=".nrrd", result_dtype="uint8")
        np.testing.assert_allclose(small / 255, expected, atol=0.51 / 255)

    @pytest.mark.parametrize(
        ("image", "request_", "reason"),
        [
            ("DES.dcm", {}, "not an LE image: it is DES."),
            ("other_series", {}, "not an LE image: it is DES."),
            ("LE.dcm", {"result_extension": ".dcm"}, "result_extension is '.dcm', expected one of .png"),
            ("LE.dcm", {"result_dtype": "int8"}, "result_dtype is 'int8', expected one of uint8, uint16"),
            ("LE.dcm", {"result_dtype": "float32"}, "a PNG holds no float32"),
            ("LE.dcm", {"model_filename": ["checkpoint.pt"]}, "model_filename is 'checkpoint.pt', expected model.pt"),
        ],
    )
    def test_what_is_refused(self, served, studies, image, request_, reason):
        with pytest.raises(ValueError, match=re.escape(reason)):
            served(studies / image, **request_)

    def test_weights_that_are_not_the_cards_are_refused(self, studies, root, tmp_path):
        shutil.copytree(root, tmp_path / "bundle")
        model = tmp_path / "bundle" / "models" / "model.pt"
        own = Served(tmp_path / "bundle")
        own(studies / "LE.dcm")
        random_model(model, seed=1)
        with pytest.raises(ValueError, match="was replaced after this server had read its card: start the server anew"):
            own(studies / "LE.dcm")
        torch.save({}, model)  # MONAI Label takes it: strict=False
        with pytest.raises(ValueError, match="belongs to other weights"):
            Served(tmp_path / "bundle")(studies / "LE.dcm")

    def test_a_prediction_on_another_grid_or_not_finite_is_refused(self, root):
        model = root / "models" / "model.pt"
        sha256 = json.loads(model.with_suffix(".json").read_text())["sha256"]
        image = MetaTensor(torch.zeros(1, 8, 8), meta={"spatial_shape": np.array([48, 30])})
        served = ServedImaged("pred", model=model, sha256=sha256)
        with pytest.raises(ValueError, match=re.escape("shape (1, 8, 8), expected (1, 48, 30)")):
            served({"image": image, "pred": torch.zeros(1, 8, 8)})
        with pytest.raises(ValueError, match="holds NaN or infinite pixels: the model's weights are broken"):
            served({"image": image, "pred": torch.full((1, 48, 30), torch.nan)})


def test_a_folder_of_two_images_is_no_image(served, studies):
    with pytest.raises((RuntimeError, ValueError), match=r"is a folder of 4 images: expected one"):
        served(studies)


@pytest.fixture(scope="module")
def translator(root):
    return Translator(root, device="cpu")


class TestTranslator:
    @pytest.mark.parametrize("image", ["LE.dcm", "series"])
    def test_dicom_becomes_the_object_that_the_batch_makes(self, translator, studies, by_the_runner, image):
        made = translator(studies / image)
        expected, ds = pydicom.dcmread(by_the_runner.derived), pydicom.dcmread(made.path)
        made.path.unlink()
        assert made.path.suffix == ".dcm"
        np.testing.assert_array_equal(ds.pixel_array, expected.pixel_array)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "PatientName"):
            assert ds[keyword].value == expected[keyword].value == made.dataset[keyword].value
        assert made.about["sop_instance_uid"] == ds.SOPInstanceUID
        assert made.about["source"] == ds.SourceImageSequence[0].ReferencedSOPInstanceUID
        assert made.about["notice"] == NOTICE

    @pytest.mark.parametrize(("image", "name"), [("picture.png", "picture"), ("LE.dcm", "LE")])
    def test_a_picture_is_that_of_the_runner(self, translator, studies, by_the_runner, image, name):
        made = translator(studies / image, ".png")
        with Image.open(made.path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), by_the_runner.pictures[name])
            assert picture.text["Description"] == NOTICE
        made.path.unlink()
        assert made.dataset is None

    @pytest.mark.parametrize(
        ("image", "asked", "status", "reason"),
        [
            ("DES.dcm", {}, 422, "not an LE image: it is DES."),
            ("HE.dcm", {}, 422, "not an LE image: it is a high-energy image, which is not used."),
            ("nobody.dcm", {}, 404, "there is no image of that name."),
            ("", {}, 404, "there is no image of that name."),
            ("series", {"instance": "1.2"}, 404, "there is no object 1.2 here."),
            ("picture.png", {"ending": ".dcm"}, 422, "expected .png for this image; only a DICOM object says whose"),
            ("LE.dcm", {"ending": ".nrrd"}, 422, "expected .dcm or .png or .nii.gz for this image."),
            ("picture.png", {"side": "X"}, 422, "laterality is 'X', expected L or R."),
            ("LE.dcm", {"side": "X"}, 422, "laterality is 'X', expected L or R."),
        ],
    )
    def test_what_is_refused(self, translator, studies, image, asked, status, reason):
        with pytest.raises(Refused, match=re.escape(reason)) as refused:
            translator(studies / image if image else "", **asked)
        assert refused.value.status == status

    def test_its_own_result_is_no_le_image(self, translator, studies):
        made = translator(studies / "LE.dcm")
        with pytest.raises(Refused, match="not an LE image: it is synthetic data"):
            translator(made.path)
        made.path.unlink()

    def test_a_constant_picture_and_a_damaged_object_are_refused(self, translator, studies, tmp_path):
        Image.fromarray(np.full((40, 30), 7, np.uint8)).save(tmp_path / "flat.png")
        with pytest.raises(Refused, match=re.escape("the image is constant (7 everywhere)")):
            translator(tmp_path / "flat.png")
        (tmp_path / "cut.dcm").write_bytes((studies / "LE.dcm").read_bytes()[:-500])
        with pytest.raises(Refused, match="the image has no pixel data: expected a mammogram"):
            translator(tmp_path / "cut.dcm")
        (tmp_path / "torn.dcm").write_bytes(bytes(128) + b"DICM" + b"torn")
        with pytest.raises(Refused, match="not an LE image"):
            translator(tmp_path / "torn.dcm")

    def test_a_refusal_names_the_image_but_not_its_path(self, translator, studies, tmp_path):
        Image.fromarray(
            np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 2 + [np.zeros((16, 16), np.uint8)])
        ).save(tmp_path / "colour.png")
        (tmp_path / "series").mkdir()
        (tmp_path / "series" / "1.dcm").write_bytes((studies / "LE.dcm").read_bytes()[:-500])
        for name, reason in {"colour.png": "the image is a colour picture", "series": "the image has no pixel"}.items():
            with pytest.raises(Refused, match=f"^{reason}") as refused:
                translator(tmp_path / name)
            assert str(tmp_path) not in str(refused.value)

    def test_a_series_of_several_needs_a_choice(self, translator, le_images, tmp_path):
        uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in le_images[:2]]
        for path in le_images[:2]:
            shutil.copy(path, tmp_path)
        with pytest.raises(Refused, match="the series holds 2 LE images: pass the SOP Instance UID") as refused:
            translator(tmp_path)
        assert set(refused.value.instances) == set(uids)
        made = translator(tmp_path, instance=uids[1])
        made.path.unlink()
        assert made.about["source"] == uids[1]

    def test_weights_must_fit_and_stay(self, root, studies, tmp_path):
        model = random_model(tmp_path / "model.pt")
        own = Translator(root, model, device="cpu")
        random_model(model, seed=1)
        with pytest.raises(Refused, match=r"model.pt was replaced: start the server anew") as refused:
            own(studies / "LE.dcm")
        assert refused.value.status == 503
        torch.save({}, model)
        with pytest.raises(ValueError, match="belongs to other weights"):
            Translator(root, model, device="cpu")
        card = json.loads(random_model(model).with_suffix(".json").read_text())
        save_weights(model, ResnetGenerator(width=8, num_blocks=1), card)
        with pytest.raises(ValueError, match="does not fit the network"):
            Translator(root, model, device="cpu")
        with pytest.raises(ValueError, match=r"no .*metadata.json: expected the root folder"):
            Translator(tmp_path)
        with pytest.raises(ValueError, match="transfer_syntax is 'zip'"):
            Translator(root, device="cpu", options={"transfer_syntax": "zip"})


class Pacs:
    """A DICOMweb client that remembers; it confirms what ``takes`` says."""

    def __init__(self, takes, series):
        self.takes, self.series, self.stored = takes, series, []

    def search_for_series(self, search_filters):
        assert search_filters["Modality"] == "MG"
        wanted = search_filters.get("SeriesInstanceUID")
        return [{"0020000E": {"vr": "UI", "Value": [uid]}} for uid in self.series if wanted in (None, uid)]

    def store_instances(self, datasets):
        if isinstance(self.takes, Exception):
            raise self.takes
        self.stored += datasets
        answer, item = pydicom.Dataset(), pydicom.Dataset()
        item.ReferencedSOPInstanceUID = datasets[0].SOPInstanceUID
        answer.ReferencedSOPSequence = [item] if self.takes else []
        return answer


@pytest.fixture
def app_class(monkeypatch):
    """The class that MONAI Label finds in app/main.py, on a stand-in for MONAI Label."""
    monailabel_stand_in.put_in_place(monkeypatch)
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = ROOT / "bundle" / "integrations" / "monailabel" / "app" / "main.py"
    spec = importlib.util.spec_from_file_location("main", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.VirtualDesApp.__bases__ == (monailabel_stand_in.MONAILabelApp,)
    return module.VirtualDesApp


@pytest.fixture
def start(app_class, root, tmp_path):
    def started(studies, **conf):
        return app_class(str(tmp_path), str(studies), {"bundle": str(root), "device": "cpu", **conf})

    return started


@pytest.fixture
def pacs_app(start, tmp_path, monkeypatch, le_images, studies):
    """An app at a PACS that has a series of two LE images, one of one, and one of a DES."""
    cache = tmp_path / "cache"
    for name, paths in {"1.1": le_images[:2], "1.2": le_images[2:3], "1.3": [studies / "DES.dcm"]}.items():
        (cache / name).mkdir(parents=True)
        for path in paths:
            ds = pydicom.dcmread(path)
            ds.SeriesInstanceUID = name
            ds.save_as(cache / name / path.name)
    monkeypatch.setattr(monailabel_stand_in.SETTINGS, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(cache))

    def started(takes=True, **conf):
        app = start("http://127.0.0.1/dicom-web/", **conf)
        app.datastore()._client = Pacs(takes, ["1.1", "1.2", "1.3"])
        return app

    return started


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """Write a file as MONAI Label's endpoint does with one that comes with a request."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    def written(path):
        with tempfile.NamedTemporaryFile(suffix=path.suffix) as file:
            name = file.name
        shutil.copyfile(path, name)
        return name

    return written


def detail(app, status, **request):
    """What a client is told."""
    with pytest.raises(monailabel_stand_in.HTTPException) as refused:
        app.infer({"model": NAME, **request})
    assert refused.value.status_code == status
    return refused.value.detail


class TestApp:
    def test_an_image_of_a_folder(self, start, studies):
        app = start(studies, series_description="a test", series_number="77")
        assert "*.dcm" in app.datastore().extensions
        made = app.infer({"model": NAME, "image": "LE"})
        ds = pydicom.dcmread(made["file"])
        Path(made["file"]).unlink()
        assert (ds.SeriesNumber, made["params"]["pushed"]) == (77, False)
        assert ds.SeriesDescription == "SYNTHETIC, not for diagnosis: a test"
        info = app._infers[NAME].info()
        assert (info["type"], info["labels"], app._infers[NAME].is_valid()) == ("others", {"virtual_des": 0}, True)
        assert info["model_sha256"] == made["params"]["model_sha256"] != ""
        assert detail(app, 422, image="DES") == "not an LE image: it is DES."
        assert detail(app, 404, image="nobody") == "there is no image of that name."
        assert "no PACS to push to" in detail(app, 409, image="LE", push=True)
        assert detail(app, 422, image="LE", laterality="x") == "laterality is 'X', expected L or R."
        for push in ("maybe", {}, [], "", 0):
            assert detail(app, 422, image="LE", push=push) == f"push is {push!r}, expected true or false."

    @pytest.mark.parametrize("name", ["LE.dcm", "series", "nobody.dcm", "labels/../LE.dcm"])
    def test_no_path_is_an_image(self, start, studies, tmp_path, monkeypatch, name):
        app = start(studies)
        monkeypatch.chdir(studies)
        for image in (str(studies / name), name, {"path": name}):
            assert detail(app, 404, image=image) == "there is no image of that name."
            with pytest.raises(monailabel_stand_in.HTTPException, match="there is no image"):
                app.infer_wsi({"model": NAME, "image": image})
        shutil.copy(studies / "LE.dcm", tmp_path / "LE")
        monkeypatch.chdir(tmp_path)
        assert "also a path" in detail(app, 409, image="LE")

    def test_a_file_that_came_with_the_request(self, start, studies, sent):
        app = start(studies)
        made = app.infer({"model": NAME, "image": sent(studies / "LE.dcm")})
        Path(made["file"]).unlink()
        assert made["params"]["sop_instance_uid"]
        refused = sent(studies / "HE.dcm")  # MONAI Label would leave it there
        assert "high-energy" in detail(app, 422, image=refused)
        assert not Path(refused).exists()
        old = sent(studies / "LE.dcm")
        os.utime(old, (0, 0))
        link = sent(studies / "LE.dcm")
        Path(link).unlink()
        Path(link).symlink_to(studies / "LE.dcm")
        other = Path(old).with_name("virtual_des_abcdefgh.dcm")
        shutil.copy(studies / "LE.dcm", other)
        for image in (old, link, str(other), str(other.parent), f"{other.parent}/../{other.parent.name}/{other.name}"):
            assert detail(app, 404, image=image) == "there is no image of that name."

    def test_a_refused_upload_is_deleted(self, start, studies, sent):
        upload = sent(studies / "LE.dcm")
        with pytest.raises(monailabel_stand_in.HTTPException, match="is no plain name"):
            start(studies).datastore().add_image("../pwned", upload, {})
        assert not Path(upload).exists()

    def test_no_upload_leaves_the_folder(self, start, studies, tmp_path):
        shutil.copytree(studies, tmp_path / "studies")
        app, le = start(tmp_path / "studies"), str(studies / "LE.dcm")
        store, before = app.datastore(), sorted(tmp_path.rglob("*"))
        for name in ("../pwned", str(tmp_path / "pwned"), "a/b", "a\\b", "..", ".lock", "a\0"):
            for refused in (
                lambda: store.add_image(name, le, {}),  # noqa: B023
                lambda: store.save_label(name, le, "final", {}),  # noqa: B023
                lambda: store.save_label("LE", le, name, {}),  # noqa: B023
                lambda: store.get_image_uri(name),  # noqa: B023
                lambda: app.infer({"model": NAME, "image": "LE", "save_label": True, "label_tag": name}),  # noqa: B023
            ):
                with pytest.raises(monailabel_stand_in.HTTPException, match="is no plain name") as told:
                    refused()
                assert told.value.status_code == 422
        with pytest.raises(monailabel_stand_in.HTTPException, match=r"a .json file is no image"):
            store.add_image("datastore_v2", "tmp.json", {})
        assert sorted(tmp_path.rglob("*")) == before
        assert store.add_image("LE_2", le, {}) == "LE_2"
        assert store.save_label("LE_2", le, "final", {}) == "LE_2"

    def test_a_batch_goes_on(self, start, studies):
        app = start(studies)
        made = app.batch_infer({"model": NAME})
        assert made["DES"] == {"failed": "not an LE image: it is DES."}
        assert set(app.datastore().labels) == {"LE", "picture"}
        assert made["LE"]["params"]["sop_instance_uid"]

    def test_a_broken_image_costs_a_batch_no_other(self, start, studies, monkeypatch):
        app = start(studies)
        monkeypatch.setattr(app.translator, "_of_picture", lambda *_: 1 / 0)
        made = app.batch_infer({"model": NAME})
        assert made["picture"] == {"failed": "ZeroDivisionError"}
        assert made["LE"]["params"]

    def test_a_result_goes_back_to_the_pacs_when_that_was_allowed(self, pacs_app):
        app = pacs_app(push="true")
        assert app.datastore()._search_filter == {"Modality": "MG"}
        made = app.infer({"model": NAME, "image": "1.2", "push": "true"})
        Path(made["file"]).unlink()
        (stored,) = app.datastore()._client.stored
        assert made["params"]["pushed"] is True
        assert stored.SOPInstanceUID == made["params"]["sop_instance_uid"]
        app.infer({"model": NAME, "image": "1.2"})
        assert len(app.datastore()._client.stored) == 1

    def test_what_is_not_pushed(self, pacs_app, studies, sent, tmp_path):
        assert "start it with --conf push true" in detail(pacs_app(), 403, image="1.2", push=True)
        app = pacs_app(push="true")
        assert "did not come from the PACS" in detail(app, 409, image=sent(studies / "LE.dcm"), push=True)
        store = app.datastore()
        with pytest.raises(monailabel_stand_in.HTTPException, match="are those of its PACS"):
            store.add_image("1.2", str(studies / "LE.dcm"), {})
        assert store.save_label("1.2", str(studies / "LE.dcm"), "x", {})
        label = tmp_path / "cache" / "labels" / "x" / "1.2.dcm"
        assert label.is_file()
        for image in (str(label), str(tmp_path / "cache" / "1.2"), "labels", "1.*", ["1.2"]):
            assert detail(app, 404, image=image, push=True) == "there is no image of that name."
        with pytest.raises(monailabel_stand_in.HTTPException, match="is no plain name"):
            store.get_label_uri("../1.2", "final")
        (cached,) = (tmp_path / "cache" / "1.2").iterdir()
        own = cached.read_bytes()
        shutil.copy(studies / "LE.dcm", cached)  # of another series
        assert "did not come from the PACS" in detail(app, 409, image="1.2", push=True)
        cached.write_bytes(own)
        assert "only a derived object" in detail(app, 422, image="1.2", push=True, result_extension=".png")
        assert detail(app, 404, image="9.9") == "there is no image of that name."
        assert app.datastore()._client.stored == []

    def test_a_pacs_that_does_not_take_it(self, pacs_app):
        assert "did not confirm" in detail(pacs_app(takes=False, push="true"), 502, image="1.2", push=True)
        refused = RuntimeError("http://host/?PatientName=Planted")
        refused.response = SimpleNamespace(status_code=507)
        told = detail(pacs_app(takes=refused, push="true"), 502, image="1.2", push=True)
        assert told == "the DICOMweb server refused the object with HTTP status 507; nothing was stored."
        told = detail(pacs_app(takes=OSError("Planted"), push="true"), 502, image="1.2", push=True)
        assert told == "the DICOMweb server failed (OSError); nothing was stored."

    def test_a_batch_at_a_pacs(self, pacs_app):
        app = pacs_app(push="true")
        made = app.batch_infer({"model": NAME, "push": True})
        assert made["1.3"] == {"failed": "not an LE image: it is DES."}
        assert all(one["params"]["pushed"] and "file" not in one for one in made["1.1"]["instances"].values())
        assert len(made["1.1"]["instances"]) == 2
        assert len(app.datastore()._client.stored) == 3
        assert app.datastore().refreshed
        assert set(app.datastore().labels) == set(app.datastore()._datastore.objects) == {"1.2"}
        without = pacs_app().batch_infer({"model": NAME})
        assert "the series holds 2 LE images" in without["1.1"]["failed"]

    def test_a_server_that_does_not_answer(self, pacs_app, monkeypatch):
        import requests

        app = pacs_app()

        def down(_, image):
            raise requests.ConnectionError("http://host/?PatientName=Planted")

        monkeypatch.setattr(monailabel_stand_in.DICOMWebDatastore, "get_image_uri", down)
        assert detail(app, 502, image="1.2") == "the DICOMweb server does not answer (ConnectionError)."

    def test_an_unknown_setting_is_refused(self, start, studies):
        with pytest.raises(ValueError, match="--conf psuh: expected some of bundle, ckpt_path, device, push"):
            start(studies, psuh="true")
