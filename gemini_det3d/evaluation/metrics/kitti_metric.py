"""KITTI's evaluation as a metric of mmdet3d's runner."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmdet3d.registry import METRICS
from mmdet3d.structures import CameraInstance3DBoxes, LiDARInstance3DBoxes
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get
from mmengine.logging import print_log

from gemini_det3d.evaluation.functional import KITTI_CLASSES, check_options, evaluate_kitti
from gemini_det3d.evaluation.functional.kitti_rules import OverlapSpec, min_overlaps_of
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.infos import preferred_infos
from gemini_det3d.formats.kitti import (
    Calibration,
    Objects,
    from_lidar_boxes,
    read_objects,
    to_lidar_boxes,
    write_objects,
)
from gemini_det3d.formats.kitti_infos import KittiInfos
from gemini_det3d.registration import register

# mmdet3d's words for what to evaluate: 'bbox' has always meant the boxes in space as well.
_METRICS_OF = {"bbox": ("bbox", "aos", "bev", "3d"), "img_bbox": ("bbox", "aos")}


@dataclass(frozen=True)
class FrameResult:
    """Detections of one frame, as they travel between processes.

    Attributes:
        file: Image or cloud that the frame is known by; empty where the sample names none.
        frame: Its ``sample_idx`` in ``ann_file``; None: ``ann_file`` has no such frame.
        objects: Detections whose boxes reach the image; names are numbers of labels.
        num_outside: Left out because their boxes do not.
        num_broken: Left out because a coordinate or the score is NaN or infinite.
        fault: Why ``frame`` is None. An error once the frame is evaluated: with several data sets
            in one test every metric is handed all frames and evaluates its own.
    """

    file: str
    frame: int | str | None
    objects: Objects | None = None
    num_outside: int = 0
    num_broken: int = 0
    fault: str = ""


@register(METRICS)
class KittiDetectionMetric(BaseMetric):
    """KITTI's AP in the image, of the orientation, from above and in space, on any machine.

    Follows KITTI's development kit (see :mod:`gemini_det3d.evaluation.functional`) and needs no
    GPU. Ground truth and calibration are those of ``ann_file``, never of the augmented sample.

    Args:
        ann_file: Info file of the evaluated split, with calibrations and image sizes.
        metric: 'bbox' for all four, 'img_bbox' for what needs the image only; the words of
            mmdet3d's KittiMetric, in whose place this one can be named.
        classes: Classes to evaluate. None: those of the data set.
        min_overlaps: Own overlaps by class name, in the order bbox, bev, 3d; see
            :func:`gemini_det3d.evaluation.functional.kitti_rules.min_overlaps_of`.
        recall: 'definition' or 'devkit', how to place recall below 41 boxes; KITTI's own rule is
            'devkit', and its figures may be compared with published ones at any number of boxes.
        label_dir: Folder of ``label_2`` files to take the ground truth from. None: ``ann_file``.
        txt_dir: Folder to write KITTI result files to, one a frame. None: none are written.
        format_only: Write the result files and evaluate nothing (a split without labels).
        default_cam_key: Camera under ``images`` in ``ann_file``.
        prefix: In front of the keys.
        collect_device: 'cpu' or 'gpu', see mmengine's BaseMetric.
        collect_dir: See mmengine's BaseMetric.
        backend_args: How mmengine reads ``ann_file``.

    Raises:
        ValueError: ``format_only`` without ``txt_dir``, an unknown metric, or an overlap that is
            none.
    """

    default_prefix = "KITTI"

    def __init__(
        self,
        ann_file: str,
        metric: str = "bbox",
        classes: Sequence[str] | None = None,
        min_overlaps: Mapping[str, OverlapSpec] | None = None,
        recall: str = "definition",
        label_dir: str | None = None,
        txt_dir: str | None = None,
        format_only: bool = False,
        default_cam_key: str = "CAM2",
        prefix: str | None = None,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if format_only and txt_dir is None:
            raise ValueError("format_only=True writes result files: txt_dir must name a folder")
        if metric not in _METRICS_OF:
            raise ValueError(f"metric must be one of {tuple(_METRICS_OF)}, got {metric!r}")
        for name in min_overlaps or ():
            min_overlaps_of(name, min_overlaps)
        metrics = _METRICS_OF[metric]
        check_options(classes or KITTI_CLASSES, metrics, recall)
        self.ann_file = ann_file
        self.classes = classes
        self.options = {"min_overlaps": min_overlaps, "metrics": metrics, "recall": recall}
        self.label_dir = label_dir
        self.txt_dir = txt_dir
        self.format_only = format_only
        self.default_cam_key = default_cam_key
        self.backend_args = backend_args
        self._infos: KittiInfos | None = None

    @property
    def infos(self) -> KittiInfos:
        """The annotation file, read when first needed."""
        if self._infos is None:
            path = self.ann_file
            if self.backend_args is None and "://" not in path:
                path = os.fspath(preferred_infos(path))
            self._infos = KittiInfos(get(path, backend_args=self.backend_args), path)
        return self._infos

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Turn predictions into KITTI's objects.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``pred_instances_3d`` (``bboxes_3d``, ``scores_3d``,
                ``labels_3d``, boxes in the LiDAR or the camera frame) and, to tell the frame,
                ``img_path`` or ``lidar_path``; without either ``sample_idx``, which mmengine's
                data sets fill with the frame's position in ``ann_file``.

        Raises:
            FormatError: ``ann_file`` lacks a matrix or the image's size.
        """
        for sample in data_samples:
            file, found = _file_of(sample), sample["pred_instances_3d"]
            try:
                frame = self._frame_of(file, sample)
            except FormatError as error:
                self.results.append(FrameResult(file, None, fault=error.fault))
                continue
            calibration = self.infos.calibration(frame, self.default_cam_key)
            image_size = self.infos.image_size(frame, self.default_cam_key)
            boxes = _lidar_boxes(found["bboxes_3d"], calibration)
            scores = found["scores_3d"].detach().cpu().double().numpy()
            labels = found["labels_3d"].detach().cpu().numpy().astype(np.str_)
            whole = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
            objects = from_lidar_boxes(
                boxes[whole], labels[whole], scores[whole], calibration, image_size
            )
            left, top, right, bottom = objects.bbox.T
            visible = (right > left) & (bottom > top)
            counts = int((~visible).sum()), int((~whole).sum())
            self.results.append(FrameResult(file, frame, objects.select(visible), *counts))

    def compute_metrics(self, results: list[FrameResult]) -> dict[str, float]:
        """Evaluate the frames that were processed.

        Args:
            results: Of all processes, each frame once or, where a sampler filled up, twice.

        Returns:
            Percent by ``Car/3d_AP40_moderate_0.70`` and so on; empty where ``format_only``.

        Raises:
            FormatError: ``ann_file`` lacks a frame, or two files stand for one of its frames.
            ValueError: A label is beyond the data set's classes.
        """
        by_frame = self._by_frame(results)
        frames = sorted(by_frame)
        detections = [self._named(by_frame[frame]) for frame in frames]
        self._report_left_out(list(by_frame.values()))
        if self.txt_dir is not None:
            for frame, objects in zip(frames, detections):
                write_objects(Path(self.txt_dir) / f"{self.infos.name_of(frame)}.txt", objects)
            print_log(f"{len(frames)} KITTI result files in {self.txt_dir}", "current")
        if self.format_only:
            return {}
        truth = [self._truth(frame) for frame in frames]
        classes = self.classes or self.dataset_meta["classes"]
        result = evaluate_kitti(truth, detections, classes, **self.options)
        print_log("\n".join([result.table(), *result.explain()]), "current")
        return result.as_dict()

    def _frame_of(self, file: str, sample: Mapping[str, Any]) -> int | str:
        if not file:
            return self.infos.frame_at(sample["sample_idx"])
        return self.infos.frame_named(Path(file).stem)

    def _by_frame(self, results: Sequence[FrameResult]) -> dict[int | str, FrameResult]:
        """Every frame once: the same file again is a sampler's padding, another one an error."""
        by_frame: dict[int | str, FrameResult] = {}
        for result in results:
            if result.frame is None:
                raise FormatError(self.ann_file, f"{result.fault} ({result.file or 'no file'})")
            known = by_frame.setdefault(result.frame, result)
            if known.file != result.file:
                name = self.infos.name_of(result.frame)
                fault = (
                    f"frame {name} stands for {known.file} and {result.file}; "
                    "data sets that number their frames alike need a metric each "
                    "(mmdet.MultiDatasetsEvaluator)"
                )
                raise FormatError(self.ann_file, fault)
            by_frame[result.frame] = result
        return by_frame

    def _named(self, result: FrameResult) -> Objects:
        """Detections with the names of their classes."""
        assert result.objects is not None
        labels = result.objects.name.astype(np.int64)
        names = np.array(self.dataset_meta["classes"], dtype=np.str_)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            known = f"the data set has {len(names)} classes {tuple(names.tolist())}"
            raise ValueError(f"frame {result.frame}: predicted label {labels.max()}, but {known}")
        return replace(result.objects, name=names[labels])

    def _truth(self, frame: int | str) -> Objects:
        if self.label_dir is None:
            return self.infos.objects(frame)
        return read_objects(os.path.join(self.label_dir, f"{self.infos.name_of(frame)}.txt"))

    def _report_left_out(self, results: Sequence[FrameResult]) -> None:
        if len(results) < len(self.infos):
            print_log(f"{len(results)} of {len(self.infos)} frames of {self.ann_file}", "current")
        for attribute, reason in (
            ("num_outside", "their boxes do not reach the image"),
            ("num_broken", "a coordinate or the score is NaN or infinite"),
        ):
            counts = {r.frame: getattr(r, attribute) for r in results if getattr(r, attribute)}
            if counts:
                text = f"{sum(counts.values())} detections in {len(counts)} frames left out"
                print_log(f"{text} (first: frame {min(counts)}): {reason}", "current")


def _file_of(sample: Mapping[str, Any]) -> str:
    path = sample.get("img_path") or sample.get("lidar_path") or ""
    return str(path[0] if isinstance(path, (list, tuple)) else path)


def _lidar_boxes(
    boxes: LiDARInstance3DBoxes | CameraInstance3DBoxes, calibration: Calibration
) -> np.ndarray:
    """``(N, 7)`` float64 in the LiDAR frame, z at the bottom."""
    values = boxes.tensor.detach().cpu().double().numpy()[:, :7]
    if isinstance(boxes, LiDARInstance3DBoxes):
        return values
    if not isinstance(boxes, CameraInstance3DBoxes):
        kind = type(boxes).__name__
        raise ValueError(f"bboxes_3d are {kind}: KITTI has LiDAR and camera boxes only")
    unknown = np.zeros(len(values))
    objects = Objects(
        name=unknown.astype(np.str_),
        truncated=unknown,
        occluded=unknown,
        alpha=unknown,
        bbox=np.zeros((len(values), 4)),
        dimensions=values[:, [4, 5, 3]],
        location=values[:, :3],
        rotation_y=values[:, 6],
    )
    return to_lidar_boxes(objects, calibration)
