"""The card of a model that was trained at several sites."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

__all__ = ["federated_card"]

SAME_AT_ALL = (
    *("image_size", "network", "padding", "intensity", "lesions"),
    *("method", "gamma", "lambda_cycle", "lambda_identity"),
)
OF_A_SITE = ("datalist", "datalist_hash", "data_hash", "fold", "seed", "precision", "init")


def federated_card(cards: Mapping[str, Mapping[str, Any]], cases: Mapping[str, int]) -> dict[str, Any]:
    """One card out of those of the sites: what inference needs once, what the sites' data were site by site.

    ``seen`` spans what any site has seen, ``des_window_median`` is the sites' mean by cases, ``datalist_hash`` and
    ``data_hash`` are hashes of the sites' hashes, and ``federation`` lists each site with its own.

    Args:
        cards: by site, the card of its training.
        cases: by site, the number of its training pairs.

    Raises:
        ValueError: with everything in which sites differ that must be one for all.
    """
    first, *others = cards
    problems = [
        f"{name} is {cards[site].get(name)!r} at {site}, but {cards[first].get(name)!r} at {first}"
        for name in SAME_AT_ALL
        for site in others
        if cards[site].get(name) != cards[first].get(name)
    ]
    if problems:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        raise ValueError(f"the sites cannot train one model, {len(problems)} difference(s):\n{listed}")
    same = {name: value for name, value in cards[first].items() if all(value == card[name] for card in cards.values())}
    sites = [
        {"site": site, "cases": cases[site]} | {name: card.get(name) for name in OF_A_SITE if name in card}
        for site, card in cards.items()
    ]
    return {
        **same,
        "datalist": "; ".join(f"{site}: {card.get('datalist')}" for site, card in cards.items()),
        "datalist_hash": _joint_hash(cards, "datalist_hash"),
        "data_hash": _joint_hash(cards, "data_hash"),
        "des_window_median": _mean_window(cards, cases),
        "seen": _span([card.get("seen") or {} for card in cards.values()]),
        "federation": {"sites": sites},
    }


def _joint_hash(cards: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return hashlib.sha256("\n".join(sorted(str(card.get(name)) for card in cards.values())).encode()).hexdigest()


def _mean_window(cards: Mapping[str, Mapping[str, Any]], cases: Mapping[str, int]) -> list[float] | None:
    windows = {site: card["des_window_median"] for site, card in cards.items() if card.get("des_window_median")}
    total = sum(cases[site] for site in windows)
    return [sum(windows[site][i] * cases[site] for site in windows) / total for i in (0, 1)] if windows else None


def _span(ranges: list[Mapping[str, Any]]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for found in ranges for name in found)
    spans = {name: [found[name] for found in ranges if name in found] for name in names}
    return {name: [min(low for low, _ in pairs), max(high for _, high in pairs)] for name, pairs in spans.items()}
