"""The evaluator: the same terms as the trainer, or the virtual DES alone."""

from __future__ import annotations

import pytest
import torch
from oracle import generator_terms
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.handlers import LesionLossHandler
from bundle.losses import CycleGanLoss


@pytest.mark.usefixtures("float64")
def test_validation_computes_the_same_terms_as_the_equations():
    networks, batch = make_networks(), make_batch()
    evaluator = CycleGanEvaluator(
        "cpu", [batch], **networks, objective=CycleGanLoss(), val_handlers=[LesionLossHandler(35.0)]
    )
    evaluator.run()
    terms, virtual_des, _ = generator_terms(*networks.values(), batch["le"], batch["des"], batch["seg"], gamma=35.0)
    for name, term in terms.items():
        torch.testing.assert_close(evaluator.state.output[f"loss_{name}"], term.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(evaluator.state.output["loss"], sum(terms.values()).detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(evaluator.state.output["virtual_des"], virtual_des.detach(), rtol=0, atol=1e-9)
    assert not any(value.requires_grad for value in evaluator.state.output.values())


def test_one_generator_is_enough_to_evaluate():
    networks = make_networks()
    evaluator = CycleGanEvaluator("cpu", [make_batch()], networks["gen_le_to_des"])
    evaluator.run()
    assert set(evaluator.state.output) == {"le", "des", "seg", "virtual_des"}


def test_half_an_objective_is_refused():
    networks = make_networks()
    with pytest.raises(ValueError, match="disc_des, disc_le, objective is missing"):
        CycleGanEvaluator("cpu", [], networks["gen_le_to_des"], networks["gen_des_to_le"])
    with pytest.raises(ValueError, match="expected one of fp32"):
        CycleGanEvaluator("cpu", [], networks["gen_le_to_des"], precision="fp12")
