"""Rules for gamma: their steps by hand, what they equal, and that a run goes on from their state."""

from __future__ import annotations

import re

import pytest
import torch
from toys import make_batch, make_networks, make_trainer

from bundle.engines import CycleGanEvaluator, CycleGanEvents
from bundle.handlers import AreaGamma, DualGamma, LesionLossHandler, RatioGamma, TrainingState, adaptive_gamma
from bundle.losses import CycleGanLoss

REFERENCES = {"virtual_des": "des", "cycle_des": "des", "identity_des": "des", "cycle_le": "le", "identity_le": "le"}


def images(lesion, background, lesion_pixels=4, pairs=1):
    """Images of 4 by 4 whose errors are ``lesion`` inside the map and ``background`` outside of it."""
    seg = torch.zeros(pairs, 1, 4, 4)
    seg.flatten(1)[:, :lesion_pixels] = 1
    zero = torch.zeros_like(seg)
    error = torch.where(seg > 0, lesion, torch.as_tensor(background))
    return {"le": zero, "des": zero, "seg": seg} | dict.fromkeys(REFERENCES, error)


def after(rule, *batches):
    """Gamma after each of some iterations."""
    gammas = []
    for batch in batches:
        rule.count(batch)
        rule.step()
        gammas.append(float(rule(batch["seg"])[0]))
    return gammas


class Curves:
    """A writer that remembers."""

    def __init__(self):
        self.points = []

    def add_scalar(self, name, value, step):
        self.points.append((name, step, value))


def trained(rule, batches=2, seed=0, epochs=1, handlers=(), **kwargs):
    networks = make_networks(seed)
    data = [make_batch(number) for number in range(batches)]
    lesion_loss = [] if rule is None else [LesionLossHandler(rule)]
    watch = [rule] if hasattr(rule, "attach") else []
    trainer = make_trainer(data, networks, [*lesion_loss, *handlers, *watch], max_epochs=epochs, **kwargs)
    trainer.run()
    return [weight for network in networks.values() for weight in network.parameters()], trainer


# by area


def test_the_area_gives_each_image_its_own():
    seg = torch.zeros(3, 1, 4, 4)
    seg[0, 0, 0, 0] = 1
    seg[1, 0, :2] = 1
    assert AreaGamma(1.0)(seg).tolist() == [16, 2, 0]
    assert AreaGamma(0.5)(seg).tolist() == [8, 1, 0]
    assert AreaGamma(1.0, highest=10)(seg).tolist() == [10, 2, 0]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("lesions", [True, False])
def test_by_area_with_constant_1_is_the_mean_over_each_lesion(lesions):
    terms, weights = [], []
    for handler in (LesionLossHandler(AreaGamma(1.0)), LesionLossHandler(1.0, reduction="lesion")):
        networks = make_networks()
        trainer = make_trainer([make_batch(lesions=lesions)], networks, [handler], micro_batch_size=3)
        trainer.run()
        terms.append({key: float(value) for key, value in trainer.state.output.items() if key.startswith("loss")})
        weights.append([weight for network in networks.values() for weight in network.parameters()])
    assert terms[0] == pytest.approx(terms[1], rel=0, abs=1e-12)
    assert (terms[0]["loss_lesion_cycle"] > 0) == lesions
    for pair in zip(*weights, strict=True):
        torch.testing.assert_close(*pair, rtol=0, atol=1e-9)


# by ratio


def test_the_ratio_by_hand():
    rule = RatioGamma(constant=10, start=3, lowest=0, highest=50, decay=0.5)
    assert float(rule(torch.zeros(2, 1, 4, 4))[1]) == 3
    gammas = after(
        rule,
        images(9.0, 0.2, lesion_pixels=0),  # no lesion yet: the start stays
        images(0.4, 0.1),
        images(9.0, 0.3, lesion_pixels=0),  # and none in this one: the lesions' average stays
        images(8.0, 0.1),
    )
    background = (0.5 * 0.2 * 16 + 0.1 * 12) / (0.5 * 16 + 12)
    later = (0.25 * 0.2 * 16 + 0.5 * 0.1 * 12 + 0.3 * 16) / (0.25 * 16 + 0.5 * 12 + 16)
    assert gammas == pytest.approx([3, 10 * 0.4 / background, 10 * 0.4 / later, 50])


def test_the_ratio_is_that_of_the_images_that_gamma_weighs():
    batch = images(0.4, 0.1) | {"virtual_des": torch.rand(1, 1, 4, 4)}
    assert after(RatioGamma(constant=10, decay=0.0), batch) == pytest.approx([40])


