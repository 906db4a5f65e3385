"""Where the numbers come from: versions, hashes, seeds and folds of every run, and what does not fit together."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .collect import Collection, Run

__all__ = ["data_files", "inconsistencies", "runs_table", "settings_table", "versions_table"]

SETTINGS = (
    *("image_size", "batch_size", "micro_batch_size", "learning_rate", "weight_decay", "max_epochs", "patience"),
    *(
        "warmup_epochs",
        "lambda_cycle",
        "lambda_identity",
        "gamma",
        "lesion_reduction",
        "pool_size",
        "precision",
        "lesions",
    ),
)


def runs_table(collection: Collection) -> pd.DataFrame:
    """A row a run: fold, gamma, seed, epochs, time, and the hashes of data, config and weights."""
    return pd.DataFrame([_row(run) for run in (*collection.pretraining, *collection.runs)])


def _row(run: Run) -> dict[str, Any]:
    card, record, evaluation = run.card, run.run, run.evaluation
    folds = sorted(set(run.table["fold"].dropna())) if len(run.table) else [card.get("fold")]
    data = evaluation.get("provenance") or record.get("provenance") or {}
    validation = card.get("validation") or {}
    return {
        "run": run.name,
        "data": data.get("datalist"),
        "fold": ", ".join(f"{fold:g}" for fold in folds if fold is not None),
        "gamma": card.get("gamma"),
        "seed": record.get("seed", card.get("seed")),
        "epochs": record.get("epochs"),
        "kept epoch": card.get("epoch"),
        "validation": "; ".join(f"{name} {value:.4g}" for name, value in validation.items() if _is_number(value)),
        "judged on": evaluation.get("part"),
        "hours": _hours(record.get("wall_time_seconds")),
        "datalist sha256": _hash(data.get("datalist_hash")),
        "data and fold sha256": _hash(data.get("data_hash")),
        "config sha256": _hash(record.get("config_hash")),
        "model.pt sha256": _hash(card.get("sha256")),
        "state": record.get("state"),
    }


def _hash(value: Any) -> str | None:
    return str(value)[:16] if value else None


def _hours(seconds: Any) -> float | None:
    return round(seconds / 3600, 4) if _is_number(seconds) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def versions_table(collection: Collection) -> pd.DataFrame:
    """A row a package; several versions of one stand together."""
    return _merged(run.run.get("versions") or run.card.get("versions") or {} for run in _all(collection))


def settings_table(collection: Collection) -> pd.DataFrame:
    """A row a number of the config that a reader may want to know; several values stand together."""
    configs = (run.run.get("config") or {} for run in _all(collection))
    return _merged({key: config[key] for key in SETTINGS if key in config} for config in configs)


def _all(collection: Collection) -> list[Run]:
    return [*collection.pretraining, *collection.runs]


def _merged(mappings: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    values: dict[str, dict[str, None]] = {}
    for mapping in mappings:
        for name, value in mapping.items():
            shown = "none" if value is None else str(value)
            values.setdefault(name, {})[shown] = None
    return pd.DataFrame([{"name": name, "value": ", ".join(found)} for name, found in values.items()])


def inconsistencies(collection: Collection) -> list[str]:
    """What a reviewer would ask about: runs that differ where they should not, weights that changed since."""
    notes = []
    for what, value in (
        ("datalists", lambda run: (run.evaluation.get("provenance") or {}).get("datalist_hash")),
        ("seeds", lambda run: run.run.get("seed")),
        ("image sizes", lambda run: run.card.get("image_size")),
        ("generators", lambda run: json.dumps(run.card["network"], sort_keys=True) if "network" in run.card else None),
        (
            "package versions",
            lambda run: json.dumps(run.run["versions"], sort_keys=True) if "versions" in run.run else None,
        ),
    ):
        found = {value(run) for run in collection.runs} - {None}
        if len(found) > 1:
            notes.append(f"The runs have {len(found)} different {what}: differences between models may come from that.")
    for run in collection.runs:
        part = run.evaluation.get("part")
        if part not in (None, "test"):
            notes.append(f"{run.name} was judged on its {part} part, on which its best epoch may have been chosen.")
        judged = (run.evaluation.get("model") or {}).get("sha256")
        if judged and run.card.get("sha256") and judged != run.card["sha256"]:
            notes.append(
                f"{run.name}: model.json belongs to other weights than those that were judged: evaluate it again."
            )
        if run.run.get("state") not in (None, "completed"):
            notes.append(f"{run.name}: its training is '{run.run['state']}', not completed.")
    return notes + _of_folds(collection) + _of_plan(collection)


def data_files(collection: Collection, key: str) -> dict[str, dict[str, Any]]:
    """``folds`` or ``datalist`` of the runs where they still lie in their place: sha256 of the file -> its content."""
    found = {}
    for run in collection.runs:
        config = run.run.get("config") or run.evaluation.get("config") or {}
        named, folder = config.get(key), config.get("dataset_dir")
        if isinstance(named, str) and not named.startswith("$"):
            path = Path(named)
        elif isinstance(folder, str) and not folder.startswith("$"):
            path = Path(folder, f"{key}.json")
        else:
            continue
        try:
            text = path.read_bytes()
            content = json.loads(text)
        except (ValueError, OSError):
            continue
        if isinstance(content, dict) and content.get("folds" if key == "folds" else "cases"):
            found[hashlib.sha256(text).hexdigest()] = content
    return found


def _of_folds(collection: Collection) -> list[str]:
    """Patients who were judged in another fold than folds.json says: with one file alone that can be told."""
    files = list(data_files(collection, "folds").values())
    parts = {run.evaluation.get("part") for run in collection.runs}
    if len(files) != 1 or parts != {"test"}:
        return []
    patients = collection.table.dropna(subset="fold").drop_duplicates(["patient_id", "fold"])
    fold_of = files[0]["folds"]
    wrong = sum(fold_of.get(row.patient_id) != row.fold for row in patients.itertuples())
    return (
        [f"{wrong} patient(s) were judged in another fold than folds.json gives them: evaluate again."] if wrong else []
    )


def _of_plan(collection: Collection) -> list[str]:
    runs = collection.plan.get("runs", [])
    entries = list(runs.values()) if isinstance(runs, dict) else runs
    states = [entry.get("state") for entry in entries if isinstance(entry, dict)]
    undone = sum(state != "done" for state in states)
    if not undone:
        return []
    return [f"{undone} of the {len(states)} runs of plan.json are not done: the tables show a part of the experiment."]
