"""Golden values and properties of the error of a registered pair."""

from __future__ import annotations

import pytest
import torch

from bundle.losses import PairedL1Loss


def _images():
    pred = torch.tensor([[0.5, 0.0], [1.0, 0.25]]).view(1, 1, 2, 2)
    target = torch.tensor([[0.25, 0.5], [1.0, 0.0]]).view(1, 1, 2, 2)
    seg = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    return pred, target, seg


def test_golden_values():
    pred, target, seg = _images()
    assert float(PairedL1Loss()(pred, target, seg)) == pytest.approx((0.25 + 0.5 + 0.25) / 4)
    assert float(PairedL1Loss(lesion_weight=10)(pred, target, seg)) == pytest.approx((11 * 0.25 + 0.5 + 0.25) / 4)


def test_golden_values_with_a_tolerance():
    target = torch.tensor([[0.1, 0.2, 0.3, 0.9]]).view(1, 1, 1, 4)
    pred = torch.tensor([[0.5, 0.25, 0.15, 0.0]]).view(1, 1, 1, 4)
    # ranges of three neighbours: 0.1 to 0.2, 0.1 to 0.3, 0.2 to 0.9, 0.3 to 0.9
    distance = PairedL1Loss(tolerance=1).distance(pred, target)
    torch.testing.assert_close(distance.flatten(), torch.tensor([0.3, 0.0, 0.05, 0.3]))
    seg = torch.tensor([[0.0, 1.0, 1.0, 0.0]]).view(1, 1, 1, 4)
    assert float(PairedL1Loss(2.0, tolerance=1)(pred, target, seg)) == pytest.approx((0.3 + 3 * 0.05 + 0.3) / 4)


@pytest.mark.parametrize("shift", [(2, 0), (-1, 2), (2, -2)])
def test_a_misalignment_within_the_tolerance_is_no_error(shift):
    target = torch.rand((2, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    seg = torch.ones_like(target)
    # what the shift brings in over the border is its edge, not the other side
    wide = torch.nn.functional.pad(target, (2, 2, 2, 2), mode="replicate")
    pred = wide.roll(shift, dims=(2, 3))[..., 2:-2, 2:-2]
    assert float(PairedL1Loss(10, tolerance=2)(pred, target, seg)) == 0
    assert float(PairedL1Loss(10, tolerance=1)(pred, target, seg)) > 0
    errors = [float(PairedL1Loss(10, tolerance=tolerance)(1 - target, target, seg)) for tolerance in (0, 1, 2)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("tolerance", [0, 1])
def test_the_gradient_is_where_the_error_is_and_heavier_in_the_lesion(tolerance):
    target = torch.full((1, 1, 8, 8), 0.5)
    pred = target.clone()
    pred[..., :4, :] = 0.75
    pred.requires_grad_()
    seg = torch.zeros_like(target)
    seg[..., 2:6, 2:6] = 1
    PairedL1Loss(10, tolerance)(pred, target, seg).backward()
    expected = torch.zeros_like(target)
    expected[..., :4, :] = (1 + 10 * seg[..., :4, :]) / 64
    torch.testing.assert_close(pred.grad, expected)


def test_wrong_arguments_are_named():
    pred, target, seg = _images()
    with pytest.raises(ValueError, match="lesion_weight is -1, expected 0 or more"):
        PairedL1Loss(-1)
    for tolerance in (-1, 0.5):
        with pytest.raises(ValueError, match=f"tolerance is {tolerance}, expected a whole number of pixels, 0 or more"):
            PairedL1Loss(tolerance=tolerance)
    with pytest.raises(ValueError, match=r"seg \(1, 1, 2, 1\): must be of one shape"):
        PairedL1Loss()(pred, target, seg[..., :1])
