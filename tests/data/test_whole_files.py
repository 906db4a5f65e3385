"""A file is there whole or not at all, and images come back as they were."""

import numpy as np
import pandas as pd
import pytest

from bundle.data.images import read_image
from bundle.data.whole_files import beside, write_image, write_json, write_table


def test_what_fails_leaves_the_former_file_and_nothing_else(tmp_path):
    path = write_json(tmp_path / "new" / "a.json", {"ä": 1})
    assert path.read_text(encoding="utf-8") == '{\n "ä": 1\n}\n'
    with pytest.raises(ZeroDivisionError), beside(path) as place:
        _ = place.write_text("half"), 1 / 0
    assert path.read_text(encoding="utf-8") == '{\n "ä": 1\n}\n'
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_a_table(tmp_path):
    path = write_table(pd.DataFrame({"path": ["a, b"], "share": [1 / 3]}), tmp_path / "a.csv")
    assert path.read_text() == 'path,share\n"a, b",0.333333333\n'


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (np.array([[0, 255, 7]], np.uint8), "a.png"),
        (np.array([[0, 65535, 7]], np.uint16), "a.png"),
        (np.array([[0.0, 4095.0, 7.0]], np.float32), "a.png"),
        (np.array([[0.0, 0.5, 7.0]], np.float32), "a.nii.gz"),
        (np.array([[-1.0, 3.0, 7.0]], np.float32), "a.nii.gz"),
        (np.array([[0.0, 70000.0, 7.0]], np.float32), "a.nii.gz"),
    ],
)
def test_images_come_back_as_they_were(tmp_path, image, name):
    path = write_image(tmp_path, "a", image)
    assert path == tmp_path / name
    np.testing.assert_array_equal(read_image(path)[0], image)


def test_a_map_is_black_and_white(tmp_path):
    path = write_image(tmp_path, "seg", np.array([[True, False]]))
    np.testing.assert_array_equal(read_image(path)[0], [[255, 0]])
