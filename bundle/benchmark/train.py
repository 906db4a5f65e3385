"""``benchmark train``: the training step against the reference's, and what it costs as the work grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from ..engines.machine import set_up_machine
from .apart import Apart, peak_of
from .growth import growth
from .machine import about_machine, free_bytes, gflop, peak_gflops, synchroniser
from .reference_step import ReferenceStep
from .result import Result
from .timing import Spread, Timings, interleaved, timed
from .training_steps import (
    StepVariant,
    build_step,
    copy_weights,
    make_batch,
    plain_networks,
    product_trainer,
    reference_step,
)

__all__ = ["check_equal", "measure_scaling", "measure_steps", "step_variants"]

PLAIN, OUTSIDE = "plain reference", "reference checkout"
# a half-precision step cannot be equal; 16 bits of mantissa less than float32 has
BF16_BOUND = 0.05


def step_variants(base: StepVariant, levers: Mapping[str, Any], gamma: float = 35.0) -> dict[str, StepVariant]:
    """The steps to compare, by name: the reference, the product's default, with lesion losses, and with the levers."""
    product = replace(base, kind="product", set_up=True)
    variants = {PLAIN: replace(base, kind="plain")}
    if base.reference:
        variants[OUTSIDE] = replace(base, kind="outside")
    variants |= {"fp32": product, "fp32, lesion losses": replace(product, gamma=gamma)}
    if levers:
        variants["fp32, levers"] = replace(product, levers=levers)
    variants["bf16"] = replace(product, precision="bf16")
    if levers:
        variants["bf16, levers"] = replace(product, precision="bf16", levers=levers)
    return variants


def check_equal(result: Result, variants: Mapping[str, StepVariant], size: int) -> None:
    """Add to ``result`` how far each step's losses, and in float64 all gradients, are from the restated reference's.

    Every variant is compared at ``size`` pixels after one step from equal weights, relative to the larger of a loss and
    1. A bound of 1e-6 holds for fp32, 1e-5 with the levers (other orders of summation), 0.05 for bf16.
    """
    small = {name: replace(variant, image_size=size, set_up=False) for name, variant in variants.items()}
    if torch.device(small[PLAIN].device).type == "cuda":
        set_up_machine(small[PLAIN].device)  # TF32 would tell the steps apart
    plain = _floats(build_step(small[PLAIN])())
    for name, variant in small.items():
        if name == PLAIN or variant.gamma:
            continue
        if variant.kind == "outside":
            result.add_equality(f"losses, {OUTSIDE} and {PLAIN} with its tanh", _outside_difference(variant), 1e-6)
            continue
        bound = BF16_BOUND if variant.precision != "fp32" else 1e-5 if variant.levers else 1e-6
        own = _floats(build_step(variant)())
        result.add_equality(f"losses, {name} and {PLAIN}", _difference(plain, own), bound)
    result.add_equality("gradients of the four networks in float64", _gradient_difference(small["fp32"]), 1e-9)


