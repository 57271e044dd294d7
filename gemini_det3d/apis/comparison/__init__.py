"""Variants of a config, trained and tested alike, in one table; `gemini-det3d compare`."""

from .table import Row, build_rows, headline, write_tables
from .variants import Swap, Variant, make_variants

__all__ = [
    "Row",
    "Swap",
    "Variant",
    "build_rows",
    "headline",
    "make_variants",
    "write_tables",
]
