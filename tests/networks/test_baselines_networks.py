"""The generators to compare with, and the one that a card describes."""

from __future__ import annotations

import pytest
import torch

from bundle.networks import AutoencoderGenerator, ResnetGenerator, UnetGenerator, generator_of_card


@pytest.mark.parametrize("kind", [UnetGenerator, AutoencoderGenerator])
class TestMonaiGenerators:
    def test_an_image_in_an_image_of_its_size_in_the_unit_range_out(self, kind):
        network = kind(width=4, num_downsamples=3)
        made = network(torch.rand(2, 1, 40, 24))
        assert made.shape == (2, 1, 40, 24)
        assert 0 <= made.min() < made.max() <= 1

    def test_a_side_that_does_not_fit(self, kind):
        with pytest.raises(ValueError, match="multiples of"):
            kind(width=4, num_downsamples=3)(torch.rand(1, 1, 36, 24))

    def test_numbers_below_one(self, kind):
        with pytest.raises(ValueError, match="must be at least 1"):
            kind(width=0)

    def test_without_an_activation_the_output_is_linear(self, kind):
        torch.manual_seed(0)
        linear = kind(width=4, num_downsamples=2, output_activation=None)
        torch.manual_seed(0)
        bounded = kind(width=4, num_downsamples=2)
        image = torch.rand(1, 1, 16, 16)
        assert torch.equal(linear(image).sigmoid(), bounded(image))


def test_only_the_unet_has_a_way_around_the_bottleneck():
    """What a pixel's neighbours do not tell reaches the output through skip connections alone."""
    unet, autoencoder = UnetGenerator(width=4, num_downsamples=2), AutoencoderGenerator(width=4, num_downsamples=2)
    assert type(unet.network).__name__ == "UNet"
    assert type(autoencoder.network).__name__ == "AutoEncoder"
    skips = [module for module in unet.network.modules() if type(module).__name__ == "SkipConnection"]
    assert len(skips) == 2
    assert not [module for module in autoencoder.network.modules() if type(module).__name__ == "SkipConnection"]


@pytest.mark.parametrize(
    ("layers", "kind"),
    [
        ({"width": 4, "num_blocks": 1}, ResnetGenerator),
        ({"name": "resnet", "width": 4, "num_blocks": 1}, ResnetGenerator),
        ({"name": "unet", "width": 4}, UnetGenerator),
        ({"name": "autoencoder", "width": 4}, AutoencoderGenerator),
    ],
)
def test_the_generator_of_a_card(layers, kind):
    before = dict(layers)
    network = generator_of_card(layers)
    assert type(network) is kind
    assert layers == before


def test_a_card_of_another_network():
    with pytest.raises(ValueError, match=r"the card's network is 'gan', expected one of resnet, unet, autoencoder"):
        generator_of_card({"name": "gan"})
    with pytest.raises(ValueError, match=r"cannot be built .*num_blocks"):
        generator_of_card({"name": "unet", "num_blocks": 4})
