"""All five shapes of a region file become the pixels that a hand would count."""

import json
from collections import Counter

import numpy as np
import pytest

from bundle.data.lesion_maps import draw_region, draw_regions, excess, image_stem, read_regions, shape_counts

POLYGON = {"name": "polygon", "all_points_x": [2, 5, 5, 2], "all_points_y": [1, 1, 6, 6]}


def picture(lesion):
    return ["".join(".#"[int(pixel)] for pixel in row) for row in lesion]


def write_csv(path, *rows, columns="#filename,file_size,region_shape_attributes"):
    quoted = ['{},1,"{}"'.format(name, shape.replace('"', '""')) for name, shape in rows]
    path.write_text("\n".join([columns, *quoted]) + "\n", encoding="utf-8")
    return path


def test_a_polygon_includes_its_outline():
    lesion = draw_region(POLYGON, (8, 8))
    assert lesion.sum() == 4 * 6
    assert lesion[1:7, 2:6].all()


def test_a_circle_includes_the_ends_of_its_axes():
    lesion = draw_region({"name": "circle", "cx": 3, "cy": 2, "r": 2}, (5, 7))
    assert picture(lesion) == ["..###..", ".#####.", ".#####.", ".#####.", "..###.."]


def test_an_ellipse_has_rx_along_the_columns():
    lesion = draw_region({"name": "ellipse", "cx": 10, "cy": 5, "rx": 8, "ry": 3}, (11, 21))
    assert np.flatnonzero(lesion.any(axis=0)).tolist() == list(range(2, 19))
    assert np.flatnonzero(lesion.any(axis=1)).tolist() == list(range(2, 9))


def test_a_polyline_is_closed_and_filled():
    line = {**POLYGON, "name": "polyline"}
    assert np.array_equal(draw_region(line, (8, 8)), draw_region(POLYGON, (8, 8)))


def test_a_point_is_a_disc_of_the_given_radius():
    point = {"name": "point", "cx": 40, "cy": 30}
    assert draw_region(point, (60, 80), point_radius=0).sum() == 1
    lesion = draw_region(point, (60, 80))
    assert lesion.sum() == pytest.approx(np.pi * 15.5**2, rel=0.02)
    assert lesion[30, 25]
    assert not lesion[30, 24]


@pytest.mark.parametrize(
    "region",
    [
        {"name": "polygon", "all_points_x": [-3, 4, 4, -3], "all_points_y": [-2, -2, 3, 3]},
        {"name": "circle", "cx": 0, "cy": 9, "r": 3},
        {"name": "ellipse", "cx": 9, "cy": -1, "rx": 4, "ry": 3},
        {"name": "point", "cx": 9, "cy": 9},
    ],
)
def test_what_lies_outside_is_cut_off(region):
    """The map on a small image is the crop of the map on a large one."""
    moved = {}
    for key, value in region.items():
        if key.startswith("all_points"):
            moved[key] = [number + 20 for number in value]
        else:
            moved[key] = value + 20 if key in ("cx", "cy") else value
    large = draw_region(moved, (50, 50), point_radius=3)
    small = draw_region(region, (10, 10), point_radius=3)
    assert small.any()
    assert np.array_equal(small, large[20:30, 20:30])


def test_regions_of_an_image_are_united():
    both = [POLYGON, {"name": "circle", "cx": 20, "cy": 20, "r": 1}]
    assert draw_regions(both, (30, 30)).sum() == 24 + 9
    assert not draw_regions([], (30, 30)).any()


def test_excess_is_the_largest_share_beyond_a_side():
    assert excess([POLYGON], (8, 8)) == 0
    assert excess([POLYGON, {"name": "circle", "cx": 90, "cy": 50, "r": 30}], (200, 100)) == pytest.approx(0.2)
    assert excess([{"name": "ellipse", "cx": 50, "cy": 10, "rx": 5, "ry": 30}], (200, 100)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "name", ["P4_L_DM_MLO.jpg", "P4_L_DM_MLO .jpg", "P4_L_DM_MLO ", "P4_L_DM_MLO.JPEG", "a/P4_L_DM_MLO.png"]
)
def test_names_lose_suffix_and_blanks(name):
    assert image_stem(name) == "P4_L_DM_MLO"


def test_rows_are_gathered_by_image(tmp_path):
    circle = {"name": "circle", "cx": 1, "cy": 2, "r": 3}
    path = write_csv(
        tmp_path / "via.csv",
        ("P1_L_CM_CC .jpg", json.dumps(POLYGON)),
        ("P1_L_CM_CC.jpg", json.dumps(circle)),
        ("P2_L_CM_CC.jpg", "{}"),
    )
    regions = read_regions(path)
    assert regions == {"P1_L_CM_CC": [POLYGON, circle]}
    assert shape_counts(regions) == Counter(polygon=1, circle=1)


def test_every_bad_row_is_named(tmp_path):
    path = write_csv(
        tmp_path / "via.csv",
        ("a.jpg", json.dumps({"name": "rect", "x": 1})),
        ("b.jpg", "no json"),
        ("c.jpg", json.dumps({"name": "circle", "cx": 1, "cy": 2})),
        ("d.jpg", json.dumps({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]})),
        ("e.jpg", json.dumps(POLYGON)),
    )
    with pytest.raises(ValueError, match=r"has 4 problem\(s\)") as caught:
        read_regions(path)
    assert str(caught.value).splitlines()[1:] == [
        "  line 2: shape 'rect', expected one of ('polygon', 'polyline', 'ellipse', 'circle', 'point')",
        "  line 3: no JSON object: no json",
        "  line 4: circle needs numbers in r",
        "  line 5: 2 x against 1 y coordinates",
    ]


def test_a_file_without_regions_is_refused(tmp_path):
    path = write_csv(tmp_path / "other.csv", columns="#filename,size,label")
    with pytest.raises(ValueError, match=r"no VIA region file: it lacks the column\(s\) region_shape_attributes"):
        read_regions(path)


def test_the_real_region_file_is_read_whole(shared_data):
    regions = read_regions(shared_data / "cdd_cesm_annotations" / "Radiology_hand_drawn_segmentations_v2.csv")
    assert len(regions) == 1233
    assert shape_counts(regions) == Counter(polygon=2028, ellipse=598, circle=331, polyline=10, point=4)
    for drawn in list(regions.values())[::120]:
        assert draw_regions(drawn, (2600, 2000)).any()
