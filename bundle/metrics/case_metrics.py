"""Metrics of every image of an evaluation, kept a row an image; the engine sees their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine
from ignite.metrics import Metric

from ..keys import BatchKeys, CaseKeys, OutputKeys
from .columns import columns
from .regions import regions

__all__ = ["CaseMetrics"]


class CaseMetrics(Metric):
    """An Ignite metric for ``CycleGanEvaluator``: quality of the virtual DES by image and by region.

    After a run ``rows`` holds one mapping an image and model (of all ranks, one after the other), and
    ``engine.state.metrics`` the mean of each column over the images that have it (a lesion's over images with one), as
    ``<name>_<column>`` where ``name`` is what the metric was attached as. The correlations with LE of the real and the
    virtual DES, which are read side by side, are averaged over the images that have both.

    Columns: ``case_id patient_id laterality view model has_seg``, then those of :func:`~bundle.metrics.columns`.

    Args:
        model: what the rows are called.
        floors: also add the floors as models: ``floor_le`` (DES := LE) and, with ``floor_constant``, a constant inside
            the breast.
        floor_constant: that constant in [0, 1].
        with_vif: also compute ``vif`` and ``breast_vif``, which are slow.
        enhancing_cnr, least_share: of ``enhancement_missed``.
        num_sd: of ``invented_count`` and ``invented_area``.
    """

    def __init__(
        self,
        model: str = "virtual_des",
        floors: bool = False,
        floor_constant: float | None = None,
        with_vif: bool = False,
        enhancing_cnr: float = 0.3,
        least_share: float = 0.5,
        num_sd: float = 3.0,
    ) -> None:
        self.model = model
        self.floors = floors
        self.floor_constant = floor_constant
        self.columns = columns(with_vif, enhancing_cnr, least_share, num_sd)
        self.rows: list[dict[str, Any]] = []
        super().__init__()

    def reset(self) -> None:
        self.rows = []

    def update(self, output: tuple[Mapping[str, Any], Mapping[str, torch.Tensor]]) -> None:
        """Add the images of one batch: (what the loader gave, what the engine made)."""
        batch, images = output
        areas = regions(images[BatchKeys.LE], images[BatchKeys.SEG])
        # as it is written to disk; a generator without a sigmoid may leave the range
        predictions = {self.model: images[OutputKeys.VIRTUAL_DES].clamp(0, 1)}
        if self.floors:
            predictions["floor_le"] = images[BatchKeys.LE]
            if self.floor_constant is not None:
                predictions["floor_constant"] = areas["breast"].to(images[BatchKeys.LE].dtype) * self.floor_constant
        for model, prediction in predictions.items():
            self.rows.extend(self._rows(model, batch, prediction, images, areas))

    def _rows(
        self,
        model: str,
        batch: Mapping[str, Any],
        prediction: torch.Tensor,
        images: Mapping[str, torch.Tensor],
        areas: Mapping[str, torch.Tensor],
    ) -> list[dict[str, Any]]:
        des, le = images[BatchKeys.DES], images[BatchKeys.LE]
        has_seg = areas["lesion"].flatten(1).any(dim=1).tolist()
        values = {name: column(prediction, des, le, areas).cpu().tolist() for name, column in self.columns.items()}
        rows = []
        for place in range(len(des)):
            row: dict[str, Any] = {key: _item(batch, key, place) for key in _CASE_COLUMNS}
            row |= {"model": model, "has_seg": has_seg[place]}
            rows.append(row | {name: column[place] for name, column in values.items()})
        return rows

    def compute(self) -> dict[str, float]:
        """Means of the model's columns; NaN and infinite values are left out (a column without any stays NaN)."""
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            gathered: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(gathered, self.rows)
            self.rows = [row for rows in gathered for row in rows]
        rows = [row for row in self.rows if row["model"] == self.model]
        if not rows:
            raise ValueError("no image was evaluated: the data loader is empty.")
        names = [name for name in rows[0] if name not in (*_CASE_COLUMNS, "model", "has_seg")]
        of_means = {name: [row[name] for row in rows if np.isfinite(row[_beside(name)])] for name in names}
        return {name: _finite_mean(values) for name, values in of_means.items()}

    def iteration_completed(self, engine: Engine) -> None:
        self.update((engine.state.batch, engine.state.output))  # type: ignore[arg-type]

    def completed(self, engine: Engine, name: str) -> None:
        """Hand each mean to the engine as ``<name>_<column>``."""
        engine.state.metrics.update({f"{name}_{column}": mean for column, mean in self.compute().items()})


_CASE_COLUMNS = (CaseKeys.CASE_ID, CaseKeys.PATIENT_ID, CaseKeys.LATERALITY, CaseKeys.VIEW)


def _item(batch: Mapping[str, Any], key: str, place: int) -> Any:
    values = batch.get(key)
    return values[place] if isinstance(values, Sequence) and not isinstance(values, str) else values


def _beside(name: str) -> str:
    """The column that must be known too where a value is to count: of a correlation with LE its twin."""
    stem, _, which = name.rpartition("_")
    return f"{stem}_{'real' if which == 'virtual' else 'virtual'}" if stem.endswith("_le_correlation") else name


def _finite_mean(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
