"""The engine against an independent restatement of Eqs 1-7, and what handlers may rely on."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from ignite.engine import Events
from oracle import OraclePool, step
from toys import Gradients, make_batch, make_networks, make_optimizers, make_trainer

from bundle.engines import CycleGanEvents
from bundle.handlers import LesionLossHandler

EXACT = {"rtol": 0, "atol": 1e-9}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("gamma", "lesions", "pool_size", "reduction"),
    list(itertools.product([None, 0.0, 35.0], [True, False], [0, 50], ["image", "lesion"])),
)
def test_iterations_equal_the_equations(gamma, lesions, pool_size, reduction):
    networks = make_networks()
    oracle_networks = copy.deepcopy(networks)
    oracle_optimizers = make_optimizers(oracle_networks)
    pools = OraclePool(pool_size, seed=1), OraclePool(pool_size, seed=2)
    batches = [make_batch(seed, lesions=lesions) for seed in range(3)]
    gradients = Gradients()
    handlers = [gradients] + ([] if gamma is None else [LesionLossHandler(gamma, reduction=reduction)])
    trainer = make_trainer(batches, networks, handlers, pool_size)
    seen = []

    def compare(engine):
        batch = batches[engine.state.iteration - 1]
        losses, generator_gradients, discriminator_gradients = step(
            oracle_networks, oracle_optimizers, pools, batch, gamma, reduction
        )
        got = {key: float(value) for key, value in engine.state.output.items() if key.startswith("loss")}
        assert got == pytest.approx(losses, rel=0, abs=1e-9)
        for mine, oracle in zip(gradients.kept["gen"], generator_gradients, strict=True):
            torch.testing.assert_close(mine, oracle, **EXACT)
        for mine, oracle in zip(gradients.kept["disc"], discriminator_gradients, strict=True):
            torch.testing.assert_close(mine, oracle, **EXACT)
        for name, network in oracle_networks.items():
            for mine, oracle in zip(networks[name].parameters(), network.parameters(), strict=True):
                torch.testing.assert_close(mine, oracle, **EXACT)
        seen.append(engine.state.iteration)

    trainer.add_event_handler(Events.ITERATION_COMPLETED, compare)
    trainer.run()
    assert seen == [1, 2, 3]


@pytest.mark.usefixtures("float64")
def test_a_small_pool_exchanges_images_like_the_oracle():
    networks = make_networks()
    oracle_networks = copy.deepcopy(networks)
    optimizers, pools = make_optimizers(oracle_networks), (OraclePool(2, seed=1), OraclePool(2, seed=2))
    batches = [make_batch(seed) for seed in range(4)]
    make_trainer(batches, networks, [LesionLossHandler(35.0)], pool_size=2).run()
    for batch in batches:
        step(oracle_networks, optimizers, pools, batch, gamma=35.0)
    for name in networks:
        for mine, oracle in zip(networks[name].parameters(), oracle_networks[name].parameters(), strict=True):
            torch.testing.assert_close(mine, oracle, **EXACT)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("reduction", ["image", "lesion"])
@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_micro_batches_add_up_to_the_whole_batch(micro_batch_size, reduction):
    def trained(size):
        networks = make_networks()
        trainer = make_trainer(
            [make_batch(0), make_batch(1)],
            networks,
            [LesionLossHandler(35.0, reduction=reduction)],
            micro_batch_size=size,
        )
        trainer.run()
        return networks, trainer.state.output

    (whole, whole_output), (parts, parts_output) = trained(3), trained(micro_batch_size)
    assert whole_output.keys() == parts_output.keys()
    for key in whole_output:
        torch.testing.assert_close(parts_output[key], whole_output[key], **EXACT)
    for name in whole:
        for mine, other in zip(parts[name].parameters(), whole[name].parameters(), strict=True):
            torch.testing.assert_close(mine, other, **EXACT)


@pytest.mark.usefixtures("float64")
def test_gamma_zero_equals_the_plain_cyclegan():
    trained = []
    for handlers in ([], [LesionLossHandler(0.0)]):
        networks = make_networks()
        make_trainer([make_batch(0), make_batch(1)], networks, handlers).run()
        trained.append([p for network in networks.values() for p in network.parameters()])
    for plain, masked in zip(*trained, strict=True):
        assert torch.equal(plain, masked)


def test_events_fire_in_order_and_a_handler_can_add_a_term():
    order = []

    class AddsATerm:
        def attach(self, engine):
            for event in CycleGanEvents:
                engine.add_event_handler(event, lambda engine, event=event: order.append(event))
            engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)

        def __call__(self, engine):
            engine.state.loss_terms["extra"] = engine.state.output["virtual_des"].mean()

    trainer = make_trainer([make_batch(0, pairs=1)], handlers=[AddsATerm()])
    trainer.run()
    assert order == list(CycleGanEvents)
    output = trainer.state.output
    assert float(output["loss_extra"]) == pytest.approx(float(output["virtual_des"].mean()), abs=1e-6)
    terms = ["adversarial_des", "adversarial_le", "cycle", "identity", "extra"]
    assert float(output["loss"]) == pytest.approx(sum(float(output[f"loss_{term}"]) for term in terms), abs=1e-5)


def test_the_output_is_flat_and_carries_no_graph():
    trainer = make_trainer([make_batch()], handlers=[LesionLossHandler(35.0)])
    trainer.run()
    images = {"le", "des", "seg", "virtual_des", "virtual_le", "cycle_le", "cycle_des", "identity_des", "identity_le"}
    losses = {"adversarial_des", "adversarial_le", "cycle", "identity", "lesion_cycle", "lesion_identity"}
    losses = {"loss"} | {f"loss_{term}" for term in losses | {"disc_des", "disc_le"}}
    assert set(trainer.state.output) == images | losses
    assert not any(value.requires_grad for value in trainer.state.output.values())
    assert all(trainer.state.output[key].shape == (3, 1, 32, 32) for key in images)


def test_discriminators_learn_from_their_own_gradients_alone():
    """After the generators' backward pass no gradient may have leaked into a discriminator."""
    leaked = []

    class Leaks:
        def attach(self, engine):
            engine.add_event_handler(CycleGanEvents.GENERATOR_MODEL_COMPLETED, self)

        def __call__(self, engine):
            leaked.extend(p.grad for name in ("disc_des", "disc_le") for p in engine.networks[name].parameters())

    make_trainer([make_batch()], handlers=[Leaks()]).run()
    assert leaked
    assert all(gradient is None for gradient in leaked)


