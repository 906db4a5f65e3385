"""The constant that every model has to beat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.evaluation import mean_des_in_breast


def item(columns: int, des_inside: float, des_outside: float = 0.9) -> dict[str, torch.Tensor]:
    """A breast of so many bright columns at the left edge."""
    le, des = torch.full((1, 32, 32), 0.05), torch.full((1, 32, 32), des_outside)
    le[..., :columns], des[..., :columns] = 0.7, des_inside
    return {"le": le, "des": des}


def test_the_mean_is_over_all_breast_pixels_of_all_images():
    found = mean_des_in_breast([item(8, 0.2), item(24, 0.6)])
    assert found == pytest.approx((8 * 0.2 + 24 * 0.6) / 32, abs=1e-6)  # by pixel, not by image


def test_air_and_other_breasts_do_not_count():
    assert mean_des_in_breast([item(8, 0.2, 0.0)]) == pytest.approx(mean_des_in_breast([item(8, 0.2, 1.0)]))
    nothing = {"le": np.zeros((1, 32, 32)), "des": np.ones((1, 32, 32))}
    assert mean_des_in_breast([nothing, item(8, 0.2)]) == pytest.approx(0.2, abs=1e-6)


def test_it_reads_a_dataset_once():
    class Once:
        reads = 0

        def __len__(self):
            return 2

        def __getitem__(self, place):
            if place >= 2:
                raise IndexError
            Once.reads += 1
            return item(8, 0.4)

    assert mean_des_in_breast(Once()) == pytest.approx(0.4, abs=1e-6)
    assert Once.reads == 2


def test_images_without_a_breast_are_an_error():
    with pytest.raises(ValueError, match="no breast was found in any training image: is LE bright = dense"):
        mean_des_in_breast([{"le": np.zeros((1, 8, 8)), "des": np.zeros((1, 8, 8))}])
