"""From one value an image to tables, tests and figures."""

from .agreement import agreement
from .averages import fold_means, fold_summary
from .evidence import evidence
from .figures import case_panel
from .floors import mean_des_in_breast
from .models import comparable, model_name, models_of
from .paper_figures import error_maps, models_panel, triple
from .paper_tables import BREAST, LESION, PAPER, as_latex, paper_markdown, paper_table
from .plots import bland_altman, metric_against_gamma
from .ranking import exemplary_patients
from .shared_images import SharedImages, shared_images
from .statistics import clustered_interval, equivalence, intervals, paired_test
from .strata import strata
from .tables import as_markdown, less_is_better, metrics_table, summary_table
