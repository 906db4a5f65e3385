"""What a model was trained on, as its card says, and under which licence that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...data.provenance import starts

__all__ = ["Source", "open_questions", "pretraining", "sites", "source_of"]


@dataclass(frozen=True)
class Source:
    """What models are trained on: a data set, or the several of a federated training.

    Attributes:
        name: of its datalist; of several, in words.
        about: where it comes from.
        licence: what it may be used for; empty where the software cannot know.
    """

    name: str
    about: str
    licence: str = ""

    @property
    def lists(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return (self.name,)


@dataclass(frozen=True)
class Federation(Source):
    """The data sets of several sites, whose own names stay out."""

    data_sets: tuple[Source, ...] = ()

    @property
    def lists(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.data_sets)


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


KNOWN = {source.name: source for source in SOURCES}


def sites(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the card of a federated training says of each site; nothing for another."""
    return list((card.get("federation") or {}).get("sites") or [])


def source_of(card: Mapping[str, Any]) -> Source:
    """The data of a model's card; without a licence where a name is none that is known here.

    Of a federated training those of all sites, without the sites' names and the names of their own studies.
    """
    if found := sites(card):
        own = Source("a study of a site's own", "Known to the site.")
        return _united(tuple(dict.fromkeys(KNOWN.get(str(site.get("datalist")), own) for site in found)), len(found))
    name = str(card.get("datalist") or "")
    return KNOWN.get(name, Source(name or "unknown", "A study of somebody's own." if name else "Its card names none."))


def _united(data_sets: tuple[Source, ...], number: int) -> Source:
    about = " ".join(f"{each.name}: {each.about.rstrip('.')}." for each in data_sets)
    licence = "; ".join(f"{each.name}: {each.licence}" for each in data_sets)
    name = f"{', '.join(each.name for each in data_sets)} (federated over {number} sites)"
    return Federation(name, about, licence if all(each.licence for each in data_sets) else "", data_sets)


def pretraining(card: Mapping[str, Any]) -> list[Source]:
    """The data of what a training started from, and that from, the sites of a federated one included.

    A list that the card does not name, or that is a study of a site's own, goes by its hash.
    """
    found = [_list_of(init, named=True) for init in starts(card)]
    found += [_list_of(init, named=False) for site in sites(card) for init in starts(site)]
    return [KNOWN.get(name, Source(name, "")) for name in dict.fromkeys(found)]


def _list_of(init: Mapping[str, Any], named: bool) -> str:
    name = str(init.get("datalist") or "")
    return name if name and (named or name in KNOWN) else str(init.get("datalist_hash") or "unknown")


def open_questions(card: Mapping[str, Any]) -> list[str]:
    """What has to be settled by hand about the data before the model is published."""
    source, questions = source_of(card), []
    if not source.licence:
        questions.append(f"the licence of the data that the model was trained on ({source.name})")
    if not all(before.licence for before in pretraining(card)):
        questions.append("the data, and its licence, of the pre-training that the model started from")
    return questions
