"""From what lies on disk to a datalist, and from a datalist to the parts of a fold."""

from .datalist import case_items, datalist_hash, read_datalist, write_datalist
from .folds import balance_table, fold_items, make_folds, read_folds, write_folds
from .provenance import des_window_median, fold_hash
