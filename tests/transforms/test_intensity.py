"""Contrast stretching clips to the right window of the right image, and to nothing else."""

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.transforms import ContrastStretchd


def image(values, center=math.nan, width=math.nan):
    meta = {"window_center": center, "window_width": width, "filename_or_obj": "exam/le.dcm"}
    return MetaTensor(torch.tensor(values, dtype=torch.float32).reshape(1, 1, -1), meta=meta)


def test_each_image_has_its_own_window():
    item = {"le": image([0, 1900, 2360, 4095], 2360, 900), "des": image([0, 1900, 2105, 4095], 2105, 380)}
    out = ContrastStretchd(keys=["le", "des"])(item)
    assert out["le"].flatten().tolist() == [1910, 1910, 2360, 2810]
    assert out["des"].flatten().tolist() == [1915, 1915, 2105, 2295]
    assert isinstance(out["le"], MetaTensor)
    assert item["le"].flatten().tolist() == [0, 1900, 2360, 4095]  # the input is left alone


@pytest.mark.parametrize("window", [(math.nan, math.nan), (2000, math.nan)])
def test_without_a_window_nothing_changes(window):
    values = [0, 7, 4095]
    assert ContrastStretchd("le")({"le": image(values, *window)})["le"].flatten().tolist() == values
    assert ContrastStretchd("le")({"le": torch.tensor([[values]])})["le"].flatten().tolist() == values


def test_argument_before_datalist_before_metadata():
    item = {"le": image([0, 100], 50, 2), "le_window": [50, 20]}
    assert ContrastStretchd("le", window=(50, 60))(item)["le"].flatten().tolist() == [20, 80]
    assert ContrastStretchd("le")(item)["le"].flatten().tolist() == [40, 60]
    assert ContrastStretchd("le")({"le": item["le"]})["le"].flatten().tolist() == [49, 51]


def test_percentiles_are_those_of_the_breast():
    values = [0.0] * 500 + [float(value) for value in range(1, 101)]
    stretched = ContrastStretchd("le", method="percentile", percentiles=(10, 90))({"le": image(values)})["le"]
    assert stretched.min().item() == pytest.approx(10.9)  # numpy's linear percentile of 1 ... 100
    assert stretched.max().item() == pytest.approx(90.1)
    above = ContrastStretchd("le", method="percentile", percentiles=(0, 100), air=50)({"le": image(values)})["le"]
    assert above.min().item() == 51


def test_percentiles_of_an_empty_image_and_no_method():
    for values in ([0, 0], [5, 5]):
        assert ContrastStretchd("le", method="percentile")({"le": image(values)})["le"].flatten().tolist() == values
    assert ContrastStretchd("le", method="none")({"le": image([0, 9], 4, 2)})["le"].flatten().tolist() == [0, 9]


def test_missing_keys():
    with pytest.raises(KeyError):
        ContrastStretchd(["le", "des"])({"le": image([1])})
    assert set(ContrastStretchd(["le", "des"], allow_missing_keys=True)({"le": image([1])})) == {"le"}


def test_errors():
    with pytest.raises(
        ValueError, match=r"window of le exam/le\.dcm has centre 2105 and width 0: expected a width above"
    ):
        ContrastStretchd("le")({"le": image([1], 2105, 0)})
    with pytest.raises(ValueError, match=r"window of the argument window has centre 2105 and width -1"):
        ContrastStretchd("le", window=(2105, -1))
    with pytest.raises(ValueError, match=r"method 'clahe': expected one of \('window', 'percentile', 'none'\)"):
        ContrastStretchd("le", method="clahe")
    with pytest.raises(ValueError, match=r"Percentiles \(99, 1\): expected 0 <= low < high <= 100"):
        ContrastStretchd("le", percentiles=(99, 1))
    with pytest.raises(ValueError, match=r"fixed window \(1, 2\) was given with method 'percentile'"):
        ContrastStretchd("le", method="percentile", window=(1, 2))


def test_numpy_scalars_from_a_datalist_are_fine():
    item = {"le": image([0, 100]), "le_window": np.array([50, 20])}
    assert ContrastStretchd("le")(item)["le"].flatten().tolist() == [40, 60]
