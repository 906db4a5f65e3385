"""A detector finds lesions where they are to be seen, and a kernel distance tells like from unlike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.evaluation.detectability import RandomFeatures, kernel_distance, lesion_detector, lesion_dice

SIZE = 32


def study(images: int, seed: int, contrast: float = 0.4) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth texture with a bright disc in all but every fourth image, and the maps of the discs."""
    generator = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(generator.standard_normal((images, SIZE, SIZE)), (0, 2, 2))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    maps = np.zeros_like(texture)
    for place, lesions in enumerate(maps):
        row, column = generator.integers(7, SIZE - 7, 2)
        lesions[(rows - row) ** 2 + (columns - column) ** 2 <= 16] = place % 4 > 0
    des = np.clip(0.3 + 0.3 * texture + contrast * maps, 0, 1)
    return torch.from_numpy(des)[:, None].float(), torch.from_numpy(maps)[:, None].float()


@pytest.fixture(scope="module")
def dice() -> dict[str, torch.Tensor]:
    train, test = study(24, seed=0), study(8, seed=1)
    faint, weak, none = (study(8, seed=1, contrast=contrast)[0] for contrast in (0.2, 0.1, 0.0))
    return lesion_dice(train, test, {"same": test[0], "faint": faint, "weak": weak, "none": none}, steps=60)


def test_the_lesions_of_real_images_are_found(dice):
    assert dice["real"].nanmean() > 0.7
    assert torch.equal(dice["same"].isnan(), torch.tensor([place % 4 == 0 for place in range(8)]))
    torch.testing.assert_close(dice["same"], dice["real"], equal_nan=True)


def test_the_less_is_to_be_seen_the_less_is_found(dice):
    real, faint, weak, none = (dice[name].nanmean().item() for name in ("real", "faint", "weak", "none"))
    assert real >= faint > weak >= none
    assert none < 0.1


def test_the_same_seed_gives_the_same_figures_and_touches_no_other_dice():
    train, test = study(8, seed=0), study(4, seed=1)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    figures = [lesion_dice(train, test, {"half": 0.5 * test[0]}, steps=5, seed=seed) for seed in (3, 3)]
    distances = [kernel_distance(train[0], test[0], subset_size=3, seed=seed) for seed in (3, 3)]
    assert torch.equal(torch.rand(3), expected)
    for name, values in figures[0].items():
        assert torch.equal(values.nan_to_num(-1), figures[1][name].nan_to_num(-1))
    assert distances[0] == distances[1]
    states = [lesion_detector(*train, steps=1, seed=seed).state_dict() for seed in (0, 1)]
    assert not torch.equal(states[0]["model.0.conv.weight"], states[1]["model.0.conv.weight"])


def test_images_without_any_lesion_train_no_detector_and_show_nothing():
    images, maps = study(4, seed=0)
    with pytest.raises(ValueError, match="none of the 4 training images has a lesion map"):
        lesion_dice((images, 0 * maps), (images, maps), {})
    with pytest.raises(ValueError, match="none of the 4 test images has a lesion map"):
        lesion_dice((images, maps), (images, 0 * maps), {})
    with pytest.raises(ValueError, match=r"mine \(3, 1, 32, 32\) and the test images \(4, 1, 32, 32\) must match"):
        lesion_dice((images, maps), (images, maps), {"mine": images[:3]})
    with pytest.raises(ValueError, match=r"images \(4, 1, 32, 32\) and maps \(2, 1, 32, 32\) must be of one shape"):
        lesion_detector(images, maps[:2])


def test_features_are_fixed_and_of_each_image_alone():
    images = study(5, seed=0)[0]
    features = RandomFeatures()
    whole = features(images)
    assert whole.shape == (5, 128)
    assert torch.equal(whole, RandomFeatures()(images))
    assert not torch.equal(whole, RandomFeatures(seed=1)(images))
    torch.testing.assert_close(features(images[2:3]), whole[2:3])
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_a_value_of_the_last_layer_sees_31_pixels():
    layers = torch.nn.Sequential(*(layer for layer in RandomFeatures().layers if isinstance(layer, torch.nn.Conv2d)))
    image = torch.zeros(1, 1, 128, 128, requires_grad=True)
    layers(image)[0, :, 4, 4].sum().backward()
    assert [int(image.grad[0, 0].any(dim=axis).sum()) for axis in (0, 1)] == [31, 31]


def test_the_distance_grows_with_the_difference():
    real, other = study(40, seed=0)[0], study(40, seed=1)[0]
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    near, *far = (
        kernel_distance(real, (other + spread * noise).clamp(0, 1))["kid_random_features"]
        for spread in (0.0, 0.05, 0.1, 0.2)
    )
    assert abs(near) < 0.5
    assert near < far[0] < far[1] < far[2]
    assert far[2] > 100 * abs(near)
    assert kernel_distance(real, real)["kid_random_features"] < 0


def test_the_distance_by_hand():
    class Mean(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1).mean(dim=1, keepdim=True)

    real, virtual = (torch.tensor(levels).view(2, 1, 1, 1).expand(2, 1, 4, 4) for levels in ([0.2, 0.6], [0.6, 0.6]))
    # scaled to -1, 1 and 1, 1; kernel (xy + 1)^3: 0 between the real, 8 between the virtual ones, 0 and 8 across
    found = kernel_distance(real, virtual, Mean())
    assert found["kid_random_features"] == pytest.approx(0 + 8 - 2 * (0 + 0 + 8 + 8) / 4, abs=1e-5)
    assert found["kid_random_features_sd"] == pytest.approx(0, abs=1e-5)


def test_few_images_are_one_subset_and_one_is_refused():
    images = study(5, seed=0)[0]
    found = kernel_distance(images, images[:3], subsets=4)
    assert math.isfinite(found["kid_random_features"])
    with pytest.raises(ValueError, match="needs two images of each kind at least, there are 1"):
        kernel_distance(images, images[:1])
