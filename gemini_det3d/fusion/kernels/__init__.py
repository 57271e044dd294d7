"""Faster ways to compute what `functional` says, with a backward written by hand."""

from .choice import BACKENDS, Explanation, check_backend, explain, in_one_dtype, run
from .compact import compact_fusion
from .forms import FORMS

__all__ = [
    "BACKENDS",
    "FORMS",
    "Explanation",
    "check_backend",
    "compact_fusion",
    "explain",
    "in_one_dtype",
    "run",
]
