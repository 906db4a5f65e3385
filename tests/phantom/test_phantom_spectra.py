"""The table of beams against itself: the numbers of a row must fit one another."""

from __future__ import annotations

from math import exp

import pytest

from bundle.phantom.spectra import MO_MO_26, RH_AG_34, W_RH_28

ROWS = [RH_AG_34, MO_MO_26, W_RH_28]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_weight_cancels_gland_against_adipose(row):
    assert (row.gland_he - row.adipose_he) / (row.gland_le - row.adipose_le) == pytest.approx(row.weight, abs=0.004)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_des_of_iodine_is_he_minus_weighted_le(row):
    assert row.iodine_he - row.weight * row.iodine_le == pytest.approx(row.iodine_des)


def test_iodine_in_he_worked_out_by_hand():
    assert RH_AG_34.iodine_he == pytest.approx(0.0165 + 0.266 * 0.021)  # 0.022086


def test_open_field_leaves_the_quanta_behind_a_breast():
    assert RH_AG_34.open_le * exp(-4.5 * 0.5405) == pytest.approx(8600)
    assert RH_AG_34.open_he * exp(-4.5 * 0.257) == pytest.approx(7200)
