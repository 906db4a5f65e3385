"""Every pair that cannot be trained on is named before the first epoch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from bundle.data import case_items
from bundle.data.cdd_cesm import write_cdd_cesm
from bundle.data.image_check import image_problem
from bundle.experiments.check_data import case_problems, data_problems


def save(path, image):
    """A picture for 8-bit values, NIfTI (columns, rows, 1) for the rest."""
    path = Path(path)
    if image.dtype == np.uint8:
        Image.fromarray(image).save(path)
    else:
        nibabel.save(nibabel.Nifti1Image(image.T[..., None], np.eye(4)), path)
    return str(path)


@pytest.fixture
def breast():
    """(80, 60) left breast of fat 30 with a gland of 200, on air."""
    rows, columns = np.mgrid[:80, :60]
    image = np.where((columns / 40) ** 2 + ((rows - 30) / 28) ** 2 < 1, 30, 0)
    image[20:40, 5:20] = 200
    return image.astype(np.uint8)


@pytest.fixture
def pair(breast, tmp_path):
    """A good pair with a map near the nipple; arguments replace its images, None takes one away."""

    def make(**images):
        seg = np.zeros(breast.shape, np.uint8)
        seg[25:35, 25:35] = 255
        images = {"le": breast, "des": breast // 2, "seg": seg, **images}
        files = {key: save(tmp_path / f"{key}.png", im) for key, im in images.items() if isinstance(im, np.ndarray)}
        paths = {key: path for key, path in images.items() if isinstance(path, str)}
        return {"case_id": "P1_L_CC", **files, **paths}

    return make


def test_a_good_pair_with_and_without_a_map(pair):
    assert case_problems(pair()) == case_problems(pair(seg=None)) == []


class TestPixels:
    def test_image_problem(self):
        assert image_problem(np.array([[0.0, 1.0]])) == ""
        assert image_problem(np.full((2, 2), 7.0)) == "is constant (7 everywhere)"
        assert image_problem(np.array([[0.0, np.nan], [np.inf, 1.0]])) == "holds 2 NaN or infinite pixels"

    @pytest.mark.parametrize("key", ["le", "des"])
    def test_a_constant_image(self, pair, key, tmp_path):
        item = pair(**{key: np.full((80, 60), 9, np.uint8)})
        assert case_problems(item) == [f"P1_L_CC: {key} {tmp_path / key}.png is constant (9 everywhere)."]

    @pytest.mark.parametrize("key", ["le", "des", "seg"])
    def test_an_image_with_nan(self, pair, breast, tmp_path, key):
        image = breast.astype(np.float32)
        image[3, 4:7] = np.nan
        path = save(tmp_path / "nan.nii.gz", image)
        (problem,) = case_problems(pair(**{key: path}))
        assert problem.startswith(f"P1_L_CC: {key} {path} holds 3 NaN or infinite pixels")

    def test_an_empty_map(self, pair, breast, tmp_path):
        assert case_problems(pair(seg=np.zeros_like(breast))) == [
            f"P1_L_CC: seg {tmp_path / 'seg.png'} is constant (0 everywhere): a pair without a lesion has "
            '"seg": null in the datalist.'
        ]


class TestFiles:
    @pytest.mark.parametrize("key", ["le", "des", "seg"])
    def test_a_missing_file(self, pair, tmp_path, key):
        (problem,) = case_problems(pair(**{key: str(tmp_path / "gone.dcm")}))
        assert problem.startswith(f"P1_L_CC: {key}: There is no image file {tmp_path / 'gone.dcm'}.")

    @pytest.mark.parametrize(("name", "said"), [("a.dcm", "lacks 'DICM'"), ("a.png", "PNG"), ("a.txt", "no format")])
    def test_an_unreadable_file(self, pair, tmp_path, name, said):
        (tmp_path / name).write_bytes(b"not an image")
        (problem,) = case_problems(pair(des=str(tmp_path / name)))
        assert problem.startswith("P1_L_CC: des: ")
        assert str(tmp_path / name) in problem
        assert said in problem

    def test_everything_wrong_with_a_pair(self, pair, tmp_path):
        found = case_problems(pair(le=str(tmp_path / "gone.png"), des=np.zeros((4, 4), np.uint8)))
        assert [line.split(":")[1].split()[0] for line in found] == ["le", "des", "images"]


class TestGrid:
    def test_images_of_different_size(self, pair, breast):
        assert case_problems(pair(des=breast[:70])) == [
            "P1_L_CC: images of different size (le 80 x 60, des 70 x 60, seg 80 x 60), expected one grid. "
            "Prepare the data again with --align translate."
        ]

    def test_a_map_of_another_size(self, pair, breast):
        (problem,) = case_problems(pair(seg=breast[:, :50]))
        assert "(le 80 x 60, des 80 x 60, seg 80 x 50)" in problem


class TestMapInsideBreast:
    @pytest.mark.parametrize(
        ("flip", "way"),
        [(np.fliplr, "left to right"), (np.flipud, "top to bottom"), (lambda seg: seg[::-1, ::-1], "both ways")],
    )
    def test_a_mirrored_map_is_refused_and_the_way_back_named(self, pair, breast, tmp_path, flip, way):
        seg = np.zeros_like(breast)
        seg[4:10, 1:5] = 255  # in the breast there, and there alone
        assert case_problems(pair(seg=seg)) == []
        (problem,) = case_problems(pair(seg=flip(seg)))
        assert problem == (
            f"P1_L_CC: seg {tmp_path / 'seg.png'}: only 0% of it lie inside the breast, expected 90%: flipped {way} it "
            "would be 100%, so it is probably mirrored. Correct the file, or take it out of the datalist "
            '("seg": null).'
        )

    def test_a_map_that_no_flip_mends(self, pair, breast):
        seg = np.zeros_like(breast)
        seg[25:35] = 255  # the breast ends in column 39, its margin in column 40: 41 of 60
        (problem,) = case_problems(pair(seg=seg))
        assert "only 68% of it lie inside the breast, expected 90%: it may be of another image." in problem
        assert case_problems(pair(seg=seg), least_inside=0.68) == []

    def test_margin_is_a_share_of_the_longer_side(self, pair, breast):
        seg = np.zeros_like(breast)
        seg[30, 40:44] = 255  # the breast ends at column 39
        assert case_problems(pair(seg=seg), margin=0.05) == []  # 4 pixels of 80
        assert "only 75%" in case_problems(pair(seg=seg), margin=3.9 / 80)[0]
        assert case_problems(pair(seg=seg), margin=3.9 / 80, least_inside=0.75) == []
        assert "only 0%" in case_problems(pair(seg=seg), margin=0.0)[0]

    def test_the_fatty_rim_belongs_to_the_breast(self, pair, breast):
        """Otsu on the grey values finds the gland alone."""
        seg = np.zeros_like(breast)
        seg[20:40, 28:34] = 255
        assert case_problems(pair(seg=seg), margin=0.0) == []

    def test_air_need_not_be_zero(self, pair, breast, tmp_path):
        path = save(tmp_path / "le.nii.gz", breast.astype(np.float32) - 1000)
        seg = np.zeros_like(breast)
        seg[4:10, 1:5] = 255
        assert case_problems(pair(le=path, seg=seg)) == []
        assert "left to right" in case_problems(pair(le=path, seg=seg[:, ::-1]))[0]

    def test_a_large_image_is_judged_on_a_thinned_one(self, pair, breast):
        large = breast.repeat(20, axis=0).repeat(20, axis=1)[:-7, :-3]  # 1593 x 1197, thinned by 3
        seg = np.zeros_like(large)
        seg[1000:1100, 20:100] = 255  # the row 50 of 80 in the small one
        assert case_problems(pair(le=large, des=large, seg=seg)) == []
        assert "left to right" in case_problems(pair(le=large, des=large, seg=seg[:, ::-1]))[0]

    def test_no_breast_at_all(self, pair):
        le = np.zeros((1200, 1000), np.uint8)
        le[1, 1] = 255  # lost when thinned
        seg = np.zeros_like(le)
        seg[:2, :2] = 255
        (problem,) = case_problems(pair(le=le, des=le, seg=seg))
        assert "only 0% of it" in problem


def test_problems_of_all_cases_in_their_order(phantom):
    datalist = json.loads((phantom / "datalist.json").read_text())
    items = case_items(datalist, phantom)
    assert data_problems(items) == []
    for number in (17, 3, 9):
        items[number] = {**items[number], "le": str(phantom / f"gone_{number}.dcm")}
    found = data_problems(items)
    assert [line.split(":")[0] for line in found] == [items[number]["case_id"] for number in (3, 9, 17)]
    assert data_problems([]) == []


class TestRealPairs:
    """CDD-CESM as it comes: cropped by hand, aligned by a shift, with maps that reach the chest wall."""

    def problems(self, source, output, **options):
        datalist = write_cdd_cesm(source, output, align="translate", num_workers=1)
        items = case_items(json.loads(datalist.read_text()), output)
        return items, data_problems(items, **options)

    def test_the_hardest_pass(self, shared_data, tmp_path):
        for path in (shared_data / "cdd_cesm_512").rglob("*"):
            if path.name.startswith(("P255_L_", "P323_L_", "P70_L_")) and path.name.split("_")[3].startswith("CC"):
                copy = tmp_path / "source" / path.relative_to(shared_data)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        items, problems = self.problems(tmp_path / "source", tmp_path / "study")
        assert [item["case_id"] for item in items] == ["P70_L_CC", "P255_L_CC", "P323_L_CC"]
        assert problems == []
        assert "P255_L_CC" in data_problems(items, margin=0.0)[0]  # its map lies in the strip that the LE lost

    @pytest.mark.slow
    def test_all_pass(self, shared_data, tmp_path):
        items, problems = self.problems(shared_data / "cdd_cesm_512", tmp_path / "study")
        assert len(items) == 248
        assert problems == []


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ((50.0, 0.0), "has a window of width 0, expected one above 0"),
        ((500.0, 100.0), "lies outside its window (centre 500, width 100; pixels 0 to 90)"),
        ((50.0, 100.0), ""),
        ((float("nan"), float("nan")), ""),
    ],
)
def test_a_window_that_leaves_nothing_to_see_is_named(window, said):
    image = np.arange(10.0).reshape(2, 5) * 10
    assert image_problem(image, dict(zip(("window_center", "window_width"), window, strict=True))) == said
