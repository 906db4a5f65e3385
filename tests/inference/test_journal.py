"""Rows survive the process that wrote them."""

from __future__ import annotations

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
    again.enter({"image": "a"} | again.former("A") | {"state": "kept"})
    assert again.former("A")["seconds"] == "2"
    assert again.former("B") == again.former("C") == {}
    assert again.table()["image"].tolist() == ["a"]
    again.close()


def test_a_finished_table_is_known_too(tmp_path):
    row = {"image": "a", "output": "A", "state": "kept", "seconds": "3"}
    pd.DataFrame([row]).to_csv(tmp_path / "results.csv", index=False)
    assert Journal(tmp_path, COLUMNS).former("A") == row


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
