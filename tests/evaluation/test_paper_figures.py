"""The paper's figures and the plots of the numbers: one scale, one box, what is written on them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from made_up_metrics import cohort
from matplotlib.colors import to_rgba

from bundle.evaluation import (
    bland_altman,
    comparable,
    error_maps,
    intervals,
    metric_against_gamma,
    models_panel,
    triple,
)
from bundle.evaluation.agreement import enhancement_pairs

MODELS = ("CycleGAN", "Seg-CycleGAN g=35", "Seg-CycleGAN g=100")


def case(size: int = 64) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    seg = np.zeros((size, size))
    seg[20:31, 40:46] = 1
    return {"le": generator.random((size, size)), "des": 0.5 * generator.random((size, size)), "seg": seg}


def virtual(des: np.ndarray) -> dict[str, np.ndarray]:
    return {model: des + step for model, step in zip(MODELS, (0.1, -0.2, 0.4), strict=True)}


def boxes(axis) -> list:
    return [patch.get_bbox().extents.tolist() for patch in axis.patches if patch.get_edgecolor() == to_rgba("red")]


class TestPictures:
    def test_figure_1_is_the_triple(self):
        axes = triple(case()).axes
        assert [axis.get_title() for axis in axes] == ["LE", "DES", "SEG"]
        for axis, key in zip(axes, ("le", "des", "seg"), strict=True):
            np.testing.assert_array_equal(axis.images[0].get_array(), case()[key])
            assert axis.images[0].get_clim() == (0, 1)
            assert boxes(axis) == []

    def test_figure_3_has_five_panels_on_one_scale_and_a_red_box_in_each(self):
        axes = models_panel(case(), virtual(case()["des"])).axes
        assert [axis.get_title() for axis in axes] == ["LE", "DES", *MODELS]
        assert {axis.images[0].get_clim() for axis in axes} == {(0, 1)}
        assert {axis.images[0].get_cmap().name for axis in axes} == {"gray"}
        assert [boxes(axis) for axis in axes] == [[[38, 18, 47, 32]]] * 5

    def test_figure_4_shows_the_size_of_the_error_on_one_scale_with_the_same_box(self):
        *axes, bar = error_maps(case(), virtual(case()["des"]), error_range=0.3).axes
        for axis, error in zip(axes, (0.1, 0.2, 0.4), strict=True):
            np.testing.assert_allclose(axis.images[0].get_array(), error)
            assert axis.images[0].get_clim() == (0, 0.3)
            assert boxes(axis) == [[38, 18, 47, 32]]
        assert bar.get_xlabel() == "|virtual - real DES|, intensity in [0, 1]"

    def test_what_lacks_or_differs_is_told(self):
        with pytest.raises(ValueError, match=r"the case lacks SEG\."):
            triple({"le": np.zeros((4, 4)), "des": np.zeros((4, 4))})
        with pytest.raises(ValueError, match=r"must share one shape .* DES \(64, 64\), CycleGAN \(32, 32\)"):
            error_maps(case(), {"CycleGAN": np.zeros((32, 32))})
        for figure in (models_panel, error_maps):
            with pytest.raises(ValueError, match="the virtual DES of one model at least"):
                figure(case(), {})


@pytest.fixture(scope="module")
def table():
    return comparable(cohort(24))


class TestBlandAltman:
    def test_a_point_a_patient_bias_and_limits(self, table):
        figure = bland_altman(table)
        assert [axis.get_title().split("\n")[0] for axis in figure.axes] == list(MODELS)
        axis, pairs = figure.axes[1], enhancement_pairs(table, MODELS[1])
        points = axis.collections[0].get_offsets()
        np.testing.assert_allclose(np.asarray(points), pairs[["mean", "difference"]])
        assert len(points) == 12
        lower, bias, upper = sorted(line.get_ydata()[0] for line in axis.lines if line.get_ydata()[0] != 0)
        assert bias == pytest.approx(pairs["difference"].mean())
        assert upper - bias == pytest.approx(bias - lower) == pytest.approx(1.96 * pairs["difference"].std(ddof=1))
        assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()

    def test_no_model_is_refused(self, table):
        with pytest.raises(ValueError, match="one model at least"):
            bland_altman(table, [])


class TestMetricAgainstGamma:
    def test_means_intervals_and_floors(self, table):
        found = intervals(table, ["lesion_l1", "ssim"], resamples=100)
        figure = metric_against_gamma(found, ["lesion_l1", "ssim"])
        first, second = figure.axes
        assert [label.get_text() for label in first.get_xticklabels()] == ["0", "35", "100"]
        own = found.query("metric == 'lesion_l1' and model in @MODELS")
        (bars,) = first.containers
        np.testing.assert_allclose(bars[0].get_ydata(), own["mean"])
        ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
        np.testing.assert_allclose(ends, own[["low", "high"]])
        assert first.get_title() == "lesion l1 (less is better)"
        assert second.get_title() == "ssim (more is better)"
        assert [text.get_text() for text in figure.legends[0].texts] == ["DES := LE", "constant inside the breast"]

    def test_without_an_interval_the_mean_stands_alone(self, table):
        found = intervals(table, ["l1"], fewest=1000)
        bars = metric_against_gamma(found, ["l1"]).axes[0].containers[0]
        assert all(np.ptp(segment[:, 1]) == 0 for segment in bars[2][0].get_segments())

    def test_a_metric_that_is_not_there_is_named(self, table):
        with pytest.raises(ValueError, match="no metric 'kid'; the table has l1"):
            metric_against_gamma(intervals(table, ["l1"], resamples=100), ["kid"])


def test_every_figure_draws_and_the_same_numbers_give_the_same_picture(table):
    def png(figure) -> bytes:
        stream = io.BytesIO()
        figure.savefig(stream, dpi=40, metadata={"Software": None})
        return stream.getvalue()

    found = intervals(table, ["l1"], resamples=100)
    for draw in (
        lambda: error_maps(case(), virtual(case()["des"])),
        lambda: bland_altman(table),
        lambda: metric_against_gamma(found, ["l1"]),
    ):
        assert png(draw()) == png(draw())
