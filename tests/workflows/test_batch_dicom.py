"""Batches of DICOM exams in processes of their own: killed and called again, damaged by hundreds, by thousands."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from exam_images import corrupt
from exam_tree import write_traps
from workflows_support import ROOT

from bundle.dicom.files import has_dicom_mark
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights
from bundle.phantom import write_study

CONFIGS = "['configs/inference.json','configs/inference_dicom.json']"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    network = {"width": 4, "num_blocks": 1}
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_weights(
        path, ResnetGenerator(**network), {"image_size": 32, "network": network, "intensity": {"method": "window"}}
    )
    return path


def command(exams, out, model, *options):
    module = [sys.executable, "-m", "monai.bundle", "run", "--config_file", CONFIGS, "--ckpt_path", str(model)]
    return [*module, "--dataset_dir", str(exams), "--output_dir", str(out), *options]


def translate(exams, out, model, *options, launcher=()):
    arguments = command(exams, out, model, *options)
    if launcher:
        arguments = [sys.executable, *launcher, *arguments[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=1500, env=environment)
    assert done.returncode in (0, 1), done.stderr[-4000:]
    return pd.read_csv(out / "results.csv", keep_default_na=False), done


def results_of(out):
    return [path for path in sorted(out.rglob("*.dcm")) if not path.name.startswith(".")]


def pixels_of(out):
    return {path.relative_to(out): pydicom.dcmread(path).pixel_array for path in results_of(out)}


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_and_called_again_the_results_are_those_of_a_straight_run(kills, model, tmp_path):
    exams = write_study(tmp_path / "exams", patients=3, image_size=64, num_workers=1).parent
    table, _ = translate(exams, tmp_path / "straight", model, "--num_workers", "1")
    straight = pixels_of(tmp_path / "straight")
    assert len(straight) == (table["state"] == "made").sum() == 12
    moments = random.Random(20260101)
    arguments = command(exams, tmp_path / "out", model, "--num_workers", "1")
    for kill in range(kills):
        enough = 1 + 10 * kill // kills  # results, of 12
        running = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while running.poll() is None and len(results_of(tmp_path / "out")) < enough:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        for path in results_of(tmp_path / "out"):
            np.testing.assert_array_equal(
                pydicom.dcmread(path).pixel_array, straight[path.relative_to(tmp_path / "out")]
            )
    table, done = translate(exams, tmp_path / "out", model, "--num_workers", "1")
    assert done.returncode == 0
    assert table["state"].isin(["made", "kept"]).sum() == 12
    outputs = table.loc[table["output"] != "", "output"]
    assert outputs.is_unique
    found = {path.relative_to(tmp_path / "out") for path in map(Path, outputs)}
    assert found == set(straight)
    assert [path.name for path in (tmp_path / "out").rglob(".*")] == [".batch.lock"]
    after = pixels_of(tmp_path / "out")
    assert set(after) == set(straight)
    assert all(np.array_equal(after[path], straight[path]) for path in straight)


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_files_cost_themselves_alone(count, model, tmp_path):
    tree = write_traps(tmp_path / "whole", size=(64, 54))
    paths = [tree.root / truth.path for truth in tree.truth]
    paths = [path for path in paths if path.name.upper() != "DICOMDIR" and has_dicom_mark(path)]
    rng = np.random.default_rng(20260102)
    copies = []
    while len(copies) < count:
        copies += corrupt(paths[: count - len(copies)], tmp_path / "exams" / str(len(copies)), rng)
    table, done = translate(tmp_path / "exams", tmp_path / "out", model, "--num_workers", "2", "--time_limit", "20")
    named = {Path(path).resolve() for path in table["image"]}
    assert {path.resolve() for path in (tmp_path / "exams").rglob("*") if path.is_file()} == named
    assert len(table) == len(named)
    assert (table["reason"] != "").sum() > count / 3
    outputs = {Path(output) for output in table["output"] if output}
    assert outputs == set((tmp_path / "out").rglob("*.dcm"))
    text = (done.stdout + done.stderr + table.to_csv()).replace(str(tmp_path), "").lower()
    assert "traceback" not in text
    assert [word for word in tree.identity if word.lower() in text] == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(model, tmp_path):
    """2000 objects against 200: the peak of the run and of any of its processes, and nothing lost."""
    source = write_study(tmp_path / "one", patients=1, image_size=64, num_workers=1).parent
    le = pydicom.dcmread(next(source.rglob("*_LE.dcm")))
    script = (
        "import resource, runpy, sys\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        runpy.run_module('monai.bundle', run_name='__main__', alter_sys=True)\n"
        "    finally:\n"
        "        of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)\n"
        "        print('KB', max(resource.getrusage(who).ru_maxrss for who in of))\n"
    )
    peak = {}
    for count in (200, 2000):
        exams = tmp_path / f"{count}"
        exams.mkdir()
        for number in range(count):
            le.SOPInstanceUID = le.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{number + 1}"
            le.save_as(exams / f"{number:04d}.dcm")
        (tmp_path / "measured.py").write_text(script)
        arguments = command(exams, tmp_path / f"out{count}", model, "--num_workers", "1", "--batch_size", "4")
        done = subprocess.run(
            [sys.executable, str(tmp_path / "measured.py"), *arguments[3:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        table = pd.read_csv(tmp_path / f"out{count}" / "results.csv")
        assert table["state"].tolist() == ["made"] * count
        assert len(list((tmp_path / f"out{count}").rglob("*.dcm"))) == count
        peak[count] = int(done.stdout.rsplit("KB", 1)[1].split()[0])
    print(peak)
    assert peak[2000] <= 1.1 * peak[200]


@pytest.mark.slow
def test_two_processes_do_each_file_once(model, tmp_path):
    exams = write_study(tmp_path / "exams", patients=2, image_size=64, num_workers=1).parent
    translate(exams, tmp_path / "one", model, "--num_workers", "0")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    table, done = translate(exams, tmp_path / "two", model, "--num_workers", "1", launcher=launcher)
    assert done.returncode == 0
    assert len(table) == table["image"].nunique() == len([path for path in exams.rglob("*") if path.is_file()])
    one, two = pixels_of(tmp_path / "one"), pixels_of(tmp_path / "two")
    assert set(one) == set(two)
    assert all(np.array_equal(one[path], two[path]) for path in one)
