"""Checking one frame of a segmentation set: every fault becomes a finding, none an exception."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gemini_det3d.apis.findings import Finding, OfFindings, fingerprint
from gemini_det3d.formats.aligned import check_same_view
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.images import decode_labels
from gemini_det3d.formats.segmentation import SegFrame, read_color
from gemini_det3d.formats.stems import stem_of
from gemini_det3d.formats.text import read_bytes

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class SegFrameReport(OfFindings):
    """What was found in one frame.

    Attributes:
        name: Of the frame.
        fingerprint: Of its files; the same one, the same report.
        findings: Faults.
        size: Width and height of the leading image.
        labels: Numbers in the label map -> pixels; empty where it cannot be read.
        brightest: Of each modality's image, 0 to 255.
        stems: Names of the files that a list puts together, the leading image's first.
    """

    name: str
    fingerprint: str
    findings: list[Finding] = field(default_factory=list)
    size: tuple[int, int] | None = None
    labels: dict[int, int] = field(default_factory=dict)
    brightest: dict[str, float] = field(default_factory=dict)
    stems: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Back from plain values, which have no tuples, and no numbers as keys."""
        labels = {int(value): int(count) for value, count in data["labels"].items()}
        size = tuple(data["size"]) if data["size"] else None
        return super().from_json({**data, "labels": labels, "size": size})


class SegFrameChecker:
    """Checks frames; may be sent to worker processes.

    Args:
        root: Of the set, which messages leave out.
        modalities: Names of those to check, the leading one first.
        label_code: As of `SegmentationSet`.
        max_values: As of ``LoadModalities``.
        size_rule: As of `SegmentationSet`.
    """

    def __init__(
        self,
        root: Path,
        modalities: tuple[str, ...],
        label_code: int | str | None,
        max_values: Mapping[str, float],
        size_rule: str = "crop",
    ) -> None:
        self.root, self.modalities, self.size_rule = root, modalities, size_rule
        self.label_code, self.max_values = label_code, dict(max_values)

    def __call__(self, frame: SegFrame) -> SegFrameReport:
        """Check one frame."""
        report = SegFrameReport(frame.name, self.fingerprint(frame))
        paths = {name: frame.images[name] for name in self.modalities}
        shapes: dict[Path, tuple[int, ...]] = {}
        for name, path in paths.items():
            image = self._attempt(report, read_color, path, self.max_values.get(name))
            if image is not None:
                shapes[path] = image.shape[:2]
                report.brightest[name] = round(float(image.max()), 2)
                if image.min() == image.max():
                    fault = f"all pixels are {image.max():g} of 255: it shows nothing"
                    report.findings.append(Finding("warning", self.relative(path), fault))
        report.stems = [stem_of(path) for path in (*paths.values(), frame.labels)]
        labels = self._attempt(report, self._labels, frame.labels)
        if labels is not None:
            shapes[frame.labels] = labels.shape
            values, counts = np.unique(labels, return_counts=True)
            report.labels = dict(zip(values.tolist(), counts.tolist()))
        leading = paths[self.modalities[0]]
        if leading in shapes:
            height, width = shapes[leading]
            report.size = (width, height)
            for path, shape in shapes.items():
                args = path, shape, leading, shapes[leading], self.size_rule
                self._attempt(report, check_same_view, *args)
        return report

    def fingerprint(self, frame: SegFrame) -> str:
        """Of a frame's files."""
        return fingerprint([*(frame.images[name] for name in self.modalities), frame.labels])

    def relative(self, path: str | Path) -> str:
        """A file as messages name it."""
        path = Path(path)
        return path.relative_to(self.root).as_posix() if self.root in path.parents else str(path)

    def _labels(self, path: Path) -> np.ndarray:
        return decode_labels(read_bytes(path), path, self.label_code)

    def _attempt(self, report: SegFrameReport, read: Callable[..., Any], *args: Any) -> Any:
        """What is read, or None with a finding that says why not."""
        try:
            return read(*args)
        except FormatError as error:
            fault = error.fault.replace(f"{self.root}/", "")
            report.findings.append(Finding("error", self.relative(error.path), fault))
            return None
