"""Who an image is of, as a key that says nothing, and the words of a header that would say it."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["found_identity", "identifying_words", "keyed", "masked", "patient_key"]

NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson")
PATIENT_IDS = ("PatientID", "OtherPatientIDs", "IssuerOfPatientID")
EXAM_NUMBERS = ("AccessionNumber", "StudyID", "AdmissionID")
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime")
FIELD_WORDS = ("low", "high", "energy", "left", "right", "breast", "contrast", "image", "view", "test", "phantom")


def keyed(text: str, salt: str = "", letters: int = 12) -> str:
    """HMAC-SHA-256 of a text, in ``letters`` hexadecimal letters of 4 bits each."""
    return hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()[:letters]


def patient_key(ds: Dataset, salt: str = "") -> tuple[str, str]:
    """A key of the woman, and what it was made from.

    A keyed hash of the Patient ID, else of name and birth date, else of the Study Instance UID. Without a secret
    ``salt`` whoever knows how the IDs are built can try them all: then the key is a label, not a pseudonym.

    Returns:
        (key, "patient ID" | "name and birth date" | "study"); the last cannot tell that two studies are of one woman.
        Two empty texts where the header says none of them.
    """
    name, born = _text(ds.get("PatientName")), _text(ds.get("PatientBirthDate"))
    for source, text in (
        ("patient ID", _text(ds.get("PatientID"))),
        ("name and birth date", f"{name}|{born}" if name and born else ""),
        ("study", _text(ds.get("StudyInstanceUID"))),
    ):
        if text:
            return f"P{keyed(text, salt)}", source
    return "", ""


def identifying_words(ds: Dataset, shortest: int = 3, ordinary: Collection[str] = FIELD_WORDS) -> dict[str, str]:
    """Words of a header that name a woman or a day, each with its kind: "name", "patient ID", "exam number", "date".

    Args:
        ds: a header.
        shortest: letters below which a part of a name or an ID is left out, because it would be found everywhere.
        ordinary: words of the field that are no sign of a name, lower case.
    """
    words: dict[str, str] = {}
    for keyword in DATES:
        digits = _text(ds.get(keyword))[:8]
        if len(digits) == 8 and digits.isdigit():
            year, month, day = digits[:4], digits[4:6], digits[6:]
            for form in (digits, f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{day}/{month}/{year}"):
                words[form] = "date"
    for kind, keywords in (("exam number", EXAM_NUMBERS), ("patient ID", PATIENT_IDS)):
        words |= {word: kind for keyword in keywords if len(word := _plain(_text(ds.get(keyword)))) >= shortest}
    for keyword in NAMES:
        parts = re.split(r"[\s^=,;\\]+", _plain(_text(ds.get(keyword))))
        words |= {word: "name" for word in parts if len(word) >= shortest and word not in ordinary}
    return words


def found_identity(text: str, words: Mapping[str, str]) -> list[str]:
    """Kinds of the words that stand in a text, whatever their case and accents.

    Short words and names must stand alone: a name is often a part of other words.
    """
    plain = _plain(text)
    return sorted({kind for word, kind in words.items() if _pattern(word, kind).search(plain)})


def masked(text: str, words: Mapping[str, str]) -> str:
    """A text with ``***`` in the place of the words, and of whatever else looks like a date."""
    plain = _plain(text)
    found = [match.span() for word, kind in words.items() for match in _pattern(word, kind).finditer(plain)]
    found += [match.span() for match in re.finditer(r"(?<!\d)(?:19|20)\d\d[-./]?[01]\d[-./]?[0-3]\d(?!\d)", text)]
    hidden = {place for start, end in found for place in range(start, end)}
    return re.sub("\0+", "***", "".join("\0" if place in hidden else letter for place, letter in enumerate(text)))


def _pattern(word: str, kind: str) -> re.Pattern[str]:
    escaped = re.escape(_plain(word))
    alone = kind == "name" or len(word) < 5
    return re.compile(rf"(?<![^\W_]){escaped}(?![^\W_])" if alone else escaped)


def _plain(text: str) -> str:
    """Lower case without accents, letter by letter, so that places in the text stay what they are."""
    return "".join((unicodedata.normalize("NFKD", letter)[:1] or letter).lower()[:1] for letter in text)


def _text(value: object) -> str:
    return str(value).strip() if value is not None else ""
