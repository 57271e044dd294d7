"""Samples of a config's training pipeline, taken just before they are packed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.frame_calibration import (
    calibration_faults,
    meta_defaults_of,
    pixel_offset_of,
    require_lidar,
)
from gemini_det3d.apis.packed_frames import evenly_spread
from gemini_det3d.apis.trained_model import enter_scope
from gemini_det3d.engine.exact.batches import build_dataset
from gemini_det3d.engine.leaf_datasets import leaf_configs
from gemini_det3d.formats.calibration_check import Fault

_NONE = np.zeros((0, 3))


@dataclass(frozen=True)
class AugmentedSample:
    """What the model would see of one frame.

    Attributes:
        name: Of its image or cloud.
        images: ``(H, W, 3)`` uint8 BGR, one per camera.
        matrices: ``(3, 4)`` augmented point -> pixel, one per image, from the metadata that the
            pipeline packs, by the same code as in the model.
        points: ``(N, C)``.
        boxes: ``(G, 7)``.
        names: G class names.
        labels_2d: ``(L, 4)`` labelled 2D boxes, augmented by the pipeline itself; None where the
            data set has none.
        faults: What is wrong or unlikely about the calibration of the frame as it is on disk.
    """

    name: str
    images: list[np.ndarray]
    matrices: list[np.ndarray]
    points: np.ndarray
    boxes: np.ndarray
    names: list[str]
    labels_2d: np.ndarray | None
    faults: list[Fault]


class LabelBoxes(np.ndarray):
    """2D boxes ``(L, 4)`` that both mmcv's transforms (arrays) and mmdet's (boxes) can move."""

    def flip_(self, image_shape: tuple[int, int], direction: str = "horizontal") -> None:
        """Mirror in place."""
        if direction in ("horizontal", "diagonal"):
            self[:, [0, 2]] = image_shape[1] - np.asarray(self)[:, [2, 0]]
        if direction in ("vertical", "diagonal"):
            self[:, [1, 3]] = image_shape[0] - np.asarray(self)[:, [3, 1]]

    def translate_(self, distances: Sequence[float]) -> None:
        """Move in place by (right, down)."""
        self += np.tile(np.asarray(distances, dtype=self.dtype), 2)

    def rescale_(self, factor: Sequence[float]) -> None:
        """Scale in place by (width, height)."""
        self *= np.tile(np.asarray(factor, dtype=self.dtype), 2)

    def clip_(self, image_shape: tuple[int, int]) -> None:
        """Cut off at the image's edges, in place."""
        self[:, 0::2] = np.clip(self[:, 0::2], 0, image_shape[1])
        self[:, 1::2] = np.clip(self[:, 1::2], 0, image_shape[0])

    def is_inside(self, image_shape: tuple[int, int]) -> Any:
        """Which boxes reach the image, as a tensor."""
        import torch

        x1, y1, x2, y2 = np.asarray(self).T
        return torch.from_numpy((x2 > 0) & (y2 > 0) & (x1 < image_shape[1]) & (y1 < image_shape[0]))


def augmented_samples(config: Any, number: int, seed: int = 0) -> Iterator[AugmentedSample]:
    """Run the training pipeline of a config on evenly spread frames.

    `CalibrationNoise` is left out: what it does is no fault of the data.

    Args:
        config: An mmengine config with a ``train_dataloader`` of 3D boxes, points and images.
        number: Samples.
        seed: Of the augmentation.

    Raises:
        ConfigError: The pipeline loads no points, images or boxes, or does not pack, or its frame
            is not the LiDAR's.
        KeyError: The pipeline packs too little metadata to project; the message names the entry.
    """
    model = config.get("model", {})
    offset, defaults = pixel_offset_of(model), meta_defaults_of(model)
    places = [
        (dataset, keys, index)
        for dataset, keys in _datasets(config, offset)
        for index in range(len(dataset))
    ]
    for place in evenly_spread(len(places), number):
        random.seed(seed + place)
        np.random.seed(seed + place)
        dataset, meta_keys, index = places[place]
        results, info = dataset[index], dataset.get_data_info(index)
        given = {**defaults, **{key: results[key] for key in meta_keys if key in results}}
        yield _sample(results, info, given, dataset.metainfo["classes"], offset)


