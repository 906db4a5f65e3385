"""Seconds and memory of the phantom, in a process of its own with one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

DRAW = """
import json, resource, sys, time
from bundle.phantom.case import VIEWS, draw_patient, exam_grid, render_case
rows, women = int(sys.argv[1]), int(sys.argv[2])
start = time.process_time()
for patient in range(1, women + 1):
    for laterality, view in VIEWS[:2]:
        render_case(0, patient, draw_patient(0, patient), laterality, view, exam_grid(rows))
seconds = (time.process_time() - start) / (2 * women)
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "women", "most_seconds"), [(512, 6, 1.0), (2294, 1, 12.0), (2850, 1, 12.0)])
def test_a_pair_takes_no_longer_and_no_more_than_2_gib(rows, women, most_seconds):
    one_core = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DRAW, str(rows), str(women)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_core)
    seconds, gib = json.loads(done.stdout)
    print(f"{rows} rows: {seconds:.2f} s of CPU a pair, {gib:.2f} GiB")
    assert seconds <= most_seconds
    assert gib < 2
