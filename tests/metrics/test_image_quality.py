"""MSE, L1, PSNR, SSIM and VIF: by hand, against scikit-image and MONAI, and against a restatement of VIF."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics.regression import SSIMMetric
from reference_pairs import made_pairs, real_pairs
from scipy import ndimage, signal
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from bundle.metrics import l1, mse, psnr, ssim, vif

ALL = (mse, l1, psnr, ssim)
RECORDED = json.loads((Path(__file__).parents[1] / "reference/image_quality.json").read_text(encoding="utf-8"))


def pair(seed: int = 0, size: int = 48, images: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth structure and a noisy, weaker copy of it, in [0, 1]."""
    generator = np.random.default_rng(seed)
    target = ndimage.gaussian_filter(generator.random((images, 1, size, size)), (0, 0, 1.5, 1.5))
    target = (target - target.min()) / (target.max() - target.min())
    pred = np.clip(0.2 + 0.6 * target + 0.05 * generator.standard_normal(target.shape), 0, 1)
    return torch.from_numpy(pred).float(), torch.from_numpy(target).float()


def by_hand() -> tuple[torch.Tensor, torch.Tensor]:
    """Four pixels that are off by 0.1, -0.2, 0 and 0 in the first image and by 0.5 in the second."""
    target = torch.full((2, 1, 2, 2), 0.25, dtype=torch.float64)
    return target + torch.tensor([[0.1, -0.2, 0, 0], [0.5] * 4], dtype=torch.float64).view(2, 1, 2, 2), target


def test_errors_by_hand():
    pred, target = by_hand()
    assert mse(pred, target).tolist() == pytest.approx([(0.01 + 0.04) / 4, 0.25])
    assert l1(pred, target).tolist() == pytest.approx([0.3 / 4, 0.5])
    assert psnr(pred, target).tolist() == pytest.approx([19.03090, 6.02060], abs=1e-5)  # 10 lg 80, 10 lg 4


def test_errors_of_a_region_are_of_its_pixels_alone():
    pred, target = by_hand()
    region = torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0]]).view(2, 1, 2, 2)
    assert mse(pred, target, region=region).tolist() == pytest.approx([0.005, 0.25])
    assert l1(pred, target, region=region.bool()).tolist() == pytest.approx([0.05, 0.5])
    assert psnr(pred, target, region=region).tolist() == pytest.approx([10 * np.log10(200), 10 * np.log10(4)])


@pytest.mark.parametrize("quantity", ALL)
def test_a_region_of_everything_is_the_whole_image_and_an_empty_one_is_nan(quantity):
    pred, target = pair()
    region = torch.ones_like(pred)
    torch.testing.assert_close(quantity(pred, target, region=region), quantity(pred, target))
    region[1] = 0
    first, second = quantity(pred, target, region=region).tolist()
    assert first == pytest.approx(float(quantity(pred, target)[0]))
    assert np.isnan(second)


@pytest.mark.parametrize("quantity", [*ALL, vif])
def test_one_value_an_image_whatever_the_others_are(quantity):
    pred, target = pair(images=3)
    whole = quantity(pred, target)
    assert whole.shape == (3,)
    singly = torch.cat([quantity(pred[place][None], target[place][None]) for place in range(3)])
    torch.testing.assert_close(whole, singly)
    assert len(set(whole.tolist())) == 3


@pytest.mark.parametrize("quantity", [psnr, ssim, vif])
def test_qualities_do_not_depend_on_the_unit(quantity):
    pred, target = pair()
    torch.testing.assert_close(quantity(pred * 255, target * 255, 255.0), quantity(pred, target), rtol=1e-5, atol=1e-5)


def test_errors_are_in_the_unit_of_the_images():
    pred, target = pair()
    torch.testing.assert_close(mse(pred * 10, target * 10, 10.0), 100 * mse(pred, target))
    torch.testing.assert_close(l1(pred * 10, target * 10, 10.0), 10 * l1(pred, target))


def test_identical_images_have_no_error_and_infinite_psnr():
    _, target = pair()
    assert mse(target, target).tolist() == l1(target, target).tolist() == [0, 0]
    assert psnr(target, target).tolist() == [float("inf")] * 2
    assert psnr(target, target, region=torch.ones_like(target)).tolist() == [float("inf")] * 2
    assert ssim(target, target).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert vif(target, target).tolist() == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize(("data_range", "size"), [(1.0, 48), (255.0, 33)])
