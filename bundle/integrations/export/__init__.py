"""A trained generator as files of other runtimes, compared with torch before they are kept; what a hub would get."""

from .forms import FORMS, Form
from .hub import Upload, plan_upload, repo_problems
from .metadata import describe, preprocessing_in_words
from .sample import Sample, take_sample
from .write import Difference, export_problems, write_export
