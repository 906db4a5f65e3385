"""A run as a whole: its command line, the check before it, the data it needs."""

from .check import check_evaluation, check_inference, check_training
from .command_line import merged_config, read_command_line
from .provide_data import keep_former_evaluation, keep_former_run, provide_phantom
