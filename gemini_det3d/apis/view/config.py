"""The test set of a detector's config, and what trained detectors find in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gemini_det3d.apis.ablation.gates import GateRecorder
from gemini_det3d.apis.frame_calibration import meta_defaults_of
from gemini_det3d.apis.packed_frames import truth_of, views_of
from gemini_det3d.apis.trained_model import (
    TrainedModel,
    build_for_test,
    build_test_set,
    predict,
    read_frame,
)
from gemini_det3d.apis.view.source import Results, result_names
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import Camera, ViewFrame

# From pixels counted from the image's edge to whole numbers at their middles.
_TO_MIDDLES = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
# How files count: KITTI and nuScenes from 0 at a pixel's middle, SUN RGB-D from 1.
_LIDAR_OFFSET, _DEPTH_OFFSET = (0.5, 0.5), (-0.5, -0.5)


class DetectorFrames:
    """Frames as the pipeline of a test set packs them.

    Args:
        config: mmengine's config of a 3D detector.
        checkpoints: Trained parameters, each a result set; read without running what they say.
            None of them: the set alone is shown, and no model is built.
        device: Where to run; None: CUDA where there is one.

    Attributes:
        names: Of the frames: their clouds' names, or their numbers.
        sets: Names of the result sets.
        classes: Of the test set.

    Raises:
        FormatError: A checkpoint cannot be read or does not belong to the config.
    """

    def __init__(
        self, config: Any, checkpoints: Sequence[Path] = (), device: str | None = None
    ) -> None:
        self._dataset = build_test_set(config)
        self.classes = self._dataset.metainfo["classes"]
        self._meta_defaults = meta_defaults_of(config.get("model") or {})
        infos = [self._dataset.get_data_info(i) for i in range(len(self._dataset))]
        self._files = [_files_of(info) for info in infos]
        stems = [files[0].name.split(".")[0] if files else "" for files in self._files]
        is_unique = max(Counter(stems).values(), default=0) == 1
        self.names = stems if is_unique else [f"{i:06d}" for i in range(len(stems))]
        self._numbers = {name: i for i, name in enumerate(self.names)}
        self.sets = result_names(checkpoints)
        self._models: list[TrainedModel] = [
            build_for_test(config, path, device) for path in checkpoints
        ]

    def files(self, name: str) -> list[Path]:
        """Cloud and images of a frame."""
        return self._files[self._numbers[name]]

    def read(self, name: str) -> ViewFrame:
        """The frame with its detections and, of the first checkpoint, the gate of each point."""
        from mmdet3d.structures import DepthInstance3DBoxes

        number = self._numbers[name]
        data = read_frame(self._dataset, number)
        points = data["inputs"]["points"].numpy()
        is_room = data["data_samples"].metainfo.get("box_type_3d") is DepthInstance3DBoxes
        offset = _DEPTH_OFFSET if is_room else _LIDAR_OFFSET
        images, matrices = views_of(data, offset, self._meta_defaults)
        cameras = [
            Camera(image, _TO_MIDDLES @ matrix, f"camera {n}" if len(images) > 1 else "image")
            for n, (image, matrix) in enumerate(zip(images, matrices))
        ]
        labelled = truth_of(data, self.classes)
        results, gate = [], None
        for place, trained in enumerate(self._models):
            with GateRecorder(trained.model) as recorder:
                results.append(self._detect(trained.model, data, number))
                gates = recorder.take()
            if place == 0 and gates is not None:
                gate = gates.at_points(points)
        return ViewFrame(
            name,
            points[:, :3] if is_room else points,  # a room's fourth column is its height
            cameras,
            None if labelled is None else LabeledBoxes(*labelled),
            results,
            gate=gate,
        )

    def results(self, path: Path) -> Results:
        """There are none but the checkpoints'."""
        raise FormatError(
            path, "--results go with a folder or info file, checkpoints with a config"
        )

    def _detect(self, model: torch.nn.Module, data: dict, number: int) -> LabeledBoxes:
        (sample,) = predict(model, [data], number)
        found = sample.pred_instances_3d
        scores = found.scores_3d.double().cpu().numpy()
        order = np.argsort(-scores, kind="stable")
        boxes = found.bboxes_3d.tensor.double().cpu().numpy()[order, :7]
        names = [self.classes[label] for label in found.labels_3d.cpu().numpy()[order]]
        return LabeledBoxes(boxes, names, scores[order])


def _files_of(info: dict) -> list[Path]:
    cloud = info.get("lidar_path") or (info.get("lidar_points") or {}).get("lidar_path")
    entries = (info.get("images") or {}).values()  # KITTI keeps matrices among them
    images = [each.get("img_path") for each in entries if isinstance(each, dict)]
    return [Path(path) for path in (cloud, *images) if isinstance(path, str)]
