"""Where does a class get lost? Linear probes of what each stage of a detector holds at objects.

At every labelled object stand the tokens of the camera and of the LiDAR before the operator, and of
their blend behind it. A linear classifier reads their largest values over the object's ground; it
is fitted to half of the frames and tested on the other half, and the other way round. What it does
not tell there, no head can. The head is asked for the class of its best detection on the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from gemini_det3d.apis.ablation.gates import GateRecorder, in_footprint
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.formats.tables import cell, markdown_table
from gemini_det3d.fusion import FusionOperator, StreamBlend

STAGES = ("camera", "LiDAR", "fused", "head")
_MARGIN_M = 0.5  # around an object: what a sensor sees of it may lie a cell beside it
_RIDGE = 1e-2  # of the standardised features' squares: fewer objects than channels are no exact fit
# F1 below which a class is called lost. Two classes taken for each other give 0.5, all objects of
# both by one name 0.67 and 0.
_HELD = 0.7


@dataclass(frozen=True)
class ProbeRow:
    """One stage.

    Attributes:
        stage: One of STAGES.
        objects: How many were asked.
        right: Mean of the classes' F1.
        per_class: F1 of each class: a stage that calls all objects by one name tells none.
    """

    stage: str
    objects: int
    right: float
    per_class: dict[str, float]


class TokenRecorder(GateRecorder):
    """Listens to the first operator and the last blend of a detector, in a frame's forward."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._streams: list[Tensor] = []
        self._blend: Tensor | None = None

    def __enter__(self) -> TokenRecorder:
        from gemini_det3d.models import GeminiDynamicVFE, MapFusionNeck

        for module in self._model.modules():
            if isinstance(module, FusionOperator):
                self._handles.append(module.register_forward_pre_hook(self._hear_streams))
            elif isinstance(module, StreamBlend):
                self._handles.append(module.register_forward_hook(self._hear_blend))
            elif isinstance(module, GeminiDynamicVFE):
                self._handles.append(module.register_forward_pre_hook(self._hear_points))
            elif isinstance(module, MapFusionNeck):
                self._handles.append(module.register_forward_pre_hook(self._hear_map))
        return self

    def tokens(self) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """Positions ``(N, 3)`` and, of camera, LiDAR and blend, ``(N, C)``; None: not known."""
        streams, blend = self._streams, self._blend
        self._streams, self._blend = [], None
        places = self._positions()
        if places is None or blend is None or not streams:
            return None
        found = [t.reshape(-1, t.shape[-1]).cpu().numpy() for t in (*streams, blend)]
        return (places, found) if all(len(f) == len(places) for f in found) else None

    def _hear_streams(self, module: nn.Module, args: tuple) -> None:
        if not self._streams:
            self._streams = [stream.detach().float() for stream in args[:2]]

    def _hear_blend(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        self._blend = output.detach().float()


class Probe:
    """Gathers what the stages hold at objects, frame by frame.

    Args:
        classes: Names of the detector's classes, in the order of its labels.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = list(classes)
        self._frames = 0
        self._found: list[tuple[int, int, list[np.ndarray], int]] = []

    def add(
        self,
        tokens: tuple[np.ndarray, list[np.ndarray]] | None,
        boxes: np.ndarray,
        names: Sequence[str],
        detections: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        """Add a frame.

        Args:
            tokens: As of :class:`TokenRecorder`.
            boxes: ``(G, 7)`` truth.
            names: G class names.
            detections: Boxes ``(D, 7)``, scores ``(D,)`` and labels ``(D,)``.

        Raises:
            ConfigError: The tokens' places are not known.
        """
        if tokens is None:
            raise ConfigError("--probe: needs a detector that fuses points or maps from above")
        places, stages = tokens
        for box, name in zip(boxes, names):
            near = in_footprint(places, _grown(box))
            if name in self._classes and near.any():
                features = [stage[near].max(axis=0) for stage in stages]
                truth = self._classes.index(name)
                self._found.append((self._frames, truth, features, _label_on(box, detections)))
        self._frames += 1

    def rows(self) -> list[ProbeRow]:
        """One row a stage; none where the frames hold too few objects to fit and to test."""
        frames = np.array([frame for frame, *_ in self._found], dtype=int)
        truth = np.array([label for _, label, *_ in self._found], dtype=int)
        halves = [frames % 2 == half for half in (0, 1)]
        if any(len(set(truth[half])) < 2 for half in halves):
            return []
        told = []
        for stage in range(len(STAGES) - 1):
            features = np.stack([found[2][stage] for found in self._found]).astype(np.float64)
            answer = np.empty_like(truth)
            for fit, test in (halves, halves[::-1]):
                answer[test] = _classify(features[fit], truth[fit], features[test])
            told.append(answer)
        told.append(np.array([label for *_, label in self._found], dtype=int))
        return [self._row(stage, truth, answer) for stage, answer in zip(STAGES, told)]

    def _row(self, stage: str, truth: np.ndarray, answer: np.ndarray) -> ProbeRow:
        right = {}
        for label in sorted(set(truth)):
            told, is_there = answer == label, truth == label
            score = 2 * (told & is_there).sum() / (told.sum() + is_there.sum())
            right[self._classes[label]] = float(score)
        return ProbeRow(stage, len(truth), float(np.mean(list(right.values()))), right)


def probe_markdown(rows: Sequence[ProbeRow]) -> str:
    """F1 by stage and class."""
    return markdown_table(*probe_cells(rows))


def probe_cells(rows: Sequence[ProbeRow]) -> tuple[list[str], list[list[object]]]:
    """Names of the columns and a row for each stage."""
    names = list(rows[0].per_class)
    cells: list[list[object]] = [
        [row.stage, row.objects, *(cell(v, 2) for v in (row.right, *row.per_class.values()))]
        for row in rows
    ]
    return ["F1 at", "objects", "mean", *names], cells


def probe_verdicts(rows: Sequence[ProbeRow]) -> list[str]:
    """One line a class: which stage loses it."""
    shares = {row.stage: row.per_class for row in rows}
    lines = []
    for name in rows[0].per_class:
        camera, lidar, fused, head = (shares[stage][name] for stage in STAGES)
        if max(camera, lidar) < _HELD:
            line = f"lost before the fusion: camera {camera:.2f}, LiDAR {lidar:.2f}"
        elif fused < _HELD:
            line = f"lost by the fusion: {max(camera, lidar):.2f} -> {fused:.2f}"
        elif head < _HELD:
            line = f"lost by the head: {fused:.2f} -> {head:.2f}"
        else:
            line = f"told by the head: {head:.2f}"
        lines.append(f"{name} is {line}")
    return lines


def detections_of(output: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes ``(D, 7)``, scores and labels of a detector's answer for one frame."""
    found = output.pred_instances_3d
    boxes = found.bboxes_3d.tensor[:, :7]
    return tuple(t.detach().cpu().numpy() for t in (boxes, found.scores_3d, found.labels_3d))  # type: ignore[return-value]


def _classify(features: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Labels ``(M,)`` of `asked` (M, C) by ridge regression onto one-hot labels (N,)."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    known, classes = (features - mean) / deviation, np.unique(labels)
    wanted = (labels[:, None] == classes).astype(np.float64)
    # every class counts alike, however many objects it has
    weight = 1 / wanted.sum(axis=0)[np.searchsorted(classes, labels)]
    weight *= len(labels) / weight.sum()
    middle = (weight[:, None] * wanted).mean(axis=0)
    squares = (known * weight[:, None]).T @ known + _RIDGE * len(known) * np.eye(known.shape[1])
    slope = np.linalg.solve(squares, (known * weight[:, None]).T @ (wanted - middle))
    return classes[np.argmax((asked - mean) / deviation @ slope + middle, axis=1)]


def _label_on(box: np.ndarray, detections: tuple[np.ndarray, np.ndarray, np.ndarray]) -> int:
    """Label of the best detection whose centre stands on a box; -1 without one."""
    boxes, scores, labels = detections
    near = in_footprint(boxes[:, :3], box) if len(boxes) else np.zeros(0, dtype=bool)
    return int(labels[near][np.argmax(scores[near])]) if near.any() else -1


def _grown(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:3], box[3:5] + 2 * _MARGIN_M, box[5:]])
