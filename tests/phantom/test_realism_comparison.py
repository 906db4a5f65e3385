"""The table that says how near the phantom comes, and its figures."""

import math

import numpy as np
import pytest

from bundle.evaluation.tables import as_markdown
from bundle.phantom.realism.comparison import compare, interval_overlap, measure_all, readable, targets_met
from bundle.phantom.realism.gallery import distributions, gallery
from bundle.phantom.realism.pairs import Pair


def pairs(name: str, seed: int, count: int = 10, gain: float = 1.0) -> list[Pair]:
    rng = np.random.default_rng(seed)
    breast = np.zeros((256, 256), bool)
    breast[8:248, 60:200] = True
    lesion = np.zeros_like(breast)
    lesion[100:130, 100:130] = True
    made = []
    for number in range(count):
        le, des = (np.where(breast, 0.3 + 0.1 * rng.standard_normal((256, 256)), 0.0) for _ in range(2))
        des = gain * np.where(lesion, des + 0.15, des)
        images = [np.clip(image, 0.0, 1.0).astype(np.float32) for image in (le, des)]
        made.append(Pair(f"{name}{number}_L_CC", f"{name}{number}", *images, lesion))
    return made


@pytest.mark.parametrize(
    ("phantom", "overlap"), [((0, 1), 1.0), ((-5, 5), 1.0), ((0.5, 3), 0.5), ((0.2, 0.5), 0.3), ((2, 3), 0.0)]
)
def test_overlap_is_the_share_of_the_real_interval(phantom, overlap):
    assert interval_overlap((0, 1), phantom) == pytest.approx(overlap)


def test_overlap_of_no_interval_is_nan():
    assert math.isnan(interval_overlap((math.nan, math.nan), (0, 1)))


def test_the_same_pairs_overlap_wholly():
    real = pairs("P", 0)
    table = compare(real, real)
    assert (table["real_median"] == table["phantom_median"]).all()
    assert (table["overlap"].dropna() == 1.0).all()
    assert table["overlap"].isna().sum() == 2  # one value alone: the share without enhancement, and R2
    assert table.loc["le_mean", "in_target"]
    assert not table.loc["le_slope", "in_target"]  # white noise
    met, targets = targets_met(table)
    assert targets == 12 + 10
    assert met == table["in_target"].sum() + 10


def test_what_differs_is_said_to_be_missed():
    table = compare(pairs("P", 0), pairs("F", 1, gain=0.5))
    assert not table.loc["des_mean", "in_target"]
    assert table.loc["des_mean", "overlap"] == 0.0
    text = as_markdown(readable(table))
    row = next(line for line in text.splitlines() if line.startswith("| DES mean"))
    assert [cell.strip() for cell in row.split("|")][4:8] == ["0.21 to 0.3", "missed", "0.00", "missed"]
    assert "at most 0.25" in text


def test_the_gallery_names_its_source_and_shows_both():
    figure = gallery(pairs("P", 0, 3), pairs("F", 1, 3), "Real: CDD-CESM, CC BY 4.0.", columns=2, blocks=1)
    assert "Real: CDD-CESM, CC BY 4.0." in figure.get_supxlabel()
    assert [half.get_suptitle() for half in figure.subfigs] == ["real", "phantom"]
    shown = [axis for half in figure.subfigs for axis in half.axes if axis.images]
    assert len(shown) == 2 * 2 * 2
    assert all(axis.images[0].get_clim() == (0.0, 1.0) for axis in shown)
    assert all(axis.collections for axis in shown)  # the lesion's outline
    with pytest.raises(ValueError, match=r"0 real and 1 phantom pair\(s\): expected one of each"):
        gallery([], pairs("F", 1, 1), "")


def test_distributions_draw_a_panel_a_quantity():
    figure = distributions(measure_all(pairs("P", 0, 3)), measure_all(pairs("F", 1, 3)))
    assert len([axis for axis in figure.axes if axis.get_visible()]) == 10
    assert figure.axes[0].get_title() == "LE mean"
