"""The generators to compare with, and the one that a card describes."""

from __future__ import annotations

import pytest
import torch

from bundle.networks import AutoencoderGenerator, ResnetGenerator, UnetGenerator, generator_of_card

KINDS = [(UnetGenerator, 4), (AutoencoderGenerator, 3)]


@pytest.mark.parametrize(("kind", "halvings"), KINDS)
class TestMonaiGenerators:
    def test_an_image_in_an_image_of_its_size_in_the_unit_range_out(self, kind, halvings):
        network = kind(width=4).eval()
        made = network(torch.rand(2, 1, 48, 32))
        assert made.shape == (2, 1, 48, 32)
        assert 0 <= made.min() < made.max() <= 1
        assert network.multiple == 2**halvings

    def test_a_side_that_does_not_fit(self, kind, halvings):
        with pytest.raises(ValueError, match="multiples of"):
            kind(width=4)(torch.rand(1, 1, 36, 32))

    def test_numbers_below_one(self, kind, halvings):
        with pytest.raises(ValueError, match="must be at least 1"):
            kind(width=0)

    def test_without_an_activation_the_output_is_linear(self, kind, halvings):
        torch.manual_seed(0)
        linear = kind(width=4, output_activation=None).eval()
        torch.manual_seed(0)
        bounded = kind(width=4).eval()
        image = torch.rand(1, 1, 32, 32)
        assert torch.equal(linear(image).sigmoid(), bounded(image))

    def test_it_can_say_zero_in_air_and_the_level_of_a_breast(self, kind, halvings):
        """A normalisation at the very end would take the level away: half of the image black, half bright."""
        torch.manual_seed(0)
        network = kind(width=8)
        le = torch.zeros(2, 1, 32, 32)
        le[:, :, :, :16] = 0.5
        des = torch.zeros_like(le)
        des[0, :, :, :16], des[1, :, :, :16] = 0.3, 0.3
        optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
        for _ in range(150):
            optimizer.zero_grad()
            error = (network(le) - des).abs().mean()
            error.backward()
            optimizer.step()
        assert error.item() < 0.03


def test_only_the_unet_has_a_way_around_the_bottleneck():
    """Fine structure that does not pass the lowest resolution reaches the output of the U-Net alone."""
    noise = torch.rand(1, 1, 32, 32)
    for kind, goes_around in ((UnetGenerator, True), (AutoencoderGenerator, False)):
        torch.manual_seed(0)
        network = kind(width=4, output_activation=None).eval()
        cut = [module for name, module in network.network.named_children() if name in ("down_4", "intermediate")]
        assert len(cut) == 1
        cut[0].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        with torch.no_grad():
            same = torch.equal(network(noise), network(noise.flip(-1)))
        assert same != goes_around


def test_a_unet_of_another_depth_or_enlargement():
    with pytest.raises(ValueError, match=r"num_downsamples is 3, expected 4"):
        UnetGenerator(num_downsamples=3)
    with pytest.raises(ValueError, match=r"upsample is 'nearest', expected one of transposed, resize"):
        UnetGenerator(upsample="nearest")


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
