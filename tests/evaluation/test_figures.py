"""The panel that a person looks at first."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from bundle.evaluation import case_panel


def case(case_id: str = "a", size: int = 64, box: tuple[slice, slice] | None = None, level: float = 0.5) -> dict:
    generator = np.random.default_rng(0)
    le, des = (level * generator.random((size, size)) for _ in range(2))
    seg = np.zeros((size, size))
    if box is not None:
        seg[box] = 1
    return {"case_id": case_id, "le": le, "des": des, "virtual_des": des + 0.25, "seg": seg}


def rows_of(figure, rows: int) -> np.ndarray:
    """The axes of the pictures, without the colour bars."""
    return np.array(figure.axes[: 4 * rows]).reshape(rows, 4)


def test_a_row_a_case_and_four_pictures_a_row():
    figure = case_panel([case("a"), case("b"), case("c")], title="epoch 7")
    axes = rows_of(figure, 3)
    assert len(figure.axes) == 3 * 4 + 2  # two colour bars
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["a", "b", "c"]
    assert [axis.get_title() for axis in axes[0]] == ["LE", "DES", "virtual DES", "error"]
    assert figure.get_suptitle() == "epoch 7"
    assert case_panel([case()]).get_suptitle() == ""


@pytest.mark.parametrize("level", [0.2, 1.0])
def test_every_image_has_the_one_grey_scale_from_0_to_1(level):
    given = case(level=level)
    axes = rows_of(case_panel([given, case("b")]), 2)
    for axis, key in zip(axes[0], ("le", "des", "virtual_des"), strict=False):
        np.testing.assert_array_equal(axis.images[0].get_array(), given[key])
    for axis in axes[:, :3].ravel():
        assert axis.images[0].get_clim() == (0, 1)
        assert axis.images[0].get_cmap().name == "gray"


def test_the_error_is_virtual_minus_real_on_a_symmetric_scale():
    axes = rows_of(case_panel([case()], error_range=0.3), 1)
    np.testing.assert_allclose(axes[0, 3].images[0].get_array(), 0.25)
    assert axes[0, 3].images[0].get_clim() == (-0.3, 0.3)


def test_a_red_box_surrounds_the_lesion_in_every_picture():
    axes = rows_of(case_panel([case(box=np.s_[20:31, 40:46])]), 1)
    for axis in axes[0]:
        (box,) = axis.patches
        assert box.get_edgecolor() == to_rgba("red")
        assert not box.get_fill()
        assert box.get_bbox().extents.tolist() == [38, 18, 47, 32]  # 2 px around columns 40-45, rows 20-30


def test_a_box_stays_inside_the_picture():
    axes = rows_of(case_panel([case(box=np.s_[0:4, 60:64])]), 1)
    assert axes[0, 0].patches[0].get_bbox().extents.tolist() == [58, 0, 63, 5]


def test_without_a_lesion_there_is_no_box():
    axes = rows_of(case_panel([case("a"), case("b", box=np.s_[5:9, 5:9])]), 2)
    assert [len(axis.patches) for axis in axes[0]] == [0] * 4
    assert [len(axis.patches) for axis in axes[1]] == [1] * 4


def test_the_picture_shows_red_where_the_lesion_is_and_nowhere_else():
    def reddish(given):
        canvas = FigureCanvasAgg(case_panel([given]))
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
        return np.argwhere((pixels[..., 0] > 200) & (pixels[..., 1:] < 60).all(-1)), pixels.shape

    found, shape = reddish(case(box=np.s_[48:56, 48:56]))
    assert len(found) > 20
    rows, columns = found[:, 0], found[:, 1]
    first = columns < shape[1] / 4
    assert columns[first].min() > shape[1] / 8  # right half of the first picture
    assert rows.min() > shape[0] / 4
    assert len(reddish(case())[0]) == 0


def test_a_panel_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a panel needs one case at least"):
        case_panel([])
