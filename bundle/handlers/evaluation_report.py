"""What an evaluation leaves behind: metrics.csv and a small table beside the floors."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events

from ..data.whole_files import write_table
from ..evaluation.tables import as_markdown, metrics_table, summary_table
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
        text = as_markdown(summary_table(table))
        (self.output_dir / "summary.md").write_text(f"{text}\n\n{counts}\n", encoding="utf-8")
        logger.info(f"{path}: {counts}\n\n{text}\n")
