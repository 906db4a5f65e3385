"""One page that a person reads before training: what a study holds, how well it is aligned, what is wrong with it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from ...keys import BatchKeys, CaseKeys
from ..datalist import case_items, datalist_hash, read_datalist
from ..folds import read_folds
from ..isolation import Failure, work_apart
from ..whole_files import write_json
from .case import CaseRecord, ImageRecord, measure_case
from .counts import count_tables, histograms
from .findings import LEVELS, Case, Finding, Limits
from .header import read_header
from .identity import StudyIdentity
from .page import choose_cases, render_page
from .patients import patient_findings, study_identity, text_findings
from .pictures import draw_case
from .rules import pair_findings

__all__ = ["Audit", "write_audit"]


@dataclass(frozen=True)
class Audit:
    """What was found, worst first, and where it is written."""

    findings: tuple[Finding, ...]
    pairs: int
    page: Path
    record: Path

    @property
    def exit_status(self) -> int:
        """1 when there is an error, else 0."""
        return int(any(finding.level == "error" for finding in self.findings))

    def summary(self, shown: int = 5) -> str:
        """Lines for the console: a verdict, then each finding, ``shown`` of its cases and its remedy."""
        counts = {level: sum(finding.level == level for finding in self.findings) for level in LEVELS}
        lines = [f"{self.pairs} pairs: {counts['error']} kind(s) of error, {counts['warning']} of warning"]
        for finding in self.findings:
            lines.append(f"{finding.level}: {finding.message}")
            if finding.level != "information":
                lines += [f"    {label}: {detail}" for label, detail in finding.where[:shown]]
                lines += [f"    and {len(finding.where) - shown} more"] * (len(finding.where) > shown)
                lines.append(f"    -> {finding.remedy}")
        return "\n".join(lines)


def write_audit(
    datalist: str | os.PathLike,
    output: str | os.PathLike | None = None,
    folds: str | os.PathLike | None = None,
    image_size: int = 256,
    num_workers: int | None = None,
    seed: int = 0,
    shown: int = 12,
    overwrite: bool = True,
    limits: Limits | None = None,
) -> Audit:
    """Measure every pair of a datalist, hold it against limits, and write ``audit.html`` and ``audit.json``.

    Neither file names a woman, an ID or a date: cases stand under their ``case_id``, or, where that holds a name or an
    ID of a DICOM header, under their place in the datalist ("case 17"). The same files give the same bytes. Of a pair
    that cannot be measured the headers alone are read, so that these names are known, too.

    Args:
        datalist: the file.
        output: the folder of the two files; None for that of the datalist.
        folds: None for ``folds.json`` beside the datalist, where there is one; a file that is named must be there.
        image_size: side in pixels of the images that training will see.
        num_workers: processes; None for every core.
        seed: of the cases that are shown at random.
        shown: how many of those.
        overwrite: replace an earlier audit.
        limits: from where on a measure is a finding.

    Raises:
        FileNotFoundError, ValueError: when the datalist itself cannot be read.
        FileExistsError: when there is an audit and ``overwrite`` is false.
    """
    datalist, limits = Path(datalist), limits or Limits()
    if image_size < 1 or shown < 0:
        raise ValueError(f"image_size is {image_size} and shown {shown}, expected 1 or more and 0 or more.")
    folder = Path(output) if output is not None else datalist.parent
    page, record = folder / "audit.html", folder / "audit.json"
    for path in (page, record):
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already. Choose another --output, or pass --overwrite.")
    content = read_datalist(datalist)
    items = case_items(content, datalist.parent)
    measure = partial(measure_case, image_size=image_size)
    measured = list(work_apart(measure, items, num_workers, description="measure", unit="pair"))
    records = _with_headers(measured, items, num_workers)
    identity = study_identity(content["cases"], records)
    cases = _labelled(content["cases"], records, identity)
    findings, assignment = list(pair_findings(cases, limits, image_size)), None
    folds_file = Path(folds) if folds is not None else datalist.with_name("folds.json")
    try:
        assignment = read_folds(folds_file, content, datalist)["folds"]
    except (OSError, ValueError) as error:
        findings.append(_fold_finding(error, folds_file, datalist, named=folds is not None))
    findings += patient_findings(cases, assignment)
    findings += text_findings(content, cases, identity, in_texts=("name", "patient ID"))
    findings += _few_patients(content, assignment)
    findings = [_masked(finding, identity) for finding in findings]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))

    chosen = choose_cases(cases, findings, shown, seed)
    drawn = work_apart(draw_case, [items[index] for index in chosen], num_workers, description="draw", unit="pair")
    pictures = {index: [] if isinstance(got, Failure) else got for index, got in zip(chosen, drawn, strict=True)}
    report = {
        "datalist": identity.masked(str(content.get("name", ""))),
        "datalist_hash": datalist_hash(content),
        "pairs": len(cases),
        "patients": len({entry[CaseKeys.PATIENT_ID] for entry in content["cases"]}),
        "image_size": image_size,
        "limits": {field.name: getattr(limits, field.name) for field in fields(limits)},
        "findings": [
            {
                "level": finding.level,
                "kind": finding.kind,
                "message": finding.message,
                "remedy": finding.remedy,
                "cases": [{"case_id": label, "detail": detail} for label, detail in finding.where],
            }
            for finding in findings
        ],
        "counts": count_tables(cases, identity, assignment),
        "histograms": histograms(cases, limits),
        "cases": [_row(*case) for case in cases],
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, report)
    beside = page.with_name(f".{page.name}.{os.getpid()}.tmp")
    beside.write_text(render_page(report, chosen, pictures), encoding="utf-8")
    os.replace(beside, page)
    return Audit(tuple(findings), len(cases), page, record)


def _labelled(
    entries: Sequence[Mapping[str, Any]], records: Sequence[CaseRecord], identity: StudyIdentity
) -> list[Case]:
    names = [str(entry[CaseKeys.CASE_ID]) for entry in entries]
    taken, labels = set(names), []
    for number, name in enumerate(names, start=1):
        label = name if identity.masked(name) == name else f"case {number}"
        while label != name and label in taken:
            label = f"#{label}"
        labels.append(label)
    return list(zip(labels, entries, records, strict=True))


def _with_headers(
    measured: Sequence[Any], items: Sequence[Mapping[str, Any]], num_workers: int | None
) -> list[CaseRecord]:
    """Records, with the headers alone of those pairs whose measurement failed."""
    records = [
        CaseRecord(problem=f"it cannot be measured: {result.reason}") if isinstance(result, Failure) else result
        for result in measured
    ]
    failed = [index for index, result in enumerate(measured) if isinstance(result, Failure)]
    places = [(index, key) for index in failed for key in (BatchKeys.LE, BatchKeys.DES)]
    paths = [items[index][key] for index, key in places]
    headers = work_apart(read_header, paths, num_workers, description="headers", unit="file") if paths else ()
    for (index, key), header in zip(places, headers, strict=True):
        if not isinstance(header, Failure):
            records[index].images[key] = ImageRecord(header=header)
    return records


def _fold_finding(error: Exception, folds: Path, datalist: Path, named: bool) -> Finding:
    if isinstance(error, FileNotFoundError):
        make = "python -m scripts.folds DATALIST"
        if named:
            message = f"There are no folds {folds.name}, although they were named: they were not checked."
            return Finding("error", "folds", message, f"Name the right file, or make one: {make} --output FOLDS")
        return Finding("information", "folds", "There are no folds yet, so they were not checked.", make)
    message = str(error).replace(str(folds), folds.name).replace(str(datalist), datalist.name)
    message = message.partition(" Remake it")[0].rstrip(".")
    message = re.sub(r"(?s)(no fold to) patient\(s\) .*", r"\1 some patients", message)  # whose IDs it names
    remake = "Remake the folds: python -m scripts.folds DATALIST --overwrite"
    return Finding("error", "folds", f"The folds do not fit the datalist: {message}.", remake)


def _few_patients(content: Mapping[str, Any], folds: Mapping[str, int] | None, usual: int = 10) -> Iterator[Finding]:
    patients = len({case[CaseKeys.PATIENT_ID] for case in content["cases"]})
    if not folds and patients < usual:
        yield Finding(
            "information",
            "patients",
            f"{patients} patient(s), fewer than the usual {usual} folds.",
            f"Make fewer folds: python -m scripts.folds DATALIST --k {max(3, patients)}",
        )


def _masked(
    finding: Finding,
    identity: StudyIdentity,
    outside: Sequence[str] = ("image", "lesion map", "side or view", "folds"),
) -> Finding:
    """What a decoder, a header or the folds say may repeat a path or an ID; all else is the audit's own words."""
    message = identity.masked(finding.message) if finding.kind == "folds" else finding.message
    where = tuple((label, identity.masked(detail, numbers=finding.kind in outside)) for label, detail in finding.where)
    return Finding(finding.level, finding.kind, message, finding.remedy, where)


def _row(label: str, entry: Mapping[str, Any], record: CaseRecord) -> dict[str, Any]:
    """Measures of a case as JSON: what could not be measured is null."""
    numbers = {
        "shift_share": record.shift_share,
        "overlap": record.overlap,
        "overlap_aligned": record.overlap_aligned,
        "wall_share": record.wall,
        "lesion_inside": record.inside,
        "lesion_contrast": record.contrast,
    }
    return {
        "case_id": label,
        "laterality": entry[CaseKeys.LATERALITY],
        "view": entry[CaseKeys.VIEW],
        "has_map": bool(entry.get(BatchKeys.SEG)),
        "shift": [step if math.isfinite(step) else None for step in record.shift],
        **{name: round(number, 4) if math.isfinite(number) else None for name, number in numbers.items()},
        "lesion_pixels": [list(sizes) for sizes in record.lesions],
    }
