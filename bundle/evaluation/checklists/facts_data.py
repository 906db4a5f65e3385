"""What a study says of its data: where they come from, who is in them, what is missing."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from ...keys import BatchKeys, CaseKeys
from .study import LIST, RECORD, Data, Known, Lacking, Said, Study
from .wording import counted, is_number, malignant

__all__ = ["FACTS"]

LABELS = ("density", "birads", "pathology", "age")  # what adapters and the phantom may know of a case


def data_source(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        listed = data.datalist
        return [
            Known(
                f"{data.name}. Source: {listed['source']}. Licence: {listed['licence']}.", f"{LIST}: source, licence"
            ),
            Known(f"{data.name}: {counted(listed['cases'])}.", f"{LIST}: cases"),
        ]

    hashes = study.values(lambda run: (run.run.get("provenance") or {}).get("datalist_hash"), study.every)
    short = ", ".join(digest[:16] for digest in hashes)
    trained_on = [Known(f"SHA-256 of the list, first 16 digits: {short}.", f"{RECORD}: provenance")] if short else []
    return [*study.of_data(said, also_pretraining=True), *trained_on]


def phantom(study: Study) -> list[Said]:
    names = study.values(
        lambda run: (run.run.get("provenance") or run.evaluation.get("provenance") or {}).get("datalist")
    )
    drawn = [data for data in study.main_data if "phantom" in data.datalist]
    if not drawn and not any("phantom" in name.lower() for name in names):
        return []
    made = drawn[0].datalist["phantom"] if drawn else {}
    how = f" ({', '.join(f'{key} {value}' for key, value in made.items())})" if made else ""
    return [
        Known(
            f"The images are a phantom, drawn by a program{how}: there are no patients, DES and maps are computed, and "
            "scores on it say nothing about clinical performance. Items on patients do not apply.",
            f"{LIST}: phantom" if drawn else f"{RECORD}: provenance",
        )
    ]


def exclusions(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        found: list[Said] = []
        skipped = data.datalist.get("skipped")
        if skipped is not None:
            found.append(Known(_skipped(len(skipped)), f"{LIST}: skipped"))
        elif (rows := _rows(data.folder / "skipped.csv")) is not None:
            found.append(Known(_skipped(rows), "skipped.csv, beside the datalist"))
        elif "phantom" not in data.datalist:
            found.append(Lacking("The list does not say which files were left out when it was made."))
        for key, what in (
            ("unequal_size", "pairs of LE and DES of different size"),
            ("low_overlap", "pairs that overlap little after alignment"),
            ("without_window", "pairs without a window"),
        ):
            if data.datalist.get(key):
                found.append(Known(f"{len(data.datalist[key])} {what} are in the list and marked.", f"{LIST}: {key}"))
        return found

    return study.of_data(said)


def _skipped(count: int) -> str:
    return (
        f"{count} file(s) were left out, each with its reason."
        if count
        else "No file of the given folder was left out."
    )


def _rows(path: Path) -> int | None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return max(sum(1 for _ in csv.reader(file)) - 1, 0)
    except (OSError, ValueError):
        return None


def lesion_selection(study: Study) -> list[Said]:
    chosen = study.values(lambda run: (run.run.get("provenance") or {}).get("lesions"))
    words = {
        "all": "all drawn lesions are used",
        "malignant": "maps of pairs that are not marked malignant are dropped",
    }
    return [Known(f"Lesion maps: {words.get(one, one)}.", f"{RECORD}: provenance#lesions") for one in chosen]


def missing(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        cases = data.datalist["cases"]
        without = sum(not case.get(BatchKeys.SEG) for case in cases)
        known = {label: sum(case.get(label) is not None for case in cases) for label in LABELS}
        labels = ", ".join(f"{label} {len(cases) - count}" for label, count in known.items() if 0 < count < len(cases))
        never = ", ".join(label for label, count in known.items() if not count)
        found = [
            Known(
                f"{without} of {len(cases)} pairs have no lesion map; they are taken as pairs without a lesion."
                if without
                else f"All {len(cases)} pairs have a lesion map.",
                f"{LIST}: cases#seg",
            )
        ]
        if labels or never:
            said_labels = (f"Labels missing, in pairs: {labels}. " if labels else "") + (
                f"No case has: {never}." if never else ""
            )
            found.append(Known(said_labels.strip(), f"{LIST}: cases"))
        return list(found)

    return study.of_data(said)


def files(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        kinds = Counter(Path(case[BatchKeys.LE]).suffix.lower() or "no suffix" for case in data.datalist["cases"])
        views = Counter(case[CaseKeys.VIEW] for case in data.datalist["cases"])
        return [
            Known(f"LE files: {_files(kinds)}. Views: {_counts(views)}.", f"{LIST}: cases"),
            *_sizes(study),
        ]

    return study.of_data(said)


def _sizes(study: Study) -> list[Said]:
    seen = [run.card["seen"] for run in study.trainings if isinstance(run.card.get("seen"), dict)]
    ranges = []
    for key in ("rows", "columns"):
        ends = [one[key] for one in seen if key in one]
        if ends:
            ranges.append(f"{min(low for low, _ in ends):g} to {max(high for _, high in ends):g} {key}")
    return [Known(f"Training images have {' and '.join(ranges)}.", "models/model.json: seen")] if ranges else []


def lesion_maps(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        kinds = Counter(
            Path(case[BatchKeys.SEG]).suffix.lower() for case in data.datalist["cases"] if case.get(BatchKeys.SEG)
        )
        found = [Known(f"Lesion maps come as files: {_files(kinds)}.", f"{LIST}: cases#seg")] if kinds else []
        if "phantom" in data.datalist:
            found.append(Known("They are the phantom's own truth; nobody drew them.", f"{LIST}: phantom"))
        return list(found)

    return study.of_data(said)


def characteristics(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        cases = data.datalist["cases"]
        found: list[Said] = [
            Known(f"Whole list: {counted(cases)}{malignant(cases)}.", f"{LIST}: cases"),
        ]
        ages = {case[CaseKeys.PATIENT_ID]: case["age"] for case in cases if is_number(case.get("age"))}
        if ages:
            values = sorted(ages.values())
            found.append(
                Known(
                    f"Age of {len(ages)} patients: median {median(values):g}, {values[0]:g} to {values[-1]:g} years.",
                    f"{LIST}: cases#age",
                )
            )
        for label, heading in (("density", "Density"), ("birads", "BI-RADS"), ("pathology", "Pathology")):
            known = Counter(_text(case[label]) for case in cases if case.get(label) is not None)
            if known:
                found.append(Known(f"{heading}, in pairs: {_counts(known)}.", f"{LIST}: cases#{label}"))
        absent = [label for label in ("sex", "ethnicity", "symptoms") if not any(label in case for case in cases)]
        if absent:
            found.append(Known(f"The list does not know: {', '.join(absent)}.", LIST))
        return found

    return study.of_data(said)


def data_availability(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        return [Known(f"{data.name}, licence as the list has it: {data.datalist['licence']}.", f"{LIST}: licence")]

    return study.of_data(said, also_pretraining=True)


def _text(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))


def _files(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(kinds.items()))


FACTS = {
    fact.__name__: fact
    for fact in (
        data_source,
        phantom,
        exclusions,
        lesion_selection,
        missing,
        files,
        lesion_maps,
        characteristics,
        data_availability,
    )
}
