"""The audit as one HTML file that needs no script and no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .findings import LEVELS, Case, Finding
from .pictures import Picture

__all__ = ["choose_cases", "render_page"]


def choose_cases(
    cases: Sequence[Case],
    findings: Sequence[Finding],
    shown: int,
    seed: int,
    a_finding: int = 4,
    at_most: int = 24,
    unseen: Sequence[str] = ("identity", "window", "header"),
    doubtful: Sequence[str] = ("mirrored map",),
) -> dict[int, str]:
    """Which cases are shown, and under which heading: place in the datalist -> heading, in the order of the page.

    Args:
        cases: of the study.
        findings: worst first.
        shown: how many cases are drawn at random, by ``seed``.
        seed: of that draw.
        a_finding: how many cases of each finding are shown.
        at_most: how many cases with findings are shown in all.
        unseen: kinds of findings that no picture shows.
        doubtful: kinds of which a picture is shown although they are for information.
    """
    places = {label: place for place, (label, _, _) in enumerate(cases)}
    with_findings = [
        places[label]
        for finding in findings
        if (finding.level != "information" or finding.kind in doubtful) and finding.kind not in unseen
        for label in [label for label in finding.case_ids if label in places][:a_finding]
    ]
    records = [record for _, _, record in cases]

    def extreme(values: Sequence[float], count: int) -> list[int]:
        known = [place for place, value in enumerate(values) if math.isfinite(value)]
        return sorted(known, key=lambda place: values[place])[:count]

    smallest = [float(sum(size for _, size in record.lesions)) if record.lesions else math.nan for record in records]
    drawn = np.random.default_rng(seed).permutation(len(cases))[:shown]
    groups = (
        ("Cases with findings", list(dict.fromkeys(with_findings))[:at_most]),
        (
            "The least aligned pairs",
            extreme([-record.shift_share for record in records], 2) + extreme([r.overlap for r in records], 2),
        ),
        (
            "Lesion maps: least inside the breast, smallest, least enhancing",
            extreme([record.inside if record.lesions else math.nan for record in records], 2)
            + extreme(smallest, 2)
            + extreme([record.contrast for record in records], 2),
        ),
        ("Drawn at random", sorted(int(place) for place in drawn)),
    )
    chosen: dict[int, str] = {}
    for heading, members in groups:
        for place in members:
            chosen.setdefault(place, heading)
    return chosen


def render_page(
    report: Mapping[str, Any],
    chosen: Mapping[int, str],
    pictures: Mapping[int, Sequence[Picture]],
    listed: int = 12,
    doubtful: Sequence[str] = ("mirrored map",),
) -> str:
    """HTML of a report, with the pictures of the chosen cases as data URIs; ``listed`` cases a finding stand open.

    ``doubtful`` kinds of findings are named beside the pictures although they are for information.
    """
    shown = {report["cases"][place]["case_id"]: f"case-{place + 1}" for place in chosen}
    tags: dict[str, dict[tuple[str, str], list[str]]] = {}
    for finding in report["findings"]:
        if finding["level"] != "information" or finding["kind"] in doubtful:
            for case in finding["cases"]:
                kinds = tags.setdefault(case["case_id"], {})
                kinds.setdefault((finding["level"], finding["kind"]), []).append(case["detail"])
    galleries: dict[str, list[dict[str, Any]]] = {}
    for place, heading in chosen.items():
        case = report["cases"][place]
        galleries.setdefault(heading, []).append(
            {**case, "anchor": f"case-{place + 1}", "pictures": pictures[place], "tags": tags.get(case["case_id"], {})}
        )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    levels = {level: [f for f in report["findings"] if f["level"] == level] for level in LEVELS}
    return environment.get_template("audit.html.j2").render(
        report=report,
        levels=levels,
        shown=shown,
        galleries=galleries,
        listed=listed,
        counts=[_with_shares(table) for table in report["counts"]],
        histograms=[_drawn(histogram) for histogram in report["histograms"] if histogram["bars"]],
    )


def _with_shares(table: Mapping[str, Any]) -> dict[str, Any]:
    most = max((count for _, count in table["rows"]), default=1) or 1
    return {**table, "rows": [(value, count, round(100 * count / most, 1)) for value, count in table["rows"]]}


def _drawn(histogram: Mapping[str, Any], width: float = 300.0, height: float = 84.0) -> dict[str, Any]:
    """Bars and limit of a histogram in the coordinates of its picture; heights by square root: a single case shows."""
    bars = histogram["bars"]
    start, stop = bars[0][0], bars[-1][1]
    most = max(count for *_, count in bars)
    step = width / len(bars)
    boxes = [
        {
            "x": round(index * step + 0.5, 1),
            "y": round(height * (1 - math.sqrt(count / most)), 1),
            "width": round(step - 1, 1),
            "height": round(height * math.sqrt(count / most), 1),
            "title": f"{low:.3g} to {high:.3g}: {count}",
        }
        for index, (low, high, count) in enumerate(bars)
        if count
    ]
    limit = histogram["limit"]
    at = None if limit is None else round(width * (limit - start) / (stop - start), 1)
    return {**histogram, "boxes": boxes, "limit_at": at, "width": width, "height": height, "from": start, "to": stop}
