"""A file that kills or keeps its process costs itself alone."""

import os
import signal
import time

import pytest

from bundle.data.isolation import Failure, work_apart


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
