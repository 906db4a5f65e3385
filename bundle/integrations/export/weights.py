"""Weights to give away: a model and, on its card, whose data it has seen, what it cost and how well it did."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...data.folds import PARTS
from ...data.provenance import starts
from ...evaluation.agreement import agreement
from ...evaluation.checklists.study import read_study
from ...evaluation.models import comparable, models_of
from ...evaluation.report.collect import read_metrics, read_record, to_json_number
from ...evaluation.statistics import intervals
from ...evaluation.tables import FLOORS
from ...keys import CaseKeys
from ...networks.of_card import generator_of_card
from ...networks.weights import card_path, card_problems, load_weights, read_card, save_bytes

__all__ = ["write_weights"]

MODEL, TRAINING, EVALUATION, METRICS = "models/model.pt", "eval/run.json", "eval/evaluation.json", "eval/metrics.csv"
PROVENANCE = ("datalist", "datalist_hash", "data_hash", "fold")
SETTINGS = ("batch_size", "learning_rate", "weight_decay", "max_epochs", "patience", "warmup_epochs", "pool_size")
LAST_STAGE = "the last one alone; init says what is known of those before"
PAPERS = "Seg-CycleGAN"
RESULTS = ("psnr", "ssim", "lesion_l1", "background_l1", "lesion_contrast_error")
COPIES = tuple(
    f"{region}_le_correlation_{which}" for region in ("lesion", "background") for which in ("virtual", "real")
)
ABOUT = (
    "Means over the women of the test part, 95 % BCa bootstrap intervals over women; r over the images with a lesion."
)
PLACE = re.compile(r"(?<![\w.:/)])~?/[\w.-]+/[\w./-]*|\b[A-Za-z]:\\")  # a path of a machine, and no address


def write_weights(
    run: str | os.PathLike,
    output: str | os.PathLike,
    licence: str,
    attribution: str,
    name: str | None = None,
    method_note: str | None = None,
    command: str | None = None,
    most_mb: float = 12.0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the model of an evaluated run, byte for byte, and its card with all that a stranger must know.

    The card keeps what the training wrote and gets ``licence``, ``data`` (name, source, licence, attribution),
    ``cases`` (women and pairs of each part), ``training`` (epochs, steps, settings, seconds, machine), ``results`` (of
    the test part, with intervals, floors beside), and ``method_note`` and ``command`` where they are given.

    Args:
        run: a folder with ``models/model.pt``, its card, ``eval/run.json``, ``eval/evaluation.json`` and
            ``eval/metrics.csv``; the list and the folds of the training lie where ``run.json`` says.
        output: the weights to write, ``.pt``; the card lies beside them, ``.json``.
        licence: of the weights.
        attribution: whom to name for the data.
        name: of the model; None keeps that of its card, but never the paper's for another method.
        method_note: what a reader must know of the method.
        command: what makes the run again.
        most_mb: the largest file, in 10^6 bytes.
        overwrite: replace both files.

    Returns:
        the card as written.

    Raises:
        ValueError: with everything that is in the way: files that lack, records that belong to another model, fold or
            part, a model that is too large, a card without provenance, a path of a machine, an output that is there.
    """
    run, output = Path(run), Path(output)
    problems = _output_problems(output, overwrite)
    said = {"licence": licence, "attribution": attribution}
    problems += [f"{key} is {text!r}, expected the words of it." for key, text in said.items() if not str(text).strip()]
    if lacking := [name for name in (TRAINING, EVALUATION, METRICS) if not (run / name).is_file()]:
        problems.append(f"{run} lacks {', '.join(lacking)}: pass the folder of a training that was evaluated.")
    if found := card_problems(run / MODEL):
        raise ValueError("\n".join([*problems, *found]))
    card = read_card(run / MODEL)
    problems += _model_problems(run / MODEL, card, most_mb)
    if lacking or problems:
        raise ValueError("\n".join(problems))
    training, evaluation = (read_record(run / name, problems) for name in (TRAINING, EVALUATION))
    problems += _record_problems(run, card, training, evaluation)
    table = comparable(read_metrics(run / METRICS))
    data = read_study(run).data.get(card["datalist_hash"], "run.json is of another list than the card")
    if isinstance(data, str):
        raise ValueError("\n".join([*problems, f"{run / TRAINING}: {data}. Put the list and its folds back."]))
    parts = data.parts[card["fold"]]
    problems += _table_problems(run / METRICS, table, card["fold"], {case[CaseKeys.CASE_ID] for case in parts["test"]})
    if problems:
        raise ValueError("\n".join(problems))
    written = {
        **card,
        "name": name or _name(card),
        **{key: text for key, text in (("method_note", method_note), ("command", command)) if text},
        "licence": licence,
        "data": {
            **{"name": data.name, "source": data.datalist.get("source"), "licence": data.datalist.get("licence")},
            "attribution": attribution,
        },
        "cases": {part: {"women": _women(parts[part]), "pairs": len(parts[part])} for part in PARTS},
        "training": _training(training, card, len(parts["training"])),
        "results": _results(table, card["fold"]),
    }
    if places := sorted(set(_places(written))):
        raise ValueError(f"the card would name paths of a machine: {', '.join(places)}. Say it without them.")
    save_bytes(output, (run / MODEL).read_bytes())
    save_bytes(card_path(output), (json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return written


def _name(card: Mapping[str, Any]) -> str:
    """That of the card; cards of other methods once had the paper's."""
    own, method = str(card.get("name", "")), card.get("method")
    return f"{method}, LE to virtual DES" if method and (not own or own.startswith(PAPERS)) else own


def _output_problems(output: Path, overwrite: bool) -> list[str]:
    if output.suffix != ".pt":
        return [f"--output is {output}, expected a file whose name ends with .pt."]
    there = [] if overwrite else [str(path) for path in (output, card_path(output)) if path.exists()]
    return [f"{path} is there already. Pass --overwrite, or another --output." for path in there]


def _model_problems(model: Path, card: Mapping[str, Any], most_mb: float) -> list[str]:
    problems = []
    try:
        load_weights(model, generator_of_card(card["network"]))
    except ValueError as error:
        problems.append(str(error))
    if (size := model.stat().st_size / 1e6) > most_mb:
        problems.append(f"{model} has {size:.1f} MB, expected {most_mb:g} at most: train a narrower network.")
    if lacking := [key for key in PROVENANCE if card.get(key) is None]:
        problems.append(
            f"{card_path(model)} lacks {', '.join(lacking)}: nobody could tell what the model was trained on."
        )
    same_list = [before for before in starts(card) if before.get("datalist_hash") == card.get("datalist_hash")]
    if any(before.get("data_hash") != card.get("data_hash") for before in same_list):
        problems.append(
            f"{model} started from a training with another split of its list: women of the test part may stand in it. "
            "Pre-train with the same folds and fold."
        )
    return problems


def _record_problems(
    run: Path, card: Mapping[str, Any], training: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> list[str]:
    """How the records show that they are of another model, fold or part, or not whole."""
    problems = []
    for name, record in ((TRAINING, training), (EVALUATION, evaluation)):
        if record.get("state") != "completed":
            problems.append(f"{run / name} says {record.get('state')!r}, expected 'completed': let it come to its end.")
        if (record.get("provenance") or {}).get("data_hash") != card["data_hash"]:
            problems.append(f"{run / name} is of other data or another fold than the card (fold {card['fold']}).")
    if (judged := (evaluation.get("model") or {}).get("sha256")) != card["sha256"]:
        problems.append(
            f"{run / EVALUATION} judged the model {str(judged)[:12]}..., expected {card['sha256'][:12]}..., which is "
            f"{run / MODEL}: evaluate that one."
        )
    if evaluation.get("part") != "test":
        problems.append(f"{run / EVALUATION} is of the part {evaluation.get('part')!r}, expected 'test'.")
    return problems


def _table_problems(path: Path, table: pd.DataFrame, fold: int, cases: set[str]) -> list[str]:
    problems = []
    if len(trained := models_of(table)) != 1:
        problems.append(f"{path} has the models {', '.join(trained) or 'none'}, expected one beside the floors.")
    if set(table["fold"]) != {fold} or set(table["case_id"]) != cases:
        problems.append(f"{path} does not hold the images of the test part of fold {fold}, all of them and no other.")
    return problems


def _women(cases: Sequence[Mapping[str, Any]]) -> int:
    return len({case[CaseKeys.PATIENT_ID] for case in cases})


def _training(record: Mapping[str, Any], card: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """What the training took; ``steps`` are those up to the epoch that was kept, of the last stage alone."""
    config = record.get("config") or {}
    batch_size = config.get("batch_size")
    iterations = math.ceil(pairs / batch_size) if isinstance(batch_size, int) else None
    kept = card.get("epoch")
    return {
        "epochs": record.get("epochs"),
        "kept_epoch": kept,
        "iterations_an_epoch": iterations,
        "steps": iterations * kept if iterations and kept else None,
        **{key: config[key] for key in SETTINGS if isinstance(config.get(key), int | float)},
        "seconds": record.get("wall_time_seconds"),
        **({"seconds_since": "the resume"} if config.get("resume") else {}),
        **({"stage": LAST_STAGE} if card.get("init") else {}),
        "machine": record.get("machine"),
    }


def _results(table: pd.DataFrame, fold: int) -> dict[str, Any]:
    """Every metric of the model, each floor beside it: value, low, high, women, images."""
    known = [name for name in (*RESULTS, *COPIES) if name in table and table[name].notna().any()]
    rows = intervals(table, known).rename(columns={"mean": "value"})
    contrast = agreement(table) if "lesion_contrast_virtual" in table else pd.DataFrame()
    if len(contrast):
        contrast = contrast[["model", "patients", "images", "r", "r_low", "r_high"]].assign(metric="lesion_contrast_r")
        rows = pd.concat([rows, contrast.rename(columns={"r": "value", "r_low": "low", "r_high": "high"})])
    (model,) = models_of(table)
    metrics: dict[str, dict[str, Any]] = {}
    for row in rows[rows["model"] == model].to_dict("records"):
        metrics[row["metric"]] = _numbers(row) | {"women": int(row["patients"]), "images": int(row["images"])}
    for floor, shown in FLOORS.items():
        for row in rows[(rows["model"] == shown) & rows["value"].notna()].to_dict("records"):
            metrics[row["metric"]][floor] = _numbers(row)
    own = table[table["model"] == model]
    return {
        "about": ABOUT,
        **{"part": "test", "fold": fold, "women": own["patient_id"].nunique(), "images": len(own)},
        "metrics": metrics,
    }


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: to_json_number(row[key]) for key in ("value", "low", "high")}


def _places(content: Any) -> list[str]:
    """Every path of a machine in the texts of a card."""
    if isinstance(content, str):
        return PLACE.findall(content)
    if isinstance(content, Mapping):
        return [place for value in content.values() for place in _places(value)]
    if isinstance(content, list | tuple):
        return [place for value in content for place in _places(value)]
    return []
