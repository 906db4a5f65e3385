"""A study as its folder tells of it: trainings, evaluations where there are any, and the data that were really used."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ...data.datalist import read_datalist
from ...data.folds import PARTS, fold_items
from ...data.provenance import fold_hash
from ..evidence import CLAIM
from ..models import model_name
from ..report.collect import Collection, Run, collect, find_evaluations, method_of, read_record
from ..report.exhibits import tables

__all__ = ["Data", "Known", "Lacking", "Said", "Study", "on_pairs", "read_study"]

TRAIN = "python -m scripts.cross_validate --dataset_dir DATA --output RUNS"
EXPRESSION = re.compile(r"\$@(\w+) \+ '([^']*)'")  # how the configs put paths together
LIST, FOLDS, PLAN = "datalist.json", "folds.json", "plan.json"
RECORD, CARD, EVALUATION, METRICS = "eval/run.json", "models/model.json", "eval/evaluation.json", "eval/metrics.csv"
PRIMARY = "lesion_l1"
SHOWN = CLAIM  # metrics whose means are given, the primary one first


class Known(NamedTuple):
    """A statement and the file, with its key, that it was read from."""

    text: str
    source: str


class Lacking(NamedTuple):
    """What the study does not tell, and what to do about it."""

    text: str


Said = Known | Lacking
NO_RECORD = Lacking("The runs keep no record of it (run.json is missing or of an earlier version).")


class Data(NamedTuple):
    """One datalist as it was trained on, proven by its hash, with the folds that go with it.

    Attributes:
        name: of the list.
        datalist, folds: content of the two files.
        folder: where they lie.
        parts: fold -> part ("training", "validation", "test") -> its cases; for the folds that were run.
    """

    name: str
    datalist: dict[str, Any]
    folds: dict[str, Any]
    folder: Path
    parts: dict[int, dict[str, list[dict[str, Any]]]]


class Study:
    """What the facts of the checklists are read from.

    Args:
        collection: of :func:`bundle.evaluation.report.collect.collect`; its table is empty where nothing was evaluated.
        trainings: every training but pre-training, evaluated or not.
        resamples: of every bootstrap.
    """

    def __init__(self, collection: Collection, trainings: Sequence[Run], resamples: int = 2000) -> None:
        self.collection = collection
        self.trainings = list(trainings)
        self.resamples = resamples

    @property
    def evaluated(self) -> bool:
        return len(self.collection.table) > 0

    @property
    def every(self) -> list[Run]:
        """Pre-training and trainings."""
        return [*self.collection.pretraining, *self.trainings]

    @property
    def evaluation_command(self) -> str:
        """What makes an evaluation, by the way the trainings were started."""
        if self.collection.plan:
            return "go on with the plan: the call of python -m scripts.cross_validate that began it"
        return (
            "python -m monai.bundle run evaluating --config_file \"['configs/train.json','configs/evaluate.json']\" "
            "with the overrides of the training"
        )

    def not_evaluated(self) -> list[Said]:
        """What facts on results say where nothing was evaluated."""
        return [Lacking(f"Nothing was evaluated yet: {self.evaluation_command}.")]

    @cached_property
    def of_methods(self) -> dict[str, list[Run]]:
        """Trainings of methods other than the paper's, by the name that a reader knows each by."""
        found: dict[str, list[Run]] = {}
        for run in self.trainings:
            if (method := _method(run)) is not None:
                found.setdefault(model_name(method), []).append(run)
        return found

    @cached_property
    def of_the_paper(self) -> list[Run]:
        """Trainings of the paper's own method, at any gamma."""
        return [run for run in self.trainings if _method(run) is None]

    @property
    def by_method(self) -> list[tuple[str, list[Run]]]:
        """The paper's trainings and those of each other method, with what stands before a statement on them."""
        found = [("", self.of_the_paper)] if self.of_the_paper else []
        return found + [(f"{name}. ", runs) for name, runs in self.of_methods.items()]

    @property
    def gammas(self) -> list[str]:
        """Weights of the masked losses of the paper's trainings, in their order; "0" is the plain CycleGAN."""
        found = self.values(
            lambda run: run.card.get("gamma", (run.run.get("config") or {}).get("gamma")), self.of_the_paper
        )
        return sorted(found, key=float)

    def config(self, key: str, runs: Iterable[Run] | None = None) -> list[str]:
        """The different values of a root key in the configs of the trainings, as texts."""
        return self.values(lambda run: (run.run.get("config") or {}).get(key), runs)

    def values(self, value: Callable[[Run], Any], runs: Iterable[Run] | None = None) -> list[str]:
        """The different values of the trainings as texts, unknown ones left out."""
        found = [value(run) for run in (self.trainings if runs is None else runs)]
        return list(dict.fromkeys(_shown(one) for one in found if one is not None))

    def places(self, name: str) -> str:
        """A file of the runs as a source: its name, and how many there are."""
        return name if len(self.trainings) == 1 else f"{name} of the {len(self.trainings)} runs"

    @cached_property
    def data(self) -> dict[str, Data | str]:
        """By hash of the list: the data, or why they are not known any more; that of the trainings first."""
        found: dict[str, Data | str] = {}
        for run in [*self.trainings, *self.collection.pretraining]:
            digest = _digest(run)
            known = found.get(digest)
            if not isinstance(known, str):
                found[digest] = _data(run, known)
        return found

    @property
    def trained_on(self) -> set[str]:
        """Hashes of the lists of the trainings, without those of pre-training."""
        return {_digest(run) for run in self.trainings}

    @property
    def main_data(self) -> list[Data]:
        """Of the trainings, not of pre-training, as far as it is there."""
        return [data for digest, data in self.data.items() if digest in self.trained_on and isinstance(data, Data)]

    def of_data(self, said: Callable[[Data], Iterable[Said]], also_pretraining: bool = False) -> list[Said]:
        """What is said of each list; of one that is not known any more, why, and what to do."""
        found: list[Said] = []
        for digest, data in self.data.items():
            mine = digest in self.trained_on
            if not mine and not also_pretraining:
                continue
            if isinstance(data, str):
                found.append(Lacking(f"{data}: nothing can be counted. Put both back unchanged and ask again."))
            else:
                found += [one if mine else one._replace(text=f"Pre-training. {one.text}") for one in said(data)]
        return found

    def has(self, metric: str) -> bool:
        """Whether there are means over patients of a metric."""
        table = self.evidence.get("intervals")
        return table is not None and bool((table["metric"] == metric).any())

    @cached_property
    def evidence(self) -> dict[str, pd.DataFrame]:
        """The tables of the report by name; empty where nothing was evaluated."""
        if not self.evaluated:
            return {}
        cases = [case for data in self.main_data for case in data.datalist["cases"]]
        shown = tables(self.collection, cases, resamples=self.resamples)
        return {exhibit.name: exhibit.content for exhibit in shown}


