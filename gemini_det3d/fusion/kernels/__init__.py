"""Faster ways to compute what `functional` says, with a backward written by hand."""

from .compact import compact_fusion
from .forms import BACKENDS, FORMS, Explanation, check_backend, explain, run

__all__ = [
    "BACKENDS",
    "FORMS",
    "Explanation",
    "check_backend",
    "compact_fusion",
    "explain",
    "run",
]
