"""What a detector loses without its camera or LiDAR, and how much one reads of the other."""

from .conditions import CONDITIONS, Condition, Spoiler
from .gates import GateRecorder, GateTable
from .report import AblationRow, chart, markdown, verdicts

__all__ = [
    "CONDITIONS",
    "AblationRow",
    "Condition",
    "GateRecorder",
    "GateTable",
    "Spoiler",
    "chart",
    "markdown",
    "verdicts",
]
