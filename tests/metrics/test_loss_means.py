"""Means of the objective's terms over an evaluation."""

from __future__ import annotations

import pytest
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.handlers import LesionLossHandler
from bundle.losses import CycleGanLoss
from bundle.metrics import LossMeans


def test_terms_are_means_over_images_and_add_up_to_the_total():
    networks, batches = make_networks(), [make_batch(0, pairs=3), make_batch(1, pairs=1)]

    def metrics_of(batches):
        # Workflow computes further metrics only beside a key metric; here it is the same one
        evaluator = CycleGanEvaluator(
            "cpu",
            batches,
            **networks,
            objective=CycleGanLoss(),
            val_handlers=[LesionLossHandler(35.0)],
        )
        LossMeans().attach(evaluator, "val_generator")
        evaluator.run()
        return evaluator.state.metrics

    both = metrics_of(batches)
    terms = {"adversarial_des", "adversarial_le", "cycle", "identity", "lesion_cycle", "lesion_identity", "total"}
    assert set(both) == {f"val_generator_{term}" for term in terms}
    singles = [metrics_of([batch]) for batch in batches]
    for name, value in both.items():
        assert value == pytest.approx((3 * singles[0][name] + singles[1][name]) / 4, rel=1e-6)
    parts = sum(value for name, value in both.items() if not name.endswith("total"))
    assert both["val_generator_total"] == pytest.approx(parts, rel=1e-5)
