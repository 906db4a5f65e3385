"""Where the numbers come from: versions, hashes, seeds and folds of every run, and what does not fit together."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..models import model_name
from ..seeds import seeds_in_words
from .collect import Collection, Run, method_of, seed_of
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
# what a training may spend: methods that differ in it are no longer told apart by their losses alone
BUDGET = (
    *("image_size", "max_epochs", "batch_size", "learning_rate", "weight_decay", "val_interval", "warmup_epochs"),
    *("patience", "pre-trained", "generator width"),
)
# keys of a config that may differ between the runs of one experiment: whose run it is, where, and what stands elsewhere
OF_ONE_RUN = frozenset(
    (
        *("about", "imports", "fold", "gamma", "device", "resume", "num_workers", "seed", "image_size", "network_def"),
        *("method", "run_name"),
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
    """A row a run: fold, gamma, method, seed, epochs, time, and the hashes of data, config and weights."""
    table = pd.DataFrame([_row(run) for run in _all(collection)])
    return table if table["method"].notna().any() else table.drop(columns="method")


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
        "method": method_of(run),
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
    """A row a number of networks and config that a reader may want to know; several values stand together.

    Columns ``name`` and ``value``; of several methods ``name`` and a column a method, the paper's first.
    """
    of_method = _by_method(_all(collection))
    if len(of_method) < 2:
        return _merged(map(_settings, _all(collection)))
    columns = {}
    for method, runs in of_method.items():
        name = "the paper's" if method is None else model_name(method)
        columns[name] = _merged(map(_settings, runs)).set_index("name")["value"]
    return pd.DataFrame(columns).rename_axis("name").reset_index()


def _by_method(runs: Iterable[Run]) -> dict[str | None, list[Run]]:
    of_method: dict[str | None, list[Run]] = {}
    for run in sorted(runs, key=lambda run: method_of(run) is not None):
        of_method.setdefault(method_of(run), []).append(run)
    return of_method


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
    """What a reviewer would ask about: runs that differ where they should not, weights that changed since.

    Methods differ in what their overlays say; runs of one method must not. Where they differ in what they may spend
    (``BUDGET``) a note says so.
    """
    notes = _of_seeds(collection)
    of_method = _by_method(collection.runs)
    for what, value in (
        ("datalists", lambda run: (run.evaluation.get("provenance") or {}).get("datalist_hash")),
        ("image sizes", lambda run: run.card.get("image_size")),
        ("generators", lambda run: json.dumps(run.card["network"], sort_keys=True) if "network" in run.card else None),
        (
            "package or code versions",
            lambda run: json.dumps(run.run["versions"], sort_keys=True) if "versions" in run.run else None,
        ),
    ):
        groups = of_method.values() if what == "generators" else [collection.runs]
        most = max((len({value(run) for run in runs} - {None}) for runs in groups), default=0)
        if most > 1:
            notes.append(f"The runs have {most} different {what}: differences between models may come from that.")
    differing = _differing_keys(list(of_method.values()))
    if differing:
        notes.append(
            f"The configs of the runs differ in {', '.join(differing)}: differences between models may come from that."
        )
    notes += _of_budget(of_method)
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


def _of_budget(of_method: Mapping[str | None, Sequence[Run]]) -> list[str]:
    """Keys of ``BUDGET`` that methods have different values of, with the values."""
    values = {
        "the paper's" if method is None else model_name(method): _merged(map(_settings, runs))
        for method, runs in of_method.items()
    }
    known = {
        name: dict(zip(found["name"], found["value"], strict=True)) for name, found in values.items() if len(found)
    }
    said = []
    for key in BUDGET:
        of_key = {name: found[key] for name, found in known.items() if key in found}
        if len(set(of_key.values())) > 1:
            said.append(f"{key} ({'; '.join(f'{name} {value}' for name, value in of_key.items())})")
    return [f"Methods were not trained alike: {', '.join(said)}. A difference may come from that."] if said else []


def _of_seeds(collection: Collection) -> list[str]:
    """Models that chance was not given the same number of throws, or other ones."""
    of_model: dict[tuple[Any, ...], set[float]] = {}
    for run in collection.runs:
        known = (method_of(run), run.card.get("gamma"), tuple(sorted(set(run.table["fold"].dropna()))))
        of_model.setdefault(known, set()).add(seed_of(run))
    different = {seed for seeds in of_model.values() for seed in seeds if not math.isnan(seed)}
    if all(seeds == next(iter(of_model.values())) for seeds in of_model.values()) or len(different) < 2:
        return []
    counts = seeds_in_words(collection.table)
    said = f" A value of an image is the mean over so many: {counts}." if counts else ""
    return [f"The runs have {len(different)} different seeds: differences between models may come from that.{said}"]


def _differing_keys(groups: Sequence[Sequence[Run]], shown: int = 8) -> list[str]:
    """Keys without one value in all runs of a group that have a config, but for what belongs to a single run.

    What an evaluation measures by must be the same in all groups.
    """
    configs = [
        [_leaves(config, skipped=OF_ONE_RUN) for run in runs if (config := run.run.get("config"))] for runs in groups
    ]
    evaluations = [
        _leaves({name: metrics[name] for name in metrics if name != "model"}, "evaluate#metrics")
        for run in (run for runs in groups for run in runs)
        if (metrics := ((run.evaluation.get("config") or {}).get("evaluate") or {}).get("metrics"))
    ]
    absent = object()
    found = dict.fromkeys(
        key
        for alike in (*configs, evaluations)
        for key in dict.fromkeys(key for leaves in alike for key in leaves)
        if any(leaves.get(key, absent) != alike[0].get(key, absent) for leaves in alike)
    )
    keys = list(found)
    return keys if len(keys) <= shown else [*keys[:shown], f"{len(keys) - shown} more"]


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