def read_study(runs: str | os.PathLike | Sequence[str | os.PathLike], resamples: int = 2000) -> Study:
    """Read the trainings at or below one folder or several, with their evaluations where there are any.

    Raises:
        FileNotFoundError: when a folder is not there, or holds neither a training nor an evaluation.
        ValueError: see :func:`bundle.evaluation.report.collect.collect`.
    """
    roots = [Path(runs)] if isinstance(runs, (str, os.PathLike)) else [Path(root) for root in runs]
    absent = [str(root) for root in roots if not root.is_dir()]
    if absent:
        raise FileNotFoundError(f"there is no folder {', '.join(absent)}: pass the one of the runs.")
    records = [path for root in roots for path in sorted(root.rglob("run.json")) if _is_training(path, root)]
    evaluations = find_evaluations(roots)
    if not records and not evaluations:
        raise FileNotFoundError(
            f"no run.json of a training and no metrics.csv at or below {', '.join(map(str, roots))}: pass the folder "
            f"of a training or of a cross-validation, or make one: {TRAIN}"
        )
    collection = collect(roots) if evaluations else _not_evaluated(roots)
    of_folder = {run.folder: run for run in collection.runs}
    trainings = list(collection.runs)
    for path in records:
        if path.parent.resolve() not in of_folder:
            trainings.append(_training(path.parent.resolve()))
    return Study(collection, trainings, resamples)


def _is_training(path: Path, root: Path) -> bool:
    """Whether a run.json is of a training of the study: an inference keeps one too, with the card of its model."""
    parts = path.relative_to(root).parts[:-1]
    passed_over = any(part in ("pretrain", "report") or part.startswith((".", "former_")) for part in parts)
    return not passed_over and "model" not in read_record(path, [])


