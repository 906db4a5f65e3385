"""``benchmark infer``: the generator by each backend, against the plain network as PyTorch runs it."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..inference.backends import BackendNetwork
from ..inference.exported_model import NEEDS
from ..networks import ResnetGenerator
from ..networks.of_card import generator_of_card
from ..networks.weights import load_weights, read_card, save_weights
from .apart import Apart, peak_of
from .machine import about_machine, gflop, peak_gflops, synchroniser
from .reference_step import plain_generator
from .result import Result
from .timing import interleaved, timed
from .training_steps import copy_weights

__all__ = ["BACKENDS", "InferenceVariant", "build_inference", "measure_inference", "random_model"]

PLAIN = "plain eager fp32"
# name -> backend and precision
BACKENDS = {
    "torch fp32": ("torch", "fp32"),
    "torch bf16": ("torch", "bf16"),
    "compiled bf16": ("compiled", "bf16"),
    "openvino fp32": ("openvino", "fp32"),
    "openvino bf16": ("openvino", "bf16"),
    "onnxruntime fp32": ("onnxruntime", "fp32"),
}
FP32_BOUND, BF16_BOUND = 1e-4, 1e-2  # largest difference of a pixel; mean difference, 1 % of the window


@dataclass(frozen=True)
class InferenceVariant:
    """One way to apply a generator to one image; plain values, so that it can be sent to another process.

    Args:
        name: "plain eager fp32", or one of :data:`BACKENDS`.
        model: path of the weights, their card beside them.
        height, width: of the image, multiples of what the network halves (4 for the paper's).
        batch_size: images at once.
        device: "cpu" or a CUDA device.
    """

    name: str
    model: str
    height: int = 256
    width: int = 256
    batch_size: int = 1
    device: str = "cpu"

    @property
    def precision(self) -> str:
        return "fp32" if self.name == PLAIN else BACKENDS[self.name][1]


def random_model(folder: str | Path, width: int = 64, num_blocks: int = 9, image_size: int = 256) -> Path:
    """A generator with weights drawn from the seed 0, its card beside it, as a training would write them."""
    path = Path(folder, "model.pt")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ResnetGenerator(width=width, num_blocks=num_blocks)
    layers = {"in_channels": 1, "width": width, "num_blocks": num_blocks, "upsample": "transposed"}
    card = {"image_size": image_size, "network": layers, "intensity": {"method": "window"}}
    save_weights(path, network, card)
    return path


def load_generator(model: str | Path) -> nn.Module:
    """The generator that a card describes, with its weights."""
    return load_weights(model, generator_of_card(read_card(model)["network"]), "cpu").eval()


def plain_network(model: str | Path) -> nn.Module:
    """The same network of PyTorch's own layers in an ``nn.Sequential``; a U-Net or an autoencoder, MONAI's own, as is.

    Raises:
        ValueError: for a card of the paper's network with layers that are not the paper's.
    """
    layers = read_card(model)["network"]
    if layers.get("name", "resnet") != "resnet":
        return load_generator(model)
    own = {"norm": "INSTANCE", "output_activation": "SIGMOID", "in_channels": 1}
    if other := [key for key, value in own.items() if layers.get(key, value) != value]:
        told = ", ".join(f"{key} {layers[key]!r}" for key in other)
        raise ValueError(f"the network of {model} has {told}: the plain network is made for the paper's layers alone.")
    known = ("width", "num_blocks", "upsample", "num_downsamples")
    plain = plain_generator(**{key: layers[key] for key in known if key in layers})
    copy_weights({"generator": load_generator(model)}, {"generator": plain})
    return plain.eval()


def _applied(variant: InferenceVariant) -> Callable[[torch.Tensor], torch.Tensor]:
    if variant.name == PLAIN:
        return torch.no_grad()(plain_network(variant.model).to(variant.device))
    backend, precision = BACKENDS[variant.name]
    network = load_generator(variant.model).to(variant.device)
    if backend != "compiled":
        return BackendNetwork(network, variant.model, backend, precision).load()
    import torch._inductor.config as inductor

    inductor.freezing = True
    compiled = torch.compile(network, dynamic=False)

    def apply(image: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(variant.device, torch.bfloat16):
            return compiled(image)

    return apply


def build_inference(variant: InferenceVariant) -> Callable[[], torch.Tensor]:
    """The application as a callable without arguments; it gives the images, (B, 1, H, W) in [0, 1]."""
    apply = _applied(variant)
    shape = (variant.batch_size, 1, variant.height, variant.width)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(variant.device)
    return lambda: apply(image)


def installed(backend: str) -> bool:
    """Whether all is there that the backend needs to export a network and to run it."""
    return all(importlib.util.find_spec(package) for package in NEEDS.get(backend, ()))


def available(names: Sequence[str], device: str) -> list[str]:
    """Those whose packages are installed and whose backend works on the device."""
    cpu = torch.device(device).type == "cpu"
    return [name for name in names if (backend := BACKENDS[name][0]) not in NEEDS or (cpu and installed(backend))]


def check_equal(result: Result, plain: Callable[[], torch.Tensor], others: Mapping[str, Callable[[], Any]]) -> None:
    """Hold what each backend makes against the plain network: the largest difference in fp32, the mean in bf16."""
    expected = plain().float()
    for name, work in others.items():
        difference = (work().float() - expected).abs()
        if BACKENDS[name][1] == "bf16":
            result.add_equality(f"mean, {name} and {PLAIN}", float(difference.mean()), BF16_BOUND)
        else:
            result.add_equality(f"largest, {name} and {PLAIN}", float(difference.max()), FP32_BOUND)


def measure_inference(
    model: str | Path | None = None,
    image_sizes: Sequence[int] = (256,),
    batch_size: int = 1,
    backends: Sequence[str] = tuple(BACKENDS),
    repeats: int = 10,
    native: tuple[int, int] | None = None,
    width: int = 64,
    num_blocks: int = 9,
    memory: bool = True,
    device: str = "cpu",
) -> Result:
    """Time each backend on one batch, taking turns in this process.

    Args:
        model: weights with their card; None draws them.
        image_sizes: squares to time; memory and equality belong to each.
        backends: some of :data:`BACKENDS`; what is not installed is left out, with a note.
        native: (H, W) of a whole mammogram, each backend in a process of its own, one after the other; the peak memory
            is that of a process that applies it once, above its imports. None leaves it out.
        width, num_blocks: of the drawn network.
        memory: also measure the peak memory of each backend, in processes of their own.

    Raises:
        ValueError: for an unknown backend.
    """
    if unknown := [name for name in backends if name not in BACKENDS]:
        raise ValueError(f"backends {', '.join(unknown)}: expected some of {', '.join(BACKENDS)}.")
    settings: dict[str, Any] = {"model": str(model) if model else "random weights", "image_sizes": list(image_sizes)}
    settings |= {"batch_size": batch_size, "repeats": repeats, "native": native, "device": device}
    settings |= {"width": width, "num_blocks": num_blocks} if model is None else {}
    result = Result("infer", about_machine(device), settings)
    names = available(backends, device)
    if left := [name for name in backends if name not in names]:
        result.notes.append(f'Left out, not installed or not for {device}: {", ".join(left)}. pip install -e ".[fast]"')
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = str(model or random_model(folder, width, num_blocks, image_sizes[0]))
        for size in image_sizes:
            base = InferenceVariant(PLAIN, path, size, size, batch_size, device)
            _measure_size(result, base, names, repeats, memory)
            if not result.equal:
                return result
        if native is not None:
            sides = _whole(native, 2 ** read_card(path)["network"].get("num_downsamples", 2))
            _measure_native(result, InferenceVariant(PLAIN, path, *sides, 1, device), names, repeats)
    return result


def _whole(native: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The sides enlarged to multiples, as the down-samplings of the network need them."""
    rows, columns = (-(-side // multiple) * multiple for side in native)
    return rows, columns


def _measure_size(result: Result, base: InferenceVariant, names: Sequence[str], repeats: int, memory: bool) -> None:
    variants = {name: replace(base, name=name) for name in (PLAIN, *names)}
    works = {name: build_inference(variant) for name, variant in variants.items()}
    check_equal(result, works[PLAIN], {name: works[name] for name in names})
    if not result.equal:
        return
    if not result.peak_gflops:
        result.peak_gflops = peak_gflops(base.device)
    wait = synchroniser(base.device)
    timings = interleaved({name: partial(timed, work, wait) for name, work in works.items()}, repeats)
    done = _gflop(base)
    for name, variant in variants.items():
        result.add_row(
            "generator",
            name,
            timings[name],
            image_size=base.height,
            batch_size=base.batch_size,
            precision=variant.precision,
            peak_bytes=peak_of(build_inference, variant, device=base.device) if memory else None,
            gflop=done,
        )
    for name in names:
        result.add_ratio(f"generator, {base.height} px", name, PLAIN, timings)


def _measure_native(result: Result, base: InferenceVariant, names: Sequence[str], repeats: int) -> None:
    """One process after the other: two may not fit."""
    done = _gflop(base)
    for name in (PLAIN, *(name for name in names if name != "compiled bf16")):
        variant = replace(base, name=name)
        with Apart(build_inference, variant) as work:
            timings = interleaved({name: work}, min(repeats, 3))
        peak = peak_of(build_inference, variant, times=1, device=base.device)
        result.add_row(
            "whole mammogram",
            name,
            timings[name],
            image_size=f"{base.height} x {base.width}",
            batch_size=1,
            precision=variant.precision,
            peak_bytes=peak,
            gflop=done,
        )


def _gflop(variant: InferenceVariant) -> float:
    network = plain_network(variant.model).to("meta")
    image = torch.empty(variant.batch_size, 1, variant.height, variant.width, device="meta")
    with torch.no_grad():
        return gflop(lambda: network(image))
