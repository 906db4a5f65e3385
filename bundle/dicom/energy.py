"""Which of the images of a CESM exposure a DICOM object is: LE, DES, HE, or none of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .codes import SCHEME
from .files import has_dicom_mark, read_dataset

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Decision", "Rules", "classify", "other_than_le", "read_rules", "refusal"]

KINDS = ("DES", "HE", "LE")  # an object that names two of them is a DES, which is made from the others
VENDORS = Path(__file__).with_name("vendors.json")
SYNTHETIC_DATA = 0x0008001C
TOMOSYNTHESIS = ("1.2.840.10008.5.1.4.1.1.13.1.3", "1.2.840.10008.5.1.4.1.1.13.1.4", "1.2.840.10008.5.1.4.1.1.13.1.5")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
FOR_PROCESSING = ("1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.1.1")  # MG, DX
FOR_PRESENTATION = ("1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1")
SYNTHESIZING = "109100"  # DCM, Synthesizing Equipment (PS3.16, CID 7005)
TEXT_RULES = {  # rule -> where its patterns are looked for; the order is that of the decision
    "image_type": ("ImageType",),
    "processing_code": ("AcquisitionDeviceProcessingCode",),
    "description": (
        "SeriesDescription",
        "ProtocolName",
        "ImageComments",
        "AcquisitionDeviceProcessingDescription",
    ),
}

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """What an object is taken for ("LE", "DES", "HE", "other", "unknown"), by which rule, and why it is not used."""

    taken_for: str
    rule: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Rules:
    """Entries of a vendor file, the first ones first; see ``vendors.json`` for their form."""

    entries: tuple[Entry, ...]

    def of(self, ds: Dataset) -> Iterator[Entry]:
        """The entries that count for the object's manufacturer."""
        maker = str(ds.get("Manufacturer") or "")
        return (entry for entry in self.entries if re.search(entry.get("manufacturer", ""), maker, re.IGNORECASE))


@cache
def _default_rules() -> Rules:
    return Rules(tuple(json.loads(VENDORS.read_text(encoding="utf-8"))["vendors"]))


