"""What the answers of a reader study say: who was fooled by which model, ratings, and whether readers agree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from .reader_study import KEY_COLUMNS, SCALES

__all__ = ["ReaderAnalysis", "analyse_readers", "read_answers"]

SIDES = ("left", "right")
RATINGS = [f"{scale}_{side}" for scale in SCALES for side in SIDES]
ANSWER_COLUMNS = ("study", "reader", "trial", "real", "seconds", *RATINGS)
ALL = "all"


class ReaderAnalysis(NamedTuple):
    """Tables of a reader study.

    Attributes:
        choices: proportion of pairs whose real DES was found, by reader and model, with interval and p-value.
        ratings: mean, SD and n of each scale by source (the real DES or a model) and reader.
        agreement: weighted kappa of each two readers by scale, plain kappa of their choices.
        notes: what was left out.
    """

    choices: pd.DataFrame
    ratings: pd.DataFrame
    agreement: pd.DataFrame
    notes: list[str]


def read_answers(paths: Sequence[str | os.PathLike], key: str | os.PathLike) -> tuple[pd.DataFrame, list[str]]:
    """Answers of all readers beside the truth, a row a reader and pair, and what was left out.

    Raises:
        FileNotFoundError: all files that are not there.
        ValueError: everything that is wrong with any of the files, at once.
    """
    absent = [str(path) for path in (*paths, key) if not Path(path).is_file()]
    if absent or not paths:
        raise FileNotFoundError(
            f"there is no file {', '.join(absent) or '(no answers were given)'}: pass ANSWERS.csv ... KEY.csv."
        )
    problems: list[str] = []
    truth = _read(key, KEY_COLUMNS, "the key that the report wrote beside the page (<page>_key.csv)", problems)
    every = [_read(path, ANSWER_COLUMNS, "a file that the page of the study saved", problems) for path in paths]
    if not problems:
        problems += [
            problem for path, answers in zip(paths, every, strict=True) for problem in _wrong(path, answers, truth)
        ]
    if problems:
        raise ValueError("\n".join(problems))
    answers = pd.concat(every, ignore_index=True)
    twice = answers[answers.duplicated(["reader", "trial"])]
    if len(twice):
        readers = ", ".join(sorted(set(twice["reader"])))
        raise ValueError(
            f"{len(twice)} pair(s) were answered twice by one reader ({readers}): pass one file a reader, the last one."
        )
    notes = []
    open_ = int((answers["real"] == "").sum())
    if open_:
        notes.append(f"{open_} pair(s) without a choice were left out.")
    answers = answers[answers["real"] != ""].copy()
    missing = answers["reader"].nunique() * len(truth) - len(answers)
    if missing - open_ > 0:
        notes.append(f"{missing - open_} pair(s) were not reached by their reader.")
    answers[RATINGS] = answers[RATINGS].apply(pd.to_numeric)
    joined = answers.merge(
        truth.rename(columns={"real": "truth"}).drop(columns="study"), on="trial", validate="many_to_one"
    )
    return joined.assign(right=joined["real"] == joined["truth"]), notes


def _read(path: str | os.PathLike, columns: Sequence[str], what: str, problems: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        problems.append(f"{path} cannot be read ({error}): expected {what}.")
        return pd.DataFrame(columns=list(columns))
    missing = [column for column in columns if column not in table.columns]
    if missing or table.empty:
        problems.append(f"{path} {'lacks ' + ', '.join(missing) if missing else 'has no rows'}: expected {what}.")
    return table


def _wrong(path: str | os.PathLike, answers: pd.DataFrame, truth: pd.DataFrame) -> list[str]:
    problems = []
    studies = set(answers["study"]) - set(truth["study"])
    if studies:
        problems.append(
            f"{path} belongs to study {', '.join(sorted(studies))}, the key to {truth['study'].iloc[0]}: "
            "pass its own key."
        )
    elif unknown := set(answers["trial"]) - set(truth["trial"]):
        problems.append(f"{path} has {len(unknown)} pair(s) that the key does not know: save it again from the page.")
    sides = set(answers["real"]) - {*SIDES, ""}
    if sides:
        problems.append(f"{path}, column real: {', '.join(sorted(sides))}; expected left, right or nothing.")
    for column in RATINGS:
        values = set(answers[column]) - {*map(str, range(1, 6)), ""}
        if values:
            problems.append(f"{path}, column {column}: {', '.join(sorted(values))}; expected 1 to 5 or nothing.")
    return problems


def analyse_readers(answers: Sequence[str | os.PathLike], key: str | os.PathLike) -> ReaderAnalysis:
    """Analyse the answers of one reader or more against the key of their study.

    The proportion of pairs in which the real DES was found comes with its exact (Clopper-Pearson) 95 % interval and a
    two-sided exact test against 0.5 (``scipy.stats.binomtest``). Rows of all readers together treat their answers as
    independent although they saw the same pairs: their intervals are too narrow, and the notes say so. So are all where
    several pairs show one patient.
    Readers' ratings are compared by Cohen's kappa with quadratic weights (``sklearn.metrics.cohen_kappa_score``), each
    picture one unit; a kappa is not defined where nobody varies.
    """
    table, notes = read_answers(answers, key)
    if table.empty:
        raise ValueError("no pair was answered: open the page again and save it after the first choice.")
    readers = sorted(table["reader"].unique())
    if len(readers) > 1:
        notes.append(
            "Rows of all readers take their answers as independent; they saw the same pairs, "
            "so trust the rows of each reader more."
        )
    pairs = table.drop_duplicates("trial")
    patients = pairs["patient_id"].nunique()
    if patients < len(pairs):
        notes.append(
            f"The {len(pairs)} pairs show {patients} patient(s), some of them more than once: these answers are taken "
            "as independent too, and are not, so that intervals are too narrow and p-values too small."
        )
    groups = [*readers, ALL] if len(readers) > 1 else readers
    choices = [
        _choice(reader, model, _of(_of(table, "reader", reader), "model", model))
        for reader in groups
        for model in (ALL, *sorted(table["model"].unique()))
    ]
    long = _long(table)
    ratings = [
        {
            "reader": reader,
            "scale": scale,
            "source": source,
            "n": int(values.count()),
            "mean": values.mean(),
            "SD": values.std(),
        }
        for reader in groups
        for scale in SCALES
        for source in ("real DES", *sorted(table["model"].unique()))
        if (values := _of(long, "reader", reader).query("source == @source")[scale]) is not None
    ]
    agreement = [row for first, second in combinations(readers, 2) for row in _agreement(table, long, first, second)]
    return ReaderAnalysis(pd.DataFrame(choices), pd.DataFrame(ratings), pd.DataFrame(agreement), notes)


def _of(table: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    return table if value == ALL else table[table[column] == value]


def _choice(reader: str, model: str, table: pd.DataFrame) -> dict[str, Any]:
    right, total = int(table["right"].sum()), len(table)
    row: dict[str, Any] = {"reader": reader, "model": model, "pairs": total, "right": right}
    if not total:
        return row | dict.fromkeys(("proportion", "low", "high", "p"), np.nan)
    test = binomtest(right, total, 0.5)
    interval = test.proportion_ci(0.95, method="exact")
    return row | {"proportion": right / total, "low": interval.low, "high": interval.high, "p": test.pvalue}


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """A row a reader, pair and picture: ``source`` is the real DES or the model that made it."""
    parts = []
    for side in SIDES:
        ratings = table[[f"{scale}_{side}" for scale in SCALES]].set_axis(list(SCALES), axis=1)
        source = table["model"].where(table["truth"] != side, "real DES")
        parts.append(ratings.assign(reader=table["reader"], picture=table["trial"] + side, source=source))
    return pd.concat(parts, ignore_index=True)


def _agreement(table: pd.DataFrame, long: pd.DataFrame, first: str, second: str) -> list[dict[str, Any]]:
    chosen = table.pivot(index="trial", columns="reader", values="real")[[first, second]].dropna()
    rows = [_kappa(first, second, "choice", chosen, None, list(SIDES))]
    for scale in SCALES:
        rated = long.pivot(index="picture", columns="reader", values=scale)[[first, second]].dropna()
        rows.append(_kappa(first, second, scale, rated, "quadratic", [1, 2, 3, 4, 5]))
    return rows


def _kappa(
    first: str, second: str, scale: str, both: pd.DataFrame, weights: str | None, labels: list[Any]
) -> dict[str, Any]:
    varied = len(both) > 0 and pd.unique(both.to_numpy().ravel()).size > 1
    kappa = cohen_kappa_score(both[first], both[second], weights=weights, labels=labels) if varied else np.nan
    return {"readers": f"{first}, {second}", "scale": scale, "n": len(both), "kappa": float(kappa)}
