"""What is said of a file that cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["decoding"]


@contextmanager
def decoding(path: Path, what: str, advice: str = "Export it again.") -> Iterator[None]:
    """Turn whatever a decoder throws at a damaged file into one line.

    What it says itself is not repeated, nor shown as the cause: it may quote a header, or another file's path.
    """
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path} could not be read as {what} (a file that it names is missing). {advice}") from None
    except Exception as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
        raise ValueError(f"{path} could not be read as {what} ({reason}). {advice}") from None
