"""Reports: what trainings, tests and studies left on the disk, as the sections of a page."""

from __future__ import annotations

from gemini_det3d.apis.reports.page import REPORT, facts_section, write_report
from gemini_det3d.apis.reports.trainings import Training, find_trainings

__all__ = ["REPORT", "Training", "facts_section", "find_trainings", "write_report"]
