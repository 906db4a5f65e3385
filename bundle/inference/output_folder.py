"""The folder of the results, for one call at a time and without what a killed one left."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from ..data.folder_lock import try_lock

__all__ = ["hold"]

LEFTOVER = re.compile(
    r"\.[0-9.]+(\.tmp)?\.(dcm|png|nii\.gz)"  # a result
    r"|\.[0-9]+\.(results\.csv|run\.json)|\.run\.json\.[0-9]+\.tmp|\.results\.reserve"
)


def hold(output_dir: Path, dataset_dir: Path, name: str = ".batch.lock") -> IO[str]:
    """Make the folder, lock it, and delete the unfinished files of a killed call.

    Returns:
        the lock, which lives as long as this file is open, and no longer than this process.

    Raises:
        ValueError: in one line, where nothing can be written there, or another call does.
    """
    if output_dir.resolve() == dataset_dir.resolve():
        raise ValueError(f"output_dir and dataset_dir are both {output_dir}: pass another --output_dir.")
    try:
        str(output_dir).encode()
        lock = try_lock(output_dir / name)
    except UnicodeEncodeError:
        raise ValueError("the name of output_dir is not UTF-8: pass another --output_dir.") from None
    except OSError as error:
        raise ValueError(
            f"nothing can be written to {output_dir} ({error.strerror}): pass another --output_dir."
        ) from None
    if lock is None:
        raise ValueError(f"another call writes to {output_dir}: wait for its end, or pass another --output_dir.")
    for path in (*output_dir.glob(".*"), *output_dir.glob("*/*/.*")):
        if LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)
    return lock
