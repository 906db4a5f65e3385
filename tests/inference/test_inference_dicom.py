"""configs/inference_dicom.json from end to end: a mixed DICOM tree in, derived objects and a row for every file out."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from conformance import checked, wrong_attributes
from exam_tree import write_traps
from monai.bundle import ConfigWorkflow
from PIL import Image

from bundle.dicom.files import read_dataset
from bundle.inference import exam_loader
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights
from bundle.transforms import read_image

CONFIGS = [str(Path(__file__).parents[2] / "configs" / name) for name in ("inference.json", "inference_dicom.json")]
SIZE = 32
WINDOW = [2000.0, 800.0]
NAME = "Planted^Name"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Random weights and the card of a training at 32 pixels."""
    torch.manual_seed(0)
    network = {"width": 4, "num_blocks": 1}
    seen = {"rows": [64, 64], "columns": [54, 54], "mean": [0.0, 1.0], "spread": [0.0, 1.0]}
    card = {"image_size": SIZE, "network": network, "intensity": {"method": "window"}}
    card |= {"des_window_median": WINDOW, "seen": seen}
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_weights(path, ResnetGenerator(**network), card)
    return path


@pytest.fixture
def translate(model, tmp_path):
    """Run the two configs as the runner does; returns results.csv by file name and the exit status."""

    def run(exams, out=tmp_path / "out", **overrides):
        options = {"num_workers": 0, "ckpt_path": str(model), "device": "cpu", "bundle_root": str(tmp_path)} | overrides
        workflow = ConfigWorkflow(
            config_file=CONFIGS,
            logging_file=False,
            workflow_type="infer",
            dataset_dir=str(exams),
            output_dir=str(out),
            **options,
        )
        workflow.initialize()
        status = 0
        try:
            workflow.run()
        except SystemExit as ended:
            status = ended.code
        workflow.finalize()
        return pd.read_csv(out / "results.csv", keep_default_na=False), status

    return run


@pytest.fixture
def exams(phantom, tmp_path):
    """One woman's exam: LE, DES and HE of four views."""
    root = tmp_path / "exams"
    for path in phantom.rglob("*.dcm"):
        (root / path.relative_to(phantom)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.relative_to(phantom))
    return root


def les(root):
    return sorted(path for path in root.rglob("*_LE.dcm"))


def by_name(table):
    return table.assign(name=[Path(path).name for path in table["image"]]).set_index("name")


