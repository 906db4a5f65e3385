"""A batch augmented at once equals its cases augmented one by one."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Compose, MapTransform, RandGaussianNoised

from bundle.transforms import AffineDraw, RandAlignedAffined
from bundle.transforms.batch_affine import BatchAugmentation, align_batch

KEYS, SEG = ["le", "des"], ["seg"]


def pairs(count: int, height: int = 20, width: int = 28) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = {key: torch.rand(count, 1, height, width, generator=generator) for key in KEYS}
    return {**images, "seg": (images["des"] > 0.7).float()}


def case(batch: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    return {key: images[row] for key, images in batch.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("height", "width", "prob"), [(20, 28, 0.3), (64, 64, 0.5), (33, 17, 1.0), (256, 256, 0.3)])
def test_equals_the_cases_one_by_one_bit_for_bit(height, width, prob):
    batch = pairs(7, height, width)
    alone = Compose([RandAlignedAffined(KEYS, SEG, prob=prob)]).set_random_state(seed=11)
    at_once = BatchAugmentation([RandAlignedAffined(KEYS, SEG, prob=prob)])
    at_once.set_random_state(seed=11)
    for _ in range(3):  # one stream of random numbers runs through an epoch's batches
        one_by_one = [alone(case(batch, row)) for row in range(7)]
        together = at_once(batch)
        assert all(same(case(together, row), expected) for row, expected in enumerate(one_by_one))
        assert set(together["seg"].unique().tolist()) <= {0, 1}
        assert not same(together, batch)


def test_what_is_only_flipped_or_stays_is_exact():
    batch = pairs(3)
    moved = align_batch(batch, [AffineDraw(flip=True), AffineDraw(), AffineDraw(angle=5)], KEYS, SEG)
    for key, images in batch.items():
        assert torch.equal(moved[key][0], images[0].flip(-1))
        assert torch.equal(moved[key][1], images[1])
        assert not torch.equal(moved[key][2], images[2])
    assert same(align_batch(batch, [AffineDraw()] * 3, KEYS, SEG), batch)
    assert same(batch, pairs(3))  # the loader's own tensors are left as they are


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_get_their_rows_of_the_joint_batch(world_size):
    def transforms():
        return [RandAlignedAffined(KEYS, SEG, prob=0.6), RandGaussianNoised(KEYS, prob=0.7)]

    joint = BatchAugmentation(transforms())
    joint.set_random_state(seed=3)
    shares = [BatchAugmentation(transforms()) for _ in range(world_size)]
    for share in shares:
        share.set_random_state(seed=3)
    for count in (5, 5, 2):
        batch = pairs(count)
        expected = joint(batch)
        for rank, share in enumerate(shares):
            rows = list(range(rank, count, world_size)) or [0]
            own = share({key: images[rows] for key, images in batch.items()}, rows, count)
            assert same(own, {key: images[rows] for key, images in expected.items()})


def test_other_transforms_draw_by_the_place_of_the_case_in_the_epoch():
    noise = BatchAugmentation([RandGaussianNoised(KEYS, prob=1.0)])
    first, second = [], []
    for epochs in (first, second):
        noise.set_random_state(seed=8)
        epochs += [noise(pairs(3)) for _ in range(2)]
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    added = torch.cat([epoch["le"] - pairs(3)["le"] for epoch in first])
    assert all(not torch.allclose(added[i], added[j], atol=1e-4) for i in range(6) for j in range(i))
    noise.set_random_state(seed=9)
    assert not same(noise(pairs(3)), first[0])


def test_a_transform_that_draws_nothing_is_applied_too():
    class Invert(MapTransform):
        def __call__(self, data):
            return {key: 1 - image if key in self.keys else image for key, image in data.items()}

    out = BatchAugmentation([Invert(["le"])])(pairs(2))
    assert torch.equal(out["le"], 1 - pairs(2)["le"])
    assert torch.equal(out["des"], pairs(2)["des"])


def test_errors():
    with pytest.raises(ValueError, match=r"and 2 draws: expected one shape and one draw a case"):
        align_batch(pairs(3), [AffineDraw()] * 2, KEYS, SEG)
    with pytest.raises(ValueError, match="expected one shape"):
        align_batch({**pairs(1), "seg": torch.ones(1, 1, 4, 4)}, [AffineDraw()], KEYS, SEG)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_as_on_the_cpu():
    batch = pairs(8, 256, 256)
    results = []
    for device in ("cpu", "cuda"):
        augmentation = BatchAugmentation([RandAlignedAffined(KEYS, SEG, prob=0.5)])
        augmentation.set_random_state(seed=5)
        results.append(augmentation({key: images.to(device) for key, images in batch.items()}))
    for key in KEYS:
        torch.testing.assert_close(results[1][key].cpu(), results[0][key], rtol=0, atol=1e-4)
    assert (results[1]["seg"].cpu() != results[0]["seg"]).float().mean() < 1e-4  # a tie may go either way
