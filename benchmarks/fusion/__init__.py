"""What `benchmark fusion` is made of: opponents, cases, timing, accuracy, memory, report."""

from .cases import Case, Site, headline_cases, shape_grid
from .measure import compare
from .opponents import OPPONENTS, ReleasedFusion

__all__ = [
    "OPPONENTS",
    "Case",
    "ReleasedFusion",
    "Site",
    "compare",
    "headline_cases",
    "shape_grid",
]
