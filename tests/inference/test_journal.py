"""Rows survive the process that wrote them."""

from __future__ import annotations

import os

import pandas as pd
import pytest

from bundle.inference.journal import Journal

COLUMNS = ("image", "output", "state", "seconds")


def test_rows_are_on_disk_at_once_and_the_last_one_of_a_file_counts(tmp_path):
    journal = Journal(tmp_path, COLUMNS)
    journal.enter({"image": "b", "output": "B", "state": "made", "seconds": 1.23456, "tensor": "not a column"})
    journal.enter({"image": "a", "state": "failed"})
    journal.enter({"image": "b", "output": "B", "state": "failed"})
    table = Journal(tmp_path, COLUMNS).table()  # of another process
    assert table.to_dict("list") == {
        "image": ["a", "b"],
        "output": ["", "B"],
        "state": ["failed", "failed"],
        "seconds": ["", ""],
    }
    journal.close()
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_whole_rows_and_the_next_one_knows_them(tmp_path):
    first = Journal(tmp_path, COLUMNS)
    first.enter({"image": "a", "output": "A", "state": "made", "seconds": 2.0})
    first.enter({"image": "b", "output": "B", "state": "failed"})
    first.close()
    with (tmp_path / ".results.0.csv").open("a") as file:
        file.write("c,C")  # cut in the middle
    again = Journal(tmp_path, COLUMNS)
    again.take_up()
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]  # also for the case that this one is killed
    again.enter({"image": "a"} | again.former("A") | {"state": "kept"})
    assert again.former("A")["seconds"] == "2"
    assert again.former("B") == again.former("C") == {}
    assert again.table()["image"].tolist() == ["a"]
    again.close()


def test_a_finished_table_is_known_too_wherever_its_folder_lies(tmp_path):
    row = {"image": "a", "output": "OLD/1.2/1.3/1.4.dcm", "state": "kept", "seconds": "3"}
    pd.DataFrame([row]).to_csv(tmp_path / "results.csv", index=False)
    journal = Journal(tmp_path, COLUMNS)
    journal.take_up()
    assert journal.former(str(tmp_path / "1.2" / "1.3" / "1.4.dcm")) == row


def test_the_rows_of_a_killed_process_do_not_win_over_new_ones(tmp_path):
    stale = Journal(tmp_path, COLUMNS, rank=1)
    stale.enter({"image": "a", "state": "failed"})
    stale.enter({"image": "gone", "state": "failed"})
    stale.close()
    journal = Journal(tmp_path, COLUMNS)
    journal.take_up()
    journal.enter({"image": "a", "output": "A", "state": "made"})
    journal.close()
    assert journal.table()[["image", "state"]].to_dict("records") == [{"image": "a", "state": "made"}]


def test_rows_of_other_exams_stay_while_their_results_are_there(tmp_path):
    rows = [{"image": name, "output": name.upper(), "state": "made", "seconds": "1"} for name in "abcd"]
    pd.DataFrame(rows).to_csv(tmp_path / "results.csv", index=False)
    for name in "ABC":
        (tmp_path / name).touch()
    journal = Journal(tmp_path, COLUMNS)
    journal.take_up()
    journal.enter({"image": "moved", "output": "A", "state": "kept"})
    journal.close()
    journal.finish(journal.table())
    table = pd.read_csv(tmp_path / "results.csv", keep_default_na=False)
    assert table["image"].tolist() == ["b", "c", "moved"]
    assert table["output"].tolist() == [str(tmp_path / "B"), str(tmp_path / "C"), "A"]


@pytest.mark.parametrize("content", [b"name;value\nmine;precious\n", b"\xff\0\xfe", b""])
def test_a_table_of_someone_else_is_left_alone(content, tmp_path):
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"results.csv is no table of this batch inference: move it"):
        Journal(tmp_path, COLUMNS).take_up()
    assert (tmp_path / "results.csv").read_bytes() == content


def test_a_name_that_is_no_utf8_is_spelled_out(tmp_path):
    journal = Journal(tmp_path, COLUMNS)
    journal.enter({"image": os.fsdecode(b"exams/\xff\xfe.dcm"), "state": "failed"})
    journal.close()
    assert journal.table()["image"].tolist() == [r"exams/\xff\xfe.dcm"]


def test_a_full_disk_ends_the_run_once_its_row_is_written(tmp_path):
    journal = Journal(tmp_path, (*COLUMNS, "reason"))
    reason = "it was not written: OSError (No space left on device)"
    with pytest.raises(OSError, match="No space left on device"):
        journal.enter({"image": "a", "state": "failed", "reason": reason})
    assert journal.table()["reason"].tolist() == [reason]
    journal.close()


@pytest.mark.parametrize("text", ['a "quoted", name', "line\nbreak", "Ärztin"])
def test_any_name_comes_back(tmp_path, text):
    journal = Journal(tmp_path, COLUMNS)
    journal.enter({"image": text, "state": "made"})
    journal.close()
    assert journal.table()["image"].tolist() == [text]


def test_processes_write_beside_each_other(tmp_path):
    journals = [Journal(tmp_path, COLUMNS, rank) for rank in range(3)]
    for rank, journal in enumerate(journals):
        journal.enter({"image": f"{rank}", "state": "made"})
        journal.close()
    assert journals[0].table()["image"].tolist() == ["0", "1", "2"]
