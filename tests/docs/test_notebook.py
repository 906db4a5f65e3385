"""The notebook is executed from nothing, and shows what a fresh run shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the notebook is executed with the extra dev")
ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/notebooks/phantom.ipynb"
SAME = "same-every-time"  # a cell whose text depends on no floating-point sum


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The notebook as it comes out of an empty folder."""
    copy = tmp_path_factory.mktemp("notebook") / "fresh.ipynb"
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("execute_notebook.py"), NOTEBOOK, copy],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return nbformat.read(copy, as_version=4)


def code_cells(notebook):
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def text_of(cell):
    """What a cell printed and what its last value looks like in plain text."""
    texts = [output.get("text", output.get("data", {}).get("text/plain", "")) for output in cell.outputs]
    return [text.strip() for text in texts if not text.startswith("<")]


def kinds_of(cell):
    return [(output.output_type, *sorted(output.get("data", {}))) for output in cell.outputs]


def test_the_committed_outputs_are_those_of_a_fresh_run(fresh):
    renew = "renew them: python tests/docs/execute_notebook.py docs/notebooks/phantom.ipynb"
    committed, now = code_cells(nbformat.read(NOTEBOOK, as_version=4)), code_cells(fresh)
    assert {name: kinds_of(cell) for name, cell in committed.items()} == {
        name: kinds_of(cell) for name, cell in now.items()
    }, renew
    same = [name for name, cell in committed.items() if SAME in cell.metadata.get("tags", [])]
    assert len(same) >= 4
    assert {name: text_of(committed[name]) for name in same} == {name: text_of(now[name]) for name in same}, renew


def test_what_a_reader_is_told_is_what_happened(fresh):
    cells = code_cells(fresh)
    assert "32 pairs of 8 women" in text_of(cells["study"])[0]
    assert text_of(cells["training"])[0].count("val_loss") == 10
    table = cells["evaluation"].outputs[0]["data"]["text/markdown"]
    assert "DES := LE" in table
    assert "constant inside the breast" in table
    assert text_of(cells["inference"])[0].split() == ["state", "made", "32"]
    assert "SYNTHETIC" in "".join(text_of(cells["translated"]))


def test_the_committed_notebook_names_no_machine_and_stays_small():
    text = NOTEBOOK.read_text(encoding="utf-8")
    cells = code_cells(nbformat.read(NOTEBOOK, as_version=4))
    assert [cell.execution_count for cell in cells.values()] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells.values() for output in cell.outputs)
    spoken = [part for cell in cells.values() for output in cell.outputs for part in str(output).split("image/png")[:1]]
    for place in ("/home/", "/root/", "/tmp/", "/Users/", "site-packages", str(ROOT)):
        assert not any(place in part for part in spoken), place
    assert len(text) < 1_000_000