def _floats(losses: Mapping[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}


def _difference(expected: Mapping[str, float], found: Mapping[str, float]) -> float:
    if expected.keys() != found.keys():
        raise ValueError(f"the steps have the losses {sorted(expected)} and {sorted(found)}: expected the same.")
    return max(abs(found[name] - value) / max(1.0, abs(value)) for name, value in expected.items())


def _gradient_difference(variant: StepVariant) -> float:
    """Largest difference over the weights of all four networks, relative to the largest gradient of each network."""
    batch = make_batch(variant, torch.float64)
    trainer, step = product_trainer(variant, torch.float64), reference_step(variant, torch.float64)
    trainer._iteration(trainer, batch)
    step(batch["le"], batch["des"])
    differences = []
    for name, network in step.networks.items():
        expected, found = (
            torch.cat([weight.grad.flatten() for weight in each.parameters() if weight.grad is not None])
            for each in (network, trainer.networks[name])
        )
        differences.append(float((expected - found).abs().max() / expected.abs().max()))
    return max(differences)


def _outside_difference(variant: StepVariant) -> float:
    """The restated step with the reference's own ends (tanh, plain score) against its own class."""
    from .outside_reference import outside_model, outside_networks, outside_step

    networks, batch = plain_networks(variant, nn.Tanh), make_batch(variant)
    model = outside_model(variant.reference or "", variant.width)
    copy_weights(networks, outside_networks(model))
    plain = ReferenceStep(networks)(batch["le"], batch["des"])
    return _difference(_floats(plain), _floats(outside_step(model, batch["le"], batch["des"])))


def measure_steps(
    base: StepVariant,
    levers: Mapping[str, Any],
    repeats: int = 5,
    equality_size: int = 128,
    gamma: float = 35.0,
    apart: bool = True,
) -> Result:
    """Time one step of each variant, taking turns, each in a process of its own.

    The product's processes are brought to the settings of its config first (see :mod:`bundle.engines.machine`), the
    others stay as PyTorch leaves them.

    Args:
        base: what all have in common.
        levers: some of :data:`~bundle.benchmark.training_steps.LEVERS` for the rows "levers"; empty leaves these out.
        repeats: rounds, after one that does not count.
        equality_size: pixels at which the results are compared.
        gamma: of the row with lesion losses.
        apart: False times all in this process, without its settings and without peak memory: quick, and for no table.

    Returns:
        A result whose ``equal`` says whether the rest was measured at all.
    """
    variants = step_variants(base, levers, gamma)
    result = _result(base, {"repeats": repeats, "equality_size": equality_size, "gamma": gamma, "levers": dict(levers)})
    check_equal(result, variants, equality_size)
    if not result.equal:
        return result
    result.peak_gflops = peak_gflops(base.device)
    timings = _timed_apart(variants, repeats) if apart else _timed_here(variants, repeats)
    for name, variant in variants.items():
        _add_step(result, name, variant, timings[name], _peak(variant) if apart else None)
    for name in variants:
        if name != PLAIN:
            result.add_ratio("step", name, PLAIN, timings)
    return result


def _timed_apart(variants: Mapping[str, StepVariant], repeats: int) -> dict[str, Timings]:
    with ExitStack() as stack:
        apart = {name: stack.enter_context(Apart(build_step, variant)) for name, variant in variants.items()}
        return interleaved(apart, repeats)


def _timed_here(variants: Mapping[str, StepVariant], repeats: int) -> dict[str, Timings]:
    steps = {name: build_step(replace(variant, set_up=False)) for name, variant in variants.items()}
    wait = synchroniser(next(iter(variants.values())).device)
    return interleaved({name: partial(timed, step, wait) for name, step in steps.items()}, repeats)


def _peak(variant: StepVariant) -> int:
    return peak_of(build_step, variant, device=variant.device)


def _add_step(result: Result, name: str, variant: StepVariant, timings: Timings, peak: int | None) -> None:
    result.add_row(
        "step",
        name,
        timings,
        image_size=variant.image_size,
        batch_size=variant.batch_size,
        precision=variant.precision,
        peak_bytes=peak,
        gflop=step_gflop(variant),
    )


def step_gflop(variant: StepVariant) -> float:
    """Of the restated reference: the work that any of the variants has to get done."""
    return gflop(build_step(replace(variant, kind="plain", device="meta", set_up=False)))


def _result(base: StepVariant, settings: Mapping[str, Any]) -> Result:
    names = ("image_size", "batch_size", "width", "num_blocks", "device", "reference", "seed")
    return Result("train", about_machine(base.device), {name: getattr(base, name) for name in names} | dict(settings))


def measure_scaling(
    base: StepVariant,
    image_sizes: Sequence[int] = (128, 256, 512, 1024),
    batch_sizes: Sequence[int] = (1, 2, 4, 8, 16),
    cases: Sequence[int] = (100, 300, 1000, 3000, 10000),
    repeats: int = 3,
    start_up: bool = True,
) -> Result:
    """What a step costs at each image size (batch 1) and each batch (at the smallest size), and an epoch by its cases.

    The epochs are of the smallest networks on 32-pixel images, so that the loop and not the convolutions are timed.
    All are measured one after the other: two large steps may not fit side by side.
    """
    from .epochs import epoch_seconds
    from .start_up import start_up_seconds

    settings = {"image_sizes": list(image_sizes), "batch_sizes": list(batch_sizes), "cases": list(cases)}
    result = _result(base, settings | {"repeats": repeats})
    check_equal(result, step_variants(base, {}), min(image_sizes))
    if not result.equal:
        return result
    result.peak_gflops = peak_gflops(base.device)
    known: dict[StepVariant, float] = {}
    for along, variants in _grown(base, image_sizes, batch_sizes):
        done: dict[float, float] = {}
        for variant in variants:
            work = float(variant.image_size**2 * variant.batch_size)
            if variant not in known and _fits(result, variant, work, max(done, default=0.0)):
                known[variant] = _measure_size(result, variant, repeats)
            if variant in known:
                done[work] = known[variant]
        if len(done) > 1:
            result.growth.append(growth("step", along, list(done), list(done.values())))
    epochs = {number: epoch_seconds(number, repeats) for number in cases}
    for number, timings in epochs.items():
        result.add_row("epoch of the smallest networks", "fp32", timings, image_size=32, batch_size=8, cases=number)
    if len(epochs) > 1:
        medians = [Spread.of(timings.wall).median for timings in epochs.values()]
        result.growth.append(growth("epoch", "cases", list(epochs), medians))
    if start_up:
        for name, overrides in (("cache on disk, warm", {"cache": "disk"}), ("cache in memory", {"cache": "memory"})):
            timings = start_up_seconds(base.config_file, repeats, overrides=overrides)
            result.add_row("start-up: import to the first step", name, timings)
    return result


def _fits(result: Result, variant: StepVariant, work: float, former: float) -> bool:
    """Whether the memory that the former size took, by its work, leaves room for this one; a note where not."""
    peaks = [row["peak_bytes"] for row in result.rows if row["peak_bytes"]]
    needed = peaks[-2] * work / former if peaks and former and variant.device == "cpu" else 0.0
    if needed > free_bytes():
        result.notes.append(
            f"Left out: {variant.image_size} px, batch {variant.batch_size}, whose step would need some "
            f"{needed / 1e9:.0f} GB; {free_bytes() / 1e9:.0f} GB are free."
        )
        return False
    return True


def _measure_size(result: Result, variant: StepVariant, repeats: int) -> float:
    """Rows of the reference and the product, one after the other, as two large steps may not fit side by side.

    Returns:
        the median seconds of the product.
    """
    for name, kind in ((PLAIN, "plain"), ("fp32", "product")):
        each = replace(variant, kind=kind, set_up=kind == "product")
        timings = _timed_apart({name: each}, repeats)
        _add_step(result, name, each, timings[name], _peak(each))
    return Spread.of(timings["fp32"].wall).median


def _grown(
    base: StepVariant, image_sizes: Sequence[int], batch_sizes: Sequence[int]
) -> Iterator[tuple[str, list[StepVariant]]]:
    smallest = min(image_sizes)
    yield "pixels", [replace(base, image_size=size, batch_size=1) for size in image_sizes]
    yield "batch", [replace(base, image_size=smallest, batch_size=size) for size in batch_sizes]
