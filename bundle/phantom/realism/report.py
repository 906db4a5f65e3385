"""The whole comparison of the phantom with real pairs, as files and as text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...data.datalist import read_datalist
from ...evaluation.tables import as_markdown
from .classifier import VARIANTS, auc
from .comparison import compare, measure_all, readable, targets_met
from .crops import cut
from .gallery import distributions, gallery
from .giveaways import giveaways
from .pairs import Pair, phantom_pairs, quarter_of, real_pairs

__all__ = ["Report", "tell_apart", "write_report"]


@dataclass(frozen=True)
class Report:
    """``text`` to be printed; the files are in ``folder``."""

    folder: Path
    text: str


def _attribution(datalist: str | os.PathLike) -> str:
    entry = read_datalist(datalist)
    name, licence, source = (entry.get(key, "unknown") for key in ("name", "licence", "source"))
    return f"Real: {name}, {licence}. {source}"


def tell_apart(
    train: list[Pair], test: list[Pair], phantom: list[Pair], seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a classifier makes of the phantoms.

    Args:
        train, test: real pairs of different women.
        phantom: every second of these women goes to training, the others to the test.
        seed: of crops, training and bootstrap.

    Returns:
        a row an input of the classifier, with its AUC and intervals; a row a named feature of the crops.
    """
    women = list(dict.fromkeys(pair.patient_id for pair in phantom))
    phantom_train, phantom_test = (
        [pair for pair in phantom if pair.patient_id in half] for half in (set(women[::2]), set(women[1::2]))
    )
    crops = (
        cut(train, seed=seed),
        cut(phantom_train, seed=seed),
        cut(test, seed=seed),
        cut(phantom_test, seed=seed),
    )
    found = giveaways(*crops, seed=seed)
    areas = {variant: auc(*crops, variant=variant, seed=seed) for variant in VARIANTS}
    areas["named features, logistic regression"] = found.auc
    rows = [
        {
            "input": name,
            "AUC per crop": area.crop,
            "crop low": area.crop_interval[0],
            "crop high": area.crop_interval[1],
            "AUC per patient": area.patient,
            "patient low": area.patient_interval[0],
            "patient high": area.patient_interval[1],
        }
        for name, area in areas.items()
    ]
    return pd.DataFrame(rows).set_index("input"), found.table


def _readable_areas(areas: pd.DataFrame) -> pd.DataFrame:
    """AUC with its 95 % interval in one cell."""
    cells = {
        kind: [
            f"{value:.3f} ({low:.3f} to {high:.3f})"
            for value, low, high in areas[[f"AUC per {kind}", f"{kind} low", f"{kind} high"]].itertuples(index=False)
        ]
        for kind in ("crop", "patient")
    }
    return pd.DataFrame(cells, index=areas.index).add_prefix("AUC per ")


def write_report(
    datalist: str | os.PathLike,
    output: str | os.PathLike,
    pairs: int = 200,
    part: str = "report",
    seed: int = 0,
    classifier: bool = True,
    num_workers: int | None = None,
) -> Report:
    """Compare phantoms with the real malignant pairs of a datalist.

    Writes ``comparison.csv`` and ``comparison.md``, ``pairs.csv`` (a row a pair), ``gallery.png``,
    ``distributions.png``; with ``classifier`` also ``classifier.csv`` and ``giveaways.csv``.

    Args:
        datalist: of the real pairs.
        output: the folder to write; files of an earlier report are replaced.
        pairs: number of phantom pairs.
        part: "report" for the half of the women on which numbers are reported, "tune" for the other one. The classifier
            of "report" learns from the women of "tune"; that of "tune" stays within them, on halves of their own.
        seed: of the phantoms, of what is drawn for the gallery, and of the classifier.
        classifier: train it; some two minutes on two cores.
        num_workers: processes; None for every core.

    Raises:
        FileNotFoundError: when there is no such datalist.
        ValueError: for an unknown part, or when the datalist has no malignant pair in it.
    """
    real = real_pairs(datalist, part=part, num_workers=num_workers)
    phantom = phantom_pairs(pairs, seed=seed, num_workers=num_workers)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)

    table = compare(real, phantom, seed=seed)
    table.to_csv(folder / "comparison.csv")
    met, targets = targets_met(table)
    women = len({pair.patient_id for pair in real}), len({pair.patient_id for pair in phantom})
    sections = [
        f"{len(real)} real pairs of {women[0]} women (part {part!r}), {len(phantom)} phantom pairs of {women[1]}: "
        "median (10th to 90th percentile)",
        as_markdown(readable(table)),
        f"{met} of {targets} targets met",
    ]
    measured = {"real": measure_all(real), "phantom": measure_all(phantom)}
    pd.concat(measured, names=["kind"]).droplevel(1).to_csv(folder / "pairs.csv")
    gallery(real, phantom, _attribution(datalist), seed=seed).savefig(folder / "gallery.png", dpi=120)
    distributions(**measured).savefig(folder / "distributions.png", dpi=120)

    if classifier:
        if part == "report":
            train, test = real_pairs(datalist, part="tune", num_workers=num_workers), real
        else:
            train, test = ([pair for pair in real if quarter_of(pair.patient_id) == quarter] for quarter in (0, 1))
        areas, features = tell_apart(train, test, phantom, seed=seed)
        areas.to_csv(folder / "classifier.csv")
        features.to_csv(folder / "giveaways.csv")
        sections += [
            "A classifier tells phantom from real (64 px of breast without a lesion; AUC 0.5: it cannot):",
            as_markdown(_readable_areas(areas)),
            "What gives the phantom away (coefficient per SD, positive: phantoms have more of it; AUC of it alone):",
            as_markdown(features.head(6).round(3)),
        ]
    text = "\n\n".join(sections)
    (folder / "comparison.md").write_text(text + "\n", encoding="utf-8")
    return Report(folder, text)
