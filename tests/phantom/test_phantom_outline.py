"""Skin lines that can be worked out by hand, and those that are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from bundle.phantom.anatomy import Grid, draw_woman, edge_profile
from bundle.phantom.anatomy.outline import Outline, draw_outline
from bundle.phantom.case import exam_grid

GRID = exam_grid(128)


def drawn(seed, view, grid=GRID):
    rng = np.random.default_rng(seed)
    return draw_outline(rng, draw_woman(rng), view, grid)


def radial_distance(parameters, points):
    """Of points to an ellipse, in mm along the line to its centre."""
    x0, y0, a, b, turn = parameters
    dx, dy = points[:, 0] - x0, points[:, 1] - y0
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return np.hypot(dx, dy) * (1 - 1 / np.hypot(u / a, v / b))


def distance_from_best_ellipse(outline, grid=GRID):
    y = grid.coordinates()[0]
    points = np.hstack([outline.x, y])[outline.x[:, 0] > 0.5]
    start = [0.0, outline.nipple[1], outline.nipple[0], 0.5 * np.ptp(points[:, 1]), 0.0]
    return float(np.sqrt(np.mean(least_squares(radial_distance, start, args=(points,)).fun ** 2)))


def test_edge_profile_is_a_quarter_ellipse_then_flat():
    profile = edge_profile(np.array([-1.0, 0.0, 5.0, 25.0, 80.0]), thickness=50.0, radius=25.0)
    assert profile == pytest.approx([0.0, 0.0, 30.0, 50.0, 50.0])  # 50 sqrt(1 - 0.8^2)


@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_distance_to_a_straight_skin_line(spacing):
    grid = Grid(rows=60, columns=int(80 / spacing), spacing=spacing)
    x = grid.coordinates()[1][0]
    distance = Outline(np.full((60, 1), 60.3, np.float32), (60.3, 30.0)).skin_distance(grid)
    expected = np.maximum(60.3 - x, 0)
    assert np.abs(distance - expected).max() <= 0.5 * spacing
    near = expected < 3 * spacing
    np.testing.assert_allclose(distance[:, near], np.tile(expected[near], (60, 1)), atol=0.01 * spacing)
    assert distance.dtype == np.float32
    assert (distance[:, x > 60.3] == 0).all()


@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_distance_to_a_round_skin_line(spacing):
    """R - r, with no steps of a pixel as a mask of pixels would give."""
    grid = Grid(rows=int(200 / spacing), columns=int(120 / spacing), spacing=spacing)
    y, x = grid.coordinates()
    line = np.sqrt(np.maximum(80.0**2 - (y - 100) ** 2, 0)).astype(np.float32)
    distance = Outline(line, (80.0, 100.0)).skin_distance(grid)
    expected = np.maximum(80 - np.hypot(y - 100, x), 0)
    assert np.abs(distance - expected).max() <= 0.55 * spacing
    free = (np.abs(y - 100) < 70) & (expected > 0) & (expected < 3 * spacing)  # not where it meets the chest wall
    np.testing.assert_allclose(distance[free], expected[free], atol=0.03 * spacing)
    middle = distance[grid.rows // 2]
    steps = -np.diff(middle[: int(79 / spacing)])
    assert steps.min() > 0.4 * spacing
    assert steps.max() < 1.6 * spacing


@pytest.mark.parametrize(("view", "least"), [("CC", 0.25), ("MLO", 3.0)])
def test_outlines_are_no_ellipses(view, least):
    """Root mean square distance in mm to the ellipse that fits best; an ellipse itself has none."""
    assert min(distance_from_best_ellipse(drawn(seed, view)) for seed in range(6)) > least


def test_an_ellipse_is_known_as_one():
    y = GRID.coordinates()[0]
    line = 90.0 * np.sqrt(np.maximum(1 - ((y - 140) / 100) ** 2, 0))
    assert distance_from_best_ellipse(Outline(line.astype(np.float32), (90.0, 140.0))) < 1e-3


@pytest.mark.parametrize("seed", range(6))
def test_mlo_reaches_the_upper_edge_and_cc_does_not(seed):
    cc, mlo = (drawn(seed, view).x[:, 0] for view in ("CC", "MLO"))
    assert mlo[0] > 10
    assert mlo[-1] < 1
    assert cc[[0, -1]].max() < 1


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_nipple_is_where_the_line_is_farthest_from_the_chest_wall(view):
    for seed in range(6):
        outline, y = drawn(seed, view), GRID.coordinates()[0][:, 0]
        assert abs(y[outline.x[:, 0].argmax()] - outline.nipple[1]) < 12
        at_nipple = np.interp(outline.nipple[1], y, outline.x[:, 0])
        assert 0 < at_nipple - outline.nipple[0] < 12  # it protrudes


def test_outline_is_the_same_on_finer_pixels():
    coarse, fine = drawn(1, "MLO"), drawn(1, "MLO", exam_grid(256))
    np.testing.assert_allclose(fine.x.reshape(-1, 2).mean(axis=1)[:100], coarse.x[:100, 0], atol=0.5)
    assert coarse.nipple == fine.nipple
