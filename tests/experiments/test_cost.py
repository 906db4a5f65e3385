"""Hours and money by hand on made-up steps; what was not measured is marked, and its assumption stands there."""

from __future__ import annotations

import json

import pytest

import scripts.benchmark as benchmark
from bundle.experiments.cost import Fleet, Protocol, cost_of, cost_table, costs_of, wall_seconds
from bundle.experiments.measured_step import ACCELERATORS, Figure, Measured, assumed_pair
from bundle.experiments.plan import Run


def spread(median):
    return {"median": median, "q1": 0.9 * median, "q3": 1.2 * median, "min": median, "max": median, "n": 5}


def step(variant, seconds, precision="fp32", image_size=256, batch_size=1, **more):
    row = {"what": "step", "variant": variant, "image_size": image_size, "batch_size": batch_size}
    return row | {"precision": precision, "seconds": spread(seconds), "gflop": 2000.0 * batch_size, **more}


ROWS = [
    step("plain reference", 0.5),
    step("fp32", 6.0),
    step("fp32, levers", 5.0),
    step("bf16", 2.0, "bf16"),
    step("bf16", 12.0, "bf16", batch_size=8, peak_bytes=6 * 2**30),
]


@pytest.fixture
def write(tmp_path):
    def benchmark(rows=ROWS, **machine):
        path = tmp_path / "train.json"
        path.write_text(json.dumps({"command": "train", "machine": {"cpu": "Two cores", **machine}, "rows": rows}))
        return Measured.read(path)

    return benchmark


class TestWhatWasMeasured:
    def test_the_step_that_a_training_takes_with_its_quartiles(self, write):
        pair = write([*ROWS, step("fp32, lesion losses", 6.2)]).pair(256, 8, "fp32")
        assert (pair.mid, pair.low, pair.high) == pytest.approx((6.2, 5.58, 7.44))
        assert pair.measured
        assert pair.source == 'measured: row "fp32, lesion losses", 256 px, batch 1, Two cores'

    def test_levers_change_bf16_alone_unless_they_are_named(self, write):
        measured = write([*ROWS, step("bf16, levers", 2.2, "bf16")])
        assert measured.pair(256, 1, "fp32").source.startswith('measured: row "fp32", ')  # slower than with levers
        assert measured.pair(256, 1, "fp32", "fp32, levers").mid == 5
        assert measured.pair(256, 1, "bf16").mid == 2.2
        assert write().pair(256, 1, "bf16").mid == 2
        with pytest.raises(ValueError, match=r"no step of fp32; it has fp32, levers \(fp32\).*Name one with --variant"):
            write([step("fp32, levers", 5.0)]).pair(256, 1, "fp32")

    def test_a_batch_counts_a_pair(self, write):
        assert write().pair(256, 8, "bf16").mid == pytest.approx(1.5)

    def test_a_variant_by_its_name(self, write):
        assert write([*ROWS, step("fp32, lesion losses", 6.2)]).pair(256, 1, "fp32", "fp32").mid == 6

    def test_another_size_or_batch_is_an_estimate(self, write):
        larger = write().pair(512, 1, "bf16")
        assert (larger.mid, larger.measured) == (8, False)
        assert "estimate: 512 px by the number of pixels" in larger.source
        assert write().pair(256, 4, "fp32").measured  # pair by pair on a CPU
        assert not write(gpu="NVIDIA X").pair(256, 4, "fp32").measured

    def test_gflop_and_start_up(self, write):
        start = {"what": "start-up: import to the first step", "variant": "cache warm", "seconds": spread(12.0)}
        measured = write([*ROWS, start, {"what": "epoch", "seconds": None}])
        assert measured.gflop(512).mid == 8000
        assert (measured.start_up().mid, measured.start_up().measured) == (12, True)
        assert write().start_up() is None

    def test_peak_memory_is_that_of_this_very_step_on_a_gpu(self, write):
        on_gpu = write(gpu="NVIDIA X")
        assert on_gpu.peak_bytes(256, 8, "bf16") == 6 * 2**30
        assert on_gpu.peak_bytes(512, 8, "bf16") is None
        assert write().peak_bytes(256, 8, "bf16") is None

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (None, "there is no benchmark .*python -m scripts.benchmark train"),
            ("[", "is no benchmark"),
            ({"rows": []}, "is no benchmark .KeyError: 'machine'"),
            ({"machine": {}, "rows": [{"what": "epoch", "seconds": None}]}, "has no training step"),
        ],
    )
    def test_another_file_is_refused(self, tmp_path, content, text):
        path = tmp_path / "other.json"
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(ValueError, match=text):
            Measured.read(path)

    def test_a_precision_without_a_step_is_named(self, write):
        with pytest.raises(ValueError, match=r"has no step of fp16; it has bf16 \(bf16\), fp32 \(fp32\), fp32, levers"):
            write().pair(256, 8, "fp16")


