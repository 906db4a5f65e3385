"""The image pool: what it hands on, and that it can be saved."""

from __future__ import annotations

import pytest
import torch

from bundle.engines import ImagePool


def test_no_pool_hands_on_the_same_images_without_their_graph():
    images = torch.rand(2, 1, 4, 4, requires_grad=True)
    handed_on = ImagePool(0)(images)
    assert torch.equal(handed_on, images)
    assert not handed_on.requires_grad


def test_a_full_pool_hands_back_older_images_about_half_of_the_time():
    pool = ImagePool(50, seed=3)
    older = 0
    for number in range(1050):
        handed_on = pool(torch.full((1, 1, 2, 2), float(number)))
        older += int(handed_on.mean() != number)
    assert len(pool.images) == 50
    assert 450 < older < 550


def test_a_restored_pool_goes_on_as_the_first_would(tmp_path):
    first, second = ImagePool(3, seed=5), ImagePool(3, seed=6)
    for number in range(8):
        first(torch.full((2, 1, 2, 2), float(number)))
    torch.save(first.state_dict(), tmp_path / "pool.pt")
    second.load_state_dict(torch.load(tmp_path / "pool.pt", weights_only=True))
    for number in range(8, 20):
        images = torch.full((2, 1, 2, 2), float(number))
        assert torch.equal(first(images), second(images))


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="size of an image pool is -1"):
        ImagePool(-1)
    full = ImagePool(4)
    full(torch.zeros(4, 1, 2, 2))
    with pytest.raises(ValueError, match="holds 4 images, this one takes 2"):
        ImagePool(2).load_state_dict(full.state_dict())