def test_bf16_trains_and_stays_near_fp32():
    outputs = {}
    for precision in ("fp32", "bf16"):
        trainer = make_trainer([make_batch()], precision=precision)
        trainer.run()
        outputs[precision] = trainer.state.output
        assert outputs[precision]["virtual_des"].dtype == torch.float32
    assert float(outputs["bf16"]["loss"]) == pytest.approx(float(outputs["fp32"]["loss"]), rel=0.05)
    assert float(outputs["bf16"]["loss"]) != float(outputs["fp32"]["loss"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_fp16_scales_its_gradients_on_cuda():
    networks = {name: network.cuda() for name, network in make_networks().items()}
    trainer = make_trainer([make_batch()], networks, device="cuda", precision="fp16")
    trainer.run()
    assert trainer.generator_scaler.get_scale() > 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"precision": "fp8"}, "expected one of fp32, bf16, fp16"),
        ({"precision": "fp16"}, "needs a CUDA device"),
        ({"micro_batch_size": 0}, "micro_batch_size is 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        make_trainer([make_batch()], **arguments)


def test_a_batch_without_des_or_of_two_shapes_is_refused():
    batch = make_batch()
    with pytest.raises(ValueError, match="lacks des"):
        make_trainer([{"le": batch["le"]}]).run()
    with pytest.raises(ValueError, match="must be of one shape"):
        make_trainer([{**batch, "des": batch["des"][..., :16]}]).run()


def test_a_batch_without_maps_trains_with_lesion_terms_of_zero():
    batch = make_batch()
    del batch["seg"]
    trainer = make_trainer([batch], handlers=[LesionLossHandler(100.0)])
    trainer.run()
    assert float(trainer.state.output["loss_lesion_cycle"]) == 0
    assert float(trainer.state.output["loss_lesion_identity"]) == 0
