"""The report of an experiment as one page, and a blinded reader study with its analysis."""

from .collect import Collection, collect
from .reader_analysis import ReaderAnalysis, analyse_readers
from .reader_study import ReaderStudy, write_reader_study
from .write import write_report
