"""Names that a request may give: neither a way out of the server's folders nor a path on its disk."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import Any

from .refused import Refused

__all__ = ["check_name", "sent_along"]

SENT = re.compile(r"[a-z0-9_]{8}(\..*)?", re.DOTALL)  # what the tempfile module puts behind its prefix
JUST_NOW = 60.0  # seconds


def check_name(what: str, name: Any) -> None:
    """Refuse an id or a tag that is no plain name.

    Raises:
        Refused: for one that is empty, starts with a dot, or holds "/", "\\", ".." or NUL.
    """
    plain = isinstance(name, str) and name and not name.startswith(".")
    if not plain or any(part in name for part in ("/", "\\", "..", "\0")):
        raise Refused(f'{what} is no plain name: expected one without "/", "\\" and "..", and no dot in front.')


def sent_along(image: Any) -> bool:
    """Whether an image is the file that MONAI Label's endpoint has just written for the request that it came with.

    The endpoint hands over no more than a path, the same that a client could name: but the name is random, directly
    below the folder for temporary files, and the file is deleted with the end of its request.
    """
    if not isinstance(image, str) or not image or "\0" in image:
        return False
    path, prefix = Path(image), tempfile.gettempprefix()
    if path.parent != Path(tempfile.gettempdir()) or not path.name.startswith(prefix):
        return False
    if not SENT.fullmatch(path.name[len(prefix) :]) or path.is_symlink() or not path.is_file():
        return False
    return abs(time.time() - path.stat().st_mtime) < JUST_NOW
