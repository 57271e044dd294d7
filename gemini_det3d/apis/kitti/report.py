"""The report on a KITTI tree: findings of its files, of the whole, and counts; text and JSON.

The JSON carries a fingerprint of every frame's files. A later run takes unchanged frames from
it, so that mending one file of 7,481 does not mean reading them all again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from gemini_det3d.apis.config import close_names
from gemini_det3d.apis.findings import Finding, capped, take_over
from gemini_det3d.apis.kitti.check import FrameReport
from gemini_det3d.apis.kitti.check_objects import DIFFICULTIES
from gemini_det3d.apis.kitti.splits import SPLITS, Splits
from gemini_det3d.formats.calibration_check import Fault
from gemini_det3d.formats.text import write_json
from gemini_det3d.formats.turned_cloud import check_full

# Raised whenever a check changes, so that no finding of an older one is taken over.
_REPORT_VERSION = 4
_MIN_OBJECTS = 10
# KITTI's own are above 0.8; about a third is left where a box stands half its height too high.
_POOR_MEDIAN_IOU, _FAIR_MEDIAN_IOU = 0.3, 0.6


@dataclass
class TreeReport:
    """Everything found in one tree.

    Attributes:
        root: The tree.
        class_map: Class names replaced -> replacements.
        splits: Frame lists.
        frames: (part, frame) -> report.
        fingerprints: (part, frame) -> fingerprint of its files.
        findings: Faults of the lists and of the tree as a whole.
        conversion: What was converted last, for the next run; empty before.
    """

    root: Path
    class_map: Mapping[str, str]
    splits: Splits
    frames: dict[tuple[str, str], FrameReport] = field(default_factory=dict)
    fingerprints: dict[tuple[str, str], str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    conversion: dict = field(default_factory=dict)

    def all_findings(self) -> list[Finding]:
        """Errors first, else in the order of the lists, the tree, and the frames."""
        found = [*self.splits.findings, *self.findings]
        for task in sorted(self.frames):
            found += self.frames[task].findings
        return sorted(found, key=lambda finding: finding.level)  # 'error' < 'warning', stable

    def bad_frames(self) -> set[tuple[str, str]]:
        """(part, frame) of the frames with an error."""
        return {task for task, report in self.frames.items() if report.has_error}

    def class_table(self, split: str) -> dict[str, dict]:
        """Per class of a split: ``count``, ``difficulty`` (four counts), ``iou``, ``points``."""
        table: dict[str, dict] = {}
        for frame in self.splits.frames[split]:
            report = self.frames.get((SPLITS[split], frame))
            for name, entry in (report.stats.get("classes", {}) if report else {}).items():
                total = table.setdefault(
                    name, {"count": 0, "difficulty": [0, 0, 0, 0], "iou": [], "points": []}
                )
                total["count"] += entry["count"]
                pairs = zip(total["difficulty"], entry["difficulty"])
                total["difficulty"] = [a + b for a, b in pairs]
                total["iou"] += entry["iou"]
                total["points"] += entry["points"]
        return dict(sorted(table.items()))

    def check_whole(self, classes: Sequence[str]) -> None:
        """Add what only many frames together show."""
        self.findings = self._check_map()
        for split in ("train", "val"):
            table = self.class_table(split)
            file = f"ImageSets/{split}.txt"
            for name in classes if self.splits.frames[split] else ():
                if name not in table:
                    fault = f"no object of class {name!r} in these frames"
                    self.findings.append(Finding("warning", file, fault))
                elif split == "val" and not sum(table[name]["difficulty"][:3]):
                    fault = (
                        f"all {table[name]['count']} {name!r} are beyond KITTI's hardest level "
                        "(too low, occluded or truncated); their AP will be 0"
                    )
                    self.findings.append(Finding("warning", file, fault))
            self.findings += [
                Finding(fault.level, file, fault.text) for fault in self._check_full(split)
            ]
            ious = [value for entry in table.values() for value in entry["iou"]]
            if len(ious) >= _MIN_OBJECTS and np.median(ious) < _FAIR_MEDIAN_IOU:
                fault = (
                    f"half of the {len(ious)} projected 3D boxes overlap their 2D boxes by an IoU "
                    f"below {np.median(ious):.2f}: "
                )
                if np.median(ious) < _POOR_MEDIAN_IOU:
                    fault += "labels and calibration do not fit together"
                    self.findings.append(Finding("error", file, fault))
                else:
                    fault += "is the location the middle of the box's bottom?"
                    self.findings.append(Finding("warning", file, fault))

    def _check_map(self) -> list[Finding]:
        """Names to be replaced that no object has; an error where one is much alike.

        Not where that one is what a name is replaced by: a list for sets that are spelt otherwise
        holds for those that are spelt right, too.
        """
        named = {name for report in self.frames.values() for name in report.stats.get("names", ())}
        found = []
        for old in sorted(set(self.class_map) - named):
            hint = close_names(old, sorted(named))
            is_misspelt = close_names(old, sorted(named - set(self.class_map.values())))
            fault = f"--map-class {old}={self.class_map[old]}: no object has this name{hint}"
            found.append(Finding("error" if is_misspelt else "warning", "training/label_2", fault))
        return found

    def _check_full(self, split: str) -> list[Fault]:
        """Whether the boxes of all frames together hold points."""
        tasks = [(SPLITS[split], frame) for frame in self.splits.frames[split]]
        stats = [self.frames[task].stats for task in tasks if task in self.frames]
        counts = [stat["full_boxes"] for stat in stats if stat.get("full_boxes")]
        return check_full(counts, sum(stat.get("num_boxes", 0) for stat in stats))

    def text(self) -> str:
        """For reading: a few lines per fault, then the counts."""
        findings = self.all_findings()
        errors = [finding for finding in findings if finding.level == "error"]
        warnings = findings[len(errors) :]
        lines = capped(findings)
        lines += [""] if lines else []
        sizes = ", ".join(f"{split} {len(frames)}" for split, frames in self.splits.frames.items())
        lines.append(f"{self.root}: {len(self.frames)} frames ({sizes})")
        points = [r.stats["points"] for r in self.frames.values() if r.stats.get("points")]
        if points:
            lines.append(
                f"points per frame: {min(points)} to {max(points)}, median {np.median(points):.0f}"
            )
        for split in ("train", "val"):
            lines += _table_lines(split, self.class_table(split))
        lines.append(f"{len(errors)} errors, {len(warnings)} warnings")
        return "\n".join(lines)

    def to_json(self) -> dict:
        """For programs and for the next run."""
        findings = self.all_findings()
        errors = sum(finding.level == "error" for finding in findings)
        return {
            "report_version": _REPORT_VERSION,
            "root": str(self.root),
            "class_map": dict(self.class_map),
            "summary": {
                "errors": errors,
                "warnings": len(findings) - errors,
                "splits": {split: len(frames) for split, frames in self.splits.frames.items()},
                "classes": {split: _counts(self.class_table(split)) for split in ("train", "val")},
            },
            "findings": [asdict(finding) for finding in findings],
            "conversion": self.conversion,
            "frames": [
                {"fingerprint": self.fingerprints[task], **self.frames[task].to_json()}
                for task in sorted(self.frames)
            ],
        }

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all."""
        write_json(path, self.to_json())


