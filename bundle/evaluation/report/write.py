"""From folders of runs to files: the page, and its tables and figures beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...data.whole_files import beside, write_table
from ..paper_tables import NOTHING, as_latex, paper_markdown
from .collect import collect
from .exhibits import Exhibit, figures, tables
from .page import figure_svg, render_report, words
from .pictures import encode_all
from .provenance import data_files

__all__ = ["write_report"]

logger = logging.getLogger(__name__)
FOR_A_PAPER = ("paper", "lesion", "breast", "agreement", "correlation", "copying")


def write_report(
    runs: str | os.PathLike | Sequence[str | os.PathLike],
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
    size_limit: float = 60e6,
    resamples: int = 2000,
    choice: Mapping[str, Any] | None = None,
) -> Path:
    """Write one HTML file on all evaluations below a folder, or below several; it works offline.

    Args:
        runs: a folder that ``scripts.cross_validate`` wrote, or any with ``metrics.csv`` at or below it.
        output: the page. By default ``report/report.html`` in the one folder of ``runs``, and then the tables (CSV,
            Markdown, LaTeX) and figures (SVG) are written beside it, in ``tables/`` and ``figures/``.
        overwrite: replace a report that is there.
        size_limit: bytes of all pictures in the page; above it they are compressed more and more, and the page says so.
        resamples: of every bootstrap.
        choice: the model chosen on validation data, as choice.json has it; by default that of the one folder which
            has the file.

    Returns:
        the page.

    Raises:
        FileNotFoundError, ValueError: as :func:`bundle.evaluation.report.collect.collect`.
        FileExistsError: when the page is there already.
    """
    several = not isinstance(runs, (str, os.PathLike))
    roots = [Path(root) for root in runs] if several else [Path(runs)]  # type: ignore[union-attr, arg-type]
    if output is None and len(roots) != 1:
        raise ValueError(f"{len(roots)} folders were given: say with --output where their report goes.")
    page = Path(output) if output is not None else roots[0] / "report" / "report.html"
    if page.exists() and not overwrite:
        raise FileExistsError(f"{page} exists already. Choose another --output, or pass --overwrite.")
    collection = collect(roots)
    if choice is not None:
        collection = replace(collection, choice=dict(choice))
    datalists = list(data_files(collection, "datalist").values())
    of_list = [{"source": datalist.get("name")} if len(datalists) > 1 else {} for datalist in datalists]
    cases = [source | case for source, datalist in zip(of_list, datalists, strict=True) for case in datalist["cases"]]
    shown = tables(collection, cases, resamples=resamples)
    drawn = figures(collection, shown)
    html = render_report(collection, shown, drawn, encode_all(collection.images, size_limit=size_limit))
    if output is None:
        _write_beside(page.parent, shown, drawn)
    with beside(page) as place:
        place.write_text(html, encoding="utf-8")
    for note in collection.notes:
        logger.warning(note)
    return page


def _write_beside(folder: Path, tables: Sequence[Exhibit], figures: Sequence[Exhibit]) -> None:
    """Tables as CSV, those that a paper shows as Markdown and LaTeX too, and figures as SVG."""
    for table in tables:
        write_table(table.content, folder / "tables" / f"{table.name}.csv")
        if table.name in FOR_A_PAPER:
            caption = f"{table.title}. {table.note}".strip()
            content = _in_texts(table.content, table.headings)
            texts = {"md": paper_markdown(content, caption), "tex": as_latex(content, caption)}
            for suffix, text in texts.items():
                with beside(folder / "tables" / f"{table.name}.{suffix}") as place:
                    place.write_text(text, encoding="utf-8")
    for figure in figures:
        with beside(folder / "figures" / f"{figure.name}.svg") as place:
            place.write_text(figure_svg(figure.content), encoding="utf-8")


def _in_texts(table: pd.DataFrame, headings: Mapping[str, str]) -> pd.DataFrame:
    """A table as a paper shows it: a reader's headings, numbers with three decimals, no column without a text."""

    def text(value: Any) -> str:
        return (NOTHING if pd.isna(value) else f"{value:.3f}") if isinstance(value, float) else str(value)

    said = table.loc[:, [not (table[name] == "").all() for name in table.columns]]
    return pd.DataFrame({headings.get(name) or words(name): said[name].map(text) for name in said})
