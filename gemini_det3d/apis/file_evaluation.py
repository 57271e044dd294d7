"""What evaluations of result files have in common, whatever was evaluated."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FileEvaluation:
    """An evaluation of result files.

    Attributes:
        result: The figures: `num_frames`, `as_dict()`, `explain()` and `table(markdown)`.
        missing: Frames without a result file, counted as empty.
        left_out: Result files of frames that were not asked for.
    """

    result: Any
    missing: tuple[str, ...]
    left_out: tuple[str, ...]

    def report(self, markdown: bool = False) -> str:
        """Table, reasons for zeros, and what was missing."""
        notes = self.result.explain()
        if self.missing:
            notes.append(
                f"{len(self.missing)} of {self.result.num_frames} frames have no result file and "
                f"count as empty (first: {self.missing[0]})"
            )
        if self.left_out:
            notes.append(f"{len(self.left_out)} result files of other frames left out")
        bullet = "- " if markdown else ""
        lines = [self.result.table(markdown), "", *(bullet + note for note in notes)]
        return "\n".join(lines).rstrip()

    def as_json(self) -> str:
        """Everything as JSON; what could not be measured is null."""
        content = {
            "num_frames": self.result.num_frames,
            **self.content(),
            "frames_without_results": self.missing,
            "results_left_out": self.left_out,
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def content(self) -> dict[str, Any]:
        """What the JSON says of the figures."""
        return {"figures": without_nan(self.result.as_dict())}


def without_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    """NaN, which JSON does not have, as None."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
