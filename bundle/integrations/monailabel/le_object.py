"""The LE object that a request means: a DICOM file, or one of a folder that a DICOMweb series was fetched into."""

from __future__ import annotations

from pathlib import Path

from ...dicom.energy import Rules, classify
from ...dicom.files import has_dicom_mark, read_dataset
from .refused import Refused

__all__ = ["le_object"]


def le_object(source: Path, rules: Rules, unknown_is_le: bool = False, instance: str = "") -> Path:
    """The file of the LE object.

    Args:
        source: a DICOM file, or a folder of them.
        rules: see :func:`bundle.dicom.energy.read_rules`.
        unknown_is_le: take objects whose header does not say LE, DES or HE for LE images.
        instance: SOP Instance UID of the one that is meant; "" where there is but one.

    Raises:
        Refused: where there is none, with the reason of each, or more than one.
    """
    files = [source] if source.is_file() else sorted(path for path in source.iterdir() if has_dicom_mark(path))
    found: dict[str, Path] = {}
    reasons: list[str] = []
    for path in files:
        uid, reason = _looked_at(path, rules, unknown_is_le)
        if instance and uid != instance:
            continue
        if reason:
            reasons.append(reason)
        else:
            found[uid] = path
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise Refused(
            f"the series holds {len(found)} LE images: pass the SOP Instance UID of one of them as the parameter "
            f"instance ({', '.join(found)}).",
            instances=tuple(found),
        )
    if not reasons:
        raise Refused(f"there is no object {instance} here." if instance else "there is no DICOM object here.", 404)
    raise Refused(f"not an LE image: {'; '.join(dict.fromkeys(reasons))}.")


def _looked_at(path: Path, rules: Rules, unknown_is_le: bool) -> tuple[str, str]:
    """SOP Instance UID, and why it is no LE image."""
    try:
        ds = read_dataset(path, pixels=False)
        decision = classify(ds, rules)
        uid = str(ds.get("SOPInstanceUID") or "")
    except Exception as error:  # of a damaged header, whose text may hold a name
        return "", f"its header cannot be read ({type(error).__name__})"
    if decision.taken_for == "LE" or (unknown_is_le and decision.taken_for == "unknown"):
        return uid, ""
    return uid, decision.reason or f"it is {decision.taken_for}"
