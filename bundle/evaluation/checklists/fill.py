"""A checklist filled from a study: a row an item, with what is known, what is lacking and what the authors write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import (
    facts_data,
    facts_limits,
    facts_model,
    facts_preparation,
    facts_provenance,
    facts_results,
    facts_training,
)
from .study import Known, Lacking, Said, Study

__all__ = ["CHECKLISTS", "FACTS", "Checklist", "Row", "fill"]

CHECKLISTS = ("claim_2024", "tripod_ai")
FACTS: dict[str, Callable[[Study], list[Said]]] = {
    **facts_data.FACTS,
    **facts_preparation.FACTS,
    **facts_model.FACTS,
    **facts_training.FACTS,
    **facts_provenance.FACTS,
    **facts_results.FACTS,
    **facts_limits.FACTS,
}


class Row(NamedTuple):
    """One item.

    Attributes:
        number, section, item: as published, the item in our own short words.
        known: statements with their sources, those on the software first.
        from_study: how many of them the study made.
        lacking: what the study does not tell, and what to do.
        authors: what no software can know, and risks to think of.
        not_applicable: why the item does not apply; empty where it does.
    """

    number: str
    section: str
    item: str
    known: list[Known]
    from_study: int
    lacking: list[str]
    authors: list[str]
    not_applicable: str = ""


class Checklist(NamedTuple):
    """A published checklist with its rows; ``blank`` where no study was given."""

    name: str
    title: str
    reference: str
    note: str
    rows: list[Row]
    blank: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many items have statements from the study or on the software alone, need the authors, or do not apply."""
        apply = [row for row in self.rows if not row.not_applicable]
        return {
            "items": len(self.rows),
            "with statements from the study": sum(bool(row.from_study) for row in apply),
            "with statements on the software alone": sum(bool(row.known) and not row.from_study for row in apply),
            "for the authors alone": sum(not row.known for row in apply),
            "not applicable": len(self.rows) - len(apply),
        }


def fill(name: str, study: Study | None = None) -> Checklist:
    """Fill a checklist from a study; without one, with what holds for the software whatever it is used on.

    Raises:
        ValueError: for an unknown checklist.
    """
    if name not in CHECKLISTS:
        raise ValueError(f"there is no checklist {name!r}: expected one of {', '.join(CHECKLISTS)}.")
    content = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    rows = [_row(item, study) for item in content["items"]]
    return Checklist(content["name"], content["title"], content["reference"], content["note"], rows, study is None)


def _row(item: dict[str, Any], study: Study | None) -> Row:
    general = [Known(text, source) for text, source in item.get("software", [])]
    said = dict.fromkeys(one for fact in item["facts"] for one in FACTS[fact](study)) if study is not None else {}
    said_already = {one.text for one in general}
    known = [one for one in said if isinstance(one, Known) and one.text not in said_already]
    return Row(
        item["number"],
        item["section"],
        item["item"],
        [*general, *known],
        len(known),
        [one.text for one in said if isinstance(one, Lacking)],
        item.get("authors", []),
        item.get("not_applicable", ""),
    )
