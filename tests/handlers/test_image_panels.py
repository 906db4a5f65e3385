"""The same cases at every validation, as files and in TensorBoard."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.handlers import ImagePanels, image_panels


class Writer:
    def __init__(self):
        self.images = []

    def add_image(self, tag, image, global_step, dataformats):
        self.images.append((tag, image, global_step, dataformats))


def batches(*lesions: bool) -> list[dict]:
    """Batches of two pairs, with a lesion or not, in this order; cases are called a, b, c, ..."""
    made = []
    for start in range(0, len(lesions), 2):
        batch = make_batch(start, pairs=2, lesions=False)
        batch["case_id"] = [chr(ord("a") + start + place) for place in range(2)]
        for place in range(2):
            batch["seg"][place, 0, 8:12, 8:12] = float(lesions[start + place])
        made.append(batch)
    return made


@pytest.fixture
def shown(monkeypatch):
    """What went into each panel."""
    panels = []

    def case_panel(cases, **kwargs):
        panels.append((cases, kwargs))
        return original(cases, **kwargs)

    original = image_panels.case_panel
    monkeypatch.setattr(image_panels, "case_panel", case_panel)
    return panels


def validate(data, panels, epochs=(1,), rank=0) -> CycleGanEvaluator:
    evaluator = CycleGanEvaluator("cpu", data, make_networks()["gen_le_to_des"])
    evaluator.state.rank = rank
    panels.attach(evaluator)
    for epoch in epochs:
        evaluator.run(epoch)
    return evaluator


def names(shown) -> list[str]:
    return ["".join(case["case_id"] for case in cases) for cases, _ in shown]


@pytest.mark.parametrize(
    ("lesions", "num_cases", "expected"),
    [
        ((False, True, False, True, True, False), 2, "bd"),
        ((False, True, False, True, False, False), 3, "bda"),  # filled up with the first without
        ((False, False, False, False), 3, "abc"),
        ((False, True), 4, "ba"),  # fewer than asked for
        ((False, False, False, True), 1, "d"),
    ],
)
def test_cases_with_a_lesion_come_first(tmp_path, shown, lesions, num_cases, expected):
    validate(batches(*lesions), ImagePanels(tmp_path, num_cases=num_cases))
    assert names(shown) == [expected]


def test_the_same_cases_are_shown_at_every_validation(tmp_path, shown):
    data, panels = batches(False, True, False, True), ImagePanels(tmp_path, num_cases=3)
    evaluator = validate(data, panels, epochs=[2, 4])
    for batch in data:
        batch["seg"] = 1 - batch["seg"]  # even where other cases now have a lesion
    data.reverse()
    evaluator.run(6)
    assert names(shown) == ["bda"] * 3
    files = [f"panel_epoch_000{epoch}.png" for epoch in (2, 4, 6)]
    assert sorted(file.name for file in tmp_path.iterdir()) == files
    assert [kwargs["title"] for _, kwargs in shown] == ["epoch 2", "epoch 4", "epoch 6"]


def test_the_images_are_those_of_the_case(tmp_path, shown):
    data = batches(False, True, True, False)
    evaluator = validate(data, ImagePanels(tmp_path, num_cases=2))
    first, second = shown[0][0]
    for key in ("le", "des", "seg"):
        np.testing.assert_array_equal(first[key], data[0][key][1, 0])
        np.testing.assert_array_equal(second[key], data[1][key][0, 0])
    np.testing.assert_array_equal(second["virtual_des"], evaluator.state.output["virtual_des"][0, 0])


def test_a_case_that_is_no_longer_there_is_left_out(tmp_path, shown):
    data, panels = batches(False, True, False, True), ImagePanels(tmp_path, num_cases=2)
    evaluator = validate(data, panels)
    data[1]["case_id"] = ["x", "y"]
    evaluator.run(2)
    data[0]["case_id"] = ["v", "w"]
    evaluator.run(3)
    assert names(shown) == ["bd", "b"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_picture_is_written_to_the_folder_and_to_tensorboard(tmp_path):
    writer = Writer()
    validate(batches(True, False), ImagePanels(tmp_path / "new", writer=writer, name="fixed"), epochs=[3])
    with Image.open(tmp_path / "new" / "fixed_epoch_0003.png") as picture:
        assert min(picture.size) > 100
    ((tag, image, step, dataformats),) = writer.images
    assert (tag, step, dataformats) == ("fixed", 3, "HWC")
    assert image.shape[2] == 3
    assert image.shape[1] > image.shape[0] > 100
    assert len(image.flatten().unique()) > 10


def test_tensorboard_itself_takes_the_picture(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard.SummaryWriter(tmp_path / "log") as writer:
        validate(batches(True, False), ImagePanels(tmp_path, writer=writer), epochs=[5])
    events = EventAccumulator(str(tmp_path / "log")).Reload()
    (image,) = events.Images("panel")
    assert image.step == 5


def test_one_file_for_an_evaluation(tmp_path, shown):
    validate(batches(True, False), ImagePanels(tmp_path, every_epoch=False), epochs=[1, 2])
    assert [file.name for file in tmp_path.iterdir()] == ["panel.png"]
    assert [kwargs["title"] for _, kwargs in shown] == ["", ""]


def test_only_the_first_process_writes(tmp_path):
    validate(batches(True, False), ImagePanels(tmp_path), rank=1)
    assert list(tmp_path.iterdir()) == []
