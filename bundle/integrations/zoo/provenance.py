"""What a model was trained on, as its card says, and under which licence that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Source", "open_questions", "source_of"]


@dataclass(frozen=True)
class Source:
    """A data set that models are trained on.

    Attributes:
        name: of its datalist.
        about: where it comes from.
        licence: what it may be used for; empty where the software cannot know.
    """

    name: str
    about: str
    licence: str = ""


SOURCES = (
    Source(
        "CESM phantom",
        "Computer-generated from a seed (python -m scripts.prepare phantom); no patient data, no mammograms. Scores on "
        "it say nothing about clinical performance.",
        "Apache License, Version 2.0, with the software: https://www.apache.org/licenses/LICENSE-2.0",
    ),
    Source(
        "CDD-CESM",
        "Khaled R., Helal M., Alfarghaly O. et al., Categorized contrast enhanced mammography dataset for diagnostic "
        "and artificial intelligence research, Scientific Data 9:122 (2022); The Cancer Imaging Archive, "
        "https://doi.org/10.7937/29kw-ae92",
        "Creative Commons Attribution 4.0 International: https://creativecommons.org/licenses/by/4.0/",
    ),
    Source("CESM@UCBM", "Released on request by the authors of arXiv 2505.03018, as agreed with them."),
)


def source_of(card: Mapping[str, Any]) -> Source:
    """The data set of a model's card; one without a licence where its name is none that is known here."""
    name = str(card.get("datalist") or "")
    known = {source.name: source for source in SOURCES}
    return known.get(name, Source(name or "unknown", "A study of somebody's own." if name else "Its card names none."))


def open_questions(card: Mapping[str, Any]) -> list[str]:
    """What has to be settled by hand about the data before the model is published."""
    source, questions = source_of(card), []
    if not source.licence:
        questions.append(f"the licence of the data that the model was trained on ({source.name})")
    if card.get("init"):
        questions.append("the data, and its licence, of the pre-training that the model started from")
    return questions