def read_rules(path: str | os.PathLike | None = None) -> Rules:
    """The rules that come with this bundle, behind those of a user's own vendor file.

    Raises:
        ValueError: with everything that is wrong with the file.
    """
    if path is None:
        return _default_rules()
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        entries = content["vendors"]
        problems = [problem for number, entry in enumerate(entries, 1) for problem in _entry_problems(number, entry)]
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no vendor file ({error!r}): expected the form of {VENDORS.name}.") from error
    if problems:
        raise ValueError(f"{path} has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    return Rules((*entries, *_default_rules().entries))


def _entry_problems(number: int, entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"entry {number}: {entry!r}, expected an object"
        return
    known = ("name", "manufacturer", *TEXT_RULES, "kvp")
    yield from (f"entry {number}: {key!r}, expected one of {known}" for key in entry if key not in known)
    patterns = [("manufacturer", entry.get("manufacturer", ""))]
    for rule in (*TEXT_RULES, "kvp"):
        table = entry.get(rule, {})
        if not isinstance(table, dict) or not set(table) <= set(KINDS):
            yield f"entry {number}: {rule} {table!r}, expected an object of {', '.join(KINDS)}"
        elif rule == "kvp":
            for kind, bounds in table.items():
                if not (
                    isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(b, int | float) for b in bounds)
                ):
                    yield f"entry {number}: kvp {kind} {bounds!r}, expected [lowest, highest]"
        else:
            for kind, texts in table.items():
                if not isinstance(texts, list):
                    yield f"entry {number}: {rule} {kind} {texts!r}, expected a list of patterns"
                else:
                    patterns += [(f"{rule} {kind}", text) for text in texts]
    for where, pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            yield f"entry {number}: {where} {pattern!r} is no regular expression ({error})"


def refusal(ds: Dataset) -> str:
    """Why an object can be no image of a CESM exposure, whatever its energy; "" where nothing speaks against it."""
    modality = str(ds.get("Modality") or "")
    if modality != "MG":
        return f"its modality is {_code(modality)}, expected MG"
    if SYNTHETIC_DATA in ds and str(ds[SYNTHETIC_DATA].value).upper() == "YES":
        return "it is synthetic data"
    if where := _says_synthetic(ds):  # where a PACS has dropped that attribute
        return f"it is synthetic data, as its {where} says"
    sop_class = str(ds.get("SOPClassUID") or "")
    if sop_class in TOMOSYNTHESIS:
        return "it is tomosynthesis, expected one projection image"
    samples, photometric = _whole(ds.get("SamplesPerPixel")), str(ds.get("PhotometricInterpretation") or "MONOCHROME2")
    if samples > 1 or not photometric.startswith("MONOCHROME"):
        return f"it is a colour image ({_code(photometric)}), expected MONOCHROME1 or MONOCHROME2"
    if sop_class.startswith(SECONDARY_CAPTURE):
        return "it is a secondary capture, a copy of a screen, expected the image itself"
    made = [
        value for value in _texts(ds.get("ImageType")) if re.match("GENERATED_2D|TOMO|ADDITION", value, re.IGNORECASE)
    ]
    if made:
        return (
            f"it is computed from others (Image Type {_code(made[0].upper())}), expected one exposure or a subtraction"
        )
    intent = str(ds.get("PresentationIntentType") or "").upper()
    if intent == "FOR PROCESSING" or sop_class in FOR_PROCESSING:
        return "it is FOR PROCESSING, expected FOR PRESENTATION"
    if not intent and str(ds.get("PixelIntensityRelationship") or "").upper() == "LIN":
        return "it holds raw detector values (Pixel Intensity Relationship LIN), expected FOR PRESENTATION"
    frames = _whole(ds.get("NumberOfFrames"))
    if frames > 1:
        return f"it has {frames} frames, as tomosynthesis does"
    if sop_class and sop_class not in FOR_PRESENTATION:
        said = sop_class if re.fullmatch("[0-9.]{1,64}", sop_class) else "unreadable"
        return f"its SOP class is {said}, expected Digital Mammography or Digital X-Ray Image Storage"
    return ""


def _says_synthetic(ds: Dataset) -> str:
    """Which attribute says that software made the image, as this bundle's own images do in several places."""
    for keyword, named in (
        ("SeriesDescription", "series description"),
        ("DerivationDescription", "derivation description"),
    ):
        if "SYNTHETIC" in str(ds.get(keyword) or "").upper():
            return named
    if any(scheme == SCHEME for _, scheme in _codes(ds, "DerivationCodeSequence")):
        return "derivation code"
    for equipment in _items(ds, "ContributingEquipmentSequence"):
        if (SYNTHESIZING, "DCM") in _codes(equipment, "PurposeOfReferenceCodeSequence"):
            return "contributing equipment"
    return ""


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    """Of a sequence; none where a damaged header has another thing in its place."""
    value = ds.get(keyword)
    return [item for item in value if hasattr(item, "get")] if isinstance(value, Sequence) else []


def _codes(ds: Dataset, keyword: str) -> list[tuple[str, str]]:
    return [(str(item.get("CodeValue")), str(item.get("CodingSchemeDesignator"))) for item in _items(ds, keyword)]


def classify(ds: Dataset, rules: Rules | None = None) -> Decision:
    """Decide what an object is, in this order: what can be no CESM image; Image Type; processing code; a description;
    the tube voltage; unknown.

    A description that names two energies ("low energy and recombined", of a whole series) says nothing.

    Args:
        ds: a header; pixels are not looked at.
        rules: see :func:`read_rules`; None for those of this bundle.
    """
    wrong = refusal(ds)
    if wrong:
        return Decision("other", reason=wrong)
    entries = list((rules or _default_rules()).of(ds))
    for rule, keywords in TEXT_RULES.items():
        for entry in entries:
            for keyword in keywords:
                found = [kind for kind in KINDS if _names(ds.get(keyword), entry.get(rule, {}).get(kind, ()))]
                if found and (len(found) == 1 or rule != "description"):
                    return _decision(found[0], rule.replace("_", " "))
    kvp = _number(ds.get("KVP"))
    for entry in entries:
        for kind, (lowest, highest) in entry.get("kvp", {}).items():
            if kvp is not None and lowest <= kvp <= highest:
                return _decision(kind, "KVP")
    return Decision("unknown", reason="nothing in its header says whether it is LE, DES or HE")


def _decision(kind: str, rule: str) -> Decision:
    return Decision(kind, rule, "it is a high-energy image, which is not used" if kind == "HE" else "")


def other_than_le(path: str | os.PathLike) -> str:
    """Why a file is known not to be an LE image; "" for an LE image and for a file that does not say.

    Only DICOM says. A file that cannot be read does not say; the reader tells what is wrong with it.
    """
    try:
        if not has_dicom_mark(path):
            return ""
        ds = read_dataset(path, pixels=False)
        if "Modality" not in ds and "SOPClassUID" not in ds:  # a damaged header
            return ""
        decision = classify(ds)
    except Exception:
        return ""
    if decision.taken_for == "other":
        return decision.reason
    return f"it is {decision.taken_for}" if decision.taken_for in ("DES", "HE") else ""


def _names(value: Any, patterns: Any) -> bool:
    """Whether a value, or one of several, holds one of the patterns."""
    return any(re.search(pattern, text, re.IGNORECASE) for text in _texts(value) for pattern in patterns)


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(text) for text in value or []]


def _code(text: str) -> str:
    """A code string as the standard has them; of a damaged header, whatever it swallowed must not be quoted."""
    return (text if re.fullmatch(r"[A-Z0-9_ ]{1,16}", text) else "unreadable") if text else "not given"


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _whole(value: Any) -> int:
    number = _number(value)
    return int(number) if number is not None and number == number and abs(number) < 1e9 else 1
