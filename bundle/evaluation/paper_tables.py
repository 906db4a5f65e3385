"""Table I in the paper's layout, its twins for the breast and for the lesion, and both as LaTeX and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from .averages import Unit, fold_summary
from .models import CYCLEGAN, models_of
from .tables import FLOORS, as_markdown

__all__ = ["BREAST", "LESION", "PAPER", "Quantity", "as_latex", "paper_markdown", "paper_table"]


class Quantity(NamedTuple):
    """A column of metrics.csv as a table shows it: ``value * factor`` with two decimals under ``heading``."""

    column: str
    heading: str
    factor: float = 1.0


PAPER = (
    Quantity("mse", "MSE e-2", 100),
    Quantity("psnr", "PSNR"),
    Quantity("vif", "VIF e-2", 100),
    Quantity("ssim", "SSIM e-2", 100),
)
BREAST = tuple(Quantity(f"breast_{column}", f"breast {heading}", factor) for column, heading, factor in PAPER)
LESION = (
    Quantity("lesion_mse", "lesion MSE e-2", 100),
    Quantity("lesion_l1", "lesion L1 e-2", 100),
    Quantity("lesion_psnr", "lesion PSNR"),
    Quantity("lesion_ssim", "lesion SSIM e-2", 100),
    Quantity("lesion_contrast_error", "contrast error e-2", 100),
    Quantity("enhancement_missed", "missed %", 100),
    Quantity("background_l1", "background L1 e-2", 100),
    Quantity("invented_count", "invented an image"),
)
PLUS_MINUS, NOTHING = " ± ", "–"


def paper_table(table: pd.DataFrame, quantities: Sequence[Quantity] = PAPER, unit: Unit = "image") -> pd.DataFrame:
    """Mean ± SD (ddof 1) over the folds as text: a row a model, columns ``model g`` and a column a quantity.

    Args:
        table: made by ``comparable``.
        quantities: ``PAPER``, ``BREAST`` or ``LESION``; a quantity that the table does not have shows a dash, as does a
            mean of nothing. The mean stands alone where there is only one fold.
        unit: ``"image"`` as the paper averages, ``"patient"`` with one vote a patient.
    """
    known = [quantity for quantity in quantities if quantity.column in table]
    summary = fold_summary(table, [quantity.column for quantity in known], [unit])
    found = summary.set_index(["model", "metric"]) if len(summary) else summary
    gammas = table.drop_duplicates("model").set_index("model")["gamma"]
    rows = []
    for model in models_of(table, floors=True):
        gamma = gammas[model]
        bare = model.removesuffix(f" g={gamma:g}")
        row = {"model": bare, "g": NOTHING if np.isnan(gamma) or bare == CYCLEGAN else f"{gamma:g}"}
        for quantity in quantities:
            mean, sd = found.loc[(model, quantity.column), ["mean", "sd"]] if quantity in known else (np.nan, np.nan)
            row[quantity.heading] = _cell(mean * quantity.factor, sd * quantity.factor)
        rows.append(row)
    return pd.DataFrame(rows, columns=["model", "g", *(quantity.heading for quantity in quantities)])


def _cell(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return NOTHING
    return f"{mean:.2f}" if np.isnan(sd) else f"{mean:.2f}{PLUS_MINUS}{sd:.2f}"


def paper_markdown(rows: pd.DataFrame, caption: str = "") -> str:
    """A ``paper_table`` as Markdown, which knows no rule: a line of dots stands above the floors; the caption below."""
    first = _first_floor(rows)
    dots = pd.DataFrame([["…"] * rows.shape[1]] if 0 < first < len(rows) else [], columns=rows.columns)
    lines = as_markdown(pd.concat([rows[:first], dots, rows[first:]]).set_index(rows.columns[0]))
    return f"{lines}\n\n{caption}\n" if caption else lines


def as_latex(rows: pd.DataFrame, caption: str = "", label: str = "") -> str:
    r"""A ``paper_table`` as a LaTeX table with booktabs rules, floors below a ``\midrule``."""
    first = _first_floor(rows)
    lines = [_latex_line(rows.columns)] + [_latex_line(row) for row in rows.itertuples(index=False)]
    lines.insert(1, r"\midrule")
    if 0 < first < len(rows):
        lines.insert(first + 2, r"\midrule")
    head = [r"\begin{table}", r"\centering"]
    said = _escaped(caption).replace("±", r"$\pm$")
    head += [rf"\caption{{{said}}}"] * bool(caption) + [rf"\label{{{label}}}"] * bool(label)
    body = [rf"\begin{{tabular}}{{ll{'c' * (rows.shape[1] - 2)}}}", r"\toprule", *lines, r"\bottomrule"]
    return "\n".join([*head, *body, r"\end{tabular}", r"\end{table}", ""])


def _first_floor(rows: pd.DataFrame) -> int:
    """Floors stand last: how many rows are no floors."""
    return int((~rows["model"].isin(list(FLOORS.values()))).sum())


def _latex_line(cells: Sequence[str] | pd.Index) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "%&_#$" else sign for sign in text)


def _latex(text: str) -> str:
    escaped = _escaped(text)
    if PLUS_MINUS in escaped:
        return "$" + escaped.replace(PLUS_MINUS, r" \pm ") + "$"
    return escaped.replace(" e-2", r" [$10^{-2}$]").replace(NOTHING, "--")