def _training(folder: Path) -> Run:
    """A training that was not evaluated; what is missing of it shows in the facts."""
    name = folder.parent.name if folder.name == "eval" else folder.name
    name = f"{folder.parent.parent.name}/{name}" if name.startswith("fold_") else name
    record = read_record(folder / "run.json", [])
    return Run(name, folder, pd.DataFrame(), record, {}, _card(folder, record), {})


def _card(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The card of a training: beside it as a cross-validation puts it, or in ``ckpt_dir`` if it is that training's."""
    beside = folder.parent / "models" / "model.json"
    if beside.is_file():
        return read_record(beside, [])
    config = record.get("config") or {}
    place = _place(config, "ckpt_dir")
    if place is None or not (place / "model.json").is_file():
        return {}
    card = read_record(place / "model.json", [])
    of_run = ((record.get("provenance") or {}).get("data_hash"), config.get("gamma"), record.get("seed"))
    return card if (card.get("data_hash"), card.get("gamma"), card.get("seed")) == of_run else {}


def _not_evaluated(roots: Sequence[Path]) -> Collection:
    pretraining = [_training(root / "pretrain" / "eval") for root in roots if (root / "pretrain" / "eval").is_dir()]
    plans = [read_record(root / PLAN, []) for root in roots if (root / PLAN).is_file()]
    return Collection([], pretraining, pd.DataFrame(), [], {}, plans[0] if len(plans) == 1 else {})


def on_pairs(run: Run) -> bool:
    """Whether one generator alone was trained on pairs: no cycle, no second generator."""
    train = (run.run.get("config") or {}).get("train")
    trainer = train.get("trainer") if isinstance(train, dict) else None
    if isinstance(trainer, dict):
        return str(trainer.get("_target_", "")).endswith("PairedTrainer")
    return "lambda_cycle" in run.card and run.card["lambda_cycle"] is None


def _method(run: Run) -> str | None:
    return method_of(run) or (run.run.get("config") or {}).get("method")


def _provenance(run: Run) -> dict[str, Any]:
    return run.run.get("provenance") or run.evaluation.get("provenance") or {}


def _digest(run: Run) -> str:
    return _provenance(run).get("datalist_hash") or run.card.get("datalist_hash") or ""


def _data(run: Run, known: Data | None) -> Data | str:
    """The data of a run, added to what is known of its list; why not, where the hash does not prove it."""
    provenance = _provenance(run)
    config = run.run.get("config") or run.evaluation.get("config") or {}
    name = provenance.get("datalist") or run.card.get("datalist") or "a list of unknown name"
    datalist, folds = _place(config, "datalist"), _place(config, "folds")
    fold, lesions = config.get("fold"), provenance.get("lesions", "all")
    if datalist is None or folds is None or not isinstance(fold, int):
        return f"{name}: run.json does not say where its datalist lies"
    try:
        if fold_hash(datalist, folds, fold, lesions).get("data_hash") != provenance.get("data_hash"):
            return f"{name}: the list or its folds have changed since the training"
        if known is not None and fold in known.parts:
            return known
        parts = {part: fold_items(datalist, folds, fold, part, lesions) for part in PARTS}
        found = known or Data(
            name, read_datalist(datalist), json.loads(folds.read_text(encoding="utf-8")), datalist.parent, {}
        )
    except FileNotFoundError:
        return f"{name}: the list or its folds no longer lie where run.json says"
    except (ValueError, OSError):  # the text may name patients
        return f"{name}: the list or its folds cannot be read, or do not fit together any more"
    found.parts[fold] = parts
    return found


def _place(config: dict[str, Any], key: str) -> Path | None:
    """A path of a config; one that is put together from another root key too, and by default in ``dataset_dir``."""
    value = config.get(key)
    if value is None and key != "dataset_dir":
        folder = _place(config, "dataset_dir")
        return None if folder is None else folder / f"{key}.json"
    if isinstance(value, str) and (found := EXPRESSION.fullmatch(value)):
        base = _place(config, found[1])
        return None if base is None else Path(f"{base}{found[2]}")
    return Path(value) if isinstance(value, str) and value and not value.startswith("$") else None


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