# by dual ascent


def test_dual_ascent_by_hand():
    rule = DualGamma(baseline=0.2, margin=0.25, step_size=4, start=1, highest=3, decay=0.0)
    gammas = after(rule, *(images(9.0, error) for error in (0.125, 0.25, 0.5, 0.125, 1.0)))
    # 4 (1 - e / 0.25): up by 2, not at all at the limit, down by 4 to the bound, up by 2, and down to the bound
    assert gammas == pytest.approx([3, 3, 0, 2, 0], abs=1e-6)


def test_without_a_baseline_the_best_so_far_is_it():
    rule = DualGamma(margin=0.25, step_size=1, start=2, decay=0.0)
    gammas = after(rule, *(images(0.0, error) for error in (0.4, 0.2, 0.375)))
    assert gammas == pytest.approx([2 + 0.2, 2 + 0.4, 2 + 0.4 + 1 - 1.5])


def test_dual_ascent_waits_until_its_average_has_seen_enough():
    rule = DualGamma(baseline=0.2, margin=0, step_size=1, decay=0.75)
    assert after(rule, *[images(0.0, 0.1)] * 5) == pytest.approx([0, 0, 0, 0.5, 1])


def test_dual_ascent_looks_at_the_virtual_des_outside_the_lesions():
    batch = images(9.0, 0.1)
    batch |= {name: torch.rand(1, 1, 4, 4) for name in REFERENCES if name != "virtual_des"}
    assert after(DualGamma(baseline=0.2, margin=0, decay=0.0), batch) == pytest.approx([0.5])


# all of them

RULES = {
    "area": lambda **kwargs: AreaGamma(2.0, **kwargs),
    "ratio": lambda **kwargs: RatioGamma(start=5, decay=0.6, **kwargs),
    "dual": lambda **kwargs: DualGamma(step_size=30, start=5, decay=0.6, **kwargs),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", RULES)
def test_the_size_of_micro_batches_changes_nothing(name):
    (whole, one), (parts, other) = (trained(RULES[name](), batches=4, micro_batch_size=size) for size in (3, 2))
    for pair in zip(whole, parts, strict=True):
        torch.testing.assert_close(*pair, rtol=0, atol=1e-9)
    assert one.state.metrics["gamma"] == pytest.approx(other.state.metrics["gamma"], abs=1e-9)


@pytest.mark.parametrize("name", ["ratio", "dual"])
def test_two_processes_have_the_gamma_of_their_joint_batch(name, monkeypatch):
    alone, (first, second) = RULES[name](), [RULES[name]() for _ in range(2)]
    for left, right in ((images(0.4, 0.1), images(0.2, 0.3, pairs=2)), (images(0.3, 0.2, 0), images(0.1, 0.4))):
        joint = {key: torch.cat([left[key], right[key]]) for key in left}
        after(alone, joint), first.count(left), second.count(right)
        both = first.errors._new + second.errors._new
        with monkeypatch.context() as patched:
            patched.setattr(adaptive_gamma.idist, "all_reduce", lambda _, both=both: both)
            first.step(), second.step()
    assert float(first.gamma) == float(second.gamma) == pytest.approx(float(alone.gamma))
    torch.testing.assert_close(first.errors.sums, alone.errors.sums)


@pytest.mark.parametrize("name", ["ratio", "dual"])
def test_a_killed_and_resumed_run_equals_the_straight_one(name, tmp_path):
    def run(folder, epochs, resume=False):
        rule = RULES[name]()
        state = TrainingState(folder, parts={"adaptive_gamma": rule}, resume=resume)
        return (*trained(rule, epochs=epochs, handlers=[state]), rule)

    straight, _, rule = run(tmp_path / "straight", 3)
    run(tmp_path / "killed", 2)
    resumed, _, other = run(tmp_path / "killed", 3, resume=True)
    assert float(rule.gamma) not in (0, 5, 100)  # it moved, and to no bound
    assert str(rule.state_dict()) == str(other.state_dict())
    assert torch.equal(rule.gamma, other.gamma)
    assert all(torch.equal(*pair) for pair in zip(straight, resumed, strict=True))


@pytest.mark.parametrize("name", ["ratio", "dual"])
def test_the_state_is_all_that_a_rule_knows(name):
    first, other = RULES[name](), RULES[name]()
    after(first, *(images(0.3, error) for error in (0.4, 0.1, 0.2)))  # the best lies behind it
    other.load_state_dict(first.state_dict())
    later = [images(0.2, 0.3), images(0.1, 0.05)]
    assert after(other, *later) == after(first, *later)


@pytest.mark.parametrize("name", RULES)
def test_the_current_gamma_is_shown(name):
    curves = Curves()
    _, trainer = trained(RULES[name](writer=curves), epochs=2)
    shown = [(step, value) for point, step, value in curves.points if point == "gamma"]
    assert [step for step, _ in shown] == [1, 2]
    assert trainer.state.metrics["gamma"] == shown[-1][1] > 0
    if name == "area":  # of the lesions alone: the third pair of each batch has none
        segs = torch.cat([make_batch(number)["seg"][:2] for number in range(2)])
        assert shown[0][1] == pytest.approx(float(RULES[name]()(segs).mean()))
    if name == "dual":
        assert 0 < trainer.state.metrics["gamma_background"] < 1


@pytest.mark.parametrize("name", RULES)
def test_validation_uses_the_current_gamma(name):
    rule, networks, batch = RULES[name](), make_networks(), make_batch()
    make_trainer([make_batch(1)] * 3, networks, [LesionLossHandler(rule), rule]).run()
    before = {"gamma": float(rule(batch["seg"])[0])}
    found = []
    for gamma in (rule, before["gamma"]):
        evaluator = CycleGanEvaluator(
            "cpu", [batch], **networks, objective=CycleGanLoss(), val_handlers=[LesionLossHandler(gamma)]
        )
        evaluator.run()
        found.append(float(evaluator.state.output["loss_lesion_cycle"]))
    assert float(rule(batch["seg"])[0]) == before["gamma"] != 5  # validation moves nothing
    if name == "area":
        assert found[0] != pytest.approx(found[1])
    else:
        assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_no_gradient_comes_through_gamma():
    rules = [RatioGamma(decay=0.0), DualGamma(decay=0.0)]

    def look(engine):
        assert engine.state.output["virtual_des"].requires_grad
        assert not any(rule(engine.state.output["seg"]).requires_grad for rule in rules)

    trainer = make_trainer([make_batch()], handlers=rules)
    trainer.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, look)
    trainer.run()
    assert not any(rule.gamma.requires_grad for rule in rules)


