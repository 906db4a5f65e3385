"""What a prepared image depends on, as one number: files, parameters of the transforms, code and libraries."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import os
import threading
from collections.abc import Iterable, Mapping, Sequence, Set
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["file_identity", "fingerprint", "transform_identity"]

PACKAGE = Path(__file__).parents[1]
READING = ("data", "dicom", "transforms")  # folders of this package through whose code an image goes
LIBRARIES = ("torch", "monai", "numpy", "scipy", "scikit-image", "pillow", "pydicom", "nibabel", "pynrrd", "itk")


def fingerprint(*parts: Any) -> str:
    """SHA-256 of plain values, nested as they are."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def file_identity(path: str | os.PathLike) -> tuple[str, int, int]:
    """Real path, size in bytes and time of the last change in nanoseconds.

    Raises:
        OSError: for a file that is not there.
    """
    real = os.path.realpath(path)
    found = os.stat(real)
    return real, found.st_size, found.st_mtime_ns


def transform_identity(transforms: Iterable[Any]) -> str:
    """One hash of the transforms' classes and parameters, of their code and of the libraries that they use.

    Raises:
        ValueError: for a parameter that has no lasting description, which a cache could take for another one.
    """
    transforms = list(transforms)
    described = [_described(transform, ()) for transform in transforms]
    modules = {_source(kind) for each in transforms for kind in type(each).__mro__[:-1]} - {""}
    own = [path for path in modules if "site-packages" not in path and not Path(path).is_relative_to(PACKAGE)]
    code = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in sorted(own)]
    return fingerprint(described, code, _reading_code(), _versions())


@cache
def _reading_code() -> str:
    paths = sorted([PACKAGE / "keys.py", *(path for folder in READING for path in (PACKAGE / folder).rglob("*.py"))])
    return fingerprint(*((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths))


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in LIBRARIES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, ""))
    return tuple(found)


def _described(value: Any, within: tuple[int, ...]) -> Any:
    """A value as nested plain ones, the same in every process."""
    if value is None or isinstance(value, bool | int | float | str | bytes | complex):
        return type(value).__name__, value
    if isinstance(value, Enum):
        return _name(type(value)), value.name
    if isinstance(value, np.dtype | torch.dtype | torch.device | slice | np.generic):
        return type(value).__name__, str(value)
    if isinstance(value, os.PathLike):
        return "path", os.fspath(value)
    if isinstance(value, type):
        return "class", _name(value)
    if id(value) in within:
        return "above", within.index(id(value))
    within = (*within, id(value))
    if isinstance(value, np.ndarray | torch.Tensor):
        array = np.ascontiguousarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        if array.dtype != object:
            return "array", str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()
    if isinstance(value, Mapping):
        pairs = [(_described(key, within), _described(inner, within)) for key, inner in value.items()]
        return _name(type(value)), sorted(pairs, key=repr)
    if isinstance(value, Set):
        return _name(type(value)), sorted((_described(inner, within) for inner in value), key=repr)
    if isinstance(value, Sequence):
        return _name(type(value)), [_described(inner, within) for inner in value]
    if isinstance(value, functools.partial):
        return "partial", [_described(part, within) for part in (value.func, value.args, value.keywords)]
    if inspect.isfunction(value):
        closure = [_described(cell.cell_contents, within) for cell in value.__closure__ or ()]
        code = value.__code__
        consts = [const for const in code.co_consts if not inspect.iscode(const)]
        if len(consts) == len(code.co_consts):  # a function within a function would need its code too
            defaults = _described([value.__defaults__, value.__kwdefaults__, consts, code.co_names], within)
            return _name(value), code.co_code.hex(), defaults, closure
    if inspect.isbuiltin(value):
        return "builtin", _name(value)
    if inspect.ismethod(value):
        return "method", value.__name__, _described(value.__self__, within)
    if hasattr(value, "__dict__") and all(map(_source, type(value).__mro__[:-1])):
        # what a transform notes down for a thread while it works is no parameter
        kept = {name: inner for name, inner in vars(value).items() if not isinstance(inner, threading.local)}
        return _name(type(value)), _described(kept, within)
    raise ValueError(
        f"A transform has the parameter {value!r} of type {_name(type(value))}, which cannot be described for the "
        "cache on disk. Use --cache memory, or a transform of plain parameters."
    )


def _source(kind: type) -> str:
    """The Python file that a class is written in; of a class in C, whose state cannot be seen, nothing."""
    try:
        return inspect.getsourcefile(kind) or ""
    except (TypeError, OSError):
        return ""


def _name(of: Any) -> str:
    return f"{of.__module__}.{of.__qualname__}"
