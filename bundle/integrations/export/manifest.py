"""Which files of an exported bundle the export wrote, and which came later: images, trainings, results."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["MANIFEST", "foreign_files", "listed", "write_manifest"]

MANIFEST = "docs/files.txt"
MODEL, LARGE_FILES = "models/model.pt", "large_files.yml"
MOST = 20  # names in a sentence


def write_manifest(root: Path) -> None:
    """List every file below a folder, itself too, one relative path a line."""
    names = {MANIFEST, *(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())}
    (root / MANIFEST).write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")


def foreign_files(root: Path) -> list[str]:
    """Files and links below a folder that no export wrote there, sorted; all of them where there is no manifest.

    A file of the export may have been edited since. The model may not: one whose SHA-256 is not that of
    ``large_files.yml`` has been trained since.
    """
    manifest = root / MANIFEST
    written = set(manifest.read_text(encoding="utf-8").splitlines()) if manifest.is_file() else set()
    found = [path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()]
    foreign = {path.relative_to(root).as_posix() for path in found if path.is_symlink()}
    foreign |= {path.relative_to(root).as_posix() for path in found} - written
    model, large_files = root / MODEL, root / LARGE_FILES
    known = large_files.read_text(encoding="utf-8") if large_files.is_file() else ""
    if model.is_file() and hashlib.sha256(model.read_bytes()).hexdigest() not in known:
        foreign.add(MODEL)
    return sorted(foreign)


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names in a sentence; of many, the first and how many more."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
