"""Seconds of a training step: measured by the benchmark, or assumed of an accelerator that nobody has measured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ACCELERATORS", "Figure", "Measured", "assumed_pair"]

# TFLOP/s, dense, without sparsity: NVIDIA's data sheets of the A100 SXM, H100 SXM and H200 SXM
ACCELERATORS = {
    "A100": {"bf16": 312.0, "fp32": 19.5},
    "H100": {"bf16": 989.0, "fp32": 67.0},
    "H200": {"bf16": 989.0, "fp32": 67.0},
}
# the step that a training takes: train.json has lesion losses, fast.json the levers
ROW_OF = {"fp32": ("fp32, lesion losses", "fp32"), "bf16": ("bf16, levers", "bf16"), "fp16": ("fp16, levers", "fp16")}
MEASURE = "Measure it: python -m scripts.benchmark train --output eval/benchmark/train.json"


@dataclass(frozen=True)
class Figure:
    """A number between two bounds: the quartiles of what was measured, or the bounds of an estimate.

    Attributes:
        mid, low, high: low <= mid <= high.
        source: where it comes from, for a reader.
        measured: False for an estimate.
    """

    mid: float
    low: float
    high: float
    source: str
    measured: bool = True

    def times(self, factor: float, assuming: str = "") -> Figure:
        """So many times it; what is assumed makes an estimate of it."""
        mid, low, high = (factor * each for each in (self.mid, self.low, self.high))
        source = f"{self.source}; {assuming}" if assuming else self.source
        return Figure(mid, low, high, source, self.measured and not assuming)

    @property
    def basis(self) -> str:
        return "measured" if self.measured else "estimate"


@dataclass(frozen=True)
class Measured:
    """What ``python -m scripts.benchmark train`` wrote: the machine and its rows."""

    path: str
    machine: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, path: str | os.PathLike) -> Measured:
        """Read the JSON of a benchmark.

        Raises:
            ValueError: where there is none, or none of a training step.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            machine, rows = dict(content["machine"]), [row for row in content["rows"] if row["seconds"]]
            has_steps = any(row["what"] == "step" for row in rows)
        except OSError:
            raise ValueError(f"there is no benchmark {path}. {MEASURE}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no benchmark ({type(error).__name__}: {error}). {MEASURE}") from None
        if not has_steps:
            raise ValueError(f"{path} has no training step. {MEASURE}")
        return cls(str(path), machine, rows)

    @property
    def worker(self) -> str:
        return str(self.machine.get("gpu") or self.machine.get("cpu") or "this machine")

    def pair(self, image_size: int, batch_size: int, precision: str, variant: str | None = None) -> Figure:
        """Seconds of a training step a pair, by the row that ``ROW_OF`` names unless a variant is given.

        Raises:
            ValueError: where no such step was measured.
        """
        row = self._nearest(image_size, batch_size, precision, variant)
        seconds, pairs = row["seconds"], row["batch_size"]
        source = f'measured: row "{row["variant"]}", {row["image_size"]} px, batch {pairs}, {self.worker}'
        figure = Figure(seconds["median"], seconds["q1"], seconds["q3"], source).times(1 / pairs)
        if row["image_size"] != image_size:
            factor = (image_size / row["image_size"]) ** 2
            figure = figure.times(factor, f"estimate: {image_size} px by the number of pixels")
        # on a CPU the pairs of a batch go one by one
        if pairs != batch_size and (self.machine.get("gpu") or pairs != 1):
            figure = figure.times(1, f"estimate: a pair of a batch of {batch_size} takes as long")
        return figure

    def gflop(self, image_size: int) -> Figure:
        """GFLOP of a training step a pair, as counted.

        Raises:
            ValueError: where none were counted.
        """
        counted = [row for row in self._steps() if row.get("gflop")]
        if not counted:
            raise ValueError(f"{self.path} counts no GFLOP of a training step. {MEASURE}")
        row = min(counted, key=lambda row: (abs(row["image_size"] - image_size), row["batch_size"]))
        a_pair = row["gflop"] / row["batch_size"] * (image_size / row["image_size"]) ** 2
        return Figure(a_pair, a_pair, a_pair, f"{a_pair:.0f} GFLOP a pair, counted at {row['image_size']} px")

    def start_up(self) -> Figure | None:
        """Seconds from import to the first step; None where that was not measured."""
        for row in self.rows:
            if str(row["what"]).startswith("start-up"):
                seconds = row["seconds"]
                return Figure(seconds["median"], seconds["q1"], seconds["q3"], "measured")
        return None

    def peak_bytes(self, image_size: int, batch_size: int, precision: str) -> float | None:
        """GPU memory of a training step of this very size; None where it was not measured on a GPU."""
        wanted = {"image_size": image_size, "batch_size": batch_size, "precision": precision}
        told = [
            row["peak_bytes"]
            for row in self._steps()
            if row.get("peak_bytes") and wanted.items() <= row.items() and self.machine.get("gpu")
        ]
        return max(told, default=None)

    def _steps(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["what"] == "step" and "reference" not in str(row.get("variant"))]

    def _nearest(self, image_size: int, batch_size: int, precision: str, variant: str | None) -> Mapping[str, Any]:
        names = ROW_OF.get(precision, (precision,)) if variant is None else (variant,)
        steps = [row for row in self._steps() if row["precision"] == precision]
        name = next((name for name in names if any(row["variant"] == name for row in steps)), None)
        if name is None:
            told = ", ".join(sorted({f"{row['variant']} ({row['precision']})" for row in self._steps()}))
            asked = precision if variant is None else f"{variant} ({precision})"
            raise ValueError(
                f"{self.path} has no step of {asked}; it has {told or 'none'}. Name one with --variant. {MEASURE}"
            )

        def distance(row: Mapping[str, Any]) -> tuple[float, float]:
            return abs(row["image_size"] - image_size), abs(row["batch_size"] - batch_size)

        return min((row for row in steps if row["variant"] == name), key=distance)


def assumed_pair(name: str, gflop: Figure, precision: str, utilisation: Sequence[float]) -> Figure:
    """Seconds a pair on an accelerator that nobody has measured: its peak times an assumed use of it.

    Args:
        name: of the accelerator.
        gflop: of a pair.
        precision: of a training; fp16 counts as bf16.
        utilisation: lowest, likely and highest share of the peak, each in (0, 1].

    Raises:
        ValueError: for an accelerator whose peak is not known here, or shares that are none.
    """
    if name not in ACCELERATORS:
        raise ValueError(f"accelerator {name!r}: expected some of {', '.join(ACCELERATORS)}.")
    shares = list(utilisation) if isinstance(utilisation, Sequence) else [utilisation]
    if len(shares) != 3 or not 0 < shares[0] <= shares[1] <= shares[2] <= 1:
        raise ValueError(f"utilisation is {shares}, expected lowest, likely, highest share, each in (0, 1].")
    lowest, likely, highest = shares
    peak = 1e3 * ACCELERATORS[name]["fp32" if precision == "fp32" else "bf16"]
    mid, low, high = (gflop.mid / (peak * share) for share in (likely, highest, lowest))
    source = (
        f"estimate: {gflop.source}, at {likely:.0%} ({lowest:.0%}-{highest:.0%}) of {name}'s {peak / 1e3:g} TFLOP/s "
        f"({'fp32' if precision == 'fp32' else 'bf16'}, data sheet)"
    )
    return Figure(mid, low, high, source, measured=False)
