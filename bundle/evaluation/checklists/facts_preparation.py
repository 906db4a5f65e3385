"""What a study says of the preparation of its data: preprocessing, alignment, partitions."""

from __future__ import annotations

from statistics import median

from ...data.folds import PARTS
from ...keys import CaseKeys
from .study import FOLDS, LIST, RECORD, Data, Known, Lacking, Said, Study
from .transforms_in_words import in_words
from .wording import counted, malignant, span

__all__ = ["FACTS"]


def preprocessing(study: Study) -> list[Said]:
    return _chain(study, "deterministic_transforms", "In this order: ", "No preprocessing is recorded.")


def augmentation(study: Study) -> list[Said]:
    return _chain(study, "random_transforms", "Of the training part alone: ", "No augmentation.")


def _chain(study: Study, key: str, before: str, nothing: str) -> list[Said]:
    configs = [run.run["config"] for run in study.trainings if isinstance(run.run.get("config"), dict)]
    chains = dict.fromkeys(in_words(config[key], config) for config in configs if key in config)
    if not chains:
        return [Lacking(f"run.json records no {key}: it was made by an earlier version.")]
    return [Known(f"{before}{chain}." if chain else nothing, f"{RECORD}: config#{key}") for chain in chains]


def alignment(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        method = data.datalist.get("align")
        if not method:
            return []
        done = [case["alignment"] for case in data.datalist["cases"] if isinstance(case.get("alignment"), dict)]
        before, after = ([one[key] for one in done if key in one] for key in ("overlap_before", "overlap"))
        overlap = (
            f" Median overlap of the breasts {median(before):.3f} before, {median(after):.3f} after."
            if before and after
            else ""
        )
        return [
            Known(
                f"LE and DES were aligned when the list was made, DES and map moved onto the LE grid: {method}, "
                f"{len(done)} of {len(data.datalist['cases'])} pairs.{overlap}"
                if method != "none"
                else "LE and DES were not aligned when the list was made.",
                f"{LIST}: align, cases#alignment",
            )
        ]

    return study.of_data(said)


def partitions(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        k, seed = data.folds["k"], data.folds.get("seed")
        ran = sorted(data.parts)
        which = "all of them" if len(ran) == k else f"{len(ran)} of them ({', '.join(map(str, ran))})"
        return [
            Known(
                f"{k} folds, seed {seed}; runs of {which} were begun.",
                f"{FOLDS}: k, seed; {RECORD}: config#fold",
            ),
            Known(f"{_part_sizes(data)}.", f"{FOLDS}: folds; {LIST}: cases"),
        ]

    return study.of_data(said)


def _part_sizes(data: Data) -> str:
    """Patients and pairs of each part, lowest to highest over the folds that were run."""
    said = []
    for part in PARTS:
        sizes = [parts[part] for parts in data.parts.values()]
        patients = [len({case[CaseKeys.PATIENT_ID] for case in cases}) for cases in sizes]
        said.append(f"{part} {span(patients)} patients and {span([len(cases) for cases in sizes])} pairs")
    return f"In the {len(data.parts)} fold(s) that were begun: {'; '.join(said)}"


def disjoint(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        return [
            Known(
                f"Checked for this page: no patient_id of {data.name} stands in two parts of a fold that was begun, in "
                "the list and the folds whose hash the runs recorded.",
                f"{FOLDS}: folds; {RECORD}: provenance#data_hash",
            )
        ]

    return study.of_data(said)


def fold_sizes(study: Study) -> list[Said]:
    def said(data: Data) -> list[Said]:
        found: list[Said] = []
        for fold, parts in sorted(data.parts.items()):
            sizes = "; ".join(f"{part} {counted(parts[part])}{malignant(parts[part])}" for part in PARTS)
            found.append(Known(f"Fold {fold}: {sizes}.", f"{FOLDS}: folds; {LIST}: cases"))
        return found

    return study.of_data(said)


FACTS = {
    fact.__name__: fact
    for fact in (
        preprocessing,
        augmentation,
        alignment,
        partitions,
        disjoint,
        fold_sizes,
    )
}
