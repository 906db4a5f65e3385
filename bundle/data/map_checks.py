"""What every form of a lesion map has to be: readable, of its image's size, and not empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

__all__ = ["check_size", "decoding", "not_empty"]


@contextmanager
def decoding(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a decoder throws at a damaged file into one line."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} could not be read as {what} ({reason}). Export it again.") from error


def check_size(path: Path, size: tuple[int, ...], shape: tuple[int, int]) -> None:
    if size != shape[::-1]:
        raise ValueError(
            f"{path} has {size[0]} x {size[1]} pixels: expected {shape[1]} x {shape[0]} as its image. Export it on "
            "that image's grid."
        )


def not_empty(path: Path, lesion: np.ndarray) -> np.ndarray:
    if not lesion.any():
        raise ValueError(f"{path} is empty: expected at least one pixel of lesion. Draw it again, or leave it out.")
    return lesion
