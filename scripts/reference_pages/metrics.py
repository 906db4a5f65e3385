"""The page of the columns of metrics.csv, from the docstrings of the functions that compute them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from bundle.metrics import lesion, regions
from bundle.metrics.columns import columns

from .markdown import MADE, code, prose, table

__all__ = ["metrics_page"]

INTRODUCTION = """\
Every number of `metrics.csv`, a row an image and model, as the function says that computes it. Units, special cases,
floors, averages and tests: [the evidence](../explanation/evidence.md). Before the numbers stand `case_id patient_id
laterality view fold model gamma has_seg`. NaN is an empty cell, infinity `inf`."""


def metrics_page() -> str:
    """A part a function: what it says of itself, and the columns that it gives."""
    found: dict[str, tuple[Callable, list[str]]] = {}
    for name, column in columns().items():
        function = _function(name, column)
        found.setdefault(function.__name__, (function, []))[1].append(name)
    rows = [(", ".join(map(code, names)), prose(_first(function))) for function, names in found.values()]
    long = {
        name: _text(function) for name, (function, _) in found.items() if _text(function) != prose(_first(function))
    }
    details = [f"## {name}\n\n{text}" for name, text in long.items()]
    areas = f"## Regions\n\n{_text(regions)}"
    return "\n\n".join([MADE, "# Metrics", INTRODUCTION, table(("columns", "what"), rows), areas, *details]) + "\n"


def _function(name: str, column: Callable) -> Callable:
    """The function with the docstring: of a region's column the quantity, of a lesion's the one it is named after."""
    if isinstance(column, partial):
        return next((each for each in column.args if callable(each)), column.func)
    owners = [inspect.getmodule(columns), lesion]
    names = [name, name.rpartition("_")[0]]
    return next(getattr(owner, each) for each in names for owner in owners if hasattr(owner, each))


def _first(function: Callable) -> str:
    return (inspect.getdoc(function) or "").split("\n\n")[0]


def _text(owner: object) -> str:
    """A docstring as paragraphs; Raises and Shapes are for those who call it."""
    parts = []
    for part in (inspect.getdoc(owner) or "").split("\n\n"):
        if part.startswith(("Raises:", "Shapes:", "Args:")):
            break
        parts.append(prose(part))
    return "\n\n".join(parts)
