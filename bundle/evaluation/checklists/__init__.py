"""Reporting checklists (CLAIM 2024, TRIPOD+AI), filled with what a study's files and the software say."""

from .fill import CHECKLISTS, Checklist, fill
from .study import read_study
from .write import write_checklists