def test_ssim_equals_scikit_image(data_range, size):
    pred, target = (image * data_range for image in pair(seed=3, size=size))
    expected, maps = [], []
    for one_pred, one_target in zip(pred.numpy()[:, 0], target.numpy()[:, 0], strict=True):
        value, values = structural_similarity(
            one_target,
            one_pred,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=data_range,
            full=True,
        )
        expected.append(value)
        maps.append(values)
    assert ssim(pred, target, data_range).tolist() == pytest.approx(expected, abs=3e-6)
    region = torch.zeros_like(pred)
    region[..., 2:20, 8:30] = 1  # partly where the map has no value
    inside = [values[5:20, 8:28] if size == 33 else values[5:20, 8:30] for values in maps]
    assert ssim(pred, target, data_range, region).tolist() == pytest.approx([i.mean() for i in inside], abs=3e-6)


def test_ssim_equals_monai():
    pred, target = pair(seed=4)
    metric = SSIMMetric(spatial_dims=2, data_range=1.0)
    torch.testing.assert_close(ssim(pred, target), metric(pred, target)[:, 0], rtol=0, atol=1e-6)


def test_ssim_of_a_region_at_the_edge_is_nan():
    pred, target = pair()
    region = torch.zeros_like(pred)
    region[..., :5, :] = 1
    assert torch.isnan(ssim(pred, target, region=region)).all()


def restated_vif(pred: np.ndarray, target: np.ndarray) -> float:
    """Pixel-domain VIF (Sheikh and Bovik 2006) of images on the 0-255 scale, written from its definition."""
    information, available = 0.0, 0.0
    for scale in range(1, 5):
        size = 2 ** (4 - scale + 1) + 1
        axis = np.arange(size) - size // 2
        window = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * (size / 5) ** 2))
        window /= window.sum()

        def local(image, window=window):
            return signal.convolve2d(image, window, mode="valid")

        if scale > 1:
            pred, target = local(pred)[::2, ::2], local(target)[::2, ::2]
        variance = np.maximum(local(target**2) - local(target) ** 2, 0)
        pred_variance = np.maximum(local(pred**2) - local(pred) ** 2, 0)
        covariance = local(target * pred) - local(target) * local(pred)
        gain = np.maximum(covariance / np.maximum(variance, 1e-10), 0)
        noise = np.where(covariance > 0, pred_variance - gain * covariance, pred_variance)
        information += np.log2(1 + gain**2 * variance / (np.maximum(noise, 1e-10) + 2)).sum()
        available += np.log2(1 + variance / 2).sum()
    return information / available


@pytest.mark.parametrize("size", [41, 64])
def test_vif_equals_its_definition(size):
    pred, target = pair(seed=5, size=size)
    arrays = (image[:, 0].double().numpy() * 255 for image in (pred, target))
    expected = [restated_vif(one_pred, one_target) for one_pred, one_target in zip(*arrays, strict=True)]
    assert vif(pred, target).tolist() == pytest.approx(expected, abs=1e-6)
    assert vif(pred * 255, target * 255, 255.0).tolist() == pytest.approx(expected, abs=1e-6)


def test_vif_takes_the_prediction_first():
    _, target = pair(seed=5)
    weak = 0.25 + 0.5 * target
    assert (vif(weak, target) < 1).all()
    assert (vif(target, weak) > 1).all()  # a prediction with more contrast than the reference


def test_vif_of_a_constant_target_is_nan():
    pred, target = pair()
    target[1] = 0.5
    first, second = vif(pred, target).tolist()
    assert first == pytest.approx(float(vif(pred[:1], target[:1])))
    assert np.isnan(second)


@pytest.mark.parametrize("quantity", [*ALL, vif])
def test_values_outside_the_range_are_refused(quantity):
    pred, target = pair()
    with pytest.raises(ValueError, match=r"pred has values from .* to 255, expected \[0, 1\] \(data_range\)"):
        quantity(pred / pred.max() * 255, target)
    with pytest.raises(ValueError, match=r"target has values from -1 to .*, expected \[0, 1\]"):
        quantity(pred, target - 1)
    target[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="target has values from nan"):
        quantity(pred, target)


def test_a_rounding_error_outside_the_range_is_none():
    pred, target = pair()
    pred[0, 0, 0, 0], pred[0, 0, 0, 1] = 1 + 5e-5, -5e-5
    assert torch.isfinite(mse(pred, target)).all()


@pytest.mark.parametrize("quantity", [*ALL, vif])
@pytest.mark.parametrize("shape", [(2, 1, 48, 47), (2, 48, 48), (2, 3, 48, 48)])
def test_other_shapes_are_refused(quantity, shape):
    image = torch.zeros(shape)
    with pytest.raises(ValueError, match=r"must be of one shape \(B, 1, H, W\)"):
        quantity(image, torch.zeros((2, 1, 48, 48)) if len(shape) == 4 and shape[1] == 1 else image)


