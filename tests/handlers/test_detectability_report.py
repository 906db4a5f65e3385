"""What the detectability of a test part leaves on the disk."""

from __future__ import annotations

import json

import pytest
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.handlers.detectability_report import DetectabilityReport


@pytest.fixture
def report(tmp_path):
    def report(lesions=True, pairs=3, rank=0):
        batches = [
            make_batch(seed, pairs, size=48, lesions=lesions) | {"case_id": [f"{seed}{i}" for i in range(pairs)]}
            for seed in (1, 2)[: 2 if pairs > 1 else 1]
        ]
        training = [{key: value[0] for key, value in make_batch(seed, size=48).items()} for seed in (3, 4)]
        handler = DetectabilityReport(tmp_path / "eval", training, "cyclegan", floor_constant=0.3, size=32, steps=2)
        evaluator = CycleGanEvaluator("cpu", batches, make_networks()["gen_le_to_des"])
        evaluator.state.rank = rank
        handler.attach(evaluator)
        evaluator.run()
        evaluator.run()  # each run begins anew
        path = tmp_path / "eval/detectability.json"
        return json.loads(path.read_text()) if path.exists() else None

    return report


def test_dice_and_distance_of_the_model_beside_the_floor(report):
    found = report()
    assert set(found["lesion_dice"]) == {"real", "cyclegan", "floor_le", "floor_constant"}
    for column in ("kid_random_features", "kid_random_features_sd"):
        assert set(found[column]) == {"cyclegan", "floor_le", "floor_constant"}
    assert (found["training_images"], found["test_images"], found["test_images_with_lesion"]) == (2, 6, 4)
    assert [image["case_id"] for image in found["images"]] == ["10", "11", "20", "21"]
    mean = sum(image["cyclegan"] for image in found["images"]) / 4
    assert found["lesion_dice"]["cyclegan"] == pytest.approx(mean)
    assert report() == found


def test_what_cannot_be_had_is_null_with_its_reason(report):
    found = report(lesions=False)
    assert found["lesion_dice"] is None
    assert "none of the 6 test images has a lesion map" in found["lesion_dice_reason"]
    assert found["kid_random_features"] is not None
    found = report(pairs=1)
    assert found["kid_random_features"] is None
    assert "there are 1" in found["kid_random_features_reason"]


def test_only_the_first_process_writes(report):
    assert report(rank=1) is None
