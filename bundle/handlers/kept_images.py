"""The images of an evaluation, kept without loss."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from ..data.whole_files import write_image
from ..inference.save import save_virtual_des
from ..keys import BatchKeys, CaseKeys, OutputKeys

__all__ = ["KeptImages"]


class KeptImages:
    """Writes ``<case_id>_{le,des,seg,virtual_des}.png`` of every image: PNG of 16 bits at the model's grid.

    [0, 1] becomes 0 to 65535, clipped as the metrics clip it; ``seg`` holds 0 and 65535. The virtual DES says in its
    text chunk that it is synthetic.

    Args:
        output_dir: receives the files.
    """

    def __init__(self, output_dir: str | os.PathLike) -> None:
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for place, case_id in enumerate(batch[CaseKeys.CASE_ID]):
            for key in (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG, OutputKeys.VIRTUAL_DES):
                image = output[key][place, 0].float().cpu().numpy()
                if key == OutputKeys.VIRTUAL_DES:
                    save_virtual_des(image, self.output_dir / f"{case_id}_{key}.png", source=f"{case_id}_le.png")
                else:
                    bits = np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16)
                    write_image(self.output_dir, f"{case_id}_{key}", bits)
