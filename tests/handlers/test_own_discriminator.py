"""A further discriminator: its term, its own training, the views it takes, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from toys import make_batch, make_networks, make_trainer

from bundle.engines import CycleGanEvaluator, CycleGanEvents, PairedTrainer
from bundle.handlers import LossCurves, OwnDiscriminator, TrainingState
from bundle.handlers.lesion_crops import LesionCrops
from bundle.handlers.own_discriminator import beside_le
from bundle.losses import CycleGanLoss
from bundle.networks import PatchDiscriminator

BASE = ["gen_le_to_des", "gen_des_to_le", "disc_des", "disc_le"]


def own(view="beside_le", weight=1.0, channels=None, name="disc_pair", **kwargs) -> OwnDiscriminator:
    torch.manual_seed(7)
    discriminator = PatchDiscriminator(channels or (2 if view == "beside_le" else 1), width=4, **kwargs)
    return OwnDiscriminator(discriminator, torch.optim.Adam(discriminator.parameters(), lr=1e-3), weight, view, name)


def crops(**kwargs) -> OwnDiscriminator:
    return own(LesionCrops(24), name="disc_crops", **kwargs)


def paired_trainer(batches, handlers) -> PairedTrainer:
    generator = make_networks()["gen_le_to_des"]
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    return PairedTrainer("cpu", 1, batches, generator, optimizer, train_handlers=handlers)


def weights(networks) -> list[torch.Tensor]:
    return [value.clone() for network in networks.values() for value in network.state_dict().values()]


def all_equal(one, other) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


class TestTheTermAndTheStepByHand:
    """D = LE + DES at each pixel, of constant images."""

    def engine(self, handler):
        images = {"le": torch.full((2, 1, 4, 4), 0.5), "des": torch.full((2, 1, 4, 4), 0.75)}
        self.virtual_des = torch.full((2, 1, 4, 4), 0.25, requires_grad=True)

        def iteration(engine, _):
            engine.state.output = {**images, "virtual_des": self.virtual_des}
            engine.state.loss_terms = {}
            engine.fire_event(CycleGanEvents.GENERATOR_LOSS_COMPLETED)
            sum(engine.state.loss_terms.values()).backward()
            self.terms = {name: float(term.detach()) for name, term in engine.state.loss_terms.items()}
            self.leaked = [parameter.grad for parameter in handler.discriminator.parameters()]
            return {**images, "virtual_des": self.virtual_des.detach()}

        engine = Engine(iteration)
        engine.register_events(*CycleGanEvents)
        handler.attach(engine)
        return engine

    def test_both_sides(self):
        discriminator = torch.nn.Conv2d(2, 1, 1, bias=False)
        torch.nn.init.ones_(discriminator.weight)
        handler = OwnDiscriminator(discriminator, torch.optim.SGD(discriminator.parameters(), lr=0.1), weight=2.0)
        engine = self.engine(handler)
        engine.run([0])
        assert self.terms == pytest.approx({"adversarial_pair": 2 * 0.25**2})
        assert self.leaked == [None]
        torch.testing.assert_close(self.virtual_des.grad, torch.full((2, 1, 4, 4), 2 * 2 * -0.25 / 32))
        assert float(engine.state.output["loss_disc_pair"]) == pytest.approx(0.5 * (0.25**2 + 0.75**2))
        gradient = torch.tensor([0.25 * 0.5 + 0.75 * 0.5, 0.25 * 0.75 + 0.75 * 0.25])
        torch.testing.assert_close(discriminator.weight.flatten().detach(), 1 - 0.1 * gradient)


@pytest.mark.parametrize("make", [own, crops])
def test_both_trainers_train_it_and_show_its_losses(make):
    for trainer_of in (make_trainer, paired_trainer):
        handler = make()
        before = weights({"d": handler.discriminator})
        trainer = trainer_of([make_batch(0), make_batch(1)], handlers=[LossCurves(), handler])
        trainer.run()
        assert not all_equal(before, weights({"d": handler.discriminator}))
        steps = {int(state["step"]) for state in handler.optimizer.state_dict()["state"].values()}
        assert steps == {2}
        output = trainer.state.output
        terms = [key for key in output if key.startswith("loss_") and not key.startswith("loss_disc")]
        assert f"loss_{handler.term}" in terms
        assert float(output["loss"]) == pytest.approx(sum(float(output[term]) for term in terms), abs=1e-5)
        assert not output[f"loss_{handler.name}"].requires_grad
    assert f"loss_{handler.term}" in trainer.state.metrics


def test_curves_that_were_attached_before_it_see_its_loss():
    trainer = make_trainer([make_batch(0), make_batch(1)], handlers=[LossCurves(), own()])
    trainer.run()
    assert 0 < trainer.state.metrics["loss_disc_pair"] < 1


def trained(handlers, batches=None, **kwargs):
    networks = make_networks()
    trainer = make_trainer(batches or [make_batch(0), make_batch(1)], networks, handlers, **kwargs)
    trainer.run()
    return weights(networks), trainer


def test_off_is_the_base_objective_bit_for_bit():
    base, _ = trained([])
    handler = own(weight=0.0)
    off, trainer = trained([handler])
    assert all_equal(base, off)
    assert "loss_disc_pair" not in trainer.state.output
    assert not all_equal(base, trained([own()])[0])


def test_a_batch_without_lesions_adds_nothing_and_takes_no_step():
    batches = [make_batch(0, lesions=False), make_batch(1, lesions=False)]
    handler = crops()
    before = weights({"d": handler.discriminator})
    with_it, trainer = trained([handler], batches)
    assert all_equal(trained([], batches)[0], with_it)
    assert all_equal(before, weights({"d": handler.discriminator}))
    assert handler.optimizer.state_dict()["state"] == {}
    assert [float(trainer.state.output[f"loss_{name}"]) for name in ("adversarial_crops", "disc_crops")] == [0, 0]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("make", [own, crops])
def test_micro_batches_add_up_to_the_whole_batch(make):
    """Also where an image of the batch has no lesion."""
    results = []
    for size in (3, 1):
        handler = make()
        networks, trainer = trained([handler], micro_batch_size=size)
        losses = [trainer.state.output[f"loss_{name}"] for name in (handler.term, handler.name)]
        results.append([*networks, *weights({"d": handler.discriminator}), *losses])
    for whole, parts in zip(*results, strict=True):
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-9)


def test_an_image_without_a_lesion_counts_as_zero():
    handler, batch = crops(), make_batch()
    images = {**batch, "virtual_des": torch.rand_like(batch["des"])}
    engine = Engine(lambda *_: None)
    with torch.no_grad():
        both = handler._error(engine, images, "virtual_des", 1.0)
        views = LesionCrops(24)(images, "virtual_des")
        assert len(views) == 2
        assert float(both) == pytest.approx(float((handler.discriminator(views) - 1).square().mean()) * 2 / 3)


def test_an_evaluator_has_the_term_and_trains_nothing():
    handler, networks = crops(), make_networks()
    before = weights({"d": handler.discriminator})
    evaluator = CycleGanEvaluator("cpu", [make_batch()], **networks, objective=CycleGanLoss(), val_handlers=[handler])
    evaluator.run()
    output = evaluator.state.output
    expected = handler._error(evaluator, output, "virtual_des", 1.0).detach()
    assert float(output["loss_adversarial_crops"]) == pytest.approx(float(expected))
    assert "loss_disc_crops" not in output
    assert all_equal(before, weights({"d": handler.discriminator}))
    assert all(parameter.requires_grad for parameter in handler.discriminator.parameters())


def test_a_resumed_run_equals_the_straight_one(tmp_path):
    def run(folder, epochs, resume=False):
        handlers = [own(), crops()]
        if resume:  # whatever these begin with is replaced
            for handler in handlers:
                torch.nn.init.ones_(next(handler.discriminator.parameters()))
        parts = {handler.name: handler for handler in handlers}
        state = TrainingState(tmp_path / folder, parts=parts, resume=resume)
        make_trainer([make_batch(pairs=2)], handlers=[state, *handlers], max_epochs=epochs).run()
        saved = torch.load(tmp_path / folder / "checkpoint.pt", weights_only=True)
        optimizers = [saved["parts"][name]["optimizer"]["state"] for name in parts]
        moments = [value for states in optimizers for state in states.values() for value in state.values()]
        networks = [*saved["networks"].values(), *(saved["parts"][name]["discriminator"] for name in parts)]
        return [value for network in networks for value in network.values()] + moments

    straight = run("straight", 3)
    run("parts", 2)
    resumed = run("parts", 3, resume=True)
    assert len(straight) > 4 * len(list(own().discriminator.parameters()))
    assert all_equal(straight, resumed)


def test_bf16_follows_the_engine():
    handler, seen = own(), []
    handler.discriminator.layers[-2].register_forward_hook(lambda *parts: seen.append(parts[-1].dtype))
    trainer = make_trainer([make_batch()], handlers=[handler], precision="bf16")
    trainer.run()
    assert set(seen) == {torch.bfloat16}
    assert trainer.state.output["loss_disc_pair"].dtype == torch.float32


def test_it_steps_once_an_iteration_where_the_engine_fires_no_model_event():
    handler, trainer = own(), make_trainer([make_batch()] * 2, handlers=[])
    handler.attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, handler.train)  # once more
    trainer.run()
    assert {int(state["step"]) for state in handler.optimizer.state_dict()["state"].values()} == {2}


def test_the_view_beside_le():
    batch = make_batch()
    view = beside_le(batch, "des")
    assert torch.equal(view[:, :1], batch["le"])
    assert torch.equal(view[:, 1:], batch["des"])


class TestLesionCrops:
    def crop(self, pixels, size=5, side=16):
        """Rows and columns of the crop, of an image that says where it is."""
        places = torch.arange(side * side, dtype=torch.float32).view(1, 1, side, side)
        seg = torch.zeros(1, 1, side, side)
        for row, column in pixels:
            seg[0, 0, row, column] = 1
        (crop,) = LesionCrops(size)({"seg": seg, "des": places}, "des")
        assert crop.shape == (1, size, size)
        first = int(crop[0, 0, 0])
        assert torch.equal(crop[0], places[0, 0, first // side :, first % side :][:size, :size])
        return first // side, first % side

    def test_lies_around_the_middle_of_the_box(self):
        assert self.crop([(6, 8)]) == (4, 6)
        assert self.crop([(row, column) for row in range(4, 9) for column in range(6, 11)]) == (4, 6)
        assert self.crop([(row, column) for row in range(4, 12) for column in range(3, 11)], size=8) == (4, 3)

    def test_is_shifted_inside_the_image(self):
        assert self.crop([(0, 15)]) == (0, 11)
        assert self.crop([(15, 1)]) == (11, 0)
        assert self.crop([(3, 3)], size=16) == (0, 0)

    def test_shows_a_lesion_where_two_lie_apart(self):
        assert self.crop([(2, 2), (13, 13), (13, 12)]) in ((0, 0), (11, 10))

    def test_leaves_out_images_without_a_lesion(self):
        batch = make_batch()
        assert LesionCrops(8)(batch, "des").shape == (2, 1, 8, 8)
        batch["seg"][0] = 0
        assert torch.equal(LesionCrops(8)(batch, "des"), LesionCrops(8)({k: v[1:] for k, v in batch.items()}, "des"))
        batch["seg"][:] = 0
        assert LesionCrops(8)(batch, "des").shape == (0, 1, 8, 8)

    def test_the_gradient_stays_inside(self):
        batch = make_batch()
        batch["des"].requires_grad_()
        LesionCrops(8)(batch, "des").sum().backward()
        assert float(batch["des"].grad.sum()) == 2 * 8 * 8
        assert torch.all(batch["des"].grad[2] == 0)

    def test_wrong_sizes_are_named(self):
        with pytest.raises(ValueError, match="side of a lesion crop is 0 pixels, expected 1 or more"):
            LesionCrops(0)
        with pytest.raises(ValueError, match="a lesion crop of 33 pixels does not fit into images of 32 x 32"):
            LesionCrops(33)(make_batch(), "des")


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"the weight of disc_pair is -1\.0, expected 0 or more"):
        own(weight=-1.0)
    with pytest.raises(
        ValueError, match="view of disc_pair is 'alone', expected beside_le, lesion_crops or a function"
    ):
        own(view="alone")


@pytest.mark.parametrize("moments", [True, False])
def test_a_training_that_starts_from_another_takes_it_over_at_its_own_learning_rate(moments, tmp_path, caplog):
    def run(folder, *handlers, rate=1e-3, **start):
        for handler in handlers:
            handler.optimizer.param_groups[0]["lr"] = rate
        state = TrainingState(tmp_path / folder, parts={each.name: each for each in handlers}, **start)
        make_trainer([make_batch(pairs=2)], handlers=[state, *handlers]).run()
        return torch.load(tmp_path / folder / "checkpoint.pt", weights_only=True)["parts"]

    first = run("first", own())["disc_pair"]
    pair, crop = own(), crops()
    torch.nn.init.ones_(next(pair.discriminator.parameters()))
    start = {"init_checkpoint": tmp_path / "first/checkpoint.pt", "init_optimizers": moments}
    with caplog.at_level("INFO"):
        second = run("second", pair, crop, rate=0.0, **start)["disc_pair"]
    assert all_equal(first["discriminator"].values(), second["discriminator"].values())  # nothing moves at a rate of 0
    steps = [int(part["optimizer"]["state"][0]["step"]) for part in (first, second)]
    assert steps == [1, 2 if moments else 1]
    assert "disc_pair is taken over too" in caplog.messages
    assert any(message.startswith("disc_crops starts anew") for message in caplog.messages)
