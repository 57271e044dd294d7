"""Objects of many frames as flat arrays, and the part of them that one class needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gemini_det3d.evaluation.functional.kitti_rules import (
    DIFFICULTIES,
    DONT_CARE,
    OTHER,
    flag_detections,
    flag_truth,
)
from gemini_det3d.formats.kitti import Objects
from gemini_det3d.ops.rotated_iou import camera_to_upright, grouped_iou, starts


@dataclass(frozen=True)
class Stack:
    """N objects of F frames, frame after frame.

    Attributes:
        names: ``(N,)`` lower-case class names.
        counts: ``(F,)`` objects of each frame.
        bbox: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        boxes: ``(N, 7)`` upright boxes on the ground plane (x right, y forward, z up; metres).
        alpha: ``(N,)`` observation angle, radians.
        occluded: ``(N,)``.
        truncated: ``(N,)``.
        scores: ``(N,)``; 0 in ground truth.
    """

    names: np.ndarray
    counts: np.ndarray
    bbox: np.ndarray
    boxes: np.ndarray
    alpha: np.ndarray
    occluded: np.ndarray
    truncated: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_frames(cls, frames: Sequence[Objects]) -> Stack:
        """Put frames one after the other.

        Args:
            frames: Objects in the rectified camera frame, one entry a frame.
        """
        empty = Objects.empty(with_score=True)

        def join(field: str) -> np.ndarray:
            return np.concatenate([getattr(frame, field) for frame in (empty, *frames)])

        height, width, length = join("dimensions").T
        camera = np.column_stack([join("location"), length, height, width, join("rotation_y")])
        scores = [np.zeros(len(f)) if f.score is None else f.score for f in (empty, *frames)]
        return cls(
            names=np.char.lower(join("name")),
            counts=np.array([len(frame) for frame in frames], dtype=np.int64),
            bbox=np.ascontiguousarray(join("bbox")),
            boxes=np.ascontiguousarray(camera_to_upright(camera)),
            alpha=join("alpha"),
            occluded=join("occluded"),
            truncated=join("truncated"),
            scores=np.concatenate(scores),
        )

    def select(self, mask: np.ndarray) -> Stack:
        """The objects where ``mask`` ``(N,)`` is True, of the same frames."""
        before = np.concatenate([[0], np.cumsum(mask)])
        counts = np.diff(before[starts(self.counts)])
        kept = {
            name: getattr(self, name)[mask]
            for name in self.__dataclass_fields__
            if name != "counts"
        }
        return Stack(counts=counts, **kept)


@dataclass(frozen=True)
class ClassPairs:
    """What one class is evaluated on: its boxes, whatever may match them, and their overlaps.

    Attributes:
        class_name: The class.
        truth: Boxes of the class and its neighbours.
        detections: Detections of the class, and low ones of any class.
        truth_flags: ``(difficulties, truth)`` int8.
        detection_flags: ``(difficulties, detections)`` int8.
        overlaps: By metric ``(P,)``: frame after frame, truth the slow axis.
        dont_care_share: ``(detections,)`` largest share of the image box in a DontCare region.
    """

    class_name: str
    truth: Stack
    detections: Stack
    truth_flags: np.ndarray
    detection_flags: np.ndarray
    overlaps: dict[str, np.ndarray]
    dont_care_share: np.ndarray

    @property
    def layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First pair, first box and first detection of each frame."""
        truth, detections = self.truth.counts, self.detections.counts
        return starts(truth * detections), starts(truth), starts(detections)


def pair_class(class_name: str, truth: Stack, detections: Stack) -> ClassPairs:
    """Collect what one class needs."""
    from gemini_det3d.evaluation.functional._kitti_kernels import (
        grouped_image_iou,
        largest_covered_share,
    )

    regions = truth.select(truth.names == DONT_CARE)
    truth_flags = np.stack(
        [
            flag_truth(class_name, d, truth.names, truth.bbox, truth.occluded, truth.truncated)
            for d in DIFFICULTIES
        ]
    )
    detection_flags = np.stack(
        [flag_detections(class_name, d, detections.names, detections.bbox) for d in DIFFICULTIES]
    )
    of_interest = (truth_flags != OTHER).any(0), (detection_flags != OTHER).any(0)
    truth, detections = truth.select(of_interest[0]), detections.select(of_interest[1])
    starts_truth, starts_detections = starts(truth.counts), starts(detections.counts)
    image = grouped_image_iou(
        truth.bbox,
        starts_truth,
        detections.bbox,
        starts_detections,
        starts(truth.counts * detections.counts),
    )
    bev, volume = grouped_iou(truth.boxes, truth.counts, detections.boxes, detections.counts)
    return ClassPairs(
        class_name=class_name,
        truth=truth,
        detections=detections,
        truth_flags=np.ascontiguousarray(truth_flags[:, of_interest[0]]),
        detection_flags=np.ascontiguousarray(detection_flags[:, of_interest[1]]),
        overlaps={"bbox": image, "aos": image, "bev": bev, "3d": volume},
        dont_care_share=largest_covered_share(
            detections.bbox, starts_detections, regions.bbox, starts(regions.counts)
        ),
    )
