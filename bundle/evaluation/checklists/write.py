"""Checklists as Markdown, and as HTML that works offline and can be pasted into a word processor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...data.whole_files import beside
from ..report import page
from .fill import CHECKLISTS, Checklist, Row, fill
from .study import read_study

__all__ = ["as_html", "as_markdown", "write_checklists"]

HOW_TO = (
    "The third column was filled by the software: each statement with the file, and its key, that it was read from. "
    "Check it, and add the page of your manuscript. What is 'lacking' the study does not tell. The fourth column is "
    "for you."
)
BLANK = (
    "No study was given: the third column holds what is true of the software on any data. Filled from a study: "
    "python -m scripts.report checklists RUNS"
)


def write_checklists(
    runs: Sequence[str | os.PathLike] = (),
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
    resamples: int = 2000,
) -> list[Path]:
    """Write each checklist as ``<name>.md`` and ``<name>.html``.

    Args:
        runs: a folder that ``scripts.cross_validate`` wrote, or any folders with ``run.json`` or ``metrics.csv`` at or
            below them; none for blank checklists.
        output: a folder, by default ``report/checklists`` in the one folder of ``runs``.
        overwrite: replace files that are there; what authors wrote into them is lost.
        resamples: of every bootstrap.

    Returns:
        the files.

    Raises:
        FileNotFoundError, ValueError: see :func:`bundle.evaluation.checklists.study.read_study`.
        FileExistsError: with all files that are there already.
    """
    if output is None and len(runs) != 1:
        raise ValueError(
            f"{len(runs)} folders were given: pass one, RUNS, or say with --output where the checklists go (without "
            "RUNS they are blank)."
        )
    folder = Path(output) if output is not None else Path(runs[0]) / "report" / "checklists"
    places = [folder / f"{name}.{suffix}" for name in CHECKLISTS for suffix in ("md", "html")]
    there = [str(path) for path in places if path.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{', '.join(there)}: there already, perhaps with what the authors wrote. Choose another --output, or pass "
            "--overwrite."
        )
    study = read_study(runs, resamples) if runs else None
    for name in CHECKLISTS:
        checklist = fill(name, study)
        for suffix, text in (("md", as_markdown(checklist)), ("html", as_html(checklist))):
            with beside(folder / f"{name}.{suffix}") as place:
                place.write_text(text, encoding="utf-8")
    return places


def _made_by() -> str:
    try:
        return f"Made by seg-cyclegan-cesm {version('seg-cyclegan-cesm')}."
    except PackageNotFoundError:
        return "Made by seg-cyclegan-cesm (not installed)."


def summary(checklist: Checklist) -> str:
    """How much of it is filled, in a sentence."""
    counts = checklist.counts
    others = [f"{count} {what}" for what, count in counts.items() if what != "items"]
    return f"{counts['items']} items: {', '.join(others)}."


def as_markdown(checklist: Checklist) -> str:
    """A heading a section, below it a table with a row an item."""
    lines = [f"# {checklist.title}: what the software knows", "", checklist.reference, "", checklist.note, ""]
    lines += [BLANK if checklist.blank else HOW_TO, "", f"{summary(checklist)} {_made_by()}", ""]
    for section, rows in groupby(checklist.rows, key=lambda row: row.section):
        lines += [f"## {section}", "", "| No | Item | What the software knows | To be written by the authors | Page |"]
        lines += ["|---|---|---|---|---|", *map(_line, rows), ""]
    return "\n".join(lines)


def _line(row: Row) -> str:
    known = [f"{_cell(one.text)} *({_cell(one.source)})*" for one in row.known]
    known += [f"**Lacking:** {_cell(text)}" for text in row.lacking]
    if row.not_applicable:
        known.append(f"**Not applicable:** {_cell(row.not_applicable)}")
    authors = [_cell(text) for text in row.authors]
    return f"| {row.number} | {_cell(row.item)} | {'<br>'.join(known)} | {'<br>'.join(authors)} | |"


def _cell(text: str) -> str:
    """A text that stays in its cell and is nothing but a text."""
    for sign, escaped in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("*", "\\*"), ("_", "\\_")):
        text = text.replace(sign, escaped)
    return " ".join(text.split())


def as_html(checklist: Checklist) -> str:
    """One page that fetches nothing and runs nothing."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Path(page.__file__).with_name("page.css").read_text(encoding="utf-8")
    return environment.get_template("checklist.html.j2").render(
        checklist=checklist,
        sections=[(section, list(rows)) for section, rows in groupby(checklist.rows, key=lambda row: row.section)],
        how_to=BLANK if checklist.blank else HOW_TO,
        summary=summary(checklist),
        made_by=_made_by(),
        style=Markup(style),
    )
