"""What makes a training faster does not make it another one."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import Gradients, make_batch, make_networks, make_trainer

from bundle.engines import CycleGanTrainer, ImagePool
from bundle.engines.machine import set_up_machine
from bundle.handlers import FailureMonitor, LesionLossHandler, LossCurves
from bundle.losses import CycleGanLoss

EXACT = {"rtol": 0, "atol": 1e-9}


def trained(batches=None, **levers):
    networks = make_networks()
    batches = [make_batch(0), make_batch(1)] if batches is None else batches
    trainer = make_trainer(batches, networks, [LesionLossHandler(35.0)], **levers)
    trainer.run()
    return {name: network.state_dict() for name, network in networks.items()}, trainer.state.output


def assert_equal(one, other, **tolerance):
    for networks in zip(one[0].values(), other[0].values(), strict=True):
        for key in networks[0]:
            torch.testing.assert_close(networks[0][key], networks[1][key], **tolerance)
    for key in one[1]:
        torch.testing.assert_close(one[1][key], other[1][key], **tolerance)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("micro_batch_size", [1, 3])
@pytest.mark.parametrize("lever", ["channels_last", "batched_calls"])
def test_a_lever_changes_no_weight_and_no_loss(lever, micro_batch_size):
    plain = trained(micro_batch_size=micro_batch_size)
    assert_equal(trained(micro_batch_size=micro_batch_size, **{lever: True}), plain, **EXACT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_compiled_networks_train_like_eager_ones():
    """In one step: Adam makes something of the rounding error of a bias that instance norm takes out again."""
    (eager, images), (compiled, compiled_images) = (
        trained([make_batch(0)], compile=mode) for mode in (None, "default")
    )
    for key, image in images.items():
        torch.testing.assert_close(compiled_images[key], image, rtol=1e-4, atol=1e-5)
    assert [list(state) for state in compiled.values()] == [list(state) for state in eager.values()]


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="compile is 'fast', expected null or one of default, reduce-overhead"):
        make_trainer([make_batch(0)], compile="fast")


@pytest.mark.usefixtures("float64")
def test_weighted_shares_of_two_processes_add_up_to_the_joint_batch():
    """Gradients of shares of 2 and 1 pairs, weighted and averaged, against those of all 3."""

    def gradients(batch, weight=None):
        keeper = Gradients()
        trainer = make_trainer([batch], handlers=[keeper, LesionLossHandler(35.0)], batch_weight=weight)
        trainer.run()
        return keeper.kept, float(trainer.state.output["loss"])

    joint, joint_loss = gradients(make_batch(0))
    first, first_loss = gradients({key: image[:2] for key, image in make_batch(0).items()}, lambda number: 2 * 2 / 3)
    second, second_loss = gradients({key: image[2:] for key, image in make_batch(0).items()}, lambda number: 2 * 1 / 3)
    assert (first_loss + second_loss) / 2 == pytest.approx(joint_loss, abs=1e-9)
    # the discriminators judge images of generators that have stepped nowhere yet, so their gradients add up as well
    for kind in ("gen", "disc"):
        for mine, one, other in zip(joint[kind], first[kind], second[kind], strict=True):
            torch.testing.assert_close((one + other) / 2, mine, **EXACT)


def test_the_weight_is_asked_for_by_the_number_in_the_epoch():
    asked = []
    make_trainer([make_batch(0), make_batch(1)], max_epochs=2, batch_weight=lambda n: asked.append(n) or 1.0).run()
    assert asked == [0, 0, 1, 1, 0, 0, 1, 1]  # of the generators and of the discriminators


class Questions(TorchDispatchMode):
    """Counts how often a program asks for the value of a tensor: on a GPU it would wait there."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.asked += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_the_loop_asks_the_device_once_an_epoch_and_not_once_a_step():
    def asked(steps):
        networks = make_networks()
        parameters = {name: list(network.parameters()) for name, network in networks.items()}
        trainer = CycleGanTrainer(
            device="cpu",
            max_epochs=1,
            train_data_loader=[make_batch(seed) for seed in range(steps)],
            **networks,
            generator_optimizer=torch.optim.SGD(parameters["gen_le_to_des"] + parameters["gen_des_to_le"]),
            discriminator_optimizer=torch.optim.SGD(parameters["disc_des"] + parameters["disc_le"]),
            objective=CycleGanLoss(),
            pool_des=ImagePool(0),
            pool_le=ImagePool(0),
            train_handlers=[LesionLossHandler(35.0), LossCurves(), evaluator_free_monitor()],
        )
        with Questions() as questions:
            trainer.run()
        return questions.asked

    assert asked(4) == asked(2) <= 2


def evaluator_free_monitor():
    from ignite.engine import Engine

    return FailureMonitor(Engine(lambda engine, batch: None))


def test_the_question_is_noticed():
    with Questions() as questions:
        float(torch.ones(()))
    assert questions.asked == 1


def test_fp32_on_cuda_is_exact_and_the_rest_is_fast():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        set_up_machine("cuda", "fp32", deterministic=True)
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.deterministic
        set_up_machine("cuda", "bf16", deterministic=False)
        assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
