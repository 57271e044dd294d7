"""What a detector loses without its camera or LiDAR, and how much one reads of the other."""

from .conditions import CONDITIONS, Condition, Spoiler
from .gates import GateRecorder, GateTable
from .probe import Probe, ProbeRow, TokenRecorder, detections_of, probe_markdown, probe_verdicts
from .report import AblationRow, chart, markdown, verdicts

__all__ = [
    "CONDITIONS",
    "AblationRow",
    "Condition",
    "GateRecorder",
    "GateTable",
    "Probe",
    "ProbeRow",
    "Spoiler",
    "TokenRecorder",
    "chart",
    "detections_of",
    "markdown",
    "probe_markdown",
    "probe_verdicts",
    "verdicts",
]
