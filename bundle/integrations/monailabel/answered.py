"""A refusal as the reply to the client."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from fastapi import HTTPException

from .refused import Refused
from .safe_names import sent_along

__all__ = ["answered"]

P = ParamSpec("P")
T = TypeVar("T")


def answered(method: Callable[P, T]) -> Callable[P, T]:
    """Let a method that MONAI Label's endpoints call answer with the status and the reason of its refusal.

    A file that was sent with the request is deleted then, which MONAI Label does only where there is an answer.

    Raises:
        HTTPException: for a :class:`Refused` of the method.
    """

    @wraps(method)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except Refused as error:
            for path in filter(sent_along, args):
                Path(str(path)).unlink()
            raise HTTPException(error.status, str(error)) from error

    return asked
