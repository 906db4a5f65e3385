"""Where the numbers come from: versions, hashes, seeds and folds of every run, and what does not fit together."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .collect import Collection, Run
from .model_size import generator_of

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
# keys of a config that may differ between the runs of one experiment: whose run it is, where, and what stands elsewhere
OF_ONE_RUN = frozenset(
    (
        *("about", "imports", "fold", "gamma", "device", "resume", "num_workers", "seed", "image_size", "network_def"),
        *(
            "cache",
            "cache_dir",
            "dataset_dir",
            "datalist",
            "folds",
            "ckpt_dir",
            "output_dir",
            "ckpt_path",
            "bundle_root",
        ),
    )
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
    """A row a number of networks and config that a reader may want to know; several values stand together."""
    return _merged(map(_settings, _all(collection)))


def _settings(run: Run) -> dict[str, Any]:
    config = run.run.get("config") or {}
    discriminator = config.get("disc_des") or {}
    named = {"generator": generator_of(run), "discriminator": discriminator if isinstance(discriminator, dict) else {}}
    networks = {
        f"{network} {key}": value
        for network, values in named.items()
        for key, value in values.items()
        if not key.startswith("_")
    }
    start = {} if "init_checkpoint" not in config else {"pre-trained": "yes" if config["init_checkpoint"] else "no"}
    return networks | {key: config[key] for key in SETTINGS if key in config} | start


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
            "package or code versions",
            lambda run: json.dumps(run.run["versions"], sort_keys=True) if "versions" in run.run else None,
        ),
    ):
        found = {value(run) for run in collection.runs} - {None}
        if len(found) > 1:
            notes.append(f"The runs have {len(found)} different {what}: differences between models may come from that.")
    differing = _differing_keys(collection.runs)
    if differing:
        notes.append(
            f"The configs of the runs differ in {', '.join(differing)}: differences between models may come from that."
        )
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


def _differing_keys(runs: Sequence[Run], shown: int = 8) -> list[str]:
    """Keys that do not have one value in all runs that have a config, but for what belongs to a single run."""
    configs = [_leaves(config, skipped=OF_ONE_RUN) for run in runs if (config := run.run.get("config"))]
    evaluations = [
        _leaves(metrics, "evaluate#metrics")
        for run in runs
        if (metrics := ((run.evaluation.get("config") or {}).get("evaluate") or {}).get("metrics"))
    ]
    absent = object()
    found = [
        key
        for alike in (configs, evaluations)
        for key in dict.fromkeys(key for leaves in alike for key in leaves)
        if any(leaves.get(key, absent) != alike[0].get(key, absent) for leaves in alike)
    ]
    return found if len(found) <= shown else [*found[:shown], f"{len(found) - shown} more"]


def _leaves(content: Any, key: str = "", skipped: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Values by their names in an override (``network_def#width``); of a start only whether there was one."""
    if key == "init_checkpoint":
        return {key: content is not None}
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else None
    if items is None:
        return {} if isinstance(content, str) and Path(content).is_absolute() else {key: content}
    leaves: dict[str, Any] = {}
    for name, value in items:
        if str(name) not in skipped:
            leaves |= _leaves(value, f"{key}#{name}" if key else str(name))
    return leaves


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
