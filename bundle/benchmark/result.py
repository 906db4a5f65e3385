"""What a command of the benchmark found: as a table to read, and as JSON for the cost model."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..evaluation.tables import as_markdown
from ..networks.weights import save_bytes
from .timing import Spread, Timings

__all__ = ["Result"]


@dataclass
class Result:
    """Equality first, then a row a variant and the ratios between them.

    Args:
        command: of ``python -m scripts.benchmark``.
        machine: see :func:`bundle.engines.machine.about_machine`.
        settings: sizes, repeats and whatever else decides the numbers.
        peak_gflops: GFLOP/s by precision that the machine can reach; rows are held against it.
    """

    command: str
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    peak_gflops: Mapping[str, float] = field(default_factory=dict)
    equality: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    growth: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether every difference is within its bound."""
        return all(line["ok"] for line in self.equality)

    def add_equality(self, what: str, difference: float, bound: float) -> None:
        """Hold a difference against its bound; NaN is beyond every bound."""
        ok = difference <= bound
        self.equality.append({"what": what, "difference": difference, "bound": bound, "ok": ok})

    def add_row(
        self,
        what: str,
        variant: str,
        timings: Timings | None = None,
        *,
        image_size: int | str | None = None,
        batch_size: int | None = None,
        cases: int | None = None,
        precision: str | None = None,
        peak_bytes: int | None = None,
        gflop: float | None = None,
    ) -> None:
        """One variant of one thing measured, and its share of what the machine can reach in its precision."""
        seconds = Spread.of(timings.wall) if timings else None
        rate = gflop / seconds.median if gflop and seconds else None
        peak = self.peak_gflops.get(precision or "")
        self.rows.append(
            {
                "what": what,
                "variant": variant,
                "image_size": image_size,
                "batch_size": batch_size,
                "cases": cases,
                "precision": precision,
                "seconds": asdict(seconds) if seconds else None,
                "cpu_seconds": asdict(Spread.of(timings.cpu)) if timings else None,
                "peak_bytes": peak_bytes,
                "gflop": gflop,
                "gflop_per_second": rate,
                "share_of_peak": rate / peak if rate and peak else None,
            }
        )

    def add_ratio(self, what: str, of: str, to: str, timings: Mapping[str, Timings]) -> None:
        """How many times faster ``of`` is than ``to``: the median of the ratios of their repeats."""
        spread = asdict(timings[of].times_faster_than(timings[to]))
        self.ratios.append({"what": what, "of": of, "to": to} | {key: spread[key] for key in ("median", "q1", "q3")})

    def as_text(self) -> str:
        """Equality, rows, ratios and growth as tables in Markdown."""
        parts = [self.equality_text()]
        if self.rows:
            parts.append(_table(map(_row_cells, self.rows)))
        if self.peak_gflops:
            peaks = ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in self.peak_gflops.items())
            parts.append(f"The machine's convolutions reach: {peaks}.")
        if self.ratios:
            parts.append(
                _table(
                    {
                        "times faster": line["what"],
                        "of": line["of"],
                        "than": line["to"],
                        "median": f"{line['median']:.2f}",
                        "quartiles": f"{line['q1']:.2f}-{line['q3']:.2f}",
                    }
                    for line in self.ratios
                )
            )
        if self.growth:
            parts.append(_table(map(_growth_cells, self.growth)))
        parts.append("\n".join(self.notes))
        return "\n\n".join(part for part in parts if part)

    def equality_text(self) -> str:
        """One line a comparison, and whether it holds."""
        return "\n".join(
            f"{'equal' if line['ok'] else 'NOT EQUAL'}: {line['what']}: largest difference {line['difference']:.2g}, "
            f"bound {line['bound']:.2g}"
            for line in self.equality
        )

    def write(self, path: str | Path) -> Path:
        """Write all as JSON, atomically."""
        made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        content = {"command": self.command, "made": made}
        content |= {key: value for key, value in asdict(self).items() if key not in content}
        save_bytes(path, (json.dumps(content, indent=1) + "\n").encode())
        return Path(path)


def _row_cells(row: Mapping[str, Any]) -> dict[str, str]:
    seconds, cpu = row["seconds"], row["cpu_seconds"]
    return {
        "what": row["what"],
        "variant": row["variant"],
        "px": str(row["image_size"] or ""),
        "batch": str(row["batch_size"] or ""),
        "cases": str(row["cases"] or ""),
        "seconds": _seconds(seconds["median"]) if seconds else "",
        "quartiles": f"{_seconds(seconds['q1'])}-{_seconds(seconds['q3'])}" if seconds else "",
        "n": str(seconds["n"]) if seconds else "",
        "CPU s": _seconds(cpu["median"]) if cpu else "",
        "peak GB": f"{row['peak_bytes'] / 1e9:.2f}" if row["peak_bytes"] is not None else "",
        "GFLOP/s": f"{row['gflop_per_second']:.0f}" if row["gflop_per_second"] else "",
        "of peak": f"{row['share_of_peak']:.0%}" if row["share_of_peak"] else "",
    }


def _growth_cells(line: Mapping[str, Any]) -> dict[str, str]:
    return {
        "growth of": line["what"],
        "with": line["with"],
        "exponent": f"{line['exponent']:.2f}",
        "furthest from the fit": f"{line['residual']:.0%}",
    }


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _table(rows: Iterable[dict[str, str]]) -> str:
    table = pd.DataFrame(list(rows))
    used = [column for column in table.columns if (table[column] != "").any()]
    return as_markdown(table[used].set_index(used[0]))
