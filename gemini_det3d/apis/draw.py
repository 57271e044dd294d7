"""Pictures of what a trained detector finds on frames of its test set, beside the truth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.frame_calibration import (
    calibration_faults,
    meta_defaults_of,
    pixel_offset_of,
)
from gemini_det3d.apis.packed_frames import data_files, evenly_spread, truth_of, views_of
from gemini_det3d.apis.trained_model import (
    build_for_test,
    build_test_set,
    predict,
    read_frame,
    require_detector,
    require_lidar_frames,
)
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.inputs import keep_folders
from gemini_det3d.visualization import (
    LabeledBoxes,
    class_colors,
    draw_detection_panel,
    draw_surround_panel,
    save_png,
)

_LOG = logging.getLogger(__name__)


def draw(
    config: Any,
    checkpoint: Path,
    out: Path,
    frames: int = 8,
    score: float = 0.3,
    device: str | None = None,
) -> int:
    """Detect objects in frames of a test set and draw them.

    Args:
        config: An mmengine config of a detector in the LiDAR frame that reads images.
        checkpoint: Its parameters; read without running what the file says.
        out: Folder for one PNG per frame, named by its number.
        frames: How many at most, evenly spread.
        score: Detections below it are left out.
        device: Where to run; None: CUDA where there is one.

    Returns:
        Pictures written.

    Raises:
        FormatError: The checkpoint cannot be read or does not belong to the config, the data
            set's files lie in ``out``, or a frame's calibration cannot be one.
        ConfigError: The frames have no image, or boxes in another frame than the LiDAR's, or the
            config is one of another task.
    """
    require_detector(config)
    require_lidar_frames(config, "gemini-det3d view shows rooms")
    model = build_for_test(config, checkpoint, device).model
    dataset = build_test_set(config)
    keep_folders(out, data_files(dataset))
    classes = dataset.metainfo["classes"]
    reading = pixel_offset_of(config.model), meta_defaults_of(config.model)
    numbers = evenly_spread(len(dataset), frames)
    for number in tqdm(numbers, desc="drawing", unit="frame"):
        data = read_frame(dataset, number)
        _check_calibration(dataset.get_data_info(number), data)
        (found,) = predict(model, [data], number)
        picture = panel(data, found.pred_instances_3d, classes, score, *reading)
        save_png(out / f"{number:06d}.png", picture)
    return len(numbers)


def panel(
    data: dict,
    found: Any,
    classes: Sequence[str],
    score: float,
    pixel_offset: tuple[float, float] = (0.0, 0.0),
    meta_defaults: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """The picture of one packed frame.

    Args:
        data: ``inputs`` and ``data_samples`` of the test pipeline.
        found: ``bboxes_3d``, ``labels_3d`` and ``scores_3d``.
        classes: Names of the labels.
        score: Least score that is drawn.
        pixel_offset: What the model adds to the pixels of the calibration.
        meta_defaults: Metadata that it takes as given where the pipeline does not write them.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        ConfigError: See `draw`.
    """
    images, matrices = views_of(data, pixel_offset, meta_defaults)
    if not images:
        raise ConfigError("test_dataloader.dataset.pipeline: packs no image to draw on")
    points = data["inputs"]["points"].numpy()
    detections = _detections(found, classes).above(score)
    labelled = truth_of(data, classes)
    truth = None if labelled is None else LabeledBoxes(*labelled)
    colors, boxes = class_colors(classes), (detections, truth)
    if len(images) == 1:
        return draw_detection_panel(images[0], points, matrices[0], *boxes, colors=colors)
    return draw_surround_panel(images, points, matrices, *boxes, colors=colors)


def _check_calibration(info: dict, data: dict) -> None:
    """Boxes drawn by a wrong matrix would look like wrong detections."""
    for fault in calibration_faults(info, data["inputs"]["points"].numpy()):
        name = str(info.get("img_path") or info.get("lidar_path") or info.get("sample_idx"))
        if fault.level == "error":
            raise FormatError(name, fault.text)
        _LOG.warning("%s: %s", name, fault.text)


def _detections(found: Any, classes: Sequence[str]) -> LabeledBoxes:
    from mmdet3d.structures import LiDARInstance3DBoxes

    boxes = found.bboxes_3d
    if not isinstance(boxes, LiDARInstance3DBoxes):
        raise ConfigError(f"needs boxes in the LiDAR frame, got {type(boxes).__name__}")
    names = [classes[label] for label in found.labels_3d.tolist()]
    array = boxes.tensor.detach().cpu().double().numpy()[:, :7]
    return LabeledBoxes(array, names, found.scores_3d.cpu().numpy())
