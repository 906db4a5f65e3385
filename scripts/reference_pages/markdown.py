"""The little markdown that the generated pages need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["MADE", "code", "prose", "table"]

MADE = "<!-- made by: python -m scripts.reference -->"


def code(text: str) -> str:
    """Text as code, in a table too."""
    return f"`{text}`" if "`" not in text else f"`` {text} ``"


def prose(text: str) -> str:
    """A docstring's text as markdown: one line, ``code`` and roles as code, nothing else set in type."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r":(?:func|class|mod|meth):`~?([^`]+)`", lambda found: code(found[1]), text)
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*<\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", part) for part in parts
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell stays in its cell."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(re.sub(r" +", " ", f"| {' | '.join(line)} |") for line in cells)
