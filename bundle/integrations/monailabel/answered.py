"""A refusal as the reply to the client."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from fastapi import HTTPException

from .refused import Refused

__all__ = ["answered"]

P = ParamSpec("P")
T = TypeVar("T")


def answered(method: Callable[P, T]) -> Callable[P, T]:
    """Let a method that MONAI Label's endpoints call answer with the status and the reason of its refusal.

    Raises:
        HTTPException: for a :class:`Refused` of the method.
    """

    @wraps(method)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except Refused as error:
            raise HTTPException(error.status, str(error)) from error

    return asked