class TestAssumed:
    def test_peak_times_use(self):
        gflop = Figure(2000, 2000, 2000, "2000 GFLOP a pair")
        pair = assumed_pair("A100", gflop, "bf16", (0.1, 0.2, 0.4))
        assert (pair.mid, pair.low, pair.high) == pytest.approx((2 / 62.4, 2 / 124.8, 2 / 31.2))
        assert not pair.measured
        assert pair.source == "estimate: 2000 GFLOP a pair, at 20% (10%-40%) of A100's 312 TFLOP/s (bf16, data sheet)"
        assert assumed_pair("A100", gflop, "fp32", (0.5, 0.5, 0.5)).mid == pytest.approx(2 / 9.75)

    def test_wrong_ones_are_named(self):
        gflop = Figure(1, 1, 1, "")
        with pytest.raises(ValueError, match=f"accelerator 'B9': expected some of {', '.join(ACCELERATORS)}"):
            assumed_pair("B9", gflop, "bf16", (0.1, 0.2, 0.3))
        with pytest.raises(ValueError, match=r"utilisation is \[0.4, 0.2, 0.1\], expected lowest, likely, highest"):
            assumed_pair("A100", gflop, "bf16", (0.4, 0.2, 0.1))
        with pytest.raises(ValueError, match=r"utilisation is \[0.2\], expected lowest, likely, highest"):
            assumed_pair("A100", gflop, "bf16", 0.2)


class TestProtocol:
    def test_the_papers(self):
        runs = Protocol().runs()
        assert [run.run_id for run in runs].count("training") == 31
        assert [run.run_id for run in runs].count("evaluating") == 30
        assert runs[0].pairs == {"training": 803, "validation": 100}
        assert runs[1].pairs == {"training": 911, "validation": 114}
        assert runs[2].pairs == {"training": 911, "test": 114}
        assert len({run.name for run in runs}) == 61

    def test_without_stage_1_nothing_waits_for_it(self):
        runs = Protocol(pretrain_pairs=0, folds=3, gammas=1).runs()
        assert [run.needs for run in runs if run.run_id == "training"] == [[], [], []]

    def test_wrong_numbers_are_all_named(self):
        with pytest.raises(ValueError, match=r"folds is 2, expected 3 or more.\nepochs is 0, expected 1 or more"):
            Protocol(folds=2, epochs=0)


class TestWall:
    def test_each_starts_when_it_can(self):
        def run(name, *needs):
            return Run(name, "training", 2, 0, 0, list(needs), [], {})

        runs = [run("first"), run("a", "first"), run("b", "first"), run("c", "first"), run("a_eval", "a")]
        seconds = {"first": 10, "a": 3, "b": 5, "c": 4, "a_eval": 1}
        assert wall_seconds(runs, seconds, 1) == 23
        assert wall_seconds(runs, seconds, 2) == 17  # b until 15, beside it a, then c until 17, a_eval from 15 on
        assert wall_seconds(runs, seconds, 9) == 15
        with pytest.raises(ValueError, match="x needs what no run makes: y"):
            wall_seconds([run("x", "y")], {"x": 1}, 1)

    def test_workers_that_are_shared_take_longer(self):
        training = Run("a", "training", 2, 0, 0, [], [], {})
        assert (Fleet(8, 0.25).slots, Fleet(8, 0.25).slowdown(training)) == (32, 4)
        assert Fleet(8, 0.25, sharing_gain=1.6).slowdown(training) == 2.5
        assert Fleet(8, 0.3333).slots == 24
        stage_1 = Run("pretrain", "training", 1, 0, 0, [], [], {})
        assert Fleet(8, 0.25).slowdown(stage_1) == 1
        assert Fleet(8, pretrain_workers=8, parallel_efficiency=0.5).slowdown(stage_1) == 0.25

    def test_wrong_numbers_are_all_named(self):
        with pytest.raises(ValueError, match=r"share is 2, .*\npretrain_workers is 9, expected a number from 1 to 8"):
            Fleet(8, share=2, pretrain_workers=9)


