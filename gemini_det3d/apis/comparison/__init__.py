"""Variants of a config, trained and tested alike, in one table; `gemini-det3d compare`."""

from .runs import Progress, Run, execute, run_all
from .table import Row, build_rows, headline, write_tables
from .variants import Swap, Variant, make_variants

__all__ = [
    "Progress",
    "Row",
    "Run",
    "Swap",
    "Variant",
    "build_rows",
    "execute",
    "headline",
    "make_variants",
    "run_all",
    "write_tables",
]
