"""Tables of KITTI results and reasons for zeros, as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gemini_det3d.evaluation.functional.kitti_figures import (
    AveragePrecision,
    Census,
    KittiFigures,
)
from gemini_det3d.evaluation.functional.kitti_rules import DIFFICULTIES, NEIGHBOURS
from gemini_det3d.formats.tables import markdown_table, text_table

_LEVELS = tuple(d.name for d in DIFFICULTIES)
_HEADER = ("class", "metric", "IoU", *(f"{c} {n}" for c in ("AP40", "AP11") for n in _LEVELS))
_NOT_AVAILABLE = "n/a"
_SHORT_MARK = "*"
_SHORT_NOTE = (
    f"{_SHORT_MARK}: fewer than 41 valid boxes: every recall position takes the first score that "
    "reaches it (KITTI's development kit gives each box one position and stays below); such "
    "figures may not be compared with published ones, those of recall='devkit' may"
)
_RULES = {
    "devkit": "recall as KITTI's development kit places it: comparable with published figures",
    "definition": "recall by definition, as KITTI's development kit places it from 41 boxes on",
}


class KittiResult(KittiFigures):
    """A whole evaluation, with its table and the reasons for its zeros."""

    def table(self, markdown: bool = False) -> str:
        """One row for each class, metric and overlap; aligned text, or Markdown."""
        rows = [row for name in self.classes for row in _class_rows(self, name)]
        notes = [_RULES[self.recall_rule]]
        if not self.is_comparable:
            notes.append(_SHORT_NOTE)
        if any(math.isnan(score.ap40) for score in self.scores):
            notes.append(f"{_NOT_AVAILABLE}: nothing to measure, see the reasons below")
        title = (
            f"KITTI evaluation of {self.num_frames} frames: "
            f"{_listed(self.truth_names, 'truth')}; {_listed(self.detection_names, 'detections')}"
        )
        if markdown:  # a list, in which the mark is no bullet
            notes = ["- " + note.replace(_SHORT_MARK, "\\" + _SHORT_MARK, 1) for note in notes]
            return "\n".join([title, "", *_markdown(rows), "", *notes]).rstrip()
        return "\n".join([title, *_aligned(rows), *notes])

    def explain(self) -> list[str]:
        """Why figures are 0 or missing.

        Returns:
            One line for every class and difficulty that has such a figure: which ones, how many
            boxes were ignored and why, how many detections there were and how close they came.
        """
        levels: dict[tuple[str, str], list[str]] = {}
        for census in self.census:
            scores = [
                s
                for s in self.scores
                if (s.class_name, s.difficulty) == (census.class_name, census.difficulty)
            ]
            found = _zeros(scores, census) + _missing(scores, census)
            if found:
                text = f"{'; '.join(found)}. {_truth(census, self)} {_detections(census, self)}"
                levels.setdefault((census.class_name, text), []).append(census.difficulty)
        return [f"{name} ({', '.join(names)}): {text}" for (name, text), names in levels.items()]


def _class_rows(result: KittiFigures, class_name: str) -> list[tuple[str, ...]]:
    valid = [str(c.num_valid) for c in result.census if c.class_name == class_name]
    rows = [(class_name, "valid boxes", "", *valid, *valid)]
    kinds = dict.fromkeys(
        (s.metric, s.min_overlap) for s in result.scores if s.class_name == class_name
    )
    for metric, overlap in kinds:
        found = [result.find(class_name, metric, level, overlap) for level in _LEVELS]
        cells = [_cell(s, s.ap40) for s in found] + [_cell(s, s.ap11) for s in found]
        rows.append((class_name, metric, f"{overlap:.2f}", *cells))
    return rows


def _cell(score: AveragePrecision, value: float) -> str:
    if math.isnan(value):
        return _NOT_AVAILABLE
    return f"{value:.2f}{_SHORT_MARK if score.is_short else ''}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned text with a rule under the header and between classes."""
    head, *lines = text_table(_HEADER, rows, left=2).splitlines()
    rule = "-" * max(map(len, (head, *lines)))
    ruled = [head]
    for number, line in enumerate(lines):
        if number == 0 or rows[number][0] != rows[number - 1][0]:
            ruled.append(rule)
        ruled.append(line)
    return ruled


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    escaped = [[text.replace(_SHORT_MARK, "\\" + _SHORT_MARK) for text in row] for row in rows]
    return markdown_table(_HEADER, escaped, left=2).splitlines()


def _zeros(scores: Sequence[AveragePrecision], census: Census) -> list[str]:
    zeros = [s for s in scores if s.is_zero]
    if not zeros:
        return []
    if census.num_detections == 0:
        return ["AP 0, nothing was detected"]
    closest = [
        f"{s.metric}@{s.min_overlap:.2f} (best IoU {s.best_overlap:.2f}, recall {s.recall:.2f})"
        for s in zeros
    ]
    return [f"AP 0 in {', '.join(closest)}"]


def _missing(scores: Sequence[AveragePrecision], census: Census) -> list[str]:
    if not any(math.isnan(s.ap40) for s in scores):
        return []
    if census.num_valid == 0:
        return [f"{_NOT_AVAILABLE} (0 valid boxes)"]
    without = census.num_without_alpha or census.truth_without_alpha
    where = "detections" if census.num_without_alpha else "boxes"
    return [f"aos {_NOT_AVAILABLE} ({without} {where} without an orientation, alpha -10)"]


def _truth(census: Census, result: KittiFigures) -> str:
    if census.num_truth == 0:
        held = _listed(result.truth_names, "it holds")
        text = f"Truth: no {census.class_name} ({held})"
    else:
        ignored = census.num_truth - census.num_valid
        text = f"Truth: {census.num_valid} of {census.num_truth} boxes count"
        if ignored:
            text += f", {ignored} ignored ({_reasons(census)})"
    if census.num_neighbours:
        names = ", ".join(n.capitalize() for n in NEIGHBOURS[census.class_name.lower()])
        text += f", {census.num_neighbours} of a neighbouring class ({names}) ignored"
    return text + "."


def _reasons(census: Census) -> str:
    limits = next(d for d in DIFFICULTIES if d.name == census.difficulty)
    reasons = [
        (census.num_low, f"not higher than {limits.min_height_px:.0f} px"),
        (census.num_occluded, f"occluded beyond {limits.max_occlusion}"),
        (census.num_truncated, f"truncated beyond {limits.max_truncation:.2f}"),
    ]
    return ", ".join(f"{count} {reason}" for count, reason in reasons if count)


def _detections(census: Census, result: KittiFigures) -> str:
    if census.num_detections == 0:
        held = _listed(result.detection_names, "they hold")
        return f"Detections: no {census.class_name} ({held})."
    limits = next(d for d in DIFFICULTIES if d.name == census.difficulty)
    text = f"Detections: {census.num_detections}"
    if census.num_low_detections:
        low = census.num_low_detections
        text += f", {low} ignored (lower than {limits.min_height_px:.0f} px)"
    if census.num_flat_detections:
        text += f", {census.num_flat_detections} without a 3D size"
    return text + "."


def _listed(names: dict[str, int], label: str) -> str:
    return f"{label}: " + (", ".join(f"{n} {name}" for name, n in names.items()) or "nothing")
