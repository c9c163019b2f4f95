"""Records → what differs between runs, and a paired table of their metrics with intervals."""

from sdxl_lab.viewing.compare.comparison import Comparison, compare
from sdxl_lab.viewing.compare.costs import SPENT, telling_names, words_of
from sdxl_lab.viewing.compare.intervals import Interval, IntervalError, mean_interval
from sdxl_lab.viewing.compare.printed import print_comparison, telling, write_csv
from sdxl_lab.viewing.compare.rows import CompareError, Row

__all__ = [
    "SPENT",
    "CompareError",
    "Comparison",
    "Interval",
    "IntervalError",
    "Row",
    "compare",
    "mean_interval",
    "print_comparison",
    "telling",
    "telling_names",
    "words_of",
    "write_csv",
]
