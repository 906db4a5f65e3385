"""Which image a lesion map belongs to.

The rules, in their order. The first that finds an image decides; where it finds images of several pairs the map is
ambiguous: it is reported with those cases, and never guessed.

1. SOP Instance UID: a DICOM SEG says in its header which images it was drawn on. A map of another form may have the
   image's UID in its name, or in the name of a folder.
2. File name: the map is named as its image, or as the case of the datalist: ``IM0001.seg.nrrd`` is of ``IM0001.dcm``.
   Upper and lower case are one, blanks at the ends do not count, and endings such as ``_seg``, ``-mask``, ``_label``,
   ``_lesion_2`` or `` Segmentation`` may follow. Where several images have the name, the folder decides as in rule 3;
   an image of that name elsewhere is not taken where the map's own folder is that of other images.
3. Folder: the map lies under the maps' folder where its image lies under the images' folder, or beside the image, or in
   a folder named as the Patient ID. Side and view in the map's name (``RCC``, ``R_CC``, ``L-MLO``, ``left mlo``) pick
   one pair, or there is just one pair in that folder.

LE and DES of one pair are one answer. The map is taken as drawn on DES, unless a word of its name, or a whole folder
name, is LE or LOW, or only the LE image has its name, lies in its folder, or is the one that a SEG refers to. Several
maps may be of one image.

Images that are in no pair answer too: a map of theirs is reported, and never handed on to another image. Only what is
neither LE nor DES, as a high-energy image, leaves the answer to a pair of its patient, side and view.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

__all__ = ["Match", "Target", "match_maps"]

Rule = Literal["SOP Instance UID", "file name", "folder"]
SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".dcm")
LE_WORDS = ("le", "low", "lowenergy")
DES_WORDS = ("des", "recombined", "subtracted")
ENDING = re.compile(
    r"[\s_.-]+(?:(?:seg|mask|map|lesion|label|segmentation)s?(?:[\s_.-]*\d+)?|le|low(?:[\s_-]?energy)?|des|recombined"
    r"|subtracted)$"
)
NO_PAIR = "its image is in no pair: settle that first (skipped.csv)"
UID = re.compile(r"\d+(?:\.\d+)+")
SIDE_AND_VIEW = re.compile(r"(l|r|left|right)|(l|r|left|right)?(x?ccl?|mlo|lmo|ml|lm)\d*")


@dataclass(frozen=True)
class Target:
    """An image that a map may belong to.

    Attributes:
        case_id: of its pair, which LE and DES share; "" for an image without a pair.
        kind: "DES", "LE", or "unknown" for what may be either; anything else, as "HE", is drawn on by nobody.
        path: of the image file.
        folder: of the image file, relative to the root of the images.
        sop_uid: its SOP Instance UID, "" where it has none.
        patient_ids: names that a folder of this patient may have, Patient ID and key.
        laterality, view: as the header says, "" where it does not.
        usable: whether a map of it can be used, as one of a pair can.
    """

    case_id: str
    kind: str
    path: Path
    folder: PurePath
    sop_uid: str
    patient_ids: tuple[str, ...]
    laterality: str
    view: str
    usable: bool = True

    @property
    def owner(self) -> Hashable:
        """What LE and DES of a pair share, and nothing else."""
        return self.case_id or self.path


@dataclass(frozen=True)
class Match:
    """A map, the image that it was drawn on, and the rule that found it."""

    path: Path
    target: Target
    rule: Rule

    @property
    def case_id(self) -> str:
        return self.target.case_id

    @property
    def drawn_on(self) -> str:
        return self.target.kind


def match_maps(
    maps: Sequence[Path],
    masks_root: Path,
    targets: Sequence[Target],
    references: Mapping[Path, Sequence[str]],
) -> tuple[list[Match], list[tuple[Path, str]]]:
    """Find the images of maps by the rules above; no file is opened.

    Args:
        maps: the maps' files, absolute; one that lies elsewhere than below ``masks_root`` has no place of rule 3, but
            neighbours and folders named as a Patient ID.
        masks_root: folder of the maps, absolute, which may be that of the images.
        targets: all images, so that none takes the map of another; those in no pair are not ``usable``. Copies of an
            image and DICOM SEG objects are none.
        references: for each DICOM SEG the SOP Instance UIDs that it refers to; a SEG may match several pairs.

    Returns:
        The matches and, for every other map, why it has none; both in the order of ``maps``.
    """
    index = _Index(targets)
    matches: list[Match] = []
    unmatched: list[tuple[Path, str]] = []
    for path in maps:
        inside = path.relative_to(masks_root) if path.is_relative_to(masks_root) else path
        found, reason = index.match(path, inside, references.get(path, ()))
        matches += found
        if reason:
            unmatched.append((path, reason))
    return matches, unmatched


class _Index:
    """The images by what a map may say of them."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.by_uid = _grouped(targets, lambda target: [target.sop_uid] if target.sop_uid else [])
        self.by_name = _grouped(targets, lambda target: {_stem(target.path.name), _stem(target.case_id)} - {""})
        self.by_case = _grouped([target for target in targets if target.usable], lambda target: [target.case_id])
        self.by_place = _grouped(targets, lambda target: {target.path.parent, _place(target.folder)})
        self.by_patient = _grouped(targets, lambda target: {_plain(name) for name in target.patient_ids} - {""})

    def match(self, path: Path, inside: PurePath, references: Sequence[str]) -> tuple[list[Match], str]:
        """The matches of one map, and why it has none; ``inside`` is its path below the maps' folder."""
        near = self._near(path, inside)

        def decide(hits: Sequence[Target], rule: Rule, why: str, said: str) -> tuple[list[Match], str]:
            hits = _contenders(hits)
            if not any(target.usable for target in hits):
                return [], NO_PAIR
            if len({target.owner for target in hits}) > 1:
                return [], (
                    f"it is ambiguous: {why}, of {_listed(hits)}. Name it as the one image that it was drawn on, or "
                    "put it into that image's folder"
                )
            pair = self.by_case[hits[0].case_id] if rule == "folder" else hits
            return [Match(path, _drawn_on(pair, said, inside.parent, near), rule)], ""

        if referred := [self.by_uid[uid] for uid in references if uid in self.by_uid]:
            rule: Rule = "SOP Instance UID"
            why = "the SOP Instance UID that it refers to is that of several images"
            reasons = [decide(hits, rule, why, inside.name)[1] for hits in referred]
            unclear = [reason for reason in reasons if reason not in ("", NO_PAIR)]
            if unclear or all(reasons):
                return [], (unclear or reasons)[0]
            usable = [target for hits in referred for target in hits if target.usable]
            cases = _grouped(usable, lambda target: [target.case_id])
            return [Match(path, _drawn_on(pair, inside.name, inside.parent, near), rule) for pair in cases.values()], ""
        for part in reversed(inside.parts):
            if hits := [target for uid in UID.findall(part) for target in self.by_uid.get(uid, [])]:
                return decide(
                    hits, "SOP Instance UID", "its name holds SOP Instance UIDs of several images", inside.name
                )
        for form in _forms(inside.name):
            if hits := self.by_name.get(form, []):
                here = {target.owner for target in near}
                nearest = [target for target in hits if target.owner in here]
                if here and not nearest and inside.parent.parts and any(target.usable for target in hits):
                    return [], (
                        f"an image of {_listed(hits)} has its name, but its folder is that of {_listed(near)}. Put it "
                        "where its image lies, or rename it"
                    )
                ending = _stem(inside.name).removeprefix(form)
                return decide(nearest or hits, "file name", "several images have its name", ending)
        if not near:
            return [], (
                "no image has its name, and none lies in the folder of the same place: expected the name of its image, "
                "as IM0001.seg.nrrd for IM0001.dcm. Rename it, or put it where its image lies"
            )
        side, view = _side_and_view(inside.name)
        fitting = [
            target
            for target in near
            if (not side or target.laterality.lower() in ("", side)) and (not view or target.view.lower() in ("", view))
        ]
        if not fitting:
            return [], (
                f"its name says {' '.join(filter(None, (side, view))).upper()}, but its folder is that of "
                f"{_listed(near)}. Rename it as its image, or put it where its image lies"
            )
        return decide(fitting, "folder", "several images of its folder go with its name", inside.name)

    def _near(self, path: Path, inside: PurePath) -> list[Target]:
        """Images in the same place or beside the map, else those of the patient whose ID names a folder."""
        if same := [*self.by_place.get(_place(inside.parent), []), *self.by_place.get(path.parent, [])]:
            return list(dict.fromkeys(same))
        named = (self.by_patient.get(part) for part in reversed(_place(inside.parent)))
        return next((targets for targets in named if targets), [])


