"""Panels of the same fixed cases at every validation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..evaluation.figures import case_panel
from ..keys import BatchKeys, CaseKeys, OutputKeys

__all__ = ["ImagePanels"]


class ImagePanels:
    """LE | DES | virtual DES | error of the same cases, as PNG and in TensorBoard, after each run of an evaluator.

    The cases are the first ``num_cases`` with a lesion in the order of the data, filled up with others; they are chosen
    in the first run and stay the same.

    Args:
        output_dir: receives ``<name>_epoch_0001.png`` and so on, or ``<name>.png`` with ``every_epoch=False``.
        num_cases: rows of the panel.
        writer: a TensorBoard ``SummaryWriter``, or None.
        name: of the panel.
        every_epoch: one file an epoch; otherwise one file.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        num_cases: int = 4,
        writer: Any = None,
        name: str = "panel",
        every_epoch: bool = True,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.num_cases = num_cases
        self.writer = writer
        self.name = name
        self.every_epoch = every_epoch
        self.chosen: list[str] | None = None
        self._seen: dict[str, dict[str, Any]] = {}

    def attach(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) != 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def epoch_started(self, engine: Engine) -> None:
        self._seen = {}

    def iteration_completed(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for place, case_id in enumerate(batch[CaseKeys.CASE_ID]):
            if self.chosen is not None and case_id not in self.chosen:
                continue
            has_lesion = bool(output[BatchKeys.SEG][place].any())
            kept = sum(case["has_lesion"] == has_lesion for case in self._seen.values())
            if self.chosen is None and kept >= self.num_cases:
                continue
            keys = (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG, OutputKeys.VIRTUAL_DES)
            images = {key: output[key][place, 0].float().cpu().numpy() for key in keys}
            self._seen[case_id] = {"case_id": case_id, "has_lesion": has_lesion, **images}

    def epoch_completed(self, engine: Engine) -> None:
        if self.chosen is None:
            order = sorted(self._seen, key=lambda case_id: not self._seen[case_id]["has_lesion"])
            self.chosen = order[: self.num_cases]
        cases = [self._seen[case_id] for case_id in self.chosen if case_id in self._seen]
        if not cases:
            return
        epoch = engine.state.epoch
        figure = case_panel(cases, title=f"epoch {epoch}" if self.every_epoch else "")
        self.output_dir.mkdir(parents=True, exist_ok=True)
        file = f"{self.name}_epoch_{epoch:04d}.png" if self.every_epoch else f"{self.name}.png"
        figure.savefig(self.output_dir / file, dpi=110)
        if self.writer is not None:
            pixels = torch.from_numpy(_rendered(figure))
            self.writer.add_image(self.name, pixels, global_step=epoch, dataformats="HWC")


def _rendered(figure: Figure) -> np.ndarray:
    """The figure's pixels, (H, W, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
