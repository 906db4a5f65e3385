"""The same metric by breast density, lesion size, view and data source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .averages import by_image
from .statistics import interval_over_patients

__all__ = ["strata", "stratum_of_image"]

SIZES = ("small", "middle", "large")  # terciles of the lesions' area
UNKNOWN = "not known"


def stratum_of_image(table: pd.DataFrame, cases: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """Density, lesion size, view and source of every image, as far as table or datalist knows them.

    The lesion size is the tercile of ``lesion_area`` (of the table, else of the case) among the images that have one;
    equal areas share a tercile. The density and the source are the case's ``density`` and ``source``.

    Args:
        table: made by ``comparable``.
        cases: those of the datalist; the list's own ``source`` has to be put into each where lists are mixed.

    Returns:
        an index of case_id, a column for each stratum that at least one image knows, text.
    """
    images = table.groupby("case_id", sort=False).first()  # the first value that is known: older runs lack columns
    of_cases = pd.DataFrame.from_dict({str(case["case_id"]): dict(case) for case in cases}, orient="index")
    of_cases = of_cases.reindex(images.index)

    def column(name: str) -> pd.Series:
        of_table = images[name] if name in images else pd.Series(None, index=images.index, dtype=object)
        return of_table.where(of_table.notna(), of_cases[name]) if name in of_cases else of_table

    area = column("lesion_area").astype(float)
    found = {
        "density": column("density"),
        "lesion size": _terciles(area.where(area > 0)),
        "view": column("view"),
        "source": column("source"),
    }
    known = {name: values.astype(object) for name, values in found.items() if values.notna().any()}
    return pd.DataFrame({name: values.map(str, na_action="ignore") for name, values in known.items()})


def _terciles(area: pd.Series) -> pd.Series:
    """Small, middle and large with the bounds in pixels of the model's grid."""
    if area.notna().sum() < 3:
        return pd.Series(None, index=area.index, dtype=object)
    bounds = np.nanquantile(area, [1 / 3, 2 / 3])
    names = [
        f"{SIZES[0]} (<= {bounds[0]:g} px)",
        f"{SIZES[1]} (<= {bounds[1]:g} px)",
        f"{SIZES[2]} (> {bounds[1]:g} px)",
    ]
    place = pd.Series(np.searchsorted(bounds, area.to_numpy()), index=area.index)
    return place.map(dict(enumerate(names))).where(area.notna())


def strata(
    table: pd.DataFrame,
    metrics: Sequence[str],
    cases: Iterable[Mapping[str, Any]] = (),
    resamples: int = 2000,
    seed: int = 0,
    fewest: int = 10,
) -> pd.DataFrame:
    """Mean over patients with its interval clustered by patient, within every stratum and for every model.

    Args:
        table: made by ``comparable``.
        metrics: columns of it.
        cases: those of the datalist, see ``stratum_of_image``.
        resamples, seed, fewest: see ``clustered_interval``.

    Returns:
        columns ``stratum value metric model patients images mean low high note``; images whose stratum is not known
        stand under "not known", except those without a lesion in "lesion size"; levels without any image that has
        the metric are left out.
    """
    images = {metric: by_image(table, metric) for metric in metrics}
    rows = []
    for stratum, values in stratum_of_image(table, cases).items():
        levels = values.dropna() if stratum == "lesion size" else values.fillna(UNKNOWN)
        for level in sorted(levels.unique(), key=lambda name: (name == UNKNOWN, _size_rank(name), name)):
            inside = levels.index[levels == level]
            for metric, wide in images.items():
                part = wide[wide.index.get_level_values("case_id").isin(inside)]
                for model, of_model in part.items():
                    found = interval_over_patients(of_model, resamples=resamples, seed=seed, fewest=fewest)
                    if found.images:
                        row = {"stratum": stratum, "value": level, "metric": metric, "model": model}
                        rows.append(row | found._asdict())
    columns = ["stratum", "value", "metric", "model", "patients", "images", "mean", "low", "high", "note"]
    return pd.DataFrame(rows, columns=columns)


def _size_rank(level: str) -> int:
    word = level.split(" ")[0]
    return SIZES.index(word) if word in SIZES else 0
