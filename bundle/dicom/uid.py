"""What is a UID, and safe as the name of a file."""

from __future__ import annotations

import re

__all__ = ["is_uid"]

UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_uid(text: str) -> bool:
    """Whether a text is a UID as PS3.5 section 9.1 has them, leading zeros forgiven; it is then safe in a path."""
    return len(text) <= 64 and UID.fullmatch(text) is not None
