"""Which frames of a data set are taken, and what a packed one of a detector shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.engine.evaluator_checks import check_evaluator, metrics_of

_WHOLE = "NuScenesMetric"


def evenly_spread(total: int, most: int | None = None) -> list[int]:
    """Numbers of frames out of ``total``: at most so many, the first and the last among them."""
    number = total if most is None else min(most, total)
    return np.linspace(0, total - 1, number).round().astype(int).tolist()


def check_part(evaluator: Any, number: int, dataset: Any) -> None:
    """Refuse to evaluate what an evaluator cannot, before any work is done.

    Args:
        evaluator: A config's ``test_evaluator``, one, several or none.
        number: Frames to evaluate.
        dataset: Of the frames, built.

    Raises:
        ConfigError: The devkit of nuScenes wants the answers to all samples of a split.
        FormatError: It lacks its tables.
    """
    total = len(dataset)
    if number < total and _WHOLE in dict(metrics_of(evaluator)):
        raise ConfigError(f"--frames {number}: {_WHOLE} evaluates all {total} frames or none")
    check_evaluator(evaluator, dataset)


def views_of(
    data: dict,
    pixel_offset: tuple[float, float] = (0.0, 0.0),
    defaults: Mapping[str, Any] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images of a packed frame, one per camera, and the projections onto them.

    Args:
        data: ``inputs`` and ``data_samples``.
        pixel_offset: See :func:`gemini_det3d.models.metas.view_geometries`.
        defaults: Likewise.

    Returns:
        ``(H, W, 3)`` uint8 RGB and ``(3, 4)``, points to pixels; none where the frame has none.

    Raises:
        KeyError: The metadata do not say how to project; the message names the entry.
    """
    from gemini_det3d.models.metas import PROJECTION_KEY, view_geometries

    pixels: Tensor | None = data["inputs"].get("img")
    if pixels is None:
        return [], []
    pixels = pixels[None] if pixels.dim() == 3 else pixels
    meta = {**(defaults or {}), **data["data_samples"].metainfo}
    meta.setdefault("batch_input_shape", tuple(pixels.shape[-2:]))
    images = pixels.float().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()[..., ::-1]
    frame = next((c for c, key in PROJECTION_KEY.items() if meta.get(key) is not None), "LIDAR")
    geometries = view_geometries(meta, len(pixels), frame, pixel_offset=pixel_offset)
    matrices = [each.matrix.cpu().numpy() for each in geometries]
    return [np.ascontiguousarray(image) for image in images], matrices


def data_files(dataset: Any) -> list[str]:
    """Images and cloud of a data set's first frame: they tell its folders."""
    info = dataset.get_data_info(0) if len(dataset) else {}
    paths = [info.get("img_path"), info.get("lidar_path")]
    cameras = (info.get("images") or {}).values()  # and KITTI's R0_rect
    paths += [camera.get("img_path") for camera in cameras if isinstance(camera, Mapping)]
    return [path for path in paths if isinstance(path, str)]


def truth_of(data: dict, classes: Sequence[str]) -> tuple[np.ndarray, list[str]] | None:
    """Labelled boxes of a packed frame that are of the classes.

    Returns:
        Boxes ``(G, 7)`` and their names; None where the set has no labels.
    """
    info = getattr(data["data_samples"], "eval_ann_info", None)
    if not info:
        return None
    labels = np.asarray(info["gt_labels_3d"])
    boxes = info["gt_bboxes_3d"].tensor.double().numpy()[:, :7]
    return boxes[labels >= 0], [classes[label] for label in labels[labels >= 0]]
