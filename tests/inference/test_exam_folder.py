"""The work list of a batch: what is one object, what is kept, and who may write to its folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from bundle.dicom.uid import is_uid
from bundle.dicom.whole_object import whole_object
from bundle.dicom.write import Form, Synthesis, virtual_des_object, write_object
from bundle.inference.exam_folder import ExamFolder

SYNTHESIS = Synthesis("model", "0", "5" * 64, 32)


@pytest.fixture
def exams(tmp_path):
    return tmp_path / "exams"


@pytest.fixture
def put(exams, phantom):
    """Write one of the phantom's four LE objects into the exams, with other header entries."""
    sources = sorted(phantom.rglob("*_LE.dcm"))

    def make(name, number=0, **entries):
        ds = pydicom.dcmread(sources[number])
        for keyword, value in entries.items():
            vr = pydicom.datadict.dictionary_VR(keyword)
            ds[keyword] = pydicom.DataElement(keyword, vr, value, validation_mode=pydicom.config.IGNORE)
        exams.mkdir(exist_ok=True)
        ds.save_as(exams / name)
        return ds

    return make


@pytest.fixture
def folder(exams, tmp_path):
    return lambda out="out", **options: ExamFolder(
        exams, tmp_path / out, SYNTHESIS, options.pop("form", Form()), **options
    )


def write(item, form=None):
    le = pydicom.dcmread(item["image"])
    pixels = np.zeros((le.Rows, le.Columns), np.uint16)
    when = pd.Timestamp("2026-01-01").to_pydatetime()
    write_object(virtual_des_object(le, pixels, (2048.0, 4096.0), SYNTHESIS, form or Form(), when), item["output"])


def finished(folder, write=write, form=None):
    """results.csv by the names of the files, and the exit status."""

    def run():
        for item in folder.items():
            write(item, form)
            folder.journal.enter(item | {"state": "made", "seconds": 1.0, "model_sha256": SYNTHESIS.weights})

    status = 0
    try:
        folder.work(run)
    except SystemExit as ended:
        status = ended.code
    table = pd.read_csv(folder.output_dir / "results.csv", keep_default_na=False, dtype=str)
    return table.set_index(table["image"].map(lambda path: Path(path).name)), status


@pytest.mark.parametrize("uid", ["..", "../../evil", "/evil", ".", "1..2", "", "1.2\n", "1" * 65, "1.2/3"])
def test_what_is_no_uid_names_no_file(uid):
    assert not is_uid(uid)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("uid", ["..", "../../evil", "/evil"])
def test_a_uid_that_is_a_path_leads_nowhere(keyword, uid, put, folder):
    put("a.dcm", **{keyword: uid})
    table, status = finished(folder("deep/out"))
    assert status == 1
    assert table.loc["a.dcm", ["state", "reason"]].tolist() == ["failed", f"it has no valid {keyword}: export it again"]


def test_each_row_says_the_rule(put, folder, phantom):
    put("a.dcm")
    put(
        "kvp.dcm",
        1,
        ImageType=["DERIVED", "PRIMARY"],
        AcquisitionDeviceProcessingCode="",
        SeriesDescription="",
        ProtocolName="",
        ImageComments="",
        AcquisitionDeviceProcessingDescription="",
    )
    table, _ = finished(folder())
    assert table["rule"].tolist() == ["image type", "KVP"]


def test_a_second_call_at_the_same_time_stops_in_one_line(put, folder):
    put("a.dcm")
    first = folder()
    assert len(first.items()) == 1
    with pytest.raises(SystemExit, match=r"^another call writes to .*out: wait for its end, or pass another"):
        folder().items()
    table, status = finished(first)
    assert (status, table["state"].tolist()) == (0, ["made"])
    assert finished(folder())[0]["state"].tolist() == ["kept"]


