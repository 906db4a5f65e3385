"""``benchmark dicom``: DICOM to DICOM by the project's configs, against stock MONAI transforms and pydicom."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..phantom.exam import write_study
from .infer import installed, plain_network, random_model
from .machine import about_machine
from .product_path import ProductPath
from .result import Result
from .stock_path import StockPath
from .timing import Timings, interleaved, timed

__all__ = ["measure_dicom", "native_exams"]

STOCK = "stock MONAI, fp32"
BACKENDS = {
    "torch fp32": ("torch", "fp32"),
    "openvino fp32": ("openvino", "fp32"),
    "torch bf16": ("torch", "bf16"),
    "openvino bf16": ("openvino", "bf16"),
    "onnxruntime fp32": ("onnxruntime", "fp32"),
}
SYNTAXES = {"uncompressed": "explicit", "jpeg2000": "jpeg2000"}  # of an object, and the phantom's word for it
STEPS = ("read", "preprocess", "network", "write")
GREY_LEVEL, SHARE_OF_WINDOW = 1.0, 0.01
DRAWN_WEIGHTS = 4.0  # grey levels; instance norm blows up the last digits of the flat images that drawn weights make


def native_exams(folder: str | os.PathLike, images: int, syntax: str = "uncompressed", rows: int = 2850) -> list[Path]:
    """LE objects of phantom women, 2850 x 2396 as a detector of 24 x 29 cm gives them unless ``rows`` says otherwise.

    Args:
        folder: new; the study is left there.
        images: how many; four come from each woman.
        syntax: "uncompressed" or "jpeg2000".
    """
    write_study(folder, patients=-(-images // 4), image_size=rows, syntax=SYNTAXES[syntax], truth=False, maps="nifti")
    return sorted(Path(folder).rglob("*_LE.dcm"))[:images]


def _run(path: Any, sources: Sequence[Path], targets: Callable[[Path], Path], steps: dict[str, Timings]) -> Any:
    """The path on the next source each time; its steps are kept after each."""
    turn = iter(range(10**9))

    def work() -> tuple[float, float]:
        source = sources[next(turn) % len(sources)]
        target = targets(source)
        seconds = timed(lambda: path(source, target))
        for name, (wall, cpu) in path.steps.items():
            steps[name].wall.append(wall)
            steps[name].cpu.append(cpu)
        return seconds

    return work


def measure_dicom(
    configs: str | os.PathLike,
    dataset_dir: str | os.PathLike | None = None,
    ckpt_path: str | os.PathLike | None = None,
    syntaxes: Sequence[str] = tuple(SYNTAXES),
    backends: Sequence[str] = tuple(BACKENDS),
    images: int = 8,
    repeats: int = 8,
    rows: int = 2850,
    width: int = 64,
    num_blocks: int = 9,
) -> Result:
    """Seconds an image and step of each path, the paths taking turns, each in one process and without workers.

    Two fp32 results are held against each other by stored value outside the background, which the project sets to that
    of the LE image, and bf16 by its mean difference as a share of the window. A runtime other than torch may differ by
    one grey level with trained weights, and by four with drawn ones.

    Args:
        configs: the project's folder of configs.
        dataset_dir: LE objects, all in the transfer syntax that is measured; None makes phantoms.
        ckpt_path: the trained generator; None draws weights, whose images are nearly flat.
        syntaxes: of input and output, some of "uncompressed" and "jpeg2000".
        backends: some of :data:`BACKENDS`; what is not installed is left out, with a note.
        images: LE objects that take turns.
        repeats: rounds that count, an image each.
        rows: height of the phantoms.
        width, num_blocks: of the drawn network.

    Raises:
        ValueError: for an unknown backend or syntax, or a folder without DICOM files.
    """
    unknown = [name for name in backends if name not in BACKENDS] + [name for name in syntaxes if name not in SYNTAXES]
    if unknown:
        expected = ", ".join((*BACKENDS, *SYNTAXES))
        raise ValueError(f"backends or syntaxes {', '.join(unknown)}: expected some of {expected}.")
    names = [name for name in backends if installed(BACKENDS[name][0])]
    settings = {"dataset_dir": str(dataset_dir or "phantoms"), "model": str(ckpt_path or "random weights")}
    settings |= {"images": str(images), "repeats": str(repeats)}
    result = Result("dicom", about_machine(), settings)
    if left := [name for name in backends if name not in names]:
        result.notes.append(f'Left out, not installed: {", ".join(left)}. pip install -e ".[fast]"')
    with tempfile.TemporaryDirectory() as folder:
        model = str(ckpt_path or random_model(folder, width, num_blocks))
        made: dict[str, dict[str, Timings]] = {}
        for syntax in syntaxes:
            sources = _sources(dataset_dir, Path(folder, f"exams_{syntax}"), images, syntax, rows)
            paths = _paths(Path(configs), model, names, syntax)
            _check_equal(result, paths, sources[:2], Path(folder, "equal"), syntax, trained=ckpt_path is not None)
            if not result.equal:
                return result
            made[syntax] = _measure(result, paths, sources, Path(folder, "made"), syntax, repeats)
    for syntax, timings in made.items():
        for name in names:
            result.add_ratio(f"DICOM to DICOM, {syntax}", name, STOCK, timings)
    return result


def _sources(dataset_dir: Any, folder: Path, images: int, syntax: str, rows: int) -> list[Path]:
    if dataset_dir is None:
        return native_exams(folder, images, syntax, rows)
    found = sorted(Path(dataset_dir).rglob("*.dcm"))[:images]
    if not found:
        raise ValueError(f"--dataset_dir {dataset_dir} holds no *.dcm: expected LE objects.")
    return found


def _paths(configs: Path, model: str, names: Sequence[str], syntax: str) -> dict[str, Any]:
    products = {
        name: ProductPath(
            configs,
            {
                "ckpt_path": model,
                "backend": BACKENDS[name][0],
                "precision": BACKENDS[name][1],
                "transfer_syntax": syntax,
                "bundle_root": str(configs.parent),
            },
        )
        for name in names
    }
    first = next(iter(products.values()))
    stock = StockPath(plain_network(model), first.image_size, first.window)
    return {STOCK: stock, **products}


def _target(path: Any, source: Path, folder: Path) -> Path:
    return path.output(source, folder) if isinstance(path, ProductPath) else folder / f"stock_{source.name}"


def _check_equal(
    result: Result, paths: Mapping[str, Any], sources: Sequence[Path], folder: Path, syntax: str, trained: bool
) -> None:
    import pydicom

    worst, mean = dict.fromkeys(paths, 0.0), dict.fromkeys(paths, 0.0)
    for source in sources:
        le = pydicom.dcmread(source).pixel_array
        inside = le > le.min()
        made = {}
        for name, path in paths.items():
            target = _target(path, source, folder)
            path(source, target)
            made[name] = pydicom.dcmread(target)
            target.unlink()  # the paths of one backend and of the next have the same name
        expected = made[STOCK].pixel_array.astype(float)[inside]
        for name in paths:
            difference = np.abs(made[name].pixel_array.astype(float)[inside] - expected)
            worst[name] = max(worst[name], float(difference.max()))
            mean[name] = max(mean[name], float(difference.mean() / made[name].WindowWidth))
    for name in paths:
        if name != STOCK and BACKENDS[name][1] == "fp32":
            bound = GREY_LEVEL if trained or name == "torch fp32" else DRAWN_WEIGHTS
            result.add_equality(f"grey levels, {name} and {STOCK}, {syntax}", worst[name], bound)
        elif name != STOCK:
            what = f"mean as a share of the window, {name} and {STOCK}, {syntax}"
            result.add_equality(what, mean[name], SHARE_OF_WINDOW)
    shutil.rmtree(folder)


def _measure(
    result: Result, paths: Mapping[str, Any], sources: Sequence[Path], folder: Path, syntax: str, repeats: int
) -> dict[str, Timings]:
    import pydicom

    steps = {name: {step: Timings() for step in STEPS} for name in paths}
    works = {
        name: _run(path, sources, partial(_target, path, folder=folder), steps[name]) for name, path in paths.items()
    }
    timings = interleaved(works, repeats)
    header = pydicom.dcmread(sources[0], stop_before_pixels=True)
    size = f"{header.Rows} x {header.Columns}"
    for name in paths:
        precision = "fp32" if name == STOCK else BACKENDS[name][1]
        shared: dict[str, Any] = {"image_size": size, "batch_size": 1, "precision": precision}
        result.add_row(f"DICOM to DICOM, {syntax}", name, timings[name], **shared)
        for step in STEPS:
            counted = Timings(steps[name][step].wall[1:], steps[name][step].cpu[1:])  # without the warm-up
            result.add_row(f"{step}, {syntax}", name, counted, **shared)
    return timings
