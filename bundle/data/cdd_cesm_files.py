"""What lies in a CDD-CESM folder: images, maps, workbook and region file, found by name, never by folder.

Source: Khaled et al., Scientific Data 9:122 (2022), doi 10.7937/29kw-ae92. Users rename and merge its folders, and
some names are irregular (``P99_L_DM_MLO_2``, ``P281_L_CM_MLO2``, ``P4_L_DM_MLO .jpg``).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .lesion_maps import IMAGE_SUFFIXES, image_stem

__all__ = ["Folder", "ImageName", "PairKey", "find_files", "find_one", "parse_name"]

NAME = re.compile(r"P(\d+)_([LR])_(DM|CM)_(CC|MLO)(?:_?(\d+))?", re.IGNORECASE)


class PairKey(NamedTuple):
    """What an LE and a DES image of one exposure share; ``repeat`` is the number behind an irregular name, else 0."""

    patient: int
    laterality: str
    view: str
    repeat: int

    @property
    def case_id(self) -> str:
        return f"P{self.patient}_{self.laterality}_{self.view}" + (f"_{self.repeat}" if self.repeat else "")


class ImageName(NamedTuple):
    """A name of the data set, taken apart; ``kind`` is "DM" (LE) or "CM" (DES)."""

    kind: str
    key: PairKey


@dataclass
class Folder:
    """Images and lesion maps of a folder, and the pictures whose names say nothing."""

    images: dict[ImageName, Path] = field(default_factory=dict)
    masks: dict[ImageName, Path] = field(default_factory=dict)
    unknown: list[Path] = field(default_factory=list)

    @property
    def keys(self) -> list[PairKey]:
        return sorted({name.key for name in self.images})


def parse_name(name: str) -> ImageName | None:
    """Take apart ``P<n>_<L|R>_<DM|CM>_<CC|MLO>``, with its irregular forms; None for any other name."""
    match = NAME.fullmatch(image_stem(name))
    if match is None:
        return None
    patient, laterality, kind, view, repeat = match.groups()
    return ImageName(kind.upper(), PairKey(int(patient), laterality.upper(), view.upper(), int(repeat or 0)))


def _walk(root: Path, without: Path | None) -> Iterator[Path]:
    """All files below a folder in order of their names; hidden ones, lock files and the folder ``without`` left out."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(
            name for name in folders if not name.startswith((".", "__MACOSX")) and (here / name).resolve() != without
        )
        yield from (here / name for name in sorted(files) if not name.startswith((".", "~$")))


def find_files(root: str | os.PathLike, without: str | os.PathLike | None = None) -> Folder:
    """Find the images, and the lesion maps in folders named ``masks``, at any depth.

    Args:
        root: the folder.
        without: a folder below that is not searched, for instance the one that is written.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: with every image or map that lies in more than one place.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}. Expected the unpacked CDD-CESM data set.")
    places: dict[tuple[str, ImageName], list[Path]] = defaultdict(list)
    folder = Folder()
    for path in _walk(root, Path(without).resolve() if without is not None else None):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        is_mask = any(part.lower() == "masks" for part in path.relative_to(root).parts[:-1])
        name = parse_name(path.name)
        if name is None:
            folder.unknown.append(path)
        else:
            places["lesion map" if is_mask else "image", name].append(path)
    doubles = [
        f"{what} {name.key.case_id} ({name.kind}): {' and '.join(map(str, paths))}"
        for (what, name), paths in sorted(places.items())
        if len(paths) > 1
    ]
    if doubles:
        raise ValueError(
            f"{root} holds {len(doubles)} name(s) more than once. Keep one of each:\n  " + "\n  ".join(doubles)
        )
    for (what, name), paths in sorted(places.items()):
        (folder.masks if what == "lesion map" else folder.images)[name] = paths[0]
    return folder


def find_one(root: str | os.PathLike, words: str, suffix: str, without: str | os.PathLike | None = None) -> Path | None:
    """The one file whose name starts with ``words``, joined by blanks, hyphens or underscores; None when there is none.

    Raises:
        ValueError: when there are several.
    """
    pattern = re.compile(r"[\s_-]+".join(map(re.escape, words.split())) + ".*" + re.escape(suffix), re.IGNORECASE)
    skipped = Path(without).resolve() if without is not None else None
    found = [path for path in _walk(Path(root), skipped) if pattern.fullmatch(path.name)]
    if len(found) > 1:
        raise ValueError(f"{root} holds several files '{words}{suffix}'. Keep one:\n  " + "\n  ".join(map(str, found)))
    return found[0] if found else None
