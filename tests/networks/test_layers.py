"""The two layers against PyTorch's own, to the last bit, and what they save."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.networks.layers import InstanceNorm, ReflectionPad, norm_layer


def _with_gradient(layer, image, dtype=None):
    image = image.clone().requires_grad_()
    with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        made = layer(image)
    (made.float() * torch.arange(made.numel()).view_as(made)).sum().backward()
    return made.detach(), image.grad


@pytest.mark.parametrize("images", [1, 3])
def test_instance_norm_and_padding_equal_pytorch_s_to_the_last_bit(images):
    image = torch.randn(images, 5, 12, 10, generator=torch.Generator().manual_seed(0))
    for mine, theirs in ((InstanceNorm(), nn.InstanceNorm2d(5)), (ReflectionPad(3), nn.ReflectionPad2d(3))):
        for got, expected in zip(_with_gradient(mine, image), _with_gradient(theirs, image), strict=True):
            assert torch.equal(got, expected)
        with torch.no_grad():
            assert torch.equal(mine(image), theirs(image))


def test_one_image_is_no_view_so_that_an_activation_in_place_copies_nothing():
    image = torch.randn(1, 2, 8, 8, requires_grad=True)
    assert not InstanceNorm()(image)._is_view()
    assert nn.InstanceNorm2d(2)(image)._is_view()  # what the layer is there for


def test_a_channels_last_image_stays_so():
    image = torch.randn(1, 4, 8, 8, requires_grad=True).to(memory_format=torch.channels_last)
    for layer in (InstanceNorm(), ReflectionPad(1)):
        assert layer(image).is_contiguous(memory_format=torch.channels_last)


def test_padding_keeps_its_precision_under_autocast():
    image = torch.randn(1, 2, 8, 8).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        padded = ReflectionPad(1)(image)
        assert nn.ReflectionPad2d(1)(image).dtype == torch.float32  # what the layer is there for
    assert padded.dtype == torch.bfloat16
    assert torch.equal(padded, nn.ReflectionPad2d(1)(image))


def test_other_normalisations_are_monai_s():
    assert isinstance(norm_layer("BATCH", 3), nn.BatchNorm2d)
    affine = norm_layer(("INSTANCE", {"affine": True}), 3)
    assert isinstance(affine, nn.InstanceNorm2d)
    assert affine.weight.shape == (3,)