def load_known(
    path: Path | None, root: Path, class_map: Mapping[str, str]
) -> tuple[dict[tuple[str, str], tuple[str, FrameReport]], dict]:
    """What an earlier run found.

    Returns:
        (part, frame) -> (fingerprint, report), and what it converted. Empty where the file is
        none of ours, or was made of another tree, by another version or with another class map.
    """

    def take(data: dict) -> tuple[dict, dict]:
        same = data["report_version"] == _REPORT_VERSION and data["root"] == str(root)
        if not same or data["class_map"] != dict(class_map):
            return {}, {}
        known = {}
        for entry in data["frames"]:
            task = (entry["part"], entry["frame"])
            known[task] = (entry["fingerprint"], FrameReport.from_json(entry))
        return known, data["conversion"]

    return take_over(path, take, ({}, {}))


def _counts(table: Mapping[str, dict]) -> dict:
    return {
        name: {"count": entry["count"], **dict(zip(DIFFICULTIES, entry["difficulty"]))}
        for name, entry in table.items()
    }


def _table_lines(split: str, table: Mapping[str, dict]) -> Iterable[str]:
    if not table:
        return []
    heads = ("objects", *DIFFICULTIES, "points (median)", "IoU with 2D box (median)")
    lines = [f"{split:<16}" + "".join(f"{head:>{max(9, len(head) + 2)}}" for head in heads)]
    for name, entry in table.items():
        points = f"{np.median(entry['points']):.0f}" if entry["points"] else "-"
        cells = (entry["count"], *entry["difficulty"], points, f"{np.median(entry['iou']):.2f}")
        widths = (max(9, len(head) + 2) for head in heads)
        lines.append(f"  {name:<14}" + "".join(f"{c!s:>{w}}" for c, w in zip(cells, widths)))
    return lines
