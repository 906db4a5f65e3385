"""Sizes, scripts and options of the two networks."""

from __future__ import annotations

import pytest
import torch

from bundle.networks import PatchDiscriminator, ResnetGenerator


def _parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_paper_s_networks_have_the_paper_s_sizes():
    assert _parameters(ResnetGenerator()) == 11_365_633
    assert _parameters(PatchDiscriminator()) == 2_762_689
    with torch.no_grad():
        assert PatchDiscriminator()(torch.zeros(1, 1, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_a_generator_keeps_the_image_s_shape_and_range(upsample):
    network = ResnetGenerator(width=4, num_blocks=1, upsample=upsample)
    made = network(torch.rand(2, 1, 24, 32))
    assert made.shape == (2, 1, 24, 32)
    assert made.min() >= 0
    assert made.max() <= 1


def test_one_patch_sees_seventy_pixels():
    network = PatchDiscriminator(width=2, norm="BATCH", output_activation=None).eval()
    image = torch.zeros(1, 1, 256, 256, requires_grad=True)
    network(image)[0, 0, 15, 15].backward()
    rows = torch.nonzero(image.grad[0, 0].abs().sum(1)).flatten()
    assert int(rows.max() - rows.min()) + 1 == 70


@pytest.mark.parametrize(
    "network",
    [ResnetGenerator(width=4, num_blocks=1), PatchDiscriminator(width=4), PatchDiscriminator(width=4, num_layers=2)],
)
def test_networks_can_be_scripted(network):
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_normal_initialisation_has_the_asked_spread():
    network = ResnetGenerator(width=16, num_blocks=2, init_std=0.02)
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.dim() == 4])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.05)
    assert all(not p.detach().any() for p in network.parameters() if p.dim() == 1)


def test_raw_scores_are_not_squashed():
    torch.manual_seed(0)
    image = torch.rand(1, 1, 64, 64)
    raw = PatchDiscriminator(width=4, output_activation=None)
    squashed = PatchDiscriminator(width=4)
    squashed.load_state_dict(raw.state_dict())
    torch.testing.assert_close(squashed(image), torch.sigmoid(raw(image)))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="at least 1"):
        ResnetGenerator(width=0)
    with pytest.raises(ValueError, match="expected 'transposed' or 'resize'"):
        ResnetGenerator(upsample="bicubic")
    with pytest.raises(ValueError, match="at least 1"):
        PatchDiscriminator(num_layers=0)
    with pytest.raises(ValueError, match="multiples of"):
        ResnetGenerator(width=2, num_blocks=1)(torch.zeros(1, 1, 30, 32))
    with pytest.raises(ValueError, match="expected a positive number"):
        PatchDiscriminator(width=2, init_std=0.0)
