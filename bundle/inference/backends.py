"""One network, three ways to compute it: torch, OpenVINO, ONNX Runtime."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.utils import convert_to_dst_type
from torch import nn

from .exported_model import NEEDS, Run, export, export_folder, export_name, runtime, start

__all__ = ["BACKENDS", "PRECISIONS", "BackendNetwork", "backend_problems"]

logger = logging.getLogger(__name__)
BACKENDS = ("torch", "openvino", "onnxruntime")
PRECISIONS = ("fp32", "bf16")
# fp32: of the largest difference from torch, a tenth of a grey level of a DES window of 1000. bf16 has 8 significant
# bits, so that one rounding errs by up to 0.2 %, and some two dozen layers add up; its bound is on the mean, and as
# much as the output may change, 1 % of the window
TOLERANCE = {"fp32": 1e-4, "bf16": 1e-2}


def backend_problems(backend: Any, precision: Any, device: Any = "cpu", tolerance: Any = None) -> list[str]:
    """Everything that keeps a backend from working here, a line each.

    Args:
        backend, precision, tolerance: as of :class:`BackendNetwork`.
        device: of the run.
    """
    problems = []
    if backend not in BACKENDS:
        problems.append(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}.")
    if precision not in PRECISIONS:
        problems.append(f"precision is {precision!r}, expected {' or '.join(PRECISIONS)}.")
    elif precision == "bf16" and backend == "onnxruntime":
        problems.append(
            "precision bf16 is nothing that ONNX Runtime has on the CPU. Take fp32, or --backend openvino or torch."
        )
    if isinstance(tolerance, bool) or not (
        tolerance is None or (isinstance(tolerance, int | float) and math.isfinite(tolerance) and tolerance > 0)
    ):
        problems.append(f"backend_tolerance is {tolerance!r}, expected None or a number above 0.")
    if backend in NEEDS:
        if torch.device(device).type != "cpu":
            problems.append(
                f"backend {backend} works on the CPU, but device is {device}. Pass --device cpu or --backend torch."
            )
        if missing := [package for package in NEEDS[backend] if not _installed(package)]:
            problems.append(
                f"backend {backend} needs {', '.join(missing)}, not installed here. "
                'Run: pip install -c constraints.txt -e ".[fast]"'
            )
    return problems


def _installed(package: str) -> bool:
    try:
        runtime(package)
    except ImportError:
        return False
    return True


class BackendNetwork(nn.Module):
    """A trained network, computed without gradients by another runtime or in another precision.

    What OpenVINO or ONNX Runtime needs is exported once and kept beside the weights, under a name with the runtime's
    version and the hash of weights and layers; a file that is damaged or another model's is made anew. Each start
    compares one image with torch in fp32 and refuses what differs too much. ``torch`` in ``fp32`` is the network as
    it is.

    OpenVINO and ONNX Runtime compute the weights of the load. ``load_state_dict`` here, a copy and a pickle start anew;
    weights changed in place are not seen.

    Shapes:
        as of the network: (B, C, H, W) float32 on any device -> float32 there; metadata of a MetaTensor stays.

    Args:
        network: with its weights loaded by the time of :meth:`load`, or of the first image.
        model: path of the weights; its folder keeps the export.
        backend: "torch", "openvino" or "onnxruntime".
        precision: "fp32", or "bf16": autocast of torch, inference precision of OpenVINO.
        tolerance: how much an image in [0, 1] may differ from torch's: in fp32 the largest difference of a pixel, None
            for 1e-4; in bf16 the mean difference, None for 0.01.
        num_threads: None for as many as torch takes.

    Raises:
        ValueError: for what does not work here, see :func:`backend_problems`; at the load, for a network whose images
            differ by more than ``tolerance``; at an image whose sides do not fit the network.
    """

    def __init__(
        self,
        network: nn.Module,
        model: str | os.PathLike,
        backend: str = "torch",
        precision: str = "fp32",
        tolerance: float | None = None,
        num_threads: int | None = None,
    ) -> None:
        super().__init__()
        if problems := backend_problems(backend, precision, tolerance=tolerance):
            raise ValueError("\n".join(problems))
        self.network, self.model = network, Path(model)
        self.backend, self.precision = backend, precision
        self.tolerance = TOLERANCE[precision] if tolerance is None else float(tolerance)
        self.num_threads = num_threads
        self._run: Callable[[torch.Tensor], torch.Tensor] | None = None

    def load(self) -> BackendNetwork:
        """Export, start and check what :meth:`forward` computes, once; the first image does it otherwise."""
        if self._run is None:
            self.network.eval()
            if self.backend == "torch":
                self._run = self._torch
                if self.precision != "fp32":
                    self._require(*self._difference(self._run))
            else:
                run = self._exported()
                self._run = lambda x: self._on_arrays(run, x)
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        run = self._run or self.load()._run
        assert run is not None
        return run(x)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_run": None}  # what is open in another runtime belongs to these weights and process

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._run = None

    def _torch(self, x: torch.Tensor) -> torch.Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            made = self.network(x)
        return made.float().clone()  # what inference_mode makes may not be changed in place outside

    def _exported(self) -> Run:
        path = self.model.parent / export_name(self.network, self.model, self.backend, self.precision)
        if (run := self._kept(path)) is not None:
            return run
        seen = _version(path)
        with export_folder(path.parent) as folder:
            place = folder / path.name
            if _version(place) != seen and (run := self._kept(place)) is not None:  # another process made it meanwhile
                return run
            export(self._on_cpu(), place, self.backend, self.precision)
            run = self._start(place)
            self._require(*self._difference(lambda x: self._on_arrays(run, x)))
            return run

    def _kept(self, path: Path) -> Run | None:
        """An earlier export, where it is there and computes this network."""
        if not path.is_file():
            return None
        try:
            run = self._start(path)
            worst, mean = self._difference(lambda x: self._on_arrays(run, x))
        except Exception as error:  # whatever the runtime says of a damaged file
            logger.warning(f"{path} is damaged ({type(error).__name__}) and made anew")
            return None
        if not self._near(worst, mean):
            logger.warning(f"{path} is not this network (it differs by up to {worst:.3g}) and made anew")
            return None
        self._require(worst, mean)
        return run

    def _start(self, path: Path) -> Run:
        return start(path, self.backend, self.precision, self.num_threads or torch.get_num_threads())

    def _on_arrays(self, run: Run, x: torch.Tensor) -> torch.Tensor:
        """``run`` on a tensor; torch takes an empty batch, and says what is wrong with sides that do not fit."""
        if len(x) == 0:
            return self._torch(x)
        made = torch.from_numpy(run(np.ascontiguousarray(x.detach().cpu().numpy(), dtype=np.float32)))
        if (len(made), *made.shape[2:]) != (len(x), *x.shape[2:]):
            self._torch(x)
            raise ValueError(
                f"{self.backend} makes {tuple(made.shape)} of an image {tuple(x.shape)}, expected the same batch and "
                "sides. Take --backend torch."
            )
        return convert_to_dst_type(made, dst=x)[0]

    def _on_cpu(self) -> nn.Module:
        if all(value.device.type == "cpu" for value in self.network.parameters()):
            return self.network
        import copy

        return copy.deepcopy(self.network).cpu()

    def _difference(self, run: Callable[[torch.Tensor], torch.Tensor]) -> tuple[float, float]:
        """Largest and mean difference from torch in fp32, on one image."""
        first = next(self.network.parameters())
        image = _example(first.shape[1]).to(first.device)
        with torch.inference_mode():
            difference = (run(image) - self.network(image)).abs()
        return float(difference.max()), float(difference.mean())

    def _near(self, worst: float, mean: float) -> bool:
        return (worst if self.precision == "fp32" else mean) <= self.tolerance

    def _require(self, worst: float, mean: float) -> None:
        bound = f"{self.tolerance:g} {'at most' if self.precision == 'fp32' else 'on average'}"
        name = f"{self.backend} in {self.precision}"
        what = f"{name} differs from torch in fp32 by up to {worst:.3g}, {mean:.3g} on average"
        if not self._near(worst, mean):
            raise ValueError(
                f"{self.model}: {what}, expected {bound}. Take --backend torch --precision fp32, or set "
                "--backend_tolerance if that is good enough."
            )
        logger.info(f"{what} (bound: {bound})")


def _version(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else None


def _example(channels: int, rows: int = 512, columns: int = 384) -> torch.Tensor:
    """(1, channels, rows, columns) in [0, 1]: a breast at the left edge, brighter inside, with texture, and air.

    As large as it takes to see float32 sums that go wrong; about a second at width 64, torch's own pass with it.
    """
    down, right = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(0, 1.2, columns), indexing="ij")
    depth = (1 - down**2 - right**2).clamp(min=0)
    texture = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0))
    return ((depth > 0) * (0.2 + 0.5 * depth.sqrt() + 0.3 * texture)).expand(1, channels, -1, -1).contiguous()
