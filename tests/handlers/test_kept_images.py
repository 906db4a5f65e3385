"""The images of an evaluation on the disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.handlers.kept_images import KeptImages

KINDS = ("le", "des", "seg", "virtual_des")


@pytest.fixture
def kept(tmp_path):
    def kept(network=None):
        batch = make_batch(1, pairs=3, size=48) | {"case_id": ["a", "b", "c"]}
        network = network or make_networks()["gen_le_to_des"]
        evaluator = CycleGanEvaluator("cpu", [batch], network, val_handlers=[KeptImages(tmp_path / "images")])
        evaluator.run()
        return batch | {"virtual_des": evaluator.state.output["virtual_des"]}, tmp_path / "images"

    return kept


def test_every_image_is_kept_to_16_bits(kept):
    images, folder = kept()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{case}_{kind}.png" for case in "abc" for kind in KINDS
    )
    for place, case in enumerate("abc"):
        for kind in KINDS:
            stored = np.asarray(Image.open(folder / f"{case}_{kind}.png"))
            assert stored.dtype == np.uint16
            assert stored.shape == (48, 48)
            np.testing.assert_allclose(stored / 65535, images[kind][place, 0].numpy(), rtol=0, atol=0.51 / 65535)
    assert set(np.unique(np.asarray(Image.open(folder / "a_seg.png")))) == {0, 65535}


def test_the_virtual_image_says_that_it_is_synthetic(kept):
    _, folder = kept()
    assert "SYNTHETIC" in Image.open(folder / "a_virtual_des.png").text["Description"]
    assert "Description" not in Image.open(folder / "a_des.png").text


def test_what_leaves_the_range_is_clipped(kept):
    class Bright(torch.nn.Module):
        def forward(self, le):
            return le * 0 + 1.5

    _, folder = kept(Bright())
    assert set(np.unique(np.asarray(Image.open(folder / "b_virtual_des.png")))) == {65535}


def test_an_image_that_is_not_finite_is_refused(kept):
    class Broken(torch.nn.Module):
        def forward(self, le):
            return le * torch.nan

    with pytest.raises(ValueError, match=r"the virtual DES of a_le\.png holds NaN or infinite pixels"):
        kept(Broken())
