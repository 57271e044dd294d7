"""Checking one frame of SUN RGB-D and writing its points; every fault becomes a finding.

Errors are what poisons training: a part that cannot be read, or points whose place in the image
or whose colours say that image, points and calibration do not belong together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gemini_det3d.apis.findings import Finding, OfFindings
from gemini_det3d.apis.sunrgbd.sources import EXTRACTED, ExtractedFrames, OfficialFrames
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.kitti_sensors import write_points
from gemini_det3d.formats.sunrgbd import (
    RoomCalibration,
    RoomObjects,
    frame_info,
    write_calibration,
    write_labels,
)
from gemini_det3d.geometry.boxes import count_in_box

# As many points of a frame as mmdet3d's converter keeps.
NUM_POINTS = 50_000
# Every point was a pixel once; a rounded matrix loses a few at the rim.
_MIN_IN_IMAGE = 0.9
_REACH_M = 20.0
# Mean difference of colours, shares of full scale. Extracted frames differ by nothing at all,
# frames paired at random by a quarter.
_MAX_COLOR_DIFFERENCE = 0.12


@dataclass
class RoomReport(OfFindings):
    """What was found in one frame.

    Attributes:
        stem: Name of the frame's files.
        fingerprint: Of what it was read from.
        findings: Faults, in the order of the checks.
        info: The frame for mmdet3d's info file; None with an error.
        stats: ``points``, ``color_difference``, and ``classes`` by name.
    """

    stem: str
    fingerprint: str
    findings: list[Finding] = field(default_factory=list)
    info: dict | None = None
    stats: dict[str, Any] = field(default_factory=dict)


class RoomChecker:
    """Checks frames, and writes what a training run reads.

    Args:
        source: Where they come from.
        out: Where ``points`` goes, and the extraction's files where there was no extraction.
            None: only check.
    """

    def __init__(self, source: ExtractedFrames | OfficialFrames, out: Path | None) -> None:
        self.source = source
        self.out = out

    def __call__(self, stem: str) -> RoomReport:
        """Check one frame."""
        report = RoomReport(stem, self.source.fingerprint(stem))
        parts: dict[str, Any] = {}
        names = self.source.where(stem)
        for kind, read in self.source.readers(stem).items():
            try:
                parts[kind] = read()
            except FormatError as error:
                finding = Finding("error", error.path, error.fault)
                if finding not in report.findings:  # one fault may stop several parts
                    report.findings.append(finding)
        if report.has_error:
            return report
        (jpeg, image), points = parts["image"], parts["depth"]
        for fault in check_points(points, image, parts["calib"], report.stats):
            report.findings.append(Finding("error", names["depth"], fault))
        objects: RoomObjects = parts["label"]
        doubts = [("depth", check_reach(points)), ("label", check_boxes_hold(objects, points))]
        for kind, fault in doubts:
            if fault:
                report.findings.append(Finding("warning", names[kind], fault))
        report.stats.update(points=len(points), classes=_counts(objects))
        if not report.has_error:
            size = (image.shape[1], image.shape[0])
            report.info = frame_info(stem, parts["calib"], size, objects)
            if self.out is not None:
                self._write(stem, points, jpeg, parts["calib"], objects)
        return report

    def is_written(self, stem: str) -> bool:
        """Whether an earlier run left the frame's points."""
        return self.out is None or _points_file(self.out, stem).is_file()

    def _write(
        self,
        stem: str,
        points: np.ndarray,
        jpeg: bytes,
        calibration: RoomCalibration,
        objects: RoomObjects,
    ) -> None:
        assert self.out is not None
        rng = np.random.default_rng([int(stem) if stem.isdigit() else 0, len(points)])
        sampled = points
        if len(points) > NUM_POINTS:
            sampled = points[rng.choice(len(points), NUM_POINTS, replace=False)]
        if self.source.writes_sources:
            folder = self.out / EXTRACTED
            write_whole(folder / "image" / f"{stem}.jpg", jpeg)
            write_calibration(folder / "calib" / f"{stem}.txt", calibration)
            write_labels(folder / "label" / f"{stem}.txt", objects)
        write_points(_points_file(self.out, stem), sampled)


def check_points(
    points: np.ndarray, image: np.ndarray, calibration: RoomCalibration, stats: dict[str, Any]
) -> list[str]:
    """Whether points fall into the image, and on pixels of their own colour.

    Args:
        points: ``(N, 6)`` x, y, z in the depth frame and RGB, 0 to 1.
        image: ``(H, W, 3)`` uint8 RGB.
        calibration: Between the two.
        stats: Takes ``color_difference``, the mean over all channels (0 to 1).

    Returns:
        Faults; none where all belong together.
    """
    pixel = points[:, :3].astype(np.float64) @ calibration.depth2img.T
    with np.errstate(divide="ignore", invalid="ignore"):
        column, row = np.round(pixel[:, :2] / pixel[:, 2:]).T - 1  # pixels count from 1
    height, width = image.shape[:2]
    inside = (pixel[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    if inside.mean() < _MIN_IN_IMAGE:
        share = f"only {100 * inside.mean():.0f} % of {len(points)} points fall into the image"
        return [f"{share} of {width} x {height} pixels: points, calibration and image disagree"]
    seen = image[row[inside].astype(np.int64), column[inside].astype(np.int64)] / 255.0
    difference = float(np.abs(seen - points[inside, 3:6]).mean())
    stats["color_difference"] = round(difference, 5)
    if difference <= _MAX_COLOR_DIFFERENCE:
        return []
    fault = f"the points' colours differ by {100 * difference:.0f} % of full scale from the image's"
    mirrored = image[row[inside].astype(np.int64), width - 1 - column[inside].astype(np.int64)]
    other = float(np.abs(mirrored / 255.0 - points[inside, 3:6]).mean())
    if other <= min(_MAX_COLOR_DIFFERENCE, difference / 2):
        return [f"{fault}, by {100 * other:.0f} % from the mirrored one's: was the image flipped?"]
    return [f"{fault} where they fall: points, calibration and image disagree"]


def check_reach(points: np.ndarray) -> str | None:
    """Whether the points of a room lie within one, if they are metres.

    Args:
        points: ``(N, 3 or more)``, the camera at 0.
    """
    middle = float(np.median(np.linalg.norm(points[:, :3], axis=1)))
    if middle <= _REACH_M:
        return None
    return f"half of the points are more than {middle:.0f} from the camera; they are metres"


def check_boxes_hold(objects: RoomObjects, points: np.ndarray) -> str | None:
    """Whether labelled boxes stand where points are.

    Args:
        objects: Of the frame.
        points: ``(N, 3 or more)``.
    """
    empty = sum(count_in_box(points, box) == 0 for box in objects.bottom_boxes)
    if 2 * empty <= len(objects):
        return None
    return f"{empty} of {len(objects)} boxes hold no point: do labels and points belong together?"


def _counts(objects: RoomObjects) -> dict[str, int]:
    names, counts = np.unique(objects.names, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist()))


def _points_file(out: Path, stem: str) -> Path:
    return out / "points" / f"{stem}.bin"
