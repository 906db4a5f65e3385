"""The lesion map in the discriminators: by concatenation and by weight, and never in a generator."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from toys import make_batch, make_networks, make_trainer

from bundle.engines import CycleGanEvaluator, CycleGanEvents, ImagePool
from bundle.handlers import LesionDiscriminatorHandler, LesionLossHandler
from bundle.losses import CycleGanLoss
from bundle.networks import PatchDiscriminator, ResnetGenerator


def two_channels(networks=None, blind=False) -> dict[str, torch.nn.Module]:
    """Networks whose discriminators take the map too; blind ones begin as those that do not, and give it no weight."""
    networks = networks or make_networks()
    for name in ("disc_des", "disc_le"):
        plain, networks[name] = networks[name], PatchDiscriminator(in_channels=2, width=4)
        if blind:
            state = plain.state_dict()
            state["layers.0.weight"] = torch.cat(
                [state["layers.0.weight"], torch.zeros_like(state["layers.0.weight"])], dim=1
            )
            networks[name].load_state_dict(state)
    return networks


def weights(networks) -> list[torch.Tensor]:
    return [value.clone() for network in networks.values() for value in network.state_dict().values()]


def all_equal(one, other) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


class TestConcatenate:
    @pytest.mark.parametrize(("micro_batch_size", "batched_calls"), [(4, False), (3, True), (1, False)])
    def test_each_image_stands_beside_its_own_map(self, micro_batch_size, batched_calls):
        networks, batch, seen = two_channels(), make_batch(pairs=4), []
        handler = LesionDiscriminatorHandler("concatenate")
        levers = {"micro_batch_size": micro_batch_size, "batched_calls": batched_calls}
        trainer = make_trainer([batch], networks, [handler], **levers)
        networks["disc_des"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
        trainer.run()
        pairs = list(zip(batch["des"], batch["seg"], strict=True))
        pairs += list(zip(trainer.state.output["virtual_des"], batch["seg"], strict=True))
        shown = torch.cat(seen)
        assert len(shown) == 3 * 4
        for image, seg in shown:
            (own,) = {int(s.sum()) for i, s in pairs if torch.allclose(i[0], image, atol=1e-5)}
            assert own == int(seg.sum())
        assert len({int(seg.sum()) for _, seg in pairs}) == 4

    @pytest.mark.usefixtures("float64")
    @pytest.mark.parametrize("handlers", [[], [LesionLossHandler(35.0)]])
    def test_without_lesions_it_equals_the_base(self, handlers):
        """Discriminators that begin blind to the map learn nothing of it where there is none."""
        batches = [make_batch(seed, lesions=False) for seed in range(2)]
        plain, mapped = make_networks(), two_channels(blind=True)
        make_trainer(batches, plain, handlers).run()
        make_trainer(batches, mapped, [LesionDiscriminatorHandler("concatenate"), *handlers]).run()
        for name in ("disc_des", "disc_le"):
            weight = mapped[name].layers[0].weight
            mapped[name].layers[0].weight = torch.nn.Parameter(weight[:, :1].detach())
        for mine, theirs in zip(weights(mapped), weights(plain), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)

    def test_with_lesions_the_discriminators_learn_of_the_map(self):
        networks = two_channels(blind=True)
        make_trainer([make_batch()], networks, [LesionDiscriminatorHandler("concatenate")]).run()
        for name in ("disc_des", "disc_le"):
            assert float(networks[name].layers[0].weight[:, 1].detach().abs().max()) > 0

    def test_inference_needs_no_map(self):
        networks = two_channels()
        make_trainer([make_batch()], networks, [LesionDiscriminatorHandler("concatenate")]).run()
        generator = ResnetGenerator(width=4, num_blocks=2)
        generator.load_state_dict(networks["gen_le_to_des"].state_dict())
        le = make_batch(5)["le"]
        assert torch.equal(generator(le), networks["gen_le_to_des"](le))

    def test_a_validation_inside_the_training_has_maps_of_its_own(self):
        networks, handler = two_channels(), LesionDiscriminatorHandler("concatenate")
        lesion = make_batch(9, pairs=1)
        lesion["seg"][0, 0, 3:9, 3:9] = 1
        evaluator = CycleGanEvaluator("cpu", [lesion], **networks, objective=CycleGanLoss(), val_handlers=[handler])
        trainer = make_trainer([make_batch()] * 2, networks, [handler])
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: evaluator.run())
        trainer.run()
        seen = torch.cat([evaluator.state.output["virtual_des"], lesion["seg"]], dim=1)
        verdict = PatchDiscriminator.forward(networks["disc_des"], seen)
        expected = float((verdict.detach() - 1).square().mean())
        assert float(evaluator.state.output["loss_adversarial_des"]) == pytest.approx(expected)

    def test_everything_that_keeps_it_from_working_is_said(self):
        networks = {name: network for name, network in make_networks().items() if name.startswith("disc")}
        engine = SimpleNamespace(pool_des=ImagePool(), pool_le=ImagePool(3), compile="default", **networks)
        with pytest.raises(ValueError, match="the image pools hold 3 images") as caught:
            LesionDiscriminatorHandler("concatenate").attach(engine)
        assert str(caught.value).split("\n") == [
            "the image pools hold 3 images, whose lesion maps are not those of the batch: a discriminator that sees "
            "the map needs pool_size 0.",
            "a compiled discriminator cannot be shown the lesion map of each batch: set compile null.",
            "disc_des takes 1 channel(s), expected 2, the image and its lesion map: set disc_des#in_channels 2.",
            "disc_le takes 1 channel(s), expected 2, the image and its lesion map: set disc_des#in_channels 2.",
        ]


class TestWeight:
    def state(self):
        """A verdict of 2 x 2 cells and a lesion pixel in one of them, and an image without a lesion."""
        verdict = torch.tensor([[0.5, 0.25], [0.75, 1.0]]).expand(2, 1, 2, 2)
        seg = torch.zeros(2, 1, 4, 4)
        seg[0, 0, 1, 3] = 1  # the upper right cell, 0.25
        names = ("virtual_des", "virtual_le", "des", "le", "fake_des", "fake_le")
        verdicts = {name: verdict.clone().requires_grad_() for name in names}
        return SimpleNamespace(state=SimpleNamespace(verdicts=verdicts, output={"seg": seg}, loss_terms={}))

    def test_terms_by_hand(self):
        engine, handler = self.state(), LesionDiscriminatorHandler("weight", weight=4.0)
        handler(engine)
        handler.judge_discriminators(engine)
        terms = {name: float(term.detach()) for name, term in engine.state.loss_terms.items()}
        cells = 8
        assert terms == pytest.approx(
            {
                "adversarial_lesion": 4 * 2 * 0.75**2 / cells,
                "disc_des_lesion": 4 * 0.5 * (0.75**2 + 0.25**2) / cells,
                "disc_le_lesion": 4 * 0.5 * (0.75**2 + 0.25**2) / cells,
            }
        )

    def test_the_gradient_is_in_cells_with_a_lesion_alone(self):
        engine, handler = self.state(), LesionDiscriminatorHandler("weight")
        handler(engine)
        handler.judge_discriminators(engine)
        sum(engine.state.loss_terms.values()).backward()
        for verdict in engine.state.verdicts.values():
            places = verdict.grad.nonzero().tolist()
            assert places == [[0, 0, 0, 1]]

    def trained(self, handlers, **kwargs):
        networks = make_networks()
        trainer = make_trainer([make_batch(0), make_batch(1)], networks, handlers, **kwargs)
        trainer.run()
        return weights(networks), trainer

    def test_off_is_the_base_objective_bit_for_bit(self):
        base, _ = self.trained([LesionLossHandler(35.0)])
        off, trainer = self.trained([LesionLossHandler(35.0), LesionDiscriminatorHandler("weight", weight=0.0)])
        assert all_equal(base, off)
        assert "loss_adversarial_lesion" not in trainer.state.output
        on, trainer = self.trained([LesionLossHandler(35.0), LesionDiscriminatorHandler("weight")])
        assert not all_equal(base, on)
        output = trainer.state.output
        assert min(float(output[f"loss_{name}_lesion"]) for name in ("adversarial", "disc_des", "disc_le")) > 0

    @pytest.mark.usefixtures("float64")
    def test_micro_batches_add_up_to_the_whole_batch(self):
        results = [self.trained([LesionDiscriminatorHandler("weight")], micro_batch_size=size)[0] for size in (3, 1)]
        for whole, parts in zip(*results, strict=True):
            torch.testing.assert_close(parts, whole, rtol=0, atol=1e-9)

    def test_a_validation_has_the_generators_term(self):
        networks, handler = make_networks(), LesionDiscriminatorHandler("weight")
        evaluator = CycleGanEvaluator(
            "cpu", [make_batch()], **networks, objective=CycleGanLoss(), val_handlers=[handler]
        )
        evaluator.run()
        assert float(evaluator.state.output["loss_adversarial_lesion"]) > 0
        assert not any(name.startswith("loss_disc") for name in evaluator.state.output)

    def test_an_image_pool_is_refused(self):
        with pytest.raises(ValueError, match="needs pool_size 0"):
            make_trainer([make_batch()], handlers=[LesionDiscriminatorHandler("weight")], pool_size=3)


def test_the_engine_shows_the_verdicts_that_its_terms_are_made_of():
    trainer, found = make_trainer([make_batch(pairs=1)]), []

    def keep(engine):
        verdicts = {name: verdict.detach() for name, verdict in engine.state.verdicts.items()}
        found.append((verdicts, {name: float(term.detach()) for name, term in engine.state.loss_terms.items()}))

    trainer.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, keep)
    trainer.add_event_handler(CycleGanEvents.DISCRIMINATOR_LOSS_COMPLETED, keep)
    trainer.run()
    (verdicts, terms), (of_discriminators, disc_terms) = found
    assert list(verdicts) == ["virtual_des", "virtual_le"]
    assert terms["adversarial_des"] == pytest.approx(float((verdicts["virtual_des"] - 1).square().mean()))
    assert terms["adversarial_le"] == pytest.approx(float((verdicts["virtual_le"] - 1).square().mean()))
    for image in ("des", "le"):
        real, fake = of_discriminators[image], of_discriminators[f"fake_{image}"]
        both = 0.5 * float((real - 1).square().mean() + fake.square().mean())
        assert disc_terms[f"disc_{image}"] == pytest.approx(both)
    assert len(of_discriminators) == 4


def test_wrong_arguments_are_named():
    with pytest.raises(
        ValueError, match="mode is 'crops', expected 'concatenate' or 'weight'; lesion crops are judged"
    ):
        LesionDiscriminatorHandler("crops")
    with pytest.raises(ValueError, match="weight of the verdicts on lesions is -1, expected 0 or more"):
        LesionDiscriminatorHandler("weight", weight=-1)