PLAIN = {"forward_share": 0, "metrics": 0, "vif_and_floors": 0, "reading": 0}


class TestCost:
    def test_by_hand(self):
        protocol = Protocol(pairs=40, pretrain_pairs=20, folds=4, gammas=2, epochs=10)
        pair, start = Figure(36, 18, 72, "x"), Figure(0, 0, 0, "y")
        cost = cost_of("w", pair, protocol, Fleet(4), start, price_an_hour=2.0, **PLAIN)
        # stage 1: 10 pairs x 10 epochs x 36 s = 1 h; stage 2: 20 pairs, 2 h each, eight of them
        assert (cost.training.mid, cost.training.low, cost.training.high) == pytest.approx((2, 1, 4))
        assert cost.alone.mid == pytest.approx(17)
        assert cost.wall.mid == pytest.approx(1 + 2 + 2)
        assert (cost.price.low, cost.price.mid, cost.price.high) == pytest.approx((20, 40, 80))
        validated = cost_of("w", pair, protocol, Fleet(4), start, **{**PLAIN, "forward_share": 0.5, "metrics": 18})
        assert validated.training.mid == pytest.approx(2 + 10 * 10 * 36 / 3600)
        starting = cost_of("w", pair, protocol, Fleet(4), Figure(360, 360, 360, "y"), **PLAIN)
        assert starting.alone.mid == pytest.approx(17 + 17 * 0.1)  # nine trainings and eight evaluations

    def test_all_the_rest_is_said_to_be_an_estimate(self, write):
        fleet = Fleet(8, 0.5, pretrain_workers=8)
        measured = write(gpu="NVIDIA A100-SXM4-80GB")
        costs = costs_of(
            measured, Protocol(precision="bf16"), fleet, ["A100", "H100"], price={"H100": 2.5}, start_up=20
        )
        assert [cost.worker for cost in costs] == ["NVIDIA A100-SXM4-80GB", "H100"]
        assert [cost.price is None for cost in costs] == [True, False]
        text = cost_table(costs, fleet)
        assert "estimate: 2 runs that share a worker get 1 times as much done as one alone" in text
        assert "estimate: stage 1 on 8 workers at 90% of their sum" in text
        assert "- estimate: a process takes 20 s to its first step" in text
        assert "estimate: 2000 GFLOP a pair, counted at 256 px, at 20% (10%-35%) of H100's 989 TFLOP/s" in text
        rows = text.splitlines()
        assert "1.5 (1.35-1.8), measured" in rows[2]
        assert ", estimate |" in rows[3]
        assert len({len(row) for row in rows[:4]}) == 1


def test_the_command_prints_the_table_and_writes_the_figures(write, tmp_path, capsys):
    write()
    output = tmp_path / "cost.json"
    benchmark.cost(str(tmp_path / "train.json"), str(output), precision="bf16", gpus=8, price=2.0)
    told = capsys.readouterr().out
    assert told.splitlines()[0].split("|")[5].strip() == "wall on 8 [h]"
    assert [line.split("|")[1].strip() for line in told.splitlines()[2:5]] == ["Two cores", "A100", "H100"]
    assert '- Two cores: measured: row "bf16", 256 px, batch 8, Two cores' in told
    content = json.loads(output.read_text())
    assert content["protocol"]["pairs"] == 1139
    first = content["costs"][0]
    assert first["pair"]["measured"]
    assert first["price"]["mid"] == pytest.approx(16 * first["wall"]["mid"])
