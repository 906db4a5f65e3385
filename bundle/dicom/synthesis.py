"""What made a virtual DES, and in what form it is written; both go by these names through the configs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .transfer_syntax import SYNTAXES

__all__ = ["NOTICE", "Form", "Synthesis"]

NOTICE = "SYNTHETIC, not for diagnosis"
LONGEST = 64  # letters of a text of VR LO (PS3.5, 6.2)


@dataclass(frozen=True)
class Synthesis:
    """What made an image.

    Attributes:
        model: its name, such as "Seg-CycleGAN".
        version: of this software.
        weights: SHA-256 of ``model.pt``.
        image_size: side, in pixels, of the square grid that the content was made at; None for the native grid.
        options: whatever else changes pixels, such as another intensity map: other options give other UIDs.
        manufacturer: of the software.

    Raises:
        ValueError: with everything that no DICOM object could say.
    """

    model: str
    version: str
    weights: str
    image_size: int | None
    options: str = ""
    manufacturer: str = "seg-cyclegan-cesm"

    def __post_init__(self) -> None:
        texts = {"model": self.model, "version": self.version, "weights": self.weights}
        problems = _text_problems(texts | {"manufacturer": self.manufacturer}, LONGEST)
        if self.image_size is not None and self.image_size < 1:
            problems.append(f"image_size is {self.image_size}, expected a number of pixels")
        _raise("Synthesis", problems)


@dataclass(frozen=True)
class Form:
    """How an object is written.

    Attributes:
        transfer_syntax: "uncompressed", "jpeg2000" or "jpegls", all without loss.
        series_number: None for that of the LE series + 9000.
        series_description: None for "virtual DES". The notice "SYNTHETIC, not for diagnosis" always stands before it.
        mark: whether SYNTHETIC is drawn into the image, see :func:`bundle.dicom.mark.marked`.

    Raises:
        ValueError: with everything that is none of these.
    """

    transfer_syntax: str = "uncompressed"
    series_number: int | None = None
    series_description: str | None = None
    mark: bool = False

    def __post_init__(self) -> None:
        texts = {"series_description": self.series_description or ""}
        problems = _text_problems(texts, LONGEST - len(f"{NOTICE}: "))
        if self.transfer_syntax not in SYNTAXES:
            problems.append(f"transfer_syntax is {self.transfer_syntax!r}, expected one of {', '.join(SYNTAXES)}")
        if self.series_number is not None and not 0 <= self.series_number < 2**31:  # VR IS
            problems.append(f"series_number is {self.series_number}, expected null or one from 0 to {2**31 - 1}")
        _raise("Form", problems)

    @property
    def described(self) -> str:
        """Series Description (0008,103E)."""
        return f"{NOTICE}: {self.series_description or 'virtual DES'}"


def _text_problems(texts: Mapping[str, str], longest: int) -> list[str]:
    """Texts of this software are ASCII, so that they stand in an object of any character set."""
    wrong = (name for name, text in texts.items() if not re.fullmatch(rf"[ -\[\]-~]{{0,{longest}}}", str(text)))
    return [f"{name} is {texts[name]!r}, expected at most {longest} ASCII letters, no backslash" for name in wrong]


def _raise(what: str, problems: list[str]) -> None:
    if problems:
        raise ValueError(f"{what}: {'; '.join(problems)}.")
