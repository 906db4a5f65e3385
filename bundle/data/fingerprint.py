"""What a prepared image depends on, as one number: files, parameters of the transforms, code and libraries."""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib.metadata
import inspect
import logging
import os
import platform
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from enum import Enum
from functools import cache
from pathlib import Path
from types import CodeType, EllipsisType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

__all__ = ["file_identity", "fingerprint", "transform_identity"]

PACKAGE = Path(__file__).parents[1]
READING = ("data", "dicom", "transforms")  # folders of this package through whose code an image goes
LIBRARIES = ("torch", "monai", "numpy", "scipy", "scikit-image", "pillow", "pydicom", "nibabel", "pynrrd", "itk")
STANDARD = sysconfig.get_paths()["stdlib"]
REFERENCES = "__local_refs"  # where a function of a MONAI config finds what its text names with @


def fingerprint(*parts: Any) -> str:
    """SHA-256 of plain values, nested as they are."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def file_identity(path: str | os.PathLike) -> tuple[str, int, int, int, int]:
    """Real path, inode, size in bytes, and the times of the last change of content and of anything, in nanoseconds.

    A file that takes another's place with its size and its time, as ``cp -p`` or ``mv`` leave them, is another one.

    Raises:
        OSError: for a file that is not there.
    """
    real = os.path.realpath(path)
    found = os.stat(real)
    return real, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def transform_identity(transforms: Iterable[Any]) -> str:
    """One hash of the transforms' classes and parameters, of their code and of the libraries that they use.

    Of a function it counts what it does and the values of the globals that it reads; of code outside this package the
    whole folder that it is in, or the version of the distribution that it came with.

    Raises:
        ValueError: for a parameter that has no lasting description, which a cache could take for another one.
    """
    sources: set[tuple[str, str]] = set()
    described = [_described(transform, (), sources) for transform in transforms]
    origins = sorted({_origin(module, path) for module, path in sources})
    return fingerprint(described, origins, _reading_code(), _versions(), platform.python_version())


def _origin(module: str, path: str) -> tuple[str, ...]:
    """What pins the code of a module down; of one of this package that reads images, or of Python, nothing more."""
    if _is_read_already(path):
        return ("",)
    if "site-packages" in Path(path).parts:
        top = module.partition(".")[0]
        names = _distributions().get(top, [])
        if names:
            return (top, *(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(names))))
    folder = Path(path).absolute().parent
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    paths = sorted(folder.rglob("*.py") if (folder / "__init__.py").is_file() else folder.glob("*.py"))
    return "own", fingerprint(
        *((str(each.relative_to(folder)), hashlib.sha256(each.read_bytes()).hexdigest()) for each in paths)
    )


def _is_read_already(path: str) -> bool:
    """Whether the code of this package, or the version of Python, says what is in a file."""
    if Path(path).is_relative_to(PACKAGE):
        return Path(path).relative_to(PACKAGE).parts[0] in (*READING, "keys.py")
    return Path(path).is_relative_to(STANDARD) and "site-packages" not in Path(path).parts


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


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


def _described(value: Any, within: tuple[int, ...], sources: set[tuple[str, str]]) -> Any:
    """A value as nested plain ones, the same in every process; ``sources`` (module, file) grows by its code's."""
    if value is None or isinstance(value, bool | int | float | str | bytes | complex | EllipsisType):
        return type(value).__name__, value
    if isinstance(value, Enum):
        return _name(type(value)), value.name
    if isinstance(value, np.dtype | torch.dtype | torch.device | slice | np.generic):
        return type(value).__name__, str(value)
    if isinstance(value, os.PathLike):
        return "path", os.fspath(value)
    if isinstance(value, logging.Logger):
        return "logger", value.name
    if id(value) in within:
        return "above", within.index(id(value))
    of = functools.partial(_described, within=(*within, id(value)), sources=sources)
    if isinstance(value, np.ndarray | torch.Tensor):
        array = np.ascontiguousarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        if array.dtype != object:
            return "array", str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()
    if isinstance(value, Mapping):
        pairs = [(of(key), of(inner)) for key, inner in value.items()]
        return _name(type(value)), sorted(pairs, key=repr)
    if isinstance(value, Set):
        return _name(type(value)), sorted((of(inner) for inner in value), key=repr)
    if isinstance(value, Sequence):
        return _name(type(value)), [of(inner) for inner in value]
    if isinstance(value, functools.partial):
        return "partial", [of(part) for part in (value.func, value.args, value.keywords)]
    if isinstance(value, FunctionType):
        return _function(value, of, sources)
    if inspect.isbuiltin(value):
        whose = value.__self__
        return "builtin", _name(value), None if whose is None or isinstance(whose, ModuleType) else of(whose)
    if inspect.ismethod(value):
        return "method", value.__name__, of(value.__self__)
    if isinstance(value, ModuleType):
        path = getattr(value, "__file__", None) or ""
        sources |= {(value.__name__, path)} if path else set()
        return "module", value.__name__
    kinds = [kind for kind in (value if isinstance(value, type) else type(value)).__mro__ if kind is not object]
    if isinstance(value, type):
        if all(_source(kind) or kind.__module__ != "__main__" for kind in kinds):
            sources |= {(kind.__module__, _source(kind)) for kind in kinds if _source(kind)}
            return "class", _name(value)
    elif hasattr(value, "__dict__") and all(map(_source, kinds)):
        sources |= {(kind.__module__, _source(kind)) for kind in kinds}
        # what a transform notes down for a thread while it works is no parameter
        kept = {name: inner for name, inner in vars(value).items() if not isinstance(inner, threading.local)}
        return _name(type(value)), of(kept)
    raise ValueError(
        f"A transform has the parameter {value!r} of type {_name(type(value))}, which cannot be described for the "
        "cache on disk. Use --cache memory, or a transform of plain parameters."
    )


def _function(value: FunctionType, of: Callable[[Any], Any], sources: set[tuple[str, str]]) -> Any:
    """What a function does: its code, what it closes over, and the globals that it reads, unless they are pinned."""
    codes, path = list(_codes(value.__code__)), value.__code__.co_filename
    consts = [[const for const in code.co_consts if not isinstance(const, CodeType)] for code in codes]
    does = [(code.co_code.hex(), code.co_names) for code in codes]
    closure = [cell.cell_contents for cell in value.__closure__ or ()]
    parts = [consts, value.__defaults__, value.__kwdefaults__, closure]
    if os.path.isfile(path):
        sources.add((str(value.__module__), path))
    if not (os.path.isfile(path) and (_is_read_already(path) or "site-packages" in Path(path).parts)):
        steps = [step for code in codes for step in dis.get_instructions(code)]
        if any(step.opname == "IMPORT_NAME" for step in steps):
            raise ValueError(
                f"A transform has the function {_name(value)}, which imports within itself and cannot be described for "
                "the cache on disk. Import at the top of its file, or use --cache memory."
            )
        names = {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        reads = {name: value.__globals__[name] for name in names & value.__globals__.keys()}
        words = {const for inner in consts for const in inner if isinstance(const, str)}
        refs = reads.pop(REFERENCES, {})
        parts += [reads, {name: refs[name] for name in words & refs.keys()}]
    return _name(value), does, of(parts)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions within it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def _source(kind: type) -> str:
    """The Python file that a class is written in; of a class in C, whose state cannot be seen, nothing."""
    try:
        return inspect.getsourcefile(kind) or ""
    except (TypeError, OSError):
        return ""


def _name(of: Any) -> str:
    return f"{of.__module__}.{of.__qualname__}"
