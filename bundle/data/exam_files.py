"""The files of a medium or a folder of exams: every one of them, as DICOM or with the reason why not.

A DICOMDIR is read for what it promises: its references are resolved whatever the case of the names on the disk, what is
missing is reported, and the walk finds what it does not name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.files import has_dicom_mark, read_dataset

__all__ = ["ExamFiles", "Skipped", "find_exam_files", "walk"]


@dataclass(frozen=True)
class Skipped:
    """A file that is not used; ``expected`` where that is as it should be, so that no exit status speaks of it."""

    path: Path
    reason: str
    expected: bool = False


@dataclass
class ExamFiles:
    """DICOM files in the order of their names, how many DICOMDIR there were, and everything else."""

    dicom: list[Path] = field(default_factory=list)
    media: int = 0
    skipped: list[Skipped] = field(default_factory=list)


def walk(
    root: Path, without: Collection[Path | None] = (), on_error: Callable[[OSError], object] | None = None
) -> Iterator[Path]:
    """All files below a folder, in order of their names; links to folders are followed, each folder once.

    Args:
        root: the folder.
        without: folders that are left out, resolved.
        on_error: is told of each folder that cannot be listed.
    """
    seen = set()
    for folder, folders, files in os.walk(root, onerror=on_error, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen or Path(folder).resolve() in without:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (Path(folder, name) for name in sorted(files))


def find_exam_files(root: Path, without: Collection[Path | None] = ()) -> ExamFiles:
    """Every file below ``root``, ``without`` some folders, for instance the one that is being written.

    Raises:
        FileNotFoundError: when there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}. Expected DICOM media or folders of DICOM files.")
    found = ExamFiles()
    closed: list[OSError] = []
    paths = list(walk(root, without, closed.append))
    found.skipped += [Skipped(Path(error.filename), f"cannot be listed ({error.strerror})") for error in closed]
    named = set()
    for path in paths:
        if path.name.upper() == "DICOMDIR":
            present, missing = _referenced(path)
            named |= present
            found.skipped += missing
            found.media += 1
    for path in paths:
        reason, expected = _no_dicom(path, path in named)
        if path.name.upper() == "DICOMDIR":
            found.skipped.append(Skipped(path, "a DICOMDIR: what it names was looked up", expected=True))
        elif reason:
            found.skipped.append(Skipped(path, reason, expected))
        else:
            found.dicom.append(path)
    return found


def _no_dicom(path: Path, named: bool) -> tuple[str, bool]:
    """Why a file is no DICOM file, and whether that was to be expected of it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8, so no list can name it: rename it", False
    try:
        if has_dicom_mark(path):
            return "", True
        size = path.stat().st_size
    except OSError as error:
        return f"cannot be opened ({error.strerror})", False
    what = "an empty file" if size == 0 else "not DICOM: it lacks 'DICM' at byte 128"
    if named:
        return f"{what}, although a DICOMDIR names it: copy the medium again", False
    if what != "an empty file" and _begins_like_dicom(path):
        return f"{what}, but begins like DICOM without its preamble: export it again", False
    if path.suffix.lower() in (".dcm", ".dicom", ".ima"):
        return f"{what}, although its name says so: export it again", False
    return what, True


def _begins_like_dicom(path: Path) -> bool:
    """A first element of group 0002 or 0008 in little endian, explicit or implicit VR."""
    with path.open("rb") as file:
        start = file.read(8)
    known = start[:2] in (b"\x02\0", b"\x08\0") and len(start) == 8
    return known and ((start[4:6].isalpha() and start[4:6].isupper()) or start[5:8] == bytes(3))


def _referenced(dicomdir: Path) -> tuple[set[Path], list[Skipped]]:
    """Files that a DICOMDIR names and that are there, and those that are not."""
    try:
        records = read_dataset(dicomdir).DirectoryRecordSequence
        references = [record.get("ReferencedFileID") for record in records]
    except Exception as error:
        return set(), [
            Skipped(dicomdir, f"this DICOMDIR cannot be read ({type(error).__name__}): its folder is walked")
        ]
    present, missing = set(), []
    listings: dict[Path, list[str]] = {}
    for reference in references:
        parts = [reference] if isinstance(reference, str) else list(reference or [])
        if not parts:
            continue
        path = _resolve(dicomdir.parent, [str(part).strip() for part in parts], listings)
        if path is None:
            reason = "the DICOMDIR names this file, but it is missing: copy the medium again"
            missing.append(Skipped(dicomdir.parent.joinpath(*map(str, parts)), reason))
        else:
            present.add(path)
    return present, missing


def _resolve(folder: Path, parts: list[str], listings: dict[Path, list[str]]) -> Path | None:
    """A path whose parts are spelled in any case; the exact spelling goes first."""
    for part in parts:
        if folder not in listings:
            listings[folder] = sorted(os.listdir(folder)) if folder.is_dir() else []
        names = listings[folder]
        alike = [part] if part in names else [name for name in names if _spelled(name) == _spelled(part)]
        if not alike:
            return None
        folder = folder / alike[0]
    return folder


def _spelled(name: str) -> str:
    """A name as ISO 9660 discs and Windows mean it: without case, version and closing dot."""
    return name.casefold().removesuffix(";1").rstrip(".")
