"""Stands in for monai.bundle: the same files in a moment, epoch by epoch, so that a kill can hit any of them.

A checkpoint is the text of the epochs behind it, those of stage 1 included, and the table of a test part tells it.
``FAKE_SECONDS`` is what an epoch takes; ``FAKE_FAILURES``, ``name:number,...``, lets the first attempts of runs fail.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

EPOCHS = 3


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    beside.write_text(text)
    os.replace(beside, path)


def fail_if_told(run: str, log: Path) -> None:
    for entry in filter(None, os.environ.get("FAKE_FAILURES", "").split(",")):
        name, number = entry.split(":")
        if name == run and log.read_text().count("== ") <= int(number):
            print("the disk of this run is full")
            raise SystemExit(3)


def train(options: dict[str, str], resumes: bool) -> None:
    models, output = Path(options["ckpt_dir"]), Path(options["output_dir"])
    fail_if_told("/".join(models.parts[-3:-1]), models.parent / "run.log")
    checkpoint = models / "checkpoint.pt"
    assert resumes == checkpoint.is_file(), "a training with a checkpoint is to be resumed, one without is not"
    before = Path(options["init_checkpoint"]).read_text() if "init_checkpoint" in options else ""
    done = checkpoint.read_text() if resumes else before
    write(output / "run.json", json.dumps({"state": "running"}))
    for epoch in range(len(done) - len(before), EPOCHS):
        print(f"epoch {epoch}")
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        done += str(epoch)
        write(checkpoint, done)
    gamma = float(options.get("gamma", 9))  # a method's stands in its overlay
    write(models / "model.pt", done)
    write(
        models / "model.json",
        json.dumps({"validation": {"val_loss": 1 + gamma / 100, "val_lesion_l1": 1 / (1 + gamma)}}),
    )
    write(output / "run.json", json.dumps({"state": "completed", "epochs": EPOCHS}))


def evaluate(options: dict[str, str]) -> None:
    output, model = Path(options["output_dir"]), Path(options["ckpt_dir"], "model.pt").read_text()
    fail_if_told("/".join(output.parts[-3:]), output / "run.log")
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    write(output / "metrics.csv", f"gamma,fold,model\n{options.get('gamma', '')},{options['fold']},{model}\n")
    write(output / "evaluation.json", json.dumps({"state": "completed"}))


if __name__ == "__main__":
    given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[3:])
    if sys.argv[1:3] == ["run", "training"]:
        train(given, resumes="configs/resume.json" in given["config_file"])
    elif sys.argv[1:3] == ["run", "evaluating"]:
        evaluate(given)
    else:
        raise SystemExit(f"unknown call {sys.argv}")
