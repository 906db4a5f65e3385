"""Which patients a figure shows: named by a metric, never chosen by eye."""

from __future__ import annotations

import pandas as pd

from .averages import by_image, by_patient
from .tables import less_is_better

__all__ = ["exemplary_patients"]


def exemplary_patients(table: pd.DataFrame, metric: str, model: str) -> pd.DataFrame:
    """The best, the median and the worst patient of a model by a metric.

    A patient's value is the mean over her images; ties go by name; of an even number the better of the two in the
    middle is the median. Of her images the one that lies nearest to that mean is shown.

    Args:
        table: made by ``comparable``.
        metric: an error or a quality of it; images without a value (no lesion) and their patients are left out.
        model: the name of a model.

    Returns:
        columns ``rank patient_id fold value images case_id image_value``, up to three rows: fewer patients give fewer.

    Raises:
        ValueError: for a metric or model that the table does not have, or a metric that has no better and worse.
    """
    fewer = less_is_better(metric)
    if fewer is None:
        raise ValueError(f"{metric!r} is neither an error nor a quality, so that no patient is best or worst by it.")
    images = by_image(table, metric, [model])[model].dropna().sort_index()
    patients = by_patient(images.to_frame())[model].reset_index()
    patients = patients.sort_values([model, "patient_id"], ascending=[fewer, True], ignore_index=True)
    last = len(patients) - 1
    places = {0: "best", last // 2: "median", last: "worst"} if last != 1 else {0: "best", 1: "worst"}
    rows = []
    for place, rank in places.items() if last > 0 else [(0, "only")][: last + 1]:
        fold, patient, value = patients.loc[place, ["fold", "patient_id", model]]
        own = images[images.index.get_level_values("patient_id") == patient]
        nearest = (own - value).abs().idxmin()
        row = {"rank": rank, "patient_id": patient, "fold": fold, "value": value, "images": len(own)}
        rows.append(row | {"case_id": nearest[2], "image_value": own[nearest]})
    columns = ["rank", "patient_id", "fold", "value", "images", "case_id", "image_value"]
    return pd.DataFrame(rows, columns=columns)