def _contenders(hits: Sequence[Target]) -> list[Target]:
    """Without the images that nobody draws on, where a pair of the same patient, side and view is among the hits."""

    def yields(target: Target, to: Target) -> bool:
        same = (target.laterality, target.view) == (to.laterality, to.view) and target.laterality and target.view
        return bool(to.usable and same and set(target.patient_ids) & set(to.patient_ids))

    drawn = ("DES", "LE", "unknown")
    return [target for target in hits if target.kind in drawn or not any(yields(target, other) for other in hits)]


def _drawn_on(pair: Sequence[Target], said: str, folder: PurePath, near: Sequence[Target]) -> Target:
    """The DES image of a pair, or its LE image where the name (what it ``said``), the place or a folder is of that."""
    kinds: dict[str, Target] = {target.kind: target for target in pair if target.usable}
    beside: set[str] = {target.kind for target in pair if target in near}
    folders = (_kinds_said(["".join(_words(part))]) for part in reversed(folder.parts))
    for words in (_kinds_said(_words(said)), beside, *folders):
        if len(words) == 1 and words <= kinds.keys():
            return kinds[next(iter(words))]
    return kinds["DES"] if "DES" in kinds else kinds["LE"]


def _kinds_said(words: Sequence[str]) -> set[str]:
    return {kind for kind, said in (("LE", LE_WORDS), ("DES", DES_WORDS)) if any(word in said for word in words)}


