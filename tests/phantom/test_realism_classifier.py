"""A classifier that must find nothing where there is nothing, and everything where there is something."""

import numpy as np
import pytest

from bundle.phantom.realism.classifier import auc, auc_of
from bundle.phantom.realism.crops import Crops, cut
from bundle.phantom.realism.giveaways import giveaways
from bundle.phantom.realism.pairs import Pair


def crops(name: str, seed: int, count: int = 24, smooth: bool = False, brighter: float = 0.0) -> Crops:
    """Noise, two crops a patient."""
    images = np.random.default_rng(seed).standard_normal((count, 2, 32, 32)).astype(np.float32)
    if smooth:
        images = (images + np.roll(images, 1, axis=-1)) / np.float32(np.sqrt(2))
    images[:, 1] += np.float32(brighter)
    return Crops(images, np.array([f"{name}{number // 2}" for number in range(count)]))


def four(**phantom) -> tuple[Crops, Crops, Crops, Crops]:
    return crops("R", 0), crops("F", 1, **phantom), crops("S", 2), crops("G", 3, **phantom)


def test_auc_by_hand():
    real, phantom = np.array([1.0, 2.0, 0.0, 3.0]), np.array([2.0, 3.0])
    patients = np.array(["A", "A", "B", "B"])
    # per crop: 2 beats 1 and 0, ties 2; 3 beats 1, 2 and 0, ties 3: (2.5 + 3.5) / 8; means 1.5 and 1.5 against 2 and 3
    found = auc_of(real, patients, phantom, np.array(["C", "D"]))
    assert found.crop == 0.75
    assert found.patient == 1.0
    assert found.crop_interval[0] <= 0.75 <= found.crop_interval[1]


def test_what_is_the_same_cannot_be_told_apart():
    found = auc(*four(), epochs=3)
    assert found.crop_interval[0] < 0.5 < found.crop_interval[1]


def test_what_differs_can_be_told_apart_even_by_texture_alone():
    different = four(smooth=True)
    for variant in ("LE and DES", "texture of LE"):
        assert auc(*different, variant=variant, epochs=6).crop > 0.98


def test_texture_knows_no_grey_level():
    brighter = four(brighter=2.0)
    assert auc(*brighter, variant="DES alone", epochs=4).crop > 0.98
    found = auc(*brighter, variant="texture of DES", epochs=4)
    assert found.crop_interval[0] < 0.5 < found.crop_interval[1]
    assert np.allclose(brighter[1].texture().images.mean(axis=(2, 3)), 0.0, atol=1e-5)


def test_the_same_seed_gives_the_same_auc():
    assert auc(*four(), epochs=1, seed=5) == auc(*four(), epochs=1, seed=5)


def test_giveaways_name_what_differs():
    found = giveaways(*four(brighter=0.5))
    assert found.table.index[0] == "DES mean"
    assert found.table["coefficient"].iloc[0] > 0
    assert found.table["auc"].iloc[0] == 1.0
    assert found.auc.crop > 0.98


def test_crops_are_breast_without_lesion():
    rng = np.random.default_rng(0)
    le, lesion = np.zeros((256, 256), np.float32), np.zeros((256, 256), bool)
    le[20:236, 60:200] = 0.5 + 0.1 * rng.random((216, 140), dtype=np.float32)
    lesion[100:110, 90:100] = True
    marked = np.where(lesion, 7.0, le).astype(np.float32)  # in DES alone, so that the breast is found as it is
    found = cut([Pair("P1_L_CC", "P1", le, marked, lesion)])
    assert found.images.shape == (6, 2, 64, 64)
    assert found.images[:, 0].min() >= 0.5
    assert found.images[:, 1].max() < 7.0
    assert list(found.patients) == ["P1"] * 6


def test_errors_say_what_to_do():
    real, phantom, _, other = four()
    with pytest.raises(ValueError, match=r"12 patient.*stand in training and test, for instance R0.*Split by patient"):
        auc(real, phantom, real, other)
    with pytest.raises(ValueError, match="variant is 'HE', expected one of"):
        auc(*four(), variant="HE")
    empty = np.zeros((256, 256), np.float32)
    with pytest.raises(ValueError, match=r"None of 1 pair\(s\) has 64 x 64 pixels of breast without a lesion"):
        cut([Pair("P1_L_CC", "P1", empty, empty, empty > 0)])
