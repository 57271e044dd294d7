"""Checking one frame of a raw KITTI tree: every fault becomes a finding, none an exception.

Errors are what stops the converter or poisons training. Warnings are what a person should look
at; the published KITTI frames themselves raise a few.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gemini_det3d.apis.findings import Finding, OfFindings, fingerprint
from gemini_det3d.apis.kitti.canonical import canonical_calibration, canonical_labels
from gemini_det3d.apis.kitti.check_objects import check_objects
from gemini_det3d.apis.kitti.files import FILES, frame_file, frame_files
from gemini_det3d.formats.calibration_check import (
    check_boxes,
    check_center,
    check_cloud,
    check_matrices,
    check_overlap,
    check_rotation,
)
from gemini_det3d.formats.image_fit import check_fit, fit_of
from gemini_det3d.formats.images import read_orientation
from gemini_det3d.formats.kitti import (
    Calibration,
    FormatError,
    Objects,
    read_calibration,
    read_image,
    read_objects,
    read_points,
    to_lidar_boxes,
)
from gemini_det3d.formats.turned_cloud import check_full, count_full

# The names that mmdet3d's converter knows; any other becomes label -1 and is never trained.
KITTI_CLASSES = ("Pedestrian", "Cyclist", "Car", "Van", "Truck", "Person_sitting", "Tram", "Misc")


@dataclass
class FrameReport(OfFindings):
    """What was found in one frame.

    Attributes:
        part: ``'training'`` or ``'testing'``.
        frame: Its digits.
        findings: Faults, in the order of the checks.
        stats: Counts for the summary: points, points in the image, and per class objects,
            difficulties, agreement with the 2D boxes and points per box.
        rewrite: Folders whose file of this frame has to be brought into canonical form.
    """

    part: str
    frame: str
    findings: list[Finding] = field(default_factory=list)
    stats: dict = field(default_factory=dict)
    rewrite: list[str] = field(default_factory=list)


class FrameChecker:
    """Checks frames of one tree; may be sent to worker processes.

    Args:
        root: The tree.
        class_map: Class names replaced -> replacements.
        compared: Frames, as (part, frame), whose edges in image and cloud are compared, too; that
            takes as long as all else.
    """

    def __init__(
        self, root: Path, class_map: Mapping[str, str], compared: Collection[tuple[str, str]] = ()
    ) -> None:
        self.root = root
        self.class_map = dict(class_map)
        self.compared = frozenset(compared)

    def __call__(self, task: tuple[str, str]) -> FrameReport:
        """Check one frame, given by its part and its name."""
        report = FrameReport(*task)
        calibration = self._attempt(report, "calib", self._calibration)
        image = self._attempt(report, "image_2", _upright_image)
        points = self._attempt(report, "velodyne", self._points)
        size = None if image is None else (image.shape[1], image.shape[0])
        if calibration is not None and size is not None:
            self._add(report, "calib", check_center(calibration.cam2img, size))
        if calibration is not None and size is not None and points is not None:
            self._check_overlap(report, calibration, size, points)
            if task in self.compared:
                fit = fit_of(points, image, calibration.lidar2img)
                self._add(report, "image_2", check_fit(fit))
        if report.part == "training":
            objects = self._attempt(report, "label_2", self._labels)
            if objects is not None and calibration is not None and size is not None:
                findings, stats = check_objects(objects, calibration, size, points)
                if points is not None:
                    self._check_places(report, objects, calibration, points)
                self._add(report, "label_2", findings)
                report.stats["classes"] = stats
        return report

    def fingerprint(self, task: tuple[str, str]) -> str:
        """Sizes and times of a frame's files: the same string, the same report."""
        return fingerprint(self.path(*task, folder) for folder in FILES)

    def path(self, part: str, frame: str, folder: str) -> Path:
        """Where a frame's file of a folder, one of ``FILES``, lies, whether it exists or not."""
        return frame_file(self.root, part, frame, folder)

    def _attempt(self, report: FrameReport, folder: str, read):
        """The file's content, or None with a finding that says why not."""
        path = self.path(report.part, report.frame, folder)
        twins = frame_files(self.root, report.part, report.frame, folder)[1:]
        try:
            if twins:
                raise FormatError(
                    path, f"is of one frame with {twins[0].name}; keep one of the two"
                )
            return read(report, path)
        except FormatError as error:
            self._add(report, folder, [("error", error.fault + _hint(path))])
            return None

    def _add(self, report: FrameReport, folder: str, findings: Sequence[tuple[str, str]]) -> None:
        file = self.path(report.part, report.frame, folder).relative_to(self.root).as_posix()
        report.findings += [Finding(level, file, fault) for level, fault in findings]

    def _calibration(self, report: FrameReport, path: Path) -> Calibration:
        calibration = read_calibration(path)
        rotations = {"R0_rect": calibration.r0_rect, "Tr_velo_to_cam": calibration.tr_velo_to_cam}
        for name, matrix in rotations.items():
            self._add(report, "calib", check_rotation(matrix[:, :3], name))
        own = {fault.text for fault in check_rotation(calibration.lidar2cam[:3, :3], "lidar2cam")}
        faults = check_matrices(calibration.lidar2cam, calibration.cam2img)
        self._add(report, "calib", [fault for fault in faults if fault.text not in own])
        if canonical_calibration(path) is not None:
            report.rewrite.append("calib")
        return calibration

    def _points(self, report: FrameReport, path: Path) -> np.ndarray:
        points = read_points(path, remedy="save the first 4 columns")
        report.stats["points"] = len(points)
        if not len(points):
            raise FormatError(path, "holds no points")
        self._add(report, "velodyne", check_cloud(points, with_reflectance=True))
        return points

    def _labels(self, report: FrameReport, path: Path) -> Objects:
        objects = read_objects(path)  # scores, as pseudo labels have them, are left
        report.stats["names"] = sorted(set(objects.name.tolist()))
        objects.name = np.array([self.class_map.get(n, n) for n in objects.name.tolist()], str)
        for name in sorted(set(objects.name.tolist()) - {*KITTI_CLASSES, "DontCare"}):
            self._add(report, "label_2", [("error", f"unknown class {name!r}{_class_hint(name)}")])
        if canonical_labels(path, self.class_map) is not None:
            report.rewrite.append("label_2")
        return objects

    def _check_places(
        self, report: FrameReport, objects: Objects, calibration: Calibration, points: np.ndarray
    ) -> None:
        """Whether the labelled boxes stand where the points are."""
        real = objects.select(objects.name != "DontCare")
        boxes = to_lidar_boxes(real, calibration)
        self._add(report, "label_2", check_boxes(boxes[:, :3], points))
        report.stats["full_boxes"] = count_full(boxes, points)
        report.stats["num_boxes"] = len(boxes)
        self._add(report, "velodyne", check_full([report.stats["full_boxes"]], len(boxes)))

    def _check_overlap(
        self,
        report: FrameReport,
        calibration: Calibration,
        size: tuple[int, int],
        points: np.ndarray,
    ) -> None:
        """Count the points that the reduced cloud will keep."""
        count, faults = check_overlap(points, calibration.lidar2cam, calibration.cam2img, size)
        report.stats["points_in_image"] = count
        self._add(report, "velodyne", faults)


def _upright_image(_: FrameReport, path: Path) -> np.ndarray:
    image = read_image(path)
    if read_orientation(path) >= 5:
        fault = "is stored lying (EXIF orientation), which mmdet3d's converter takes no notice of"
        raise FormatError(path, f"{fault}: save it upright")
    return image


def _hint(path: Path) -> str:
    """Name a file of the same frame with another ending, as a .npy among point clouds."""
    if path.exists() or not path.parent.is_dir():
        return ""
    others = sorted(other.name for other in path.parent.glob(path.stem + ".*"))
    return f" (there is {others[0]}; mmdet3d's converter reads {path.suffix})" if others else ""


def _class_hint(name: str) -> str:
    known = {other.lower(): other for other in (*KITTI_CLASSES, "DontCare")}
    close = difflib.get_close_matches(name.lower(), list(known), n=1)
    target = known[close[0]] if close else "CLASS"
    return f"; rename it with --map-class {name}={target}, or leave it out with {name}=DontCare"