def _datasets(config: Any, offset: tuple[float, float]) -> list[tuple[Any, Sequence[str]]]:
    """The training sets, out of their wrappers."""
    enter_scope(config)
    leaves = leaf_configs((config.get("train_dataloader") or {}).get("dataset"))
    if not leaves or not all(leaf.get("pipeline") for leaf in leaves):
        raise ConfigError(f"{config.filename}: has no train_dataloader.dataset.pipeline")
    for leaf in leaves:
        place = f"{config.filename}: train_dataloader.dataset"
        require_lidar(leaf, place, "prepare sunrgbd checks where the points of rooms fall")
    return [_dataset(config, leaf, offset) for leaf in leaves]


def _dataset(
    config: Any, settings: Mapping, offset: tuple[float, float]
) -> tuple[Any, Sequence[str]]:
    """A training set with a pipeline that ends before packing, and what it would pack."""
    from mmdet3d.registry import TRANSFORMS
    from mmengine.dataset import Compose

    steps = [dict(step) for step in settings["pipeline"]]
    if not steps[-1]["type"].startswith("Pack"):
        raise ConfigError(f"{config.filename}: the training pipeline does not end with packing")
    if not any(step["type"].startswith("LoadPoints") for step in steps):
        raise ConfigError(f"{config.filename}: the training pipeline loads no points to align")
    pack = TRANSFORMS.build(steps.pop())
    dataset = build_dataset({**settings, "pipeline": [], "filter_empty_gt": False})
    dataset.pipeline = Compose(_transforms(steps, offset))
    return dataset, pack.meta_keys


def _transforms(steps: Sequence[dict], offset: tuple[float, float]) -> list[Any]:
    """The steps built, but for calibrations that are off on purpose."""
    from mmdet3d.registry import TRANSFORMS

    from gemini_det3d.datasets.transforms import CalibrationNoise

    transforms: list = []
    for step in steps:
        transform = TRANSFORMS.build(step)
        if not isinstance(transform, CalibrationNoise):
            transforms.append(transform)
        if step["type"].startswith("LoadAnnotations"):
            transforms.append(partial(_note_originals, offset=offset))
    return transforms


def _note_originals(results: dict, offset: tuple[float, float]) -> dict:
    """Keep the points as they are, and bring the labelled 2D boxes, so that they move along.

    Annotators count pixels as the calibration does.
    """
    if "points" in results:
        results["points_on_disk"] = results["points"].tensor[:, :3].numpy().copy()
    boxes = results.get("ann_info", {}).get("gt_bboxes")
    is_one_image = not isinstance(results.get("img"), (list, tuple))
    if boxes is not None and is_one_image:
        moved = np.array(boxes, dtype=np.float32).reshape(-1, 4) + np.float32([*offset, *offset])
        results["gt_bboxes"] = moved.view(LabelBoxes)
        results["gt_bboxes_labels"] = np.array(results["ann_info"].get("gt_bboxes_labels", ()))
    return results


def _sample(
    results: dict,
    info: dict,
    meta: dict,
    classes: Sequence[str],
    offset: tuple[float, float],
) -> AugmentedSample:
    from gemini_det3d.models.metas import view_geometries

    for key in ("points", "img", "gt_bboxes_3d", "gt_labels_3d"):
        if key not in results:
            raise ConfigError(f"the training pipeline gives no {key!r}, so nothing can be aligned")
    images = results["img"]
    images = list(images) if isinstance(images, (list, tuple)) else [images]
    meta.setdefault("batch_input_shape", images[0].shape[:2])
    geometries = view_geometries(meta, len(images), pixel_offset=offset)
    size = None if "ori_shapes" in results else results["ori_shape"][1::-1]
    labels = results.get("gt_bboxes")
    return AugmentedSample(
        name=str(results.get("lidar_path") or results.get("img_path") or results["sample_idx"]),
        images=[np.clip(image, 0, 255).astype(np.uint8) for image in images],
        matrices=[geometry.matrix.cpu().numpy() for geometry in geometries],
        points=results["points"].tensor.cpu().double().numpy(),
        boxes=results["gt_bboxes_3d"].tensor.cpu().double().numpy()[:, :7],
        names=[classes[label] for label in np.asarray(results["gt_labels_3d"])],
        labels_2d=None if labels is None else np.asarray(labels, dtype=np.float64),
        faults=calibration_faults(info, results.get("points_on_disk", _NONE), size),
    )
