"""The layout of the paper's Table I, to the last digit, and its twins.

The numbers of ``PAPERS`` are those of arXiv 2505.03018, Table I: the layout is held against them, they are not ours.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_up_metrics import one_row

from bundle.evaluation.models import comparable
from bundle.evaluation.paper_tables import LESION, PAPER, as_latex, paper_markdown, paper_table

COLUMNS = ("mse", "psnr", "vif", "ssim")
PAPERS = {
    ("cyclegan", 0.0): ((0.40, 0.11), (26.79, 0.54), (17.84, 0.83), (85.32, 0.73)),
    ("seg_cyclegan", 35.0): ((0.40, 0.10), (26.88, 0.82), (17.73, 0.26), (85.35, 0.74)),
    ("seg_cyclegan", 100.0): ((0.40, 0.10), (26.84, 0.63), (17.46, 0.67), (85.37, 0.79)),
}


def rows_with(moments, folds: int = 10) -> pd.DataFrame:
    """Rows whose fold means have these means and SDs (percent but for PSNR), three images a fold that differ."""
    spread = np.random.default_rng(5).normal(size=folds)
    spread = (spread - spread.mean()) / spread.std(ddof=1)
    rows = []
    for (model, gamma), figures in moments.items():
        for fold, z in enumerate(spread):
            for image, away in enumerate((-0.5, 0.2, 0.3)):
                values = {
                    name: (mean + sd * (z + away)) / (1 if name == "psnr" else 100)
                    for name, (mean, sd) in zip(COLUMNS, figures, strict=True)
                }
                rows.append(one_row(f"c{fold}_{image}", f"p{fold}", model, gamma, fold, **values))
    return pd.DataFrame(rows)


def test_made_up_rows_print_the_papers_table_to_the_last_digit():
    assert paper_markdown(paper_table(comparable(rows_with(PAPERS)))).splitlines() == [
        "| model        | g   | MSE e-2     | PSNR         | VIF e-2      | SSIM e-2     |",
        "|--------------|-----|-------------|--------------|--------------|--------------|",
        "| CycleGAN     | –   | 0.40 ± 0.11 | 26.79 ± 0.54 | 17.84 ± 0.83 | 85.32 ± 0.73 |",
        "| Seg-CycleGAN | 35  | 0.40 ± 0.10 | 26.88 ± 0.82 | 17.73 ± 0.26 | 85.35 ± 0.74 |",
        "| Seg-CycleGAN | 100 | 0.40 ± 0.10 | 26.84 ± 0.63 | 17.46 ± 0.67 | 85.37 ± 0.79 |",
    ]


FLOOR = {("floor_le", math.nan): ((9.0, 1.0), (10.0, 1.0), (5.0, 0.5), (40.0, 2.0))}


def test_latex_has_booktabs_rules_and_floors_below_one():
    moments = {("seg_cyclegan", 35.0): PAPERS["seg_cyclegan", 35.0]} | FLOOR
    text = as_latex(paper_table(comparable(rows_with(moments))), "Ten folds, 5 % margin", "tab:paper")
    assert text.splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Ten folds, 5 \% margin}",
        r"\label{tab:paper}",
        r"\begin{tabular}{llcccc}",
        r"\toprule",
        r"model & g & MSE [$10^{-2}$] & PSNR & VIF [$10^{-2}$] & SSIM [$10^{-2}$] \\",
        r"\midrule",
        r"Seg-CycleGAN & 35 & $0.40 \pm 0.10$ & $26.88 \pm 0.82$ & $17.73 \pm 0.26$ & $85.35 \pm 0.74$ \\",
        r"\midrule",
        r"DES := LE & -- & $9.00 \pm 1.00$ & $10.00 \pm 1.00$ & $5.00 \pm 0.50$ & $40.00 \pm 2.00$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_markdown_sets_the_floors_apart():
    lines = paper_markdown(paper_table(comparable(rows_with(FLOOR | PAPERS)))).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *("CycleGAN", "Seg-CycleGAN", "Seg-CycleGAN"),
        *("…", "DES := LE"),
    ]


def test_captions_keep_their_signs():
    rows = paper_table(comparable(rows_with(PAPERS)))
    assert r"\caption{5 \% of A \& B, mean $\pm$ SD}" in as_latex(rows, "5 % of A & B, mean ± SD")
    assert paper_markdown(rows, "Small models.") == paper_markdown(rows) + "\n\nSmall models.\n"


def test_the_lesion_twin_by_hand():
    values = {"lesion_mse": 0.04, "lesion_l1": 0.15, "lesion_psnr": 14.0, "lesion_ssim": 0.5, "enhancement_missed": 1.0}
    values |= {"lesion_contrast_real": 0.3, "lesion_contrast_virtual": 0.2, "background_l1": 0.02, "invented_count": 2}
    none = dict.fromkeys((name for name in values if name.startswith(("lesion", "enhancement"))), math.nan)
    rows = [
        one_row("a", "p", **values),
        one_row("b", "q", **(values | none | {"background_l1": 0.04, "invented_count": 0})),
        one_row("c", "r", fold=1, **(values | {"enhancement_missed": 0.0})),
    ]
    (row,) = paper_table(comparable(pd.DataFrame(rows)), LESION).to_dict("records")
    assert row == {
        "model": "CycleGAN",
        "g": "–",
        "lesion MSE e-2": "4.00 ± 0.00",
        "lesion L1 e-2": "15.00 ± 0.00",
        "lesion PSNR": "14.00 ± 0.00",
        "lesion SSIM e-2": "50.00 ± 0.00",
        "contrast error e-2": "10.00 ± 0.00",
        "missed %": "50.00 ± 70.71",
        "background L1 e-2": "2.50 ± 0.71",
        "invented an image": "1.50 ± 0.71",
    }


def test_one_fold_has_a_mean_alone_and_what_is_not_known_a_dash():
    rows = comparable(pd.DataFrame([one_row("a", "p", mse=0.004, psnr=math.inf)]))
    assert paper_table(rows, PAPER).iloc[0].tolist() == ["CycleGAN", "–", "0.40", "–", "–", "–"]


@pytest.mark.parametrize(("unit", "cell"), [("image", "3.00"), ("patient", "4.00")])
def test_the_unit_of_the_average(unit, cell):
    rows = [one_row("a", "p", psnr=1.0), one_row("b", "p", psnr=2.0), one_row("c", "p", psnr=3.0)]
    rows.append(one_row("d", "q", psnr=6.0))
    assert paper_table(comparable(pd.DataFrame(rows)), PAPER, unit)["PSNR"].tolist() == [cell]
