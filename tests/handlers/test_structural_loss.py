"""The structural term: its value, its precision, whose weights it moves, and nothing where it is off."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine
from toys import make_batch, make_networks, make_trainer

from bundle.engines import CycleGanEvaluator, CycleGanEvents
from bundle.handlers import StructuralLossHandler
from bundle.losses import CycleGanLoss
from bundle.metrics.image_quality import ssim


def term_of(handler, virtual_des, des):
    engine = Engine(lambda *_: None)
    engine.state.output, engine.state.loss_terms = {"virtual_des": virtual_des, "des": des}, {}
    handler(engine)
    return engine.state.loss_terms["structural"]


def test_golden_value_by_hand():
    # flat images have no variance: what is left is the luminance, (2 a b + C1) / (a^2 + b^2 + C1), C1 = 0.01^2
    flat = [torch.full((1, 1, 16, 16), value) for value in (0.5, 0.25)]
    luminance = (2 * 0.5 * 0.25 + 1e-4) / (0.25 + 0.0625 + 1e-4)
    assert float(term_of(StructuralLossHandler(4.0), *flat)) == pytest.approx(4 * (1 - luminance), abs=1e-4)
    assert float(term_of(StructuralLossHandler(), flat[0], flat[0])) == pytest.approx(0, abs=1e-6)


def test_it_is_one_minus_the_metric():
    batch = make_batch()
    expected = 1 - float(ssim(batch["le"], batch["des"]).mean())
    assert float(term_of(StructuralLossHandler(), batch["le"], batch["des"])) == pytest.approx(expected, abs=1e-6)


def test_it_keeps_full_precision_where_the_networks_run_in_bf16():
    seen = []

    def compare(engine):
        virtual_des, des = (engine.state.output[key] for key in ("virtual_des", "des"))
        term = engine.state.loss_terms["structural"].detach()
        assert term.dtype == torch.float32
        assert float(term) == pytest.approx(1 - float(ssim(virtual_des.detach(), des).mean()), abs=1e-5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(term_of(StructuralLossHandler(), virtual_des, des).detach(), term)
        seen.append(engine.state.iteration)

    trainer = make_trainer([make_batch()], handlers=[StructuralLossHandler()], precision="bf16", micro_batch_size=3)
    trainer.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, compare)
    trainer.run()
    assert seen == [1]
    assert math.isfinite(float(trainer.state.output["loss"]))


def test_it_moves_g_alone():
    found = {}

    def look(engine):
        for name, network in engine.networks.items():
            weights = [weight for weight in network.parameters() if weight.requires_grad]
            term = engine.state.loss_terms["structural"]
            gradients = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True) if weights else ()
            found[name] = any(gradient is not None and bool(gradient.any()) for gradient in gradients)

    trainer = make_trainer([make_batch(pairs=1)], handlers=[StructuralLossHandler()])
    trainer.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, look)
    trainer.run()
    assert found == {"gen_le_to_des": True, "gen_des_to_le": False, "disc_des": False, "disc_le": False}


def test_a_weight_of_0_is_the_base_objective_bit_for_bit():
    weights = []
    for handlers in ([], [StructuralLossHandler(weight=0)], [StructuralLossHandler()]):
        networks = make_networks()
        make_trainer([make_batch()], networks, handlers).run()
        weights.append([weight for network in networks.values() for weight in network.parameters()])
    plain, off, on = weights
    assert all(torch.equal(*pair) for pair in zip(plain, off, strict=True))
    assert not all(torch.equal(*pair) for pair in zip(plain, on, strict=True))


def test_validation_has_the_same_term():
    evaluator = CycleGanEvaluator(
        "cpu", [make_batch()], **make_networks(), objective=CycleGanLoss(), val_handlers=[StructuralLossHandler(2.0)]
    )
    evaluator.run()
    output = evaluator.state.output
    expected = 2 * (1 - float(ssim(output["virtual_des"], output["des"]).mean()))
    assert float(output["loss_structural"]) == pytest.approx(expected, abs=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="weight is -1, expected 0 or more"):
        StructuralLossHandler(weight=-1)
    with pytest.raises(ValueError, match="window is 10, expected an odd whole number of pixels"):
        StructuralLossHandler(window=10)
    small = torch.zeros(1, 1, 8, 16)
    with pytest.raises(ValueError, match=r"images of \(8, 16\) are smaller than the window of 11 pixels"):
        term_of(StructuralLossHandler(), small, small)
