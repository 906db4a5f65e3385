"""A file that kills or keeps its process costs itself alone."""

import multiprocessing
import os
import re
import signal
import time

import pytest
from tqdm import tqdm

from bundle.data.isolation import PACE, Failure, work_apart


def odd_work(item):
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "hang":
        time.sleep(600)
    if item == "raise":
        raise ValueError("no good")
    if item == "slow":
        time.sleep(0.5)
    return item * 2


def test_results_come_in_order_and_failures_stand_in_their_place():
    items = ["slow", "a", "crash", "b", "raise", "hang", "c", "crash", "d"]
    results = list(work_apart(odd_work, items, num_workers=2, time_limit=2.0))
    assert [result for result in results if not isinstance(result, Failure)] == ["slowslow", "aa", "bb", "cc", "dd"]
    reasons = [result.reason if isinstance(result, Failure) else "" for result in results]
    assert reasons[2] == reasons[7] == "its decoder crashed (exit status -11)"
    assert reasons[4] == "ValueError: no good"
    assert reasons[5] == "it took more than 2 s"


def test_a_process_that_is_killed_while_it_waits_costs_nothing():
    results = work_apart(odd_work, ["a", "b", "c"], num_workers=1)
    made = [next(results)]
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    assert made + list(results) == ["aa", "bb", "cc"]


def test_the_bar_never_counts_seconds_an_image(capsys):
    list(work_apart(odd_work, ["slow"], num_workers=1, unit="image"))
    assert re.search(r"image/s\]", capsys.readouterr().err)
    assert "s/image" not in tqdm.format_meter(1, 9, 20.0, unit="image", bar_format=PACE)


def test_a_reader_that_stops_early_leaves_no_process_behind():
    results = work_apart(odd_work, ["a", "hang", "hang"], num_workers=2)
    assert next(results) == "aa"
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 5


def test_nothing_to_do():
    assert list(work_apart(odd_work, [])) == []


def test_no_workers():
    with pytest.raises(ValueError, match="num_workers is 0, expected 1 or more"):
        list(work_apart(odd_work, ["a"], num_workers=0))