def test_the_lock_of_a_killed_process_is_none(put, folder, tmp_path):
    put("a.dcm")
    script = (
        "import os, pathlib, signal, sys; from bundle.data.folder_lock import try_lock\n"
        "lock = try_lock(pathlib.Path(sys.argv[1]) / '.batch.lock'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "out")], cwd=root).returncode == -9
    assert (tmp_path / "out" / ".batch.lock").exists()
    assert finished(folder())[0]["state"].tolist() == ["made"]


def test_copies_are_of_one_patient_study_and_series(put, folder):
    put("a.dcm")
    put("b.dcm")
    table, status = finished(folder())
    assert (status, table["state"].tolist()) == (0, ["made", "skipped"])
    put("c.dcm", PatientID="Planted")
    table, status = finished(folder("again"))
    assert status == 1
    assert table["state"].tolist() == ["failed"] * 3
    assert table["output"].tolist() == [""] * 3
    assert "not of the same patient, study and series" in table.loc["c.dcm", "reason"]
    assert "Planted" not in table.to_csv()


@pytest.mark.parametrize("syntax", ["uncompressed", "jpegls", "jpeg2000"])
def test_only_whole_results_are_kept(syntax, put, folder):
    put("a.dcm")
    form = Form(transfer_syntax=syntax)
    table, _ = finished(folder(form=form), form=form)
    output = Path(table["output"].iloc[0])
    assert whole_object(output) is not None
    whole = output.read_bytes()
    assert finished(folder(form=form), form=form)[0]["state"].tolist() == ["kept"]
    for length in (len(whole) - 1, len(whole) // 2, 200, 0):
        output.write_bytes(whole[:length])
        assert finished(folder(form=form), form=form)[0]["state"].tolist() == ["made"], length


def test_a_kept_result_has_its_other_files_and_says_its_syntax(put, folder):
    put("a.dcm")
    finished(folder())
    assert len(folder(also=["png"], out="out").items()) == 1
    table, _ = finished(folder(form=Form(transfer_syntax="jpegls")))
    assert table["state"].tolist() == ["kept"]
    assert table["reason"].tolist() == ["the result exists already, uncompressed; --overwrite True makes it anew"]
    assert table[["seconds", "model_sha256"]].values.tolist() == [["1", "5" * 64]]


def test_other_exams_in_the_same_folder(put, folder, exams):
    put("a.dcm", 0)
    finished(folder())
    shutil.rmtree(exams)
    put("b.dcm", 1)
    put("c.dcm", 2)
    table, _ = finished(folder())
    assert sorted(table.index) == ["a.dcm", "b.dcm", "c.dcm"]
    shutil.move(exams / "b.dcm", exams / "moved.dcm")
    table, _ = finished(folder())
    assert sorted(table.index) == ["a.dcm", "c.dcm", "moved.dcm"]
    assert table.loc["moved.dcm", "state"] == "kept"


def test_a_result_that_could_not_be_made_anew_has_one_row(put, folder):
    put("a.dcm")
    finished(folder())
    again = folder(overwrite=True)
    again.journal.enter(again.items()[0] | {"state": "failed", "reason": "damaged", "output": ""})
    with pytest.raises(SystemExit):
        again.finish()
    assert pd.read_csv(again.output_dir / "results.csv")["state"].tolist() == ["failed"]


def test_what_a_killed_call_left_is_removed(put, folder, tmp_path):
    put("a.dcm")
    table, _ = finished(folder())
    output = Path(table["output"].iloc[0])
    left = [output.with_name(f".123.{output.name}"), output.with_name(f".{output.stem}.12.tmp.png")]
    left += [
        tmp_path / "out" / ".results.reserve",
        tmp_path / "out" / ".77.results.csv",
        tmp_path / "out" / ".run.json.9.tmp",
    ]
    others = [output.with_name(".mine.dcm"), tmp_path / "out" / ".DS_Store"]
    for path in left + others:
        path.touch()
    finished(folder())
    assert [path.name for path in left if path.exists()] == []
    assert all(path.exists() for path in others)


@pytest.mark.parametrize("case", ["is a file", "is the input", "has another table", "has no room"])
def test_what_cannot_be_written_stops_in_one_line(case, put, folder, exams, tmp_path, monkeypatch):
    put("a.dcm")
    out, told = "out", "nothing can be written to .* (File exists|Not a directory)"
    if case == "is a file":
        (tmp_path / "out").write_text("mine")
    elif case == "is the input":
        out, told = "exams", "output_dir and dataset_dir are both"
    elif case == "has another table":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "results.csv").write_text("mine\n")
        told = "is no table of this batch inference"
    else:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
        told = "has room for 5e-09 GB, but 1 results need"
    with pytest.raises(SystemExit, match=told.replace(" (F", r" \((F")) as stopped:
        folder(out).items()
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), RuntimeError("x")])
def test_a_stopped_call_leaves_its_table_and_says_so(error, put, folder, tmp_path, caplog):
    put("a.dcm", 0)
    put("b.dcm", 1)
    stopping = folder()

    def run():
        first = stopping.items()[0]
        write(first)
        stopping.journal.enter(first | {"state": "made"})
        (tmp_path / "out" / "run.json").write_text('{"state": "running"}')
        raise error

    with pytest.raises(SystemExit if isinstance(error, OSError) else type(error)):
        stopping.work(run)
    assert pd.read_csv(tmp_path / "out" / "results.csv")["state"].tolist() == ["made"]
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == {"state": "stopped", "files": {"made": 1}}
    table, status = finished(folder())
    assert (status, table["state"].tolist()) == (0, ["kept", "made"])
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record == {"state": "completed", "files": {"kept": 1, "made": 1}}


def test_a_name_that_is_no_utf8_costs_itself_alone(put, folder, exams):
    put("a.dcm")
    shutil.copy(exams / "a.dcm", os.fsencode(exams) + b"/\xff.dcm")
    table, status = finished(folder())
    assert status == 1
    assert table["state"].to_dict() == {"a.dcm": "made", r"\xff.dcm": "failed"}


def test_the_first_process_looks_and_all_get_their_part(put, folder):
    for number in range(4):
        put(f"{number}.dcm", number)
    processes = [folder(rank=rank, world_size=3) for rank in range(3)]
    box, there = [], threading.Event()

    def share(value):
        if value or not box:
            box.append(value)
            there.set()
        return box[0]

    for process in processes:
        process.begin(share)
    assert there.is_set()
    found = [[Path(item["image"]).name for item in process.items()] for process in processes]
    assert found == [["0.dcm", "3.dcm"], ["1.dcm"], ["2.dcm"]]