def test_every_le_object_gets_a_derived_one_and_every_file_a_row(exams, translate, tmp_path):
    (exams / "notes.txt").write_text("not an image")
    table, status = translate(exams)
    assert status == 0
    assert len(table) == len([path for path in exams.rglob("*") if path.is_file()])
    made = table[table["state"] == "made"]
    assert sorted(made["image"]) == [str(path) for path in les(exams)]
    assert len(made) == 4
    assert table.set_index("image").loc[str(exams / "notes.txt"), "reason"].startswith("not DICOM")
    for row in made.itertuples():
        source, result = pydicom.dcmread(row.image), pydicom.dcmread(row.output)
        assert Path(row.output).relative_to(tmp_path / "out").parts == (
            source.StudyInstanceUID,
            result.SeriesInstanceUID,
            f"{result.SOPInstanceUID}.dcm",
        )
        assert (result.Rows, result.Columns) == (source.Rows, source.Columns)
        assert result.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID == row.sop_instance_uid
        assert (result.PatientID, result.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
        assert (float(result.WindowCenter), float(result.WindowWidth)) == tuple(WINDOW)
        assert all(float(getattr(row, step)) >= 0 for step in ("decode", "preprocess", "network", "write", "seconds"))
        assert row.outside == ""
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["model"]["sha256"] == made["model_sha256"].iloc[0]
    assert not list((tmp_path / "out").glob(".results*"))


def test_png_nifti_and_dicom_agree(exams, translate):
    import nibabel

    table, status = translate(exams, also=["png", "nifti"])
    made = table[table["state"] == "made"]
    assert (status, len(made)) == (0, 4)
    for output, source in zip(made["output"], made["image"], strict=True):
        dicom = pydicom.dcmread(output).pixel_array
        header = pydicom.dcmread(source, stop_before_pixels=True)
        with Image.open(Path(output).with_suffix(".png")) as picture:
            assert picture.text["Source"] == header.SOPInstanceUID  # file names are often those of patients
        rows, columns = header.ImagerPixelSpacing
        affine = nibabel.load(Path(output).with_suffix(".nii.gz")).affine
        np.testing.assert_allclose(affine, np.diag([-columns, -rows, 1, 1]))
        png = np.asarray(Image.open(Path(output).with_suffix(".png"))) / 65535
        nifti = nibabel.load(Path(output).with_suffix(".nii.gz")).get_fdata()[..., 0].T
        lit = dicom > dicom.min()
        low, width = WINDOW[0] - WINDOW[1] / 2, WINDOW[1]
        assert np.abs(dicom - (low + width * png))[lit].max() <= 0.51
        np.testing.assert_allclose(png, nifti, atol=1e-5)
        assert (nifti[~lit] <= 1 / width).all()


def test_the_image_folder_gives_the_same_picture(exams, translate, model, tmp_path):
    table, _ = translate(exams, also=["png"])
    workflow = ConfigWorkflow(
        config_file=CONFIGS[0],
        logging_file=False,
        workflow_type="infer",
        dataset_dir=str(exams),
        output_dir=str(tmp_path / "png"),
        ckpt_path=str(model),
        device="cpu",
        num_workers=0,
    )
    workflow.initialize()
    workflow.run()
    of_folder = pd.read_csv(tmp_path / "png" / "results.csv").set_index("image")
    assert (table["state"] == "made").sum() == 4
    for row in table[table["state"] == "made"].itertuples():
        theirs = np.asarray(Image.open(of_folder.loc[row.image, "output"])).astype(int)
        ours = np.asarray(Image.open(Path(row.output).with_suffix(".png"))).astype(int)
        le, _ = read_image(row.image)
        np.testing.assert_array_equal(ours[le > le.min()], theirs[le > le.min()])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", [(128, 107), (150, 126)])
@pytest.mark.parametrize("side", ["L", "R"])
def test_a_landmark_stays_where_it_is(side, shape, photometric, phantom, translate, tmp_path, monkeypatch):
    monkeypatch.setattr(ResnetGenerator, "forward", lambda _, x: x)
    ds = pydicom.dcmread(next(path for path in phantom.rglob(f"*_{side}_CC_LE.dcm")))
    image = np.zeros(shape, np.uint16)
    depth = shape[1] // 2
    image[20:-20, :depth] = 800
    row, column = shape[0] // 2 - 7, depth // 3
    image[row - 4 : row + 5, column - 4 : column + 5] = 3500
    image = image[:, ::-1] if side == "R" else image
    expected = (row, shape[1] - 1 - column if side == "R" else column)
    high = 2**ds.BitsStored - 1
    ds.PixelData = np.ascontiguousarray(high - image if photometric == "MONOCHROME1" else image).tobytes()
    ds.Rows, ds.Columns = shape
    ds.PhotometricInterpretation = photometric
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.WindowCenter, ds.WindowWidth = (high - 2048 if photometric == "MONOCHROME1" else 2048), 4096
    (tmp_path / "in").mkdir()
    ds.save_as(tmp_path / "in" / "one.dcm")
    table, status = translate(tmp_path / "in")
    assert status == 0
    result = pydicom.dcmread(table["output"].iloc[0])
    assert (result.PhotometricInterpretation, result.pixel_array.shape) == ("MONOCHROME2", shape)
    pixels = result.pixel_array.astype(float)
    weights = np.clip(pixels - (np.median(pixels[pixels > 0]) + pixels.max()) / 2, 0, None)
    found = [float((axis * weights).sum() / weights.sum()) for axis in np.indices(shape)]
    assert np.abs(np.subtract(found, expected)).max() <= 1
    air = read_image(tmp_path / "in" / "one.dcm")[0] == 0
    assert (result.pixel_array[air] == 0).all()


def test_what_is_no_le_image_gets_its_reason_and_the_rest_is_done(exams, translate, caplog, capfd):
    whole = les(exams)[0]

    def planted(name, **entries):
        ds = pydicom.dcmread(whole)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        for keyword, value in entries.items():
            setattr(ds, keyword, value)
        ds.save_as(exams / name)
        return ds

    for path in les(exams):  # a name that must stand nowhere
        ds = pydicom.dcmread(path)
        ds.PatientName, ds.PatientID = NAME, "SECRET42"
        ds.save_as(path)
    planted("ultrasound.dcm", Modality="US")
    planted("two_frames.dcm", NumberOfFrames=2)
    with pytest.warns(UserWarning, match="Unknown encoding"):
        planted("charset.dcm", SpecificCharacterSet="ISO_IR 999")
    synthetic = planted("synthetic.dcm")
    synthetic.add_new(0x0008001C, "CS", "YES")
    synthetic.save_as(exams / "synthetic.dcm")
    shutil.copy(whole, exams / "twice.dcm")
    (exams / "empty.dcm").write_bytes(b"")
    content = whole.read_bytes()
    (exams / "truncated.dcm").write_bytes(
        content.replace(ds_uid(whole), ds_uid(whole)[:-2] + b".9")[: len(content) - 3000]
    )
    (exams / "header_cut.dcm").write_bytes(content[:300])
    caplog.set_level(logging.INFO)
    table, status = translate(exams)
    rows = by_name(table)
    assert status == 1
    expected = {
        "ultrasound.dcm": ("skipped", "its modality is US"),
        "two_frames.dcm": ("skipped", "2 frames"),
        "synthetic.dcm": ("skipped", "synthetic data"),
        "empty.dcm": ("failed", "an empty file"),
        "truncated.dcm": ("failed", "could not be read"),
        "header_cut.dcm": ("failed", "header"),
    }
    for name, (state, reason) in expected.items():
        assert (rows.loc[name, "state"], reason in rows.loc[name, "reason"]) == (state, True), rows.loc[name]
        assert rows.loc[name, "output"] == ""
    assert rows.loc["charset.dcm", "state"] == "made"
    assert rows.loc["twice.dcm", "state"] == "made"  # the first by name
    assert rows.loc[whole.name, "reason"] == f"the same SOP Instance UID as {exams / 'twice.dcm'}"
    for path in les(exams)[1:]:
        assert rows.loc[path.name, "state"] == "made"
    for path in exams.rglob("*_DES.dcm"):
        assert rows.loc[path.name, ["state", "reason"]].tolist() == ["skipped", "not an LE image: it is DES"]
    captured = capfd.readouterr()
    text = caplog.text + captured.out + captured.err + table.to_csv()
    assert not any(word in text for word in ("Planted", "SECRET42"))


@pytest.mark.parametrize("syntax", ["uncompressed", "jpegls"])
def test_every_output_of_a_mixed_tree_conforms(syntax, translate, tmp_path):
    tree = write_traps(tmp_path / "mixed", size=(64, 54))
    table, _ = translate(tree.root, transfer_syntax=syntax)
    made = table[table["state"] == "made"]
    assert len(made) > 10
    for row in made.itertuples():
        assert checked("dciodvfy", "-new", row.output) == (0, []), row.image
        source = pydicom.dcmread(row.image)
        if source.file_meta.TransferSyntaxUID == pydicom.uid.DeflatedExplicitVRLittleEndian:  # dcentvfy reads none
            source.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        source.save_as(tmp_path / "source.dcm")
        assert checked("dcentvfy", tmp_path / "source.dcm", row.output) == (0, []), row.image
        assert wrong_attributes(pydicom.dcmread(row.output)) == [], row.image
    assert {str(path) for path in tree.root.rglob("*") if path.is_file()} <= set(table["image"])


def test_of_two_copies_the_one_that_can_be_read_is_taken(exams, translate):
    whole = les(exams)[0]
    (exams / "a_damaged_copy.dcm").write_bytes(whole.read_bytes()[:-3000])
    table, status = translate(exams)
    rows = by_name(table)
    assert status == 1
    assert rows.loc["a_damaged_copy.dcm", "state"] == "failed"
    assert rows.loc[whole.name, "state"] == "made"
    assert Path(rows.loc[whole.name, "output"]).is_file()


def test_a_file_replaced_on_the_way_gets_no_pixels_of_another(exams, translate, monkeypatch):
    """By another woman's object of the same UIDs, as a mistaken export brings it."""
    first, *others = les(exams)
    ours = pydicom.dcmread(first)
    prepared = exam_loader._prepared

    def replaced():
        ds = pydicom.dcmread(others[0])
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(ds, keyword, ours[keyword].value)
        ds.PatientID = "ANOTHER"
        ds.save_as(first)

    def then_replaced(path, *rest):
        result = prepared(path, *rest)
        replaced()
        return result

    for path in others[1:]:
        path.unlink()
    monkeypatch.setattr(exam_loader, "_prepared", then_replaced)
    table, status = translate(exams)
    result = pydicom.dcmread(by_name(table).loc[first.name, "output"])
    assert (status, result.PatientID) == (0, ours.PatientID)

    def replacing(path, pixels=True):
        ds = read_dataset(path, pixels)
        if Path(path) == first:
            replaced()
        return ds

    monkeypatch.setattr(exam_loader, "_prepared", prepared)
    monkeypatch.setattr(exam_loader, "read_dataset", replacing)
    table, status = translate(exams, overwrite=True)
    row = by_name(table).loc[first.name]
    assert (status, row["state"], row["reason"].split(":")[0]) == (
        1,
        "failed",
        "the file was replaced or written to while it was read",
    )


def test_a_file_that_is_gone_gives_way_to_its_copy(exams, translate, monkeypatch):
    first = les(exams)[0]
    shutil.copy(first, exams / "a_copy.dcm")
    prepare = exam_loader.prepare

    def gone(item, **rest):
        (exams / "a_copy.dcm").unlink(missing_ok=True)
        return prepare(item, **rest)

    monkeypatch.setattr(exam_loader, "prepare", gone)
    table, status = translate(exams)
    rows = by_name(table)
    assert (status, rows.loc["a_copy.dcm", "state"], rows.loc[first.name, "state"]) == (1, "failed", "made")
    assert rows.loc["a_copy.dcm", "reason"] == "it cannot be read (No such file or directory)"


def test_no_further_file_stands_without_its_object(exams, translate, tmp_path):
    ds = pydicom.dcmread(les(exams)[0])
    del ds.ImagerPixelSpacing
    ds.save_as(les(exams)[0])
    table, status = translate(exams, also=["png"])
    assert (status, (table["state"] == "made").sum(), (table["state"] == "failed").sum()) == (1, 3, 1)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


def test_jpeg_2000_says_nothing_of_its_tiles(exams, translate, caplog):
    caplog.set_level(logging.INFO)
    table, _ = translate(exams, transfer_syntax="jpeg2000")
    assert (table["state"] == "made").sum() == 4
    assert [record.name for record in caplog.records if record.name.startswith("openjpeg")] == []


def ds_uid(path):
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID).encode()


