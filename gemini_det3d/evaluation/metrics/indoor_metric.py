"""The evaluation of boxes in rooms as a metric of mmdet3d's runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmdet3d.registry import METRICS
from mmdet3d.structures import BaseInstance3DBoxes, DepthInstance3DBoxes
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from gemini_det3d.evaluation.functional.indoor import (
    DEFAULT_THRESHOLDS,
    check_indoor_options,
    evaluate_indoor,
)
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.stems import IMAGE_SUFFIXES, stem_of
from gemini_det3d.formats.sunrgbd import RoomObjects, write_results
from gemini_det3d.registration import register


@dataclass(frozen=True)
class RoomResult:
    """One frame, as it travels between processes.

    Attributes:
        file: Cloud or image that the frame is known by.
        truth: Boxes there are; names are numbers of labels.
        found: Detections, likewise.
        num_broken: Detections left out because a coordinate or the score is NaN or infinite.
    """

    file: str
    truth: RoomObjects
    found: RoomObjects
    num_broken: int


@register(METRICS)
class IndoorDetectionMetric(BaseMetric):
    """AP of boxes in rooms on any machine, by the rules of mmdet3d's ``IndoorMetric``.

    See :mod:`gemini_det3d.evaluation.functional.indoor`. Figures are in percent. Truth is what the
    data set keeps for evaluation, never the augmented sample.

    Args:
        iou_thr: Overlaps, one or several.
        classes: Classes to evaluate. None: those of the data set.
        txt_dir: Folder to write result files to, one a frame, for ``gemini-det3d eval-sunrgbd``.
            None: none are written.
        prefix: In front of the keys.
        collect_device: 'cpu' or 'gpu', see mmengine's BaseMetric.
        collect_dir: See mmengine's BaseMetric.

    Raises:
        ValueError: A threshold outside (0, 1), or a class given twice.
    """

    default_prefix = "Indoor"

    def __init__(
        self,
        iou_thr: float | Sequence[float] = DEFAULT_THRESHOLDS,
        classes: Sequence[str] | None = None,
        txt_dir: str | None = None,
        prefix: str | None = None,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.thresholds = (iou_thr,) if isinstance(iou_thr, float) else tuple(iou_thr)
        check_indoor_options(classes or ("any",), self.thresholds)
        self.classes = classes
        self.txt_dir = txt_dir

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Turn predictions and truth into objects.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``pred_instances_3d`` (``bboxes_3d`` in the depth frame,
                ``scores_3d``, ``labels_3d``), ``eval_ann_info``, and ``lidar_path`` or
                ``img_path`` to name the frame.

        Raises:
            ValueError: Boxes are in another frame.
        """
        for sample in data_samples:
            found = sample["pred_instances_3d"]
            boxes = _center_boxes(found["bboxes_3d"])
            scores = found["scores_3d"].detach().cpu().double().numpy()
            labels = found["labels_3d"].detach().cpu().numpy().astype(np.str_)
            objects = RoomObjects(labels, boxes, scores)
            whole = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
            annotation = sample["eval_ann_info"]
            truth = RoomObjects(
                np.asarray(annotation["gt_labels_3d"]).astype(np.str_),
                _center_boxes(annotation["gt_bboxes_3d"]),
            )
            self.results.append(
                RoomResult(_file_of(sample), truth, objects.select(whole), int((~whole).sum()))
            )

    def compute_metrics(self, results: list[RoomResult]) -> dict[str, float]:
        """Evaluate the frames that were processed.

        Args:
            results: Of all processes, each frame once or, where a sampler filled up, twice.

        Returns:
            Percent by ``bed_AP_0.25`` and so on.

        Raises:
            FormatError: ``txt_dir`` is given, and frames of two files have one name.
            ValueError: A label is beyond the data set's classes.
        """
        by_file = {result.file: result for result in results}
        frames = [by_file[name] for name in sorted(by_file)]
        broken = {_stem(r.file): r.num_broken for r in frames if r.num_broken}
        if broken:
            count = f"{sum(broken.values())} detections in {len(broken)} frames left out"
            reason = "a coordinate or the score is NaN or infinite"
            print_log(f"{count} (first: frame {min(broken)}): {reason}", "current")
        if self.txt_dir is not None:
            for stem, result in _by_stem(frames).items():
                write_results(Path(self.txt_dir) / f"{stem}.txt", self._named(result.found))
            print_log(f"{len(frames)} result files in {self.txt_dir}", "current")
        evaluation = evaluate_indoor(
            [self._named(result.truth) for result in frames],
            [self._named(result.found) for result in frames],
            self.classes or self.dataset_meta["classes"],
            self.thresholds,
        )
        print_log("\n".join(["", evaluation.table(), *evaluation.explain()]), "current")
        return evaluation.as_dict()

    def _named(self, objects: RoomObjects) -> RoomObjects:
        """The same objects with the names of their classes."""
        names = np.array(self.dataset_meta["classes"], dtype=np.str_)
        labels = objects.names.astype(np.int64)
        if len(labels) and not -1 <= labels.min() <= labels.max() < len(names):
            raise ValueError(f"label {labels.max()}, but the data set has {len(names)} classes")
        # -1: a class that is not evaluated
        return replace(objects, names=np.append(names, "DontCare")[labels])


def _file_of(sample: Mapping[str, Any]) -> str:
    return str(sample.get("lidar_path") or sample.get("img_path") or sample["sample_idx"])


def _stem(file: str) -> str:
    return stem_of(file, (*IMAGE_SUFFIXES, ".bin"))


def _by_stem(results: Sequence[RoomResult]) -> dict[str, RoomResult]:
    by_stem: dict[str, RoomResult] = {}
    for result in results:
        known = by_stem.setdefault(_stem(result.file), result)
        if known is not result:
            fault = f"has the name of {known.file}; without txt_dir both are evaluated"
            raise FormatError(result.file, fault)
    return by_stem


def _center_boxes(boxes: BaseInstance3DBoxes) -> np.ndarray:
    """``(N, 7)`` float64, z at the centre."""
    if not isinstance(boxes, DepthInstance3DBoxes):
        raise ValueError(f"boxes are {type(boxes).__name__}; rooms have DepthInstance3DBoxes")
    values = boxes.tensor.detach().cpu().double().numpy()[:, :7].copy()
    values = values.reshape(-1, 7)
    values[:, 2] += 0.5 * values[:, 5]
    return values
