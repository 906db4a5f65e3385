"""All tables of a cross-validation from the rows of its test parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from .agreement import REAL, VIRTUAL, agreement, correlation_differences
from .averages import fold_summary, parts_tested
from .models import CYCLEGAN, comparable, is_of_the_paper, models_of
from .paper_tables import BREAST, LESION, PAPER, paper_table
from .ranking import exemplary_patients
from .seeds import seed_summary
from .shared_images import shared_images
from .statistics import equivalence, intervals, paired_test
from .strata import strata
from .tables import DESCRIBING, FLOORS

__all__ = ["CLAIM", "evidence"]

# what the paper claims: the lesion error falls, the background error does not rise; the rest is read beside it
CLAIM = ("lesion_l1", "lesion_contrast_error", "background_l1", "breast_l1", "l1", "psnr", "ssim")


def evidence(
    table: pd.DataFrame,
    cases: Iterable[Mapping[str, Any]] = (),
    reference: str = CYCLEGAN,
    metrics: Sequence[str] = CLAIM,
    ranked_by: str = "lesion_l1",
    share: float = 0.05,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Everything that the report says in numbers.

    Args:
        table: all runs' metrics.csv of stage 2, one below the other (``case_id`` and ``patient_id`` read as text), with
            a column ``seed`` where models were trained with several.
        cases: those of the datalist, for the strata.
        reference: the model that the others are held against in the equivalence test.
        metrics: columns that are tested and stratified; those that the table does not have are left out.
        ranked_by: what the best, median and worst patients are chosen by; ``l1`` where no image has a lesion.
        share: margin of the equivalence test as a share of the reference's background L1.
        resamples, seed: of every bootstrap.

    Every table but ``test_parts`` rests on the images that all trained models share (``shared_images``), so that no two
    models are compared on different patients.

    Returns:
        tables by name, every one of them there, empty where nothing can be said:

        - ``paper``, ``breast``, ``lesion``: Table I and its twins as text, the paper's average (images of a fold)
        - ``paper_by_patient``, ``breast_by_patient``, ``lesion_by_patient``: the same with one vote a patient
        - ``test_parts``: what each model was tested on
        - ``folds``: the numbers behind the tables (``fold_summary``, all columns of metrics.csv)
        - ``intervals``: mean over patients with its 95 % interval (all columns of metrics.csv)
        - ``paired``: tests between all pairs of models, the paper's against the reference (``family`` claim) corrected
          apart from all others; ``floors``: every model against every floor
        - ``equivalence``: of the background L1 of every model with the reference
        - ``agreement``: Bland-Altman figures of the lesion contrast and its correlation; ``correlation``: that of every
          model minus that of the reference and of each floor
        - ``strata``: by density, lesion size, view and source
        - ``seeds``: mean and SD over the seeds of a model, where there are several
        - ``exemplary``: best, median and worst patients of every model, with the real lesion contrast of the image
          shown

    Raises:
        ValueError: see ``comparable``.
    """
    judged = comparable(table)
    rows = shared_images(judged).table
    models, floors = models_of(rows), [name for name in models_of(rows, floors=True) if name in FLOORS.values()]
    quantities = [column for column in rows.columns if column not in DESCRIBING and rows[column].notna().any()]
    tested = [metric for metric in metrics if metric in quantities]
    ranked_by = ranked_by if ranked_by in quantities else "l1"
    bootstrap: dict[str, Any] = {"resamples": resamples, "seed": seed}
    layouts = {"paper": PAPER, "breast": BREAST, "lesion": LESION}
    found = {name: paper_table(rows, layout) for name, layout in layouts.items()}
    found |= {f"{name}_by_patient": paper_table(rows, layout, "patient") for name, layout in layouts.items()}
    found["test_parts"] = parts_tested(judged)
    found["folds"] = fold_summary(rows, quantities)
    found["intervals"] = intervals(rows, quantities, **bootstrap)
    claim = [(model, reference) for model in models if is_of_the_paper(model) and model != reference]
    found["paired"] = _stacked(paired_test(rows, metric, claim=claim, **bootstrap) for metric in tested)
    found["floors"] = _stacked(
        paired_test(rows, metric, models, floor, **bootstrap) for metric in tested for floor in floors
    )
    others = [model for model in models if model != reference] if reference in models else []
    held = others if "background_l1" in quantities else []
    found["equivalence"] = pd.DataFrame(
        [equivalence(rows, "background_l1", model, reference, share=share) for model in held]
    )
    contrasts = {REAL, VIRTUAL} <= set(quantities)
    against = [*([reference] if reference in models else []), *floors]
    found["agreement"] = agreement(rows, **bootstrap, runs=table) if contrasts else pd.DataFrame()
    found["correlation"] = correlation_differences(rows, against, table, **bootstrap) if contrasts else pd.DataFrame()
    found["seeds"] = seed_summary(table, tested, set(rows["case_id"]))
    found["strata"] = strata(rows, tested, cases, **bootstrap)
    exemplary = _stacked(
        exemplary_patients(rows, ranked_by, model).assign(model=model, metric=ranked_by)
        for model in (models if ranked_by in quantities else [])
    )
    if len(exemplary) and REAL in quantities:  # a lesion that does not enhance is easily the best one
        exemplary[REAL] = exemplary["case_id"].map(rows.groupby("case_id")[REAL].first())
    found["exemplary"] = exemplary
    return found


def _stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    parts = [part for part in tables if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