def test_off_is_the_base_objective_bit_for_bit():
    plain, _ = trained(None)
    watched, _ = trained(None, handlers=[RatioGamma(), DualGamma()])  # attached, but the lesion loss is not
    at_zero, _ = trained(DualGamma(highest=0))
    for other in (watched, at_zero):
        assert all(torch.equal(*pair) for pair in zip(plain, other, strict=True))


@pytest.mark.usefixtures("float64")
def test_a_rule_between_equal_bounds_is_that_number():
    fixed, _ = trained(35.0)
    ruled, _ = trained(RatioGamma(start=35, lowest=35, highest=35))
    for pair in zip(fixed, ruled, strict=True):
        torch.testing.assert_close(*pair, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: AreaGamma(-1), "constant is -1 and highest None, expected 0 or more."),
        (lambda: AreaGamma(highest=-1), "constant is 1.0 and highest -1, expected 0 or more."),
        (lambda: RatioGamma(constant=-1), "constant -1 and start 0.0 must be 0 or more."),
        (lambda: RatioGamma(lowest=5, highest=1), "lowest is 5 and highest 1, expected 0 <= lowest <= highest."),
        (lambda: RatioGamma(decay=1), "decay is 1, expected a number from 0 to less than 1."),
        (lambda: DualGamma(baseline=0), "baseline is 0, expected an error above 0, or null."),
        (lambda: DualGamma(margin=-1), "margin -1 and step_size 1.0 must be 0 or more."),
        (lambda: DualGamma(start=101), "start is 101 and highest 100.0, expected 0 <= start <= highest."),
    ],
)
def test_wrong_arguments_are_named(build, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        build()


def test_a_rule_that_two_overlays_attach_is_refused():
    rule = RatioGamma()
    with pytest.raises(ValueError, match="the rule for gamma, RatioGamma, is attached twice"):
        make_trainer([make_batch()], handlers=[rule, rule])


@pytest.mark.parametrize("rule", [AreaGamma(), RatioGamma(), DualGamma(highest=0)])
def test_a_stand_in_that_weighs_nothing_is_not_counted(rule):
    counted = []
    rule.count = lambda images: counted.append(len(images["seg"]))
    make_trainer([make_batch()] * 3, handlers=[rule], micro_batch_size=3, batch_weight=lambda batch: batch % 2).run()
    assert counted == [3]
