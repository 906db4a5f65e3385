"""From one value an image to tables and figures."""

from .figures import case_panel
from .floors import mean_des_in_breast
from .tables import as_markdown, metrics_table, summary_table