def test_a_second_call_does_only_what_is_missing(exams, translate, tmp_path):
    first, _ = translate(exams)
    made = first[first["state"] == "made"]
    assert len(made) == 4
    times = {path: Path(path).stat().st_mtime_ns for path in made["output"]}
    gone = made["output"].iloc[0]
    Path(gone).unlink()
    second, status = translate(exams)
    assert status == 0
    states = second.set_index("output")["state"].drop("")
    assert states.value_counts().to_dict() == {"kept": len(made) - 1, "made": 1}
    assert {path for path, time in times.items() if Path(path).stat().st_mtime_ns != time} == {gone}
    kept = second[second["state"] == "kept"].set_index("output")
    np.testing.assert_array_equal(kept["seconds"], made.set_index("output").loc[kept.index, "seconds"])
    third, _ = translate(exams, overwrite=True)
    assert (third["state"] == "made").sum() == len(made)
    assert sorted(made["output"]) == sorted(str(path) for path in (tmp_path / "out").rglob("*.dcm"))


def test_what_lies_outside_the_training_is_said(exams, model, translate, tmp_path):
    shutil.copytree(model.parent, tmp_path / "other")
    card = json.loads((tmp_path / "other" / "model.json").read_text())
    card["seen"] |= {"rows": [10, 20], "mean": [0.9, 1.0]}
    (tmp_path / "other" / "model.json").write_text(json.dumps(card))
    table, _ = translate(exams, ckpt_path=str(tmp_path / "other" / "model.pt"))
    said = table.loc[table["state"] == "made", "outside"]
    assert len(said) == 4
    assert said.str.startswith("rows 64, trained on 10 to 20; mean in the breast 0.").all()


