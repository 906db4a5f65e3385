"""TorchScript, ONNX and OpenVINO: how a generator becomes a file with metadata inside, and how that file is run."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import save_net_with_metadata
from torch import nn

from ...inference.exported_model import Run, export, runtime, start

__all__ = ["FORMS", "SECTION", "Form"]

SECTION = "bundle"  # of the runtime information of an OpenVINO model


@dataclass(frozen=True)
class Form:
    """A file format.

    Args:
        name: of the format.
        suffixes: of its files; the first is the one that is named, the others lie beside it.
        backend: of :mod:`bundle.inference.backends`, which makes and runs it.
        write: network, path, metadata -> the files.
        start: path -> a function of float32 arrays (B, C, H, W).
    """

    name: str
    suffixes: tuple[str, ...]
    backend: str
    write: Callable[[nn.Module, Path, Mapping[str, Any]], None]
    start: Callable[[Path], Run]

    def versions(self) -> dict[str, str]:
        """Of the package that runs the file."""
        return {self.backend: str(runtime(self.backend).__version__)}


def _texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Key by key; what is no text as JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in metadata.items()
    }


def _write_torchscript(network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
    plain = path.with_name(f"plain-{path.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its TorchScript deprecated, at each step
        save_net_with_metadata(
            torch.jit.script(network),
            str(plain),
            include_config_vals=False,
            meta_values=metadata,
            more_extra_files={"model.json": json.dumps(metadata["card"], indent=1).encode()},
        )
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):  # paths of source files on the machine that exports
                target.writestr(entry, source.read(entry))


def _start_torchscript(path: Path) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.load(path, map_location="cpu")

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(image)).numpy()

    return run


def _write_onnx(network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
    export(network, path, "onnxruntime")
    onnx = runtime("onnx")
    model = onnx.load(str(path))
    for node in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del node.metadata_props[:]  # where in which source file each layer stands
    onnx.helper.set_model_props(model, _texts(metadata))
    model.doc_string = metadata["notice"]
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _write_openvino(network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
    plain = path.with_name(f"plain-{path.name}")
    export(network, plain, "openvino")
    openvino = runtime("openvino")
    model = openvino.Core().read_model(str(plain))
    model.inputs[0].set_names({"image"})
    model.outputs[0].set_names({"pred"})
    for key, text in _texts(metadata).items():
        model.set_rt_info(text, [SECTION, key])
    openvino.save_model(model, str(path), compress_to_fp16=False)


FORMS = {
    "torchscript": Form("TorchScript", (".ts",), "torch", _write_torchscript, _start_torchscript),
    "onnx": Form(
        "ONNX",
        (".onnx",),
        "onnxruntime",
        _write_onnx,
        lambda path: start(path, "onnxruntime", num_threads=torch.get_num_threads()),
    ),
    "openvino": Form(
        "OpenVINO",
        (".xml", ".bin"),
        "openvino",
        _write_openvino,
        lambda path: start(path, "openvino", num_threads=torch.get_num_threads()),
    ),
}
