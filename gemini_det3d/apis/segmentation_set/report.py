"""The report on a segmentation set: findings of its frames and of the whole; text and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from gemini_det3d.apis.findings import Finding, capped, take_over
from gemini_det3d.apis.segmentation_set.check import SegFrameReport
from gemini_det3d.formats.segmentation import IGNORED, label_fault
from gemini_det3d.formats.tables import text_table
from gemini_det3d.formats.text import write_json

# Raised whenever a check changes, so that no finding of an older one is taken over.
_REPORT_VERSION = 2
# Of 255: a modality whose every image is darker has another white.
_DARK = 64


@dataclass
class SetReport:
    """Everything found in one set.

    Attributes:
        root: Its folder.
        classes: Names of the classes.
        first_label: Number of the first.
        settings: What else decided about the check; a report of other settings is not taken over.
        splits: Split -> names of its frames.
        frames: Name of a frame -> its report and the file of its labels.
    """

    root: Path
    classes: Sequence[str]
    first_label: int
    settings: Mapping[str, object]
    splits: Mapping[str, Sequence[str]]
    frames: dict[str, SegFrameReport] = field(default_factory=dict)
    label_files: dict[str, str] = field(default_factory=dict)

    def findings(self) -> list[Finding]:
        """Of the whole set, then of its frames; errors first."""
        found = [*self._of_labels(), *self._of_splits(), *self._of_modalities()]
        found += [finding for report in self.frames.values() for finding in report.findings]
        return sorted(found, key=lambda finding: finding.level)  # 'error' < 'warning', stable

    def text(self) -> str:
        """For reading: a few lines per fault, then the classes, then the counts."""
        findings = self.findings()
        lines = capped(findings)
        lines += [""] if lines else []
        sizes = ", ".join(f"{split} {len(names)}" for split, names in self.splits.items())
        lines.append(f"{self.root}: {len(self.frames)} frames ({sizes})")
        counts = Counter(r.size for r in self.frames.values() if r.size)
        shown = ", ".join(f"{n} of {w} x {h}" for (w, h), n in counts.most_common(3))
        lines.append(f"images: {shown}{', ...' if len(counts) > 3 else ''}")
        lines.append(self._table())
        errors = sum(finding.level == "error" for finding in findings)
        lines.append(f"{errors} errors, {len(findings) - errors} warnings")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all."""
        findings = self.findings()
        errors = sum(finding.level == "error" for finding in findings)
        content = {
            "report_version": _REPORT_VERSION,
            "root": str(self.root),
            "settings": self.settings,
            "summary": {
                "errors": errors,
                "warnings": len(findings) - errors,
                "splits": {split: len(names) for split, names in self.splits.items()},
                "pixels": {split: self._pixels(split) for split in self.splits},
            },
            "findings": [asdict(finding) for finding in findings],
            "frames": [self.frames[name].to_json() for name in sorted(self.frames)],
        }
        write_json(path, content)

    def _of_labels(self) -> list[Finding]:
        """What only the numbers of many label maps together show."""
        values: dict[int, str] = {}  # with the first map that holds each
        for name, report in self.frames.items():
            for value in report.labels:
                values.setdefault(value, self.label_files[name])
        numbers, count = np.array(sorted(values), dtype=np.int64), len(self.classes)
        found = []
        fault = label_fault(numbers, self.first_label, count)
        if fault:
            last = self.first_label + count - 1
            wrong = [v for v in values if v != IGNORED and not 0 <= v <= last]
            maps = sum(any(v in report.labels for v in wrong) for report in self.frames.values())
            text = f"{fault}; so do {maps} of {len(self.frames)} label maps"
            found.append(Finding("error", values[wrong[0]], text))
        elif set(values) == {0, IGNORED} and self.first_label == 0:
            text = f"the set holds 0 and {IGNORED} alone, which is ignored: in masks write 1 for it"
            found.append(Finding("error", values[IGNORED], text))
        elif self.first_label and {0, IGNORED} <= set(values) and values.keys().isdisjoint(
            {self.first_label + count - 1}
        ):  # fmt: skip
            text = (
                f"the set holds 0 and {IGNORED} and not its last class "
                f"{self.first_label + count - 1}: if 0 is the class {self.classes[0]!r}, "
                f"first_label=0 is right"
            )
            found.append(Finding("warning", values[0], text))
        return found

    def _of_splits(self) -> list[Finding]:
        found = []
        for split in self.splits:
            pixels = self._pixels(split)
            absent = [name for name in self.classes if not pixels[name]]
            if self.splits[split] and len(absent) == len(self.classes):
                fault = (
                    f"no pixel counts: every label is {IGNORED}, below first_label="
                    f"{self.first_label}, or no class"
                )
                found.append(Finding("error", f"split {split}", fault))
            elif self.splits[split] and absent:
                shown = ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else "")
                fault = f"no pixel of {len(absent)} of {len(self.classes)} classes ({shown})"
                found.append(Finding("warning", f"split {split}", fault))
            twice = len(self.splits[split]) - len(set(self.splits[split]))
            if twice:
                found.append(Finding("warning", f"split {split}", f"lists {twice} frames again"))
        names = list(self.splits.items())
        for index, (split, frames) in enumerate(names):
            for other, others in names[index + 1 :]:
                both = sorted(set(frames) & set(others))
                if both:
                    fault = f"shares {len(both)} frames with {other} (first: {both[0]})"
                    found.append(Finding("warning", f"split {split}", fault))
        return found

    def _of_modalities(self) -> list[Finding]:
        """Images that are nearly black, and files that belong to other frames by their names."""
        found = []
        brightest: dict[str, float] = {}
        for report in self.frames.values():
            for name, value in report.brightest.items():
                brightest[name] = max(value, brightest.get(name, 0.0))
        for name, value in brightest.items():
            if 0 < value < _DARK:
                fault = (
                    f"no pixel of any image is above {value:.0f} of 255; of 16-bit files "
                    f"max_values (--max-values {name}=NUMBER) says which number is white"
                )
                found.append(Finding("warning", name, fault))
        stems = {report.stems[0] for report in self.frames.values() if report.stems}
        wrong = [
            (name, other)
            for name, report in self.frames.items()
            for other in report.stems[1:]
            if other != report.stems[0] and other in stems
        ]
        if wrong:
            fault = f"{len(wrong)} files have the names of other frames (first: {wrong[0][1]})"
            found.append(Finding("warning", f"frame {wrong[0][0]}", fault))
        return found

    def _pixels(self, split: str) -> dict[str, int]:
        total: Counter = Counter()
        for name in self.splits[split]:
            total.update(self.frames[name].labels)
        return {name: total[self.first_label + k] for k, name in enumerate(self.classes)}

    def _table(self) -> str:
        shares = {split: self._pixels(split) for split in self.splits}
        totals = {split: max(sum(pixels.values()), 1) for split, pixels in shares.items()}
        rows = [
            [name, *(100 * shares[split][name] / totals[split] for split in self.splits)]
            for name in self.classes
        ]
        return text_table(["% of pixels", *self.splits], rows)


def load_known(path: Path | None, settings: Mapping[str, object]) -> dict[str, SegFrameReport]:
    """Reports of an earlier run by name; none of another version or of other settings."""

    def take(content: dict) -> dict[str, SegFrameReport]:
        same = content["report_version"] == _REPORT_VERSION and content["settings"] == settings
        frames = content["frames"] if same else ()
        return {entry["name"]: SegFrameReport.from_json(entry) for entry in frames}

    return take_over(path, take, {})
