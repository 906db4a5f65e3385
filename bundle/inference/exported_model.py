"""A network in the form of another runtime, kept beside its weights, and how that runtime computes it."""

from __future__ import annotations

import copy
import hashlib
import importlib
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from ..data.folder_lock import try_lock
from ..data.whole_files import beside
from ..networks.layers import InstanceNorm

__all__ = ["NEEDS", "SUFFIX", "export", "export_folder", "export_name", "runtime", "start"]

logger = logging.getLogger(__name__)
Run = Callable[[np.ndarray], np.ndarray]
NEEDS = {"openvino": ("openvino",), "onnxruntime": ("onnxruntime", "onnx", "onnxscript")}  # packages, to make and run
SUFFIX = {"openvino": ".xml", "onnxruntime": ".onnx"}
FORMAT = 2  # of what export writes for a network: one more with each change of it, so that older files are not kept


def runtime(package: str) -> ModuleType:
    """Import a package of :data:`NEEDS`. ``openvino`` sends usage statistics from its import on, unless the package
    that does so is missing: here it always is, since what runs in a clinic's network has to be silent.
    """
    if package == "openvino":
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module(package)


def export_name(network: nn.Module, model: str | os.PathLike, backend: str, precision: str = "fp32") -> str:
    """``model.openvino-2026.4.1-fp32-<hash>.xml``: the hash is of weights, layers, torch's version, ``FORMAT``."""
    parts = hashlib.sha256(f"{FORMAT}\n{torch.__version__}\n{network!r}".encode())
    for name, value in network.state_dict().items():
        parts.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        parts.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    version = str(runtime(backend).__version__).split("-")[0]
    return f"{Path(model).stem}.{backend}-{version}-{precision}-{parts.hexdigest()[:12]}{SUFFIX[backend]}"


@contextmanager
def export_folder(folder: Path) -> Iterator[Path]:
    """``folder``, for one process at a time; a temporary one, and a line in the log, where it cannot be written to."""
    try:
        while (lock := try_lock(folder / ".export.lock")) is None:
            time.sleep(0.1)
    except OSError as error:
        logger.warning(f"{folder} cannot be written to ({error.strerror}): the export is made anew at every start")
        with tempfile.TemporaryDirectory(prefix="export-") as temporary:
            yield Path(temporary)
        return
    with lock:
        yield folder


def export(network: nn.Module, path: Path, backend: str, precision: str = "fp32") -> None:
    """Write ``network``, (B, C, H, W) -> the same, as ``path``, any B, H and W; beside its place, and then renamed."""
    channels = next(network.parameters()).shape[1]
    network = _steady(network) if precision == "fp32" else network
    example = torch.zeros(2, channels, 64, 96)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracers, on a check of the sides, and of what they call themselves
        if backend == "onnxruntime":
            _export_onnx(network, path, example)
        else:
            _export_openvino(network, path, example)


class _SteadyInstanceNorm(nn.Module):
    """Instance norm whose sums are those of rows, then of columns.

    OpenVINO's and ONNX Runtime's own add up the pixels of a whole image one by one in float32: their output then
    differs from torch's by up to 1e-4 at 256 px and 3e-3 at 1024 px, this one's by 1e-6 and 1e-5. In bf16 that is no
    matter.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x - _mean(x)
        return x * torch.rsqrt(_mean(x * x) + self.eps)


def _mean(x: torch.Tensor, largest: float = 3e38) -> torch.Tensor:
    """Of rows, then of these; OpenVINO would make one sum of two that follow each other directly."""
    return x.mean(-1, keepdim=True).clamp(-largest, largest).mean(-2, keepdim=True)


def _steady(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, InstanceNorm | nn.InstanceNorm2d) and not getattr(module, "affine", False):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, _SteadyInstanceNorm(module.eps))
    return network


def _export_openvino(network: nn.Module, path: Path, example: torch.Tensor) -> None:
    openvino = runtime("openvino")
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(network, example_input=(example,))  # has to live as long as the conversion
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, example.shape[1], -1, -1])
    weights = path.with_suffix(".bin")
    with beside(path) as place:
        try:
            openvino.save_model(model, str(place), compress_to_fp16=False)
            os.replace(place.with_suffix(".bin"), weights)
        finally:
            place.with_suffix(".bin").unlink(missing_ok=True)


def _export_onnx(network: nn.Module, path: Path, example: torch.Tensor) -> None:
    dynamic, disabled = torch.export.Dim.DYNAMIC, logging.root.manager.disable
    logging.disable(logging.WARNING)  # it tells of every pass, and that it misses torchvision
    try:
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
            input_names=["image"],
            output_names=["pred"],
            verbose=False,
        )
    finally:
        logging.disable(disabled)
    assert program is not None
    with beside(path) as place:
        program.save(str(place), external_data=False)


def start(path: Path, backend: str, precision: str = "fp32", num_threads: int = 1) -> Run:
    """A function that computes the exported network, float32 arrays (B, C, H, W) in and out.

    Args:
        path: of :func:`export`.
        backend: "openvino" or "onnxruntime".
        precision: "fp32"; "bf16" for OpenVINO alone, which a CPU without bf16 computes in fp32.
        num_threads: for one image at a time; they are not bound to cores, where other processes decode and write.
    """
    return _start_openvino(path, precision, num_threads) if backend == "openvino" else _start_onnx(path, num_threads)


def _start_openvino(path: Path, precision: str, num_threads: int) -> Run:
    openvino = runtime("openvino")
    from openvino.properties import hint, inference_num_threads

    wanted = openvino.Type.bf16 if precision == "bf16" else openvino.Type.f32  # not asked, it takes bf16 by itself
    settings = {
        hint.inference_precision: wanted,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.enable_cpu_pinning: False,
        inference_num_threads: num_threads,
    }
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        logger.warning("this CPU does not compute in bf16: OpenVINO takes fp32")
    request = core.compile_model(str(path), "CPU", settings).create_infer_request()
    return lambda image: request.infer({0: image}, share_inputs=True)[0]


def _start_onnx(path: Path, num_threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = num_threads, 1, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]