@pytest.mark.parametrize("quantity", ALL)
def test_a_region_of_another_shape_is_refused(quantity):
    pred, target = pair()
    with pytest.raises(ValueError, match=r"the region \(2, 1, 48, 24\) and the images \(2, 1, 48, 48\)"):
        quantity(pred, target, region=torch.ones((2, 1, 48, 24)))


def test_images_smaller_than_a_window_are_refused():
    small = torch.zeros((1, 1, 40, 10))
    with pytest.raises(ValueError, match=r"images of \(40, 10\) are smaller than SSIM's window of 11 pixels"):
        ssim(small, small)
    with pytest.raises(ValueError, match=r"images of \(40, 10\) are smaller than the 41 pixels VIF needs"):
        vif(small, small)


def assert_as_recorded(name: str, pred: np.ndarray, target: np.ndarray) -> None:
    """Equal to what sewar, piq and scikit-image said, on either scale, to the recorded tolerance."""
    said, tolerance = RECORDED["pairs"][name], RECORDED["tolerance"]
    for scale in (1.0, 255.0):
        images = [torch.from_numpy(image / 255 * scale).float()[None, None] for image in (pred, target)]
        information = vif(*images, scale).item()
        for package in ("sewar", "piq"):
            assert information == pytest.approx(said[f"vif_{package}"], rel=0, abs=tolerance)
        assert mse(*images, scale).item() / scale**2 == pytest.approx(said["mse"], rel=0, abs=tolerance)
        assert psnr(*images, scale).item() == pytest.approx(said["psnr"], rel=0, abs=tolerance)
        assert ssim(*images, scale).item() == pytest.approx(said["ssim"], rel=0, abs=tolerance)


@pytest.mark.parametrize("name", made_pairs())
def test_made_up_pairs_have_the_recorded_values(name):
    assert_as_recorded(name, *made_pairs()[name])


def test_real_pairs_have_the_recorded_values(shared_data):
    pairs = real_pairs(shared_data / "cdd_cesm_512")
    assert set(pairs) | set(made_pairs()) == set(RECORDED["pairs"])
    for name, pair_of_8_bits in pairs.items():
        assert_as_recorded(name, *pair_of_8_bits)


def test_what_was_recorded_of_scikit_image_is_what_it_says_now():
    for name, (pred, target) in made_pairs().items():
        said = RECORDED["pairs"][name]
        assert mean_squared_error(target / 255, pred / 255) == pytest.approx(said["mse"], rel=1e-9)
        assert peak_signal_noise_ratio(target, pred, data_range=255) == pytest.approx(said["psnr"], rel=1e-9)


def test_vif_of_a_region_is_that_of_its_bounding_box():
    pred, target = pair(size=80)
    region = torch.zeros_like(pred)
    region[0, 0, 3, 20:70] = region[0, 0, 60, 30] = 1
    region[1, 0, :, :] = 1
    first, second = vif(pred, target, region=region).tolist()
    assert first == pytest.approx(vif(pred[:1, :, 3:61, 20:70], target[:1, :, 3:61, 20:70]).item())
    assert second == pytest.approx(vif(pred[1:], target[1:]).item())


@pytest.mark.parametrize(
    ("pixel", "box"),
    [((40, 40), np.s_[20:61, 20:61]), ((0, 40), np.s_[0:41, 20:61]), ((79, 79), np.s_[39:80, 39:80])],
)
def test_a_box_too_small_for_vif_is_widened_inside_the_image(pixel, box):
    pred, target = pair(size=80, images=1)
    region = torch.zeros_like(pred)
    region[0, 0][pixel] = 1
    assert vif(pred, target, region=region).item() == pytest.approx(vif(pred[..., *box], target[..., *box]).item())


def test_vif_without_a_region_is_nan():
    pred, target = pair()
    region = torch.ones_like(pred)
    region[1] = 0
    first, second = vif(pred, target, region=region).tolist()
    assert first == pytest.approx(vif(pred, target)[0].item())
    assert np.isnan(second)


@pytest.mark.parametrize(("one", "other"), [(0.0, 0.0), (0.3, 0.3), (0.2, 0.6), (0.0, 1.0)])
def test_constant_images_have_the_documented_values(one, other):
    pred, target = (torch.full((1, 1, 48, 48), level) for level in (one, other))
    assert mse(pred, target).item() == pytest.approx((one - other) ** 2)
    assert psnr(pred, target).item() == pytest.approx(-20 * np.log10(other - one) if other > one else np.inf, abs=1e-5)
    luminance = (2 * one * other + 1e-4) / (one**2 + other**2 + 1e-4)  # the only term of SSIM that is left
    assert ssim(pred, target).item() == pytest.approx(luminance, abs=1e-3)
    assert np.isnan(vif(pred, target).item())
    structured = pair(images=1)[1]
    assert vif(pred, structured).item() == pytest.approx(0, abs=1e-6)
