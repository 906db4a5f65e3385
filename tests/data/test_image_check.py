"""A map that fills the breast is an image or an outline, whatever else is said of it."""

import numpy as np
import pytest

from bundle.data.image_check import map_problem

ROWS, COLUMNS = np.mgrid[:100, :80]
LE = np.where((ROWS >= 20) & (ROWS < 80) & (COLUMNS < 50), 200.0, 0.0)  # 60 x 50 pixels


def covering(rows):
    """So many rows of the breast, all of its columns."""
    return (LE > 0) & (rows > ROWS - 20)


@pytest.mark.parametrize(
    ("rows", "said"), [(41, ""), (43, "covers 72% of the breast, expected 70% at most: it is probab")]
)
def test_how_much_of_the_breast_a_map_may_cover(rows, said):
    problem = map_problem(LE, covering(rows), margin=0.0)  # 0.683 and 0.717
    assert problem.startswith(said)
    assert bool(problem) == bool(said)
    assert map_problem(LE, covering(rows), margin=0.0, most_covered=0.72) == ""


@pytest.mark.parametrize("seg", [covering(60), np.ones_like(LE), LE, LE > 0, np.uint8(LE)])
def test_an_image_or_an_outline(seg):
    problem = map_problem(LE, seg)
    assert problem.startswith("covers ")
    assert problem.endswith("it is probably an image or the outline of the breast. Correct the file")


def test_a_large_image_is_judged_on_a_thinned_one():
    large = LE.repeat(12, axis=0).repeat(12, axis=1)
    assert "covers 100%" in map_problem(large, large, margin=0.0)
    assert map_problem(large, covering(30).repeat(12, axis=0).repeat(12, axis=1)) == ""


def test_without_a_breast_nothing_is_covered():
    assert map_problem(np.zeros((9, 9)), np.ones((9, 9))).startswith("only 0% of it lie inside the breast")
