"""The paired terms on each engine: their values, whose weights they move, and nothing where they are off."""

from __future__ import annotations

import pytest
import torch
from toys import Gradients, make_batch, make_networks, make_trainer

from bundle.engines import CycleGanEvaluator, CycleGanEvents, PairedTrainer
from bundle.handlers import PairedLossHandler
from bundle.losses import CycleGanLoss

EXACT = {"rtol": 0, "atol": 1e-12}


class Reach:
    """Which networks a loss term of the generators' step has a gradient in."""

    def attach(self, engine):
        engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)

    def __call__(self, engine):
        self.found = {
            term: {name for name, network in engine.networks.items() if reaches(value, network)}
            for term, value in engine.state.loss_terms.items()
        }


def reaches(term, network):
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True) if weights else ()
    return any(gradient is not None and bool(gradient.any()) for gradient in gradients)


def trained(handlers, **kwargs):
    networks = make_networks()
    trainer = make_trainer([make_batch(0), make_batch(1)], networks, handlers, **kwargs)
    trainer.run()
    return networks, trainer.state.output


@pytest.mark.usefixtures("float64")
def test_golden_values_by_hand():
    def compare(engine):
        images, terms = engine.state.output, engine.state.loss_terms
        for term, image, reference in (("paired", "virtual_des", "des"), ("paired_le", "virtual_le", "le")):
            error = (images[image] - images[reference]).abs()
            torch.testing.assert_close(terms[term], 7 * ((1 + 3 * images["seg"]) * error).mean(), **EXACT)
        compared.append(len(images["le"]))

    compared = []
    trainer = make_trainer([make_batch()], handlers=[PairedLossHandler(7, 3, both_ways=True)])
    trainer.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, compare)
    trainer.run()
    assert compared == [1, 1, 1]  # micro-batches


def test_each_term_moves_its_own_generator_alone():
    reach = Reach()
    make_trainer([make_batch(pairs=2)], handlers=[PairedLossHandler(both_ways=True), reach]).run()
    assert reach.found["paired"] == {"gen_le_to_des"}
    assert reach.found["paired_le"] == {"gen_des_to_le"}


def test_the_discriminators_step_is_the_plain_one():
    kept = []
    for handlers in ([], [PairedLossHandler(both_ways=True)]):
        gradients = Gradients()
        make_trainer([make_batch()], make_networks(), [*handlers, gradients]).run()
        kept.append(gradients.kept)
    assert all(torch.equal(*pair) for pair in zip(*(one["disc"] for one in kept), strict=True))
    assert not all(torch.equal(*pair) for pair in zip(*(one["gen"] for one in kept), strict=True))


def test_a_weight_of_0_is_the_base_objective_bit_for_bit():
    (plain, plain_output), (off, off_output) = trained([]), trained([PairedLossHandler(weight=0, both_ways=True)])
    assert plain_output.keys() == off_output.keys()
    assert all(torch.equal(plain_output[key], off_output[key]) for key in plain_output)
    for name in plain:
        assert all(torch.equal(*pair) for pair in zip(plain[name].parameters(), off[name].parameters(), strict=True))


@pytest.mark.usefixtures("float64")
def test_micro_batches_add_up_to_the_whole_batch():
    handlers = [PairedLossHandler(tolerance=1, both_ways=True)]
    (whole, whole_output), (parts, parts_output) = (trained(handlers, micro_batch_size=size) for size in (3, 2))
    torch.testing.assert_close(parts_output["loss_paired"], whole_output["loss_paired"], rtol=0, atol=1e-9)
    for name in whole:
        for pair in zip(whole[name].parameters(), parts[name].parameters(), strict=True):
            torch.testing.assert_close(*pair, rtol=0, atol=1e-9)


def test_validation_has_the_same_terms():
    handler, batch = PairedLossHandler(both_ways=True), make_batch()
    evaluator = CycleGanEvaluator("cpu", [batch], **make_networks(), objective=CycleGanLoss(), val_handlers=[handler])
    evaluator.run()
    output = evaluator.state.output
    assert float(output["loss_paired"]) == pytest.approx(
        10 * float(handler.loss(output["virtual_des"], batch["des"], batch["seg"]))
    )
    names = [name for name in output if name.startswith("loss_")]
    assert {"loss_paired", "loss_paired_le"} < set(names)
    assert float(output["loss"]) == pytest.approx(sum(float(output[name]) for name in names))


def paired_trainer(handler):
    generator = make_networks()["gen_le_to_des"]
    optimizer = torch.optim.Adam(generator.parameters())
    return PairedTrainer("cpu", 1, [make_batch()], generator, optimizer, train_handlers=[handler])


def test_it_is_added_to_the_term_of_the_trainer_on_pairs():
    plain, both = (paired_trainer(PairedLossHandler(weight, lesion_weight=0)) for weight in (0, 2))
    for trainer in (plain, both):
        trainer.run()
    one, three = (float(trainer.state.output["loss_paired"]) for trainer in (plain, both))
    assert three == pytest.approx(3 * one)  # the trainer's own once, the handler's twice


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="weight is -1, expected 0 or more"):
        PairedLossHandler(weight=-1)
    with pytest.raises(ValueError, match="lesion_weight is -1, expected 0 or more"):
        PairedLossHandler(lesion_weight=-1)
    with pytest.raises(
        ValueError, match=r"PairedTrainer trains G alone and makes no virtual_le. Set both_ways to false"
    ):
        paired_trainer(PairedLossHandler(both_ways=True)).run()
