"""An evaluation with its table and the reasons for its zeros."""

from __future__ import annotations

from gemini_det3d.evaluation.functional.kitti_figures import KittiFigures
from gemini_det3d.evaluation.functional.kitti_report import explain, render_table


class KittiResult(KittiFigures):
    """A whole evaluation."""

    def table(self, markdown: bool = False) -> str:
        """The figures as a table of aligned text, or in Markdown."""
        return render_table(self, markdown)

    def explain(self) -> list[str]:
        """Why figures are 0 or missing.

        Returns:
            One line for every class and difficulty that has such a figure: which ones, how many
            boxes were ignored and why, how many detections there were and how close they came.
        """
        return explain(self)
