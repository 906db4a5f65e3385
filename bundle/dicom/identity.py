"""Who an image is of, as a key that says nothing, and the words of a header that would say it."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["bare", "found_identity", "holds_date", "identifying_words", "keyed", "masked", "patient_key"]

NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson")
PATIENT_IDS = ("PatientID", "OtherPatientIDs")
EXAM_NUMBERS = ("AccessionNumber", "StudyID", "AdmissionID")
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime")
FIELD_WORDS = ("low", "high", "energy", "left", "right", "breast", "contrast", "image", "view", "test", "phantom")
SPELLED = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "æ": "ae", "ø": "oe", "ß": "ss"}
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
YEAR, MONTH, DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
MM, DD = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
ANY_DATE = re.compile(
    r"(?<!\d)(?<!\d[.])(?:"  # a part of a UID or of a version is no date
    rf"{YEAR}[-./_]?{MM}[-./_]?{DD}(?:\d{{4}}|\d{{6}})?"
    rf"|{YEAR}(?:[-./_]\s?|\s){MONTH}(?:[-./_]\s?|\s){DAY}|{DAY}(?:[-./_]\s?|\s){DAY}(?:[-./_]\s?|\s){YEAR}"
    rf"|{DAY}(?:st|nd|rd|th)?[-./_\s]{{0,2}}(?:(?:de|of)\s)?[^\W\d_]{{3,9}}[-./_,\s]{{0,2}}(?:de\s)?{YEAR}"
    rf"|(?<![^\W\d_])(?:{'|'.join(month[:3] for month in MONTHS)})[a-z]{{0,6}}[-./_\s]{{0,2}}{DAY}(?:st|nd|rd|th)?"
    rf"[-./_,\s]{{1,2}}{YEAR}"
    r")(?!\d|[.]\d)"
)


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
    """Words of a header that name a woman or a day: "name", "patient ID", "issuer", "exam number" or "date" of each.

    Names come as a whole, in halves where they are double-barrelled, with and without ``ue`` for ``ü``; IDs as a whole
    and as the long numbers in them; dates in the usual orders.

    Args:
        ds: a header.
        shortest: letters below which a name or an ID is left out. 3 to raise an alarm (:func:`found_identity`), because
            shorter ones stand everywhere; 2 to hide what stands in the woman's own header (:func:`masked`).
        ordinary: words of the field that are no sign of a name, lower case.
    """
    words: dict[str, str] = {}
    for keyword in DATES:
        words |= dict.fromkeys(_dates(_text(ds.get(keyword))[:8]), "date")
    items = [item for item in ds.get("OtherPatientIDsSequence") or () if hasattr(item, "keys")]
    for kind, values in (
        ("issuer", [ds.get("IssuerOfPatientID")]),
        ("exam number", [ds.get(keyword) for keyword in EXAM_NUMBERS]),
        ("patient ID", [ds.get(keyword) for keyword in PATIENT_IDS] + [item.get("PatientID") for item in items]),
    ):
        for text in (text for value in values for text in _texts(value)):
            forms = [_plain(text), *re.findall(r"[0-9]{5,}", text)]
            words |= {form: kind for form in forms if len(bare(form)) >= max(1, shortest)}
    for text in (text for keyword in NAMES for text in _texts(ds.get(keyword))):
        forms = [spelled for part in re.split(r"[\s^=,;\\]+", text) for spelled in _spellings(part)]
        halves = [half for form in forms for half in re.findall(r"[^\W_]+", form)]
        words |= {form: "name" for form in (*forms, *halves) if len(bare(form)) >= max(1, shortest)}
    return {word: kind for word, kind in words.items() if kind != "name" or word not in ordinary}


def found_identity(text: str, words: Mapping[str, str]) -> list[str]:
    """Kinds of the words that stand in a text, whatever their case, accents and separators.

    Short words and names must stand alone: a name is often a part of other words.
    """
    plain = _plain(text)
    return sorted({kind for word, kind in words.items() if _pattern(word, kind).search(plain)})


def masked(text: str, words: Mapping[str, str]) -> str:
    """A text with ``***`` in the place of the words, and of whatever else looks like a date."""
    letters = list(_letters(text))
    plain, places = "".join(letter for _, letter in letters), [place for place, _ in letters] + [len(text)]
    found = [match.span() for word, kind in words.items() for match in _pattern(word, kind).finditer(plain)]
    found += [match.span() for match in ANY_DATE.finditer(plain)]
    hidden = {place for start, end in found for place in range(places[start], places[end])}
    return re.sub("\0+", "***", "".join("\0" if place in hidden else letter for place, letter in enumerate(text)))


def holds_date(text: str) -> bool:
    """Whether something in a text looks like a date, so that :func:`masked` hides it."""
    return bool(ANY_DATE.search(_plain(text)))


def bare(text: str) -> str:
    """Letters and digits of a text alone, lower case, without accents: what any two spellings of a word share.

    ``bare(word) in bare(text)`` is true wherever :func:`found_identity` finds the word: a quick choice among many.
    """
    return "".join(letter for letter in _plain(text) if letter.isalnum())


@lru_cache(maxsize=4096)
def _pattern(word: str, kind: str) -> re.Pattern[str]:
    parts = re.findall(r"[^\W\d_]+|\d+", _plain(word))
    length = sum(map(len, parts))
    if kind == "date":
        dated = r"[-./_,\s]{1,3}".join(parts)
        return re.compile(rf"(?<!\d)(?<!\d[.]){dated}(?!\d|[.]\d)" if len(parts) > 1 else dated)
    spaced = r"[\W_]{0,2}".join(map(re.escape, parts))
    if kind == "name" or length < 5:
        other = r"[^\W\d_]" if length > 4 else r"[^\W_]"  # MEIER1951 is she, LI2 is anything
        return re.compile(rf"(?<!{other}){spaced}(?!{other})")
    return re.compile(spaced)


def _dates(digits: str) -> Iterator[str]:
    if not re.fullmatch(rf"[0-9]{{4}}{MM}{DD}", digits):
        return
    year, month, day = digits[:4], digits[4:6], digits[6:]
    yield from (digits, f"{day}{month}{year}")
    for m, d in ((month, day), (month.lstrip("0"), day.lstrip("0"))):
        yield from (f"{year}-{m}-{d}", f"{d}.{m}.{year}", f"{d}/{m}/{year}", f"{m}/{d}/{year}")
        for name in (MONTHS[int(month) - 1], MONTHS[int(month) - 1][:3]):
            yield from (f"{d} {name} {year}", f"{name} {d} {year}")


def _spellings(name: str) -> Iterator[str]:
    """Lüdenscheidt: ludenscheidt, luedenscheidt; Mueller: mueller, muller."""
    lower = unicodedata.normalize("NFC", name).lower()
    plain = _plain(lower)
    yield plain
    yield _plain("".join(SPELLED.get(letter, letter) for letter in lower))
    yield re.sub("([aou])e", r"\1", plain).replace("ss", "ß")


def _letters(text: str) -> Iterator[tuple[int, str]]:
    """Letters in lower case without their accents, each with its place in the text."""
    for place, letter in enumerate(text):
        parts = unicodedata.normalize("NFKD", letter)
        if not unicodedata.combining(letter):
            yield place, (parts[0] if all(map(unicodedata.combining, parts[1:])) else letter).lower()[:1]


def _plain(text: str) -> str:
    return "".join(letter for _, letter in _letters(text))


def _texts(value: object) -> list[str]:
    """The values of an element that may have several."""
    several = not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "family_name")
    return [_text(one) for one in value] if several else [_text(value)]  # type: ignore[attr-defined]


def _text(value: object) -> str:
    return str(value).strip() if value is not None else ""
