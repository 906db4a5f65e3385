"""Work for processes of their own; they import this module, and little else."""

from __future__ import annotations


def hold(megabytes: int):
    """Work that holds so much memory while it lasts."""
    return lambda: len(bytearray(b"x") * (megabytes * 2**20))


def fail():
    raise ValueError("no such work")
