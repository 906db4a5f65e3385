"""The epoch that grows with its cases is one of the product's loop."""

import pytest

from bundle.benchmark.epochs import epoch_seconds
from bundle.engines.augmented_batch import AugmentedBatch
from bundle.engines.joint_batches import JointBatches
from bundle.handlers import EpochSeed, LesionLossHandler, LossCurves, Progress
from bundle.transforms.batch_affine import BatchAugmentation

PARTS = {
    "order": (JointBatches, "__iter__"),
    "prepare": (AugmentedBatch, "__call__"),
    "augmentation": (BatchAugmentation, "__call__"),
    "seed": (EpochSeed, "__call__"),
    "lesion losses": (LesionLossHandler, "__call__"),
    "curves": (LossCurves, "write"),
    "progress": (Progress, "iteration_completed"),
}


def test_all_parts_of_the_loop_work_and_nothing_is_shown(monkeypatch, capsys):
    calls = dict.fromkeys(PARTS, 0)

    def counted(part, method):
        def work(*given, **named):
            calls[part] += 1
            return method(*given, **named)

        return work

    for part, (kind, name) in PARTS.items():
        monkeypatch.setattr(kind, name, counted(part, getattr(kind, name)))
    timings = epoch_seconds(3, repeats=1, batch_size=2)
    assert len(timings.wall) == 1
    an_epoch, a_batch = 2, 4  # a round that does not count and one that does; two batches each
    each = {part: an_epoch if part in ("order", "seed", "curves") else a_batch for part in PARTS}
    assert calls == each
    assert capsys.readouterr() == ("", "")


def test_no_case_is_refused():
    with pytest.raises(ValueError, match="cases is 0, expected 1 or more"):
        epoch_seconds(0)
