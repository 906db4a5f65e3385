"""A study with its list, folds, runs and cards as the real ones have them; no network was trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from made_up_runs import write_json, write_runs

from bundle.data.datalist import datalist_hash, read_datalist, write_datalist
from bundle.data.provenance import fold_hash
from bundle.evaluation.checklists.fill import FACTS

ROOT = Path(__file__).parents[2]
GENERATOR = {"in_channels": 1, "width": 4, "num_downsamples": 2, "num_blocks": 2, "upsample": "resize"}


def change(path, edit):
    record = json.loads(path.read_text(encoding="utf-8"))
    edit(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def write_study(root, patients=6, k=3, gammas=(0, 35), name="Made-up CESM", **extra):
    """Runs with their list and folds, hashes as a training records them, and configs/train.json as the config."""
    write_runs(root, patients, size=16, k=k, gammas=gammas, images=False)
    data = root / "data"
    cases = [
        {
            **{"case_id": f"P{patient:03d}_L_{view}", "patient_id": f"P{patient:03d}", "laterality": "L", "view": view},
            **{"le": "le.dcm", "des": "des.dcm", "seg": "seg.png" if patient % 2 == 0 else None},
            **{"malignant": patient == 0, "age": 40 + patient, "density": "B" if patient else None},
            **({"birads": [4, 3] if view == "CC" else [5]} if patient < 2 else {}),
        }
        for patient in range(patients)
        for view in ("CC", "MLO")
    ]
    write_datalist(data / "datalist.json", name, "Hospital X", "CC BY 4.0", cases, **extra)
    fold_of = {f"P{patient:03d}": patient % k for patient in range(patients)}
    digest = datalist_hash(read_datalist(data / "datalist.json"))
    write_json(
        data / "folds.json",
        {"k": k, "seed": 7, "datalist_hash": digest, "num_cases": len(cases), "folds": fold_of},
    )
    train = json.loads((ROOT / "configs/train.json").read_text(encoding="utf-8"))
    for path in sorted(root.glob("gamma_*/fold_*")):
        fold, gamma = int(path.name[-1]), float(path.parent.name.removeprefix("gamma_"))
        provenance = fold_hash(data / "datalist.json", data / "folds.json", fold)
        config = {**train, "dataset_dir": str(data), "fold": fold, "gamma": gamma, "image_size": 16}

        def record(run, provenance=provenance, config=config):
            run["provenance"], run["config"] = provenance, config
            run["versions"] = {"python": "3.11.7", "torch": "2.13.0+cpu", "commit": "0123abc, changed"}
            run["machine"] = {"cpu": "A Processor 7", "cores": 2, "gpu": "B Card", "gpu_bytes": 24e9}

        def card(model, provenance=provenance):
            model |= {"network": GENERATOR, "datalist_hash": provenance["datalist_hash"], "seen": {"rows": [9, 12]}}

        change(path / "eval/run.json", record)
        change(path / "models/model.json", card)
        change(path / "eval/evaluation.json", lambda of, p=provenance: of.update(provenance=p))
        change(
            path / "eval/evaluation.json", lambda of, p=provenance: of["model"].update(datalist_hash=p["datalist_hash"])
        )
    return root


def copy_of(root, tmp_path):
    """The same study elsewhere; its configs follow it."""
    moved = shutil.copytree(root, tmp_path / "RUNS")
    for path in moved.glob("gamma_*/fold_*/eval/run.json"):
        change(path, lambda run: run["config"].update(dataset_dir=str(moved / "data")))
    return moved


def row(checklist, number):
    """The row of an item."""
    return next(row for row in checklist.rows if row.number == number)


def texts(study, fact):
    """What a fact says, without its sources."""
    return [one.text for one in FACTS[fact](study)]
