"""Variants of a config, trained and tested alike, in one table; `gemini-det3d compare`."""

from .paired import Paired, Threshold, compare_pairs
from .rows import Row, build_rows, headline
from .table import write_tables
from .variants import Swap, Variant, make_variants

__all__ = [
    "Paired",
    "Row",
    "Swap",
    "Threshold",
    "Variant",
    "build_rows",
    "compare_pairs",
    "headline",
    "make_variants",
    "write_tables",
]
