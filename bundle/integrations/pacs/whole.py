"""Files that outlive a loss of power: written beside, brought to the disk, renamed; and a folder for one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...data.folder_lock import try_lock
from ...data.whole_files import beside

__all__ = ["locked", "sync", "write_whole"]


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file; when this returns it is on the disk, name and all."""
    with beside(path) as place:
        place.write_bytes(content)
        sync(place)
    sync(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock ends with the process, however that ends.

    Raises:
        ValueError: when another process holds it.
    """
    lock = try_lock(folder / ".lock")
    if lock is None:
        raise ValueError(f"{folder} is in use by another process. Wait for its end, or take another folder.")
    with lock:
        yield
