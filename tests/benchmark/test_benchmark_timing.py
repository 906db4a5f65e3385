"""Variants take turns, ratios are taken repeat by repeat, and memory is that of the work alone."""

import json

import numpy as np
import pytest
import torch
from benchmark_work import fail, hold

from bundle.benchmark.apart import Apart, peak_of
from bundle.benchmark.growth import growth
from bundle.benchmark.machine import about_machine, gflop, peak_gflops
from bundle.benchmark.result import Result
from bundle.benchmark.timing import Spread, Timings, interleaved, timed


def test_spread_is_numpys():
    values = [5.0, 1.0, 4.0, 2.0, 8.0, 3.0]
    spread = Spread.of(values)
    assert (spread.q1, spread.median, spread.q3) == pytest.approx(np.percentile(values, [25, 50, 75]))
    assert (spread.min, spread.max, spread.n) == (1.0, 8.0, 6)
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0, 3.0, 3.0, 1)


def test_variants_take_turns_and_the_warm_up_does_not_count():
    order = []

    def variant(name):
        def work():
            order.append(name)
            return float(len(order)), 0.5

        return work

    timings = interleaved({"A": variant("A"), "B": variant("B")}, repeats=2)
    assert order == list("ABABAB")
    assert timings["A"].wall == [3.0, 5.0]
    assert timings["B"].wall == [4.0, 6.0]
    assert timings["A"].cpu == [0.5, 0.5]


def test_a_ratio_is_the_median_of_paired_ratios():
    fast, slow = Timings([1.0, 2.0, 10.0]), Timings([3.0, 4.0, 10.0])  # ratios 3, 2, 1; the ratio of medians is also 2
    assert fast.times_faster_than(slow).median == 2
    assert Timings([1.0, 4.0, 4.0]).times_faster_than(Timings([3.0, 4.0, 8.0])).median == 2  # that of medians is 1
    with pytest.raises(ValueError, match="zip"):
        fast.times_faster_than(Timings([1.0]))


def test_timed_counts_the_clock_and_the_processor_and_waits_for_the_device():
    waited = []
    wall, cpu = timed(lambda: sum(range(200_000)), lambda: waited.append(True))
    assert 0 < cpu <= wall * 1.5 + 0.01
    assert len(waited) == 2


def test_no_repeat_is_refused():
    with pytest.raises(ValueError, match="repeats is 0, expected 1 or more"):
        interleaved({}, repeats=0)
    with pytest.raises(ValueError, match="there is no value"):
        Spread.of([])


def test_memory_of_the_work_alone_and_a_process_of_its_own():
    kept = np.ones(40 * 2**20 // 8)  # of this process: not inherited by the measuring one
    assert len(kept)
    assert peak_of(hold, 150) == pytest.approx(150 * 2**20, rel=0.1)
    with Apart(hold, 1) as work:
        assert interleaved({"apart": work}, repeats=2)["apart"].wall[0] > 0
    with pytest.raises(RuntimeError, match="ValueError: no such work"):
        Apart(fail)
    with pytest.raises(RuntimeError, match="ValueError: no such work"):
        peak_of(fail)


def test_a_convolution_is_counted_and_so_is_the_machine():
    weight, image = torch.empty(8, 4, 3, 3, device="meta"), torch.empty(1, 4, 10, 10, device="meta")
    assert gflop(lambda: torch.nn.functional.conv2d(image, weight)) == 2 * 8 * 4 * 9 * 8 * 8 / 1e9
    assert set(peak_gflops(repeats=1, size=4)) == {"fp32", "bf16"}
    assert {"cpu", "cores", "threads", "torch"} <= about_machine().keys()


def test_growth_is_the_exponent():
    found = growth("step", "pixels", [1.0, 2.0, 4.0], [3.0, 12.0, 48.0])
    assert found["exponent"] == pytest.approx(2)
    assert found["residual"] == pytest.approx(0)
    assert growth("step", "pixels", [1.0, 2.0, 4.0], [1.0, 1.0, 4.0])["residual"] > 0.2
    with pytest.raises(ValueError, match="expected two or more"):
        growth("step", "pixels", [4], [1.0])


def test_the_result_as_a_table_and_as_json(tmp_path):
    result = Result("train", {"cpu": "made up"}, {"repeats": 3}, {"fp32": 100.0})
    result.add_equality("losses", 0.0, 1e-6)
    assert result.equal
    timings = {"new": Timings([1.0, 2.0, 4.0], [1.0, 2.0, 3.0]), "old": Timings([2.0, 4.0, 4.0], [2.0, 2.0, 2.0])}
    result.add_row("step", "new", timings["new"], image_size=8, batch_size=1, precision="fp32", gflop=50.0)
    result.add_row("memory", "new", peak_bytes=2 * 10**9)
    result.add_ratio("step", "new", "old", timings)
    read = json.loads(result.write(tmp_path / "made" / "train.json").read_text(encoding="utf-8"))
    assert set(read) >= {"command", "made", "machine", "settings", "peak_gflops", "equality", "rows", "ratios"}
    row = read["rows"][0]
    assert row["seconds"] == {"median": 2.0, "q1": 1.5, "q3": 3.0, "min": 1.0, "max": 4.0, "n": 3}
    assert (row["gflop_per_second"], row["share_of_peak"]) == (25.0, 0.25)
    assert read["rows"][1]["seconds"] is None
    assert read["ratios"] == [{"what": "step", "of": "new", "to": "old", "median": 2.0, "q1": 1.5, "q3": 2.0}]
    text = result.as_text()
    assert "equal: losses: largest difference 0, bound 1e-06" in text
    assert "| step " in text
    assert "25%" in text
    assert "1.50-2.00" in text


@pytest.mark.parametrize("difference", [2e-6, float("nan")])
def test_what_differs_is_not_equal(difference):
    result = Result("train", {}, {})
    result.add_equality("losses", difference, 1e-6)
    assert not result.equal
    assert "NOT EQUAL: losses" in result.as_text()