def test_processes_give_the_same_files_as_one(exams, translate, tmp_path):
    translate(exams, tmp_path / "one")
    _, status = translate(exams, tmp_path / "many", num_workers=2, batch_size=3)
    assert status == 0
    files = {path.relative_to(tmp_path / "many") for path in (tmp_path / "many").rglob("*.dcm")}
    assert len(files) == 4
    assert files == {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.dcm")}
    for path in files:
        ours, theirs = (pydicom.dcmread(tmp_path / where / path).pixel_array for where in ("one", "many"))
        assert np.abs(ours.astype(int) - theirs).max() <= 1  # a batch may round otherwise


@pytest.mark.parametrize("change", ["card", "weights"])
def test_a_model_that_does_not_fit_stops_the_run_before_the_first_image(change, exams, model, translate, tmp_path):
    shutil.copytree(model.parent, tmp_path / "other")
    if change == "card":
        (tmp_path / "other" / "model.json").unlink()
    else:
        torch.save(ResnetGenerator(width=8, num_blocks=1).state_dict(), tmp_path / "other" / "model.pt")
    with pytest.raises(RuntimeError):
        translate(exams, ckpt_path=str(tmp_path / "other" / "model.pt"))
    assert not (tmp_path / "out").exists()


def test_without_an_le_object_the_call_fails(exams, translate):
    for path in les(exams):
        path.unlink()
    table, status = translate(exams)
    assert status == 1
    assert set(table["state"]) == {"skipped"}
