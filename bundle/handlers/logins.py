"""Logins in the addresses of servers and databases: a record of a run does without them."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["without_logins"]

# user:password@ of a URI, up to the last @ (a password may hold any sign); a port with a path behind it is no password
LOGIN = re.compile(r"(?<=://)(?:[^\s'\"/?#@:]*:(?!\d+[/?#])[^\s'\"]*|[^\s'\"/?#]*)@")
IN_QUERY = re.compile(r"(?<=[?&])(user|username|password|passwd|sslpassword|token)=[^\s'\"&]*", re.IGNORECASE)


def without_logins(value: Any) -> Any:
    """A config, or any part of one, whose texts name no user and no password of a URI; nothing else is changed."""
    if isinstance(value, dict):
        return {key: without_logins(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_logins(item) for item in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    return IN_QUERY.sub(r"\1=***", LOGIN.sub("", value))
