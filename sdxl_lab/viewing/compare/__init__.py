"""Records → what differs between runs, and a paired table of their metrics with intervals."""

from sdxl_lab.viewing.compare.comparison import BETTER, TELLING, WORDS, Comparison, compare
from sdxl_lab.viewing.compare.costs import SPENT
from sdxl_lab.viewing.compare.intervals import Interval, IntervalError, mean_interval
from sdxl_lab.viewing.compare.printed import print_comparison, telling, write_csv
from sdxl_lab.viewing.compare.rows import CompareError, Row

__all__ = [
    "BETTER",
    "SPENT",
    "TELLING",
    "WORDS",
    "CompareError",
    "Comparison",
    "Interval",
    "IntervalError",
    "Row",
    "compare",
    "mean_interval",
    "print_comparison",
    "telling",
    "write_csv",
]
