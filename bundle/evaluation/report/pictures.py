"""Images of a report as text inside its page: 8-bit grey, without loss as long as the page stays small enough."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

__all__ = ["Pictures", "encode_all", "read_grey", "read_unit"]

QUALITIES = (None, 95, 90, 80, 65)  # None is lossless WebP, a number that of a grey JPEG, which keeps all 256 levels


class Pictures(NamedTuple):
    """``texts``: case_id -> key -> base64; ``form`` says in words how they are kept; what could not be read."""

    texts: dict[str, dict[str, str]]
    mime: str
    form: str
    unreadable: list[str]


def read_grey(path: Path) -> np.ndarray:
    """An 8- or 16-bit PNG as (H, W) uint8; 16 bits are divided by 257, so that white stays white.

    Raises:
        ValueError: for a picture of another kind.
    """
    with Image.open(path) as image:
        pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise ValueError(f"{pixels.ndim} axes, expected a grey image (H, W)")
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"values from {pixels.min()} to {pixels.max()}, expected 16 bits")
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def read_unit(path: Path) -> np.ndarray:
    """A PNG of 8 or 16 bits as (H, W) float64 in [0, 1]."""
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels / (255 if pixels.dtype == np.uint8 else 1 if pixels.dtype == bool else 65535)


def encode(pixels: np.ndarray, quality: int | None) -> bytes:
    """(H, W) uint8 as lossless WebP, or as a grey JPEG of a quality."""
    buffer = io.BytesIO()
    if quality is None:
        Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=60, method=2)
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def encode_all(
    images: Mapping[str, Mapping[str, Path]], size_limit: float = 60e6, qualities: Sequence[int | None] = QUALITIES
) -> Pictures:
    """Encode every image, at the best quality that keeps all of them together below a size.

    Args:
        images: case_id -> key -> file; a lesion map (``seg``) is always kept without loss.
        size_limit: bytes of all texts together.
        qualities: tried in this order; the last one is taken whatever its size.
    """
    files = [(case_id, key, path) for case_id, of_case in images.items() for key, path in of_case.items()]
    chosen = qualities[-1]
    texts: dict[int, str] = {}
    unreadable: dict[int, str] = {}

    def text(place: int, quality: int | None) -> str | None:
        _, key, path = files[place]
        try:
            pixels = read_grey(path)
        except (ValueError, OSError) as error:
            unreadable[place] = f"{'/'.join(path.parts[-4:])}: {error}"
            return None
        return base64.b64encode(encode(pixels, None if key == "seg" else quality)).decode()

    with ThreadPoolExecutor() as pool:
        for quality in qualities:
            texts, size = {}, 0
            for start in range(0, len(files), 256):  # a quality that is too large is left early
                places = range(start, min(start + 256, len(files)))
                for place, encoded in zip(places, pool.map(lambda p, q=quality: text(p, q), places), strict=True):
                    if encoded is not None:
                        texts[place] = encoded
                        size += len(encoded)
                if size > size_limit and quality != qualities[-1]:
                    break
            else:
                chosen = quality
                break
    of_case: dict[str, dict[str, str]] = {case_id: {} for case_id in images}
    for place, encoded in texts.items():
        case_id, key, _ = files[place]
        of_case[case_id][key] = encoded
    form = "without loss" if chosen is None else f"as JPEG of quality {chosen}, so that the page stays small"
    return Pictures(
        of_case,
        "image/webp" if chosen is None else "image/jpeg",
        f"8-bit grey levels (of 16 on disk), {form}",
        [unreadable[place] for place in sorted(unreadable)],
    )
