"""What an evaluation leaves behind: metrics.csv and two small tables beside the floors."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
from ignite.engine import Engine, Events

from ..data.whole_files import beside, write_table
from ..evaluation.tables import FLOORS, as_markdown, metrics_table, summary_table
from ..metrics import CaseMetrics

__all__ = ["EvaluationReport"]

logger = logging.getLogger(__name__)


class EvaluationReport:
    """Writes ``metrics.csv`` (a row an image and model) and ``summary.md``, and logs the latter.

    Args:
        output_dir: receives both.
        metrics: the evaluator's ``CaseMetrics``, whose rows are written.
        fold, gamma: go into every row.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        metrics: CaseMetrics,
        fold: int | None = None,
        gamma: float | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.metrics = metrics
        self.fold = fold
        self.gamma = gamma

    def attach(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        table = metrics_table(self.metrics.rows, fold=self.fold, gamma=self.gamma)
        path = write_table(table, self.output_dir / "metrics.csv")
        of_model = table[table["model"] == self.metrics.model]
        patients, lesions = of_model["patient_id"].nunique(), int(of_model["has_seg"].sum())
        counts = f"{len(of_model)} images of {patients} patients, {lesions} with a lesion"
        infinite = int(np.isinf(of_model["psnr"]).sum())
        if infinite:
            counts += f"; {infinite} identical to the real DES, left out of the mean PSNR"
        text = f"{as_markdown(summary_table(table))}\n\n{as_markdown(_enhancement_table(table))}"
        with beside(self.output_dir / "summary.md") as place:
            place.write_text(f"{text}\n\n{counts}\n", encoding="utf-8")
        logger.info(f"{path}: {counts}\n\n{text}\n")


def _enhancement_table(table: pd.DataFrame) -> pd.DataFrame:
    """Is enhancement where it belongs, a row a model: means over the images with a lesion, counts of what is wrong."""
    rows = {}
    for model, images in table.replace([np.inf, -np.inf], np.nan).groupby("model", sort=False):
        enhancing = images["enhancement_missed"].dropna()
        rows[FLOORS.get(str(model), str(model))] = {
            "lesion contrast": f"{images['lesion_contrast_virtual'].mean():.4g}",
            "real lesion contrast": f"{images['lesion_contrast_real'].mean():.4g}",
            "lesion CNR": f"{images['lesion_cnr_virtual'].mean():.4g}",
            "real lesion CNR": f"{images['lesion_cnr_real'].mean():.4g}",
            "enhancement missed": f"{enhancing.sum():.0f} of {len(enhancing)}",
            "enhancement invented": f"{(images['invented_count'] > 0).sum()} of {len(images)} images",
        }
    found = pd.DataFrame.from_dict(rows, orient="index")
    found.index.name = "model"
    return found
