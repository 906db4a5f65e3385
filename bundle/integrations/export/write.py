"""Write an export, compare it with torch, and keep it where it is near enough."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...inference.backends import backend_problems
from ...inference.exported_model import Run
from .forms import FORMS

__all__ = ["Difference", "export_problems", "write_export"]

# of images of at most so many pixels, the largest difference from torch in fp32; sums over more pixels round more
SMALL, SMALL_BOUND, LARGE_BOUND = 512 * 512, 1e-4, 1e-3


@dataclass(frozen=True)
class Difference:
    """By how much an export differed from torch in fp32.

    Attributes:
        shape: of the images, (B, 1, H, W).
        largest: difference of a pixel, of a range of 1.
    """

    shape: tuple[int, ...]
    largest: float

    @property
    def bound(self) -> float:
        """1e-4 up to 512 x 512 pixels, 1e-3 above."""
        return SMALL_BOUND if self.shape[-1] * self.shape[-2] <= SMALL else LARGE_BOUND

    @property
    def near(self) -> bool:
        return self.largest <= self.bound

    def __str__(self) -> str:
        size = f"{self.shape[0]} image(s) of {self.shape[-2]} x {self.shape[-1]} pixels"
        return f"{size}: largest difference {self.largest:.2g}, bound {self.bound:g}"


def _difference(run: Run, network: nn.Module, images: torch.Tensor) -> Difference:
    with torch.inference_mode():
        expected = network(images).numpy()
    made = run(images.numpy())
    if made.shape != expected.shape:
        raise ValueError(f"the export makes {made.shape} of images {tuple(images.shape)}, expected {expected.shape}.")
    return Difference(tuple(images.shape), float(np.abs(made - expected).max()))


def export_problems(output: str | os.PathLike, form: str, overwrite: bool = False) -> list[str]:
    """What keeps an export from being written: its name, what is there already, a missing package."""
    output, chosen = Path(output), FORMS[form]
    problems = backend_problems(chosen.backend, "fp32")
    if output.suffix != chosen.suffixes[0]:
        problems.append(f"--output is {output}, expected a file whose name ends with {chosen.suffixes[0]}.")
    elif not overwrite:
        there = [str(path) for suffix in chosen.suffixes if (path := output.with_suffix(suffix)).exists()]
        problems += [f"{path} is there already. Pass --overwrite, or another --output." for path in there]
    return problems


def write_export(
    network: nn.Module,
    output: str | os.PathLike,
    form: str,
    metadata: Mapping[str, Any],
    images: Sequence[torch.Tensor],
    overwrite: bool = False,
) -> list[Difference]:
    """Write a generator in another form, whole and compared, or not at all.

    Args:
        network: on the CPU, with its weights.
        output: the file; OpenVINO's weights lie beside it as ``.bin``.
        form: "torchscript" | "onnx" | "openvino".
        metadata: of :func:`describe`, to stand in the file.
        images: to compare on, each (B, 1, H, W) in [0, 1].
        overwrite: replace what is there.

    Raises:
        ValueError: for another ending, a file that is there already, a missing package, or an export that differs from
            torch in fp32 by more than its bound; then nothing is written.
    """
    if problems := export_problems(output, form, overwrite):
        raise ValueError("\n".join(problems))
    output, chosen = Path(output), FORMS[form]
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as folder:
        place = Path(folder, output.name)
        chosen.write(network.eval(), place, metadata)
        run = chosen.start(place)
        differences = [_difference(run, network, batch) for batch in images]
        if not all(each.near for each in differences):
            told = "\n".join(f"  {each}" for each in differences if not each.near)
            raise ValueError(
                f"{output} was not written: its images differ from torch's in fp32 by more than they may.\n{told}\n"
                f"Take another form of {', '.join(FORMS)}, or another version of the {chosen.backend} package."
            )
        if len(chosen.suffixes) > 1:  # or, cut off here, the earlier file would stand beside other weights
            output.unlink(missing_ok=True)
        for suffix in reversed(chosen.suffixes):  # the named file last: where it is, the others are
            os.replace(place.with_suffix(suffix), output.with_suffix(suffix))
    return differences
