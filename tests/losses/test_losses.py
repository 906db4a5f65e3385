"""Golden values and properties of the loss terms."""

from __future__ import annotations

import pytest
import torch

from bundle.handlers import LesionLossHandler
from bundle.losses import CycleGanLoss, LesionL1Loss


def _images():
    pred = torch.tensor([[0.5, 0.0], [1.0, 0.25]]).view(1, 1, 2, 2)
    target = torch.tensor([[0.25, 0.5], [1.0, 0.0]]).view(1, 1, 2, 2)
    seg = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    return pred, target, seg


def test_golden_values_of_both_reductions():
    pred, target, seg = _images()
    assert float(LesionL1Loss("image")(pred, target, seg)) == pytest.approx((0.25 + 0.5) / 4)
    assert float(LesionL1Loss("lesion")(pred, target, seg)) == pytest.approx((0.25 + 0.5) / 2)


def test_an_image_without_a_lesion_counts_as_zero_in_the_mean():
    pred, target, seg = _images()
    batch = [torch.cat([image, image]) for image in (pred, target)]
    seg = torch.cat([seg, torch.zeros_like(seg)])
    assert float(LesionL1Loss("lesion")(*batch, seg)) == pytest.approx(0.375 / 2)
    assert float(LesionL1Loss("lesion")(pred, target, torch.zeros_like(pred))) == 0
    assert float(LesionL1Loss("image")(pred, target, torch.zeros_like(pred))) == 0


@pytest.mark.parametrize("reduction", ["image", "lesion"])
def test_the_gradient_is_zero_outside_the_lesion_map(reduction):
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand((2, 1, 16, 16), generator=generator, requires_grad=True)
    seg = torch.zeros(2, 1, 16, 16)
    seg[0, 0, 2:7, 3:9] = 1
    LesionL1Loss(reduction)(pred, torch.rand((2, 1, 16, 16), generator=generator), seg).backward()
    assert torch.all(pred.grad[seg == 0] == 0)
    assert torch.all(pred.grad[seg == 1] != 0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("gamma", [0.0, 35.0, 100.0])
def test_plain_plus_masked_term_is_one_weighted_mean(gamma):
    generator = torch.Generator().manual_seed(1)
    pred, target = torch.rand((2, 3, 1, 16, 16), generator=generator)
    seg = (torch.rand((3, 1, 16, 16), generator=generator) > 0.9).double()
    both = torch.nn.L1Loss()(pred, target) + gamma * LesionL1Loss("image")(pred, target, seg)
    torch.testing.assert_close(both, ((1 + gamma * seg) * (pred - target).abs()).mean(), rtol=0, atol=1e-12)


def test_discriminator_term_by_hand():
    real, fake = torch.full((2, 1, 3, 3), 0.75), torch.full((2, 1, 3, 3), 0.5)
    assert float(CycleGanLoss().discriminator_term(real, fake)) == pytest.approx(0.5 * (0.0625 + 0.25))


def test_wrong_arguments_are_named():
    pred, target, seg = _images()
    with pytest.raises(ValueError, match="expected 'image' or 'lesion'"):
        LesionL1Loss("sum")
    with pytest.raises(ValueError, match="must be of one shape"):
        LesionL1Loss()(pred, target, seg[..., :1])
    with pytest.raises(ValueError, match="must be 0 or more"):
        CycleGanLoss(lambda_cycle=-1)
    with pytest.raises(ValueError, match="must be 0 or more"):
        LesionLossHandler(gamma=-35)
