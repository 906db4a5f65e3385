"""A process that dies or hangs while it writes costs at most its own image."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor

from bundle.inference.write_results import WriteResults, _Job


def odd_save(item):
    """A postprocessing that does what the item is named for."""
    if item["name"] == "kills":
        os.kill(os.getpid(), signal.SIGKILL)
    if item["name"] == "hangs":
        time.sleep(600)
    return item


@pytest.fixture
def writing():
    """A handler, the rows that it enters, and a function that hands it an image by name."""
    rows = []
    folder = SimpleNamespace(journal=SimpleNamespace(enter=rows.append), synthesis=SimpleNamespace(weights="f" * 64))
    handler = WriteResults(folder, odd_save, num_workers=1, waiting=4, time_limit=1.0)

    def hand(name):
        tensor = MetaTensor(torch.zeros(1, 2, 2))
        item = {"image": name, "name": name, "tensor": tensor, "pred": torch.zeros(1, 2, 2)}
        row = {"image": name, "output": name, "decode": 0.0, "preprocess": 0.0, "network": 0.0}
        handler._submit(_Job(row, item))

    yield handler, rows, hand
    handler.completed(None)


def test_a_process_that_is_killed_or_hangs_costs_at_most_its_own_image(writing):
    handler, rows, hand = writing
    hand("a")
    handler._enter_done(wait=True)
    for process in handler._pool._processes.values():  # while it waits
        process.kill()
        process.join()
    time.sleep(0.5)  # until the pool knows
    hand("b")
    handler._enter_done(wait=True)
    for name in ("hangs", "c", "kills", "d"):
        hand(name)
    handler.completed(None)
    assert len(rows) == 6
    assert {row["image"]: (row["state"], row.get("reason", "")) for row in rows} == {
        **dict.fromkeys("abcd", ("made", "")),
        "hangs": ("failed", "it was not written: that took more than 1 s"),
        "kills": ("failed", "it was not written: its process was killed, twice"),
    }