def _side_and_view(name: str) -> tuple[str, str]:
    """Side ("l", "r") and view of a file name, "" where it says none or several; "RCC" goes before a lone "L"."""
    found = [match for word in _words(name) if (match := SIDE_AND_VIEW.fullmatch(word))]
    found = [match for match in found if match[2]] or found
    sides = {(match[1] or match[2])[0] for match in found if match[1] or match[2]}
    views = {match[3] for match in found if match[3]}
    return (sides.pop() if len(sides) == 1 else ""), (views.pop() if len(views) == 1 else "")


def _forms(name: str) -> Iterator[str]:
    """The stem of a file name, then without one ending after the other."""
    form, last = _stem(name), ""
    while form and form != last:
        yield form
        form, last = ENDING.sub("", form).strip(), form


def _stem(name: str) -> str:
    """A name as it is compared, without the suffixes of images and maps."""
    stem = _plain(name)
    while (suffix := next((end for end in SUFFIXES if stem.endswith(end)), "")) and stem != suffix:
        stem = stem.removesuffix(suffix).strip()
    return stem


def _plain(name: str) -> str:
    """macOS takes accented letters apart, and Windows does not tell upper from lower case."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _place(folder: PurePath) -> tuple[str, ...]:
    return tuple(_plain(part) for part in folder.parts)


def _words(name: str) -> list[str]:
    return re.split(r"[\W_]+", _stem(name))


def _listed(targets: Sequence[Target], shown: int = 4) -> str:
    names = sorted({target.case_id for target in targets} - {""})
    bare = len({target.path for target in targets if not target.case_id})
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    cases = ("case " if len(names) == 1 else "cases ") + ", ".join(names[:shown]) + more if names else ""
    alone = {0: "", 1: "an image without a pair"}.get(bare, f"{bare} images without a pair")
    return " and ".join(filter(None, (cases, alone)))


def _grouped(targets: Iterable[Target], keys_of: Callable[[Target], Iterable[Hashable]]) -> dict[Any, list[Target]]:
    groups: dict[Any, list[Target]] = {}
    for target in targets:
        for key in keys_of(target):
            groups.setdefault(key, []).append(target)
    return groups
