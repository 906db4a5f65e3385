"""A computer-generated CESM study, from physics to files on disk: for tests, the quickstart and whoever has no data."""

from .exam import write_study

__all__ = ["write_study"]
