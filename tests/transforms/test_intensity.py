"""Contrast stretching clips to the right window of the right image, and to nothing else."""

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import ScaleIntensityd

from bundle.transforms import ContrastStretchd
from bundle.transforms.intensity import ScaleToUnitd, _counted, percentiles_above


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


@pytest.mark.parametrize("percentiles", [(1.0, 99.0), (0, 100), (10, 90), (33.3, 66.7), (0.01, 99.99)])
@pytest.mark.parametrize("kind", ["12 bits", "16 bits", "signed", "two values", "fractions", "wide", "one pixel"])
def test_counted_percentiles_are_numpys_to_the_last_bit(kind, percentiles):
    generator = np.random.default_rng(len(kind))
    image = {
        "12 bits": lambda: generator.integers(0, 4096, size=(301, 97)) * (generator.random((301, 97)) < 0.7),
        "16 bits": lambda: generator.integers(0, 65536, size=(211, 53)),
        "signed": lambda: generator.integers(-1000, 3000, size=(100, 99)),
        "two values": lambda: np.repeat([3, 9], [50, 51]),
        "fractions": lambda: generator.random((60, 61)) * 1000,
        "wide": lambda: generator.integers(0, 10**6, size=(50, 50)),
        "one pixel": lambda: np.array([[7]]),
    }[kind]().astype(np.float32)
    assert (_counted(image) is None) == (kind in ("fractions", "wide"))
    for air in (-math.inf, 0.0, 2.5):
        expected = np.percentile(image[image > air], percentiles)
        assert percentiles_above(image, air, percentiles) == [float(value) for value in expected]


def test_images_that_cannot_be_counted():
    assert np.isnan(percentiles_above(np.zeros((3, 3), np.float32), 0.0, (1, 99))).all()
    image = np.arange(9, dtype=np.float32)
    image[4] = np.nan
    assert _counted(image) is None
    image[4] = np.inf
    assert _counted(image) is None
    assert percentiles_above(image, 0.0, (0, 50)) == [1.0, 5.5]


@pytest.mark.parametrize("values", [[0, 1, 4095], [-3.5, 7.25, 0.1], [5, 5, 5]])
def test_unit_scaling_is_monais_to_the_last_bit(values):
    item = {"le": image(np.tile(values, 1000) + np.linspace(0, 0.3, 3000) * (values[0] != values[1]))}
    before = item["le"].clone()
    quick, stock = ScaleToUnitd("le")(item)["le"], ScaleIntensityd("le", minv=0.0, maxv=1.0)(item)["le"]
    assert torch.equal(quick.as_tensor(), stock.as_tensor())
    assert torch.equal(torch.signbit(quick), torch.signbit(stock))
    assert quick.meta["filename_or_obj"] == stock.meta["filename_or_obj"]
    assert torch.equal(item["le"], before)
