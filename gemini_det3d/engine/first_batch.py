"""The first batch of a training: do its points fall into its images, and into its boxes?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet3d.structures import CameraInstance3DBoxes, DepthInstance3DBoxes
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from gemini_det3d.formats import FormatError
from gemini_det3d.formats.calibration_check import count_in_image
from gemini_det3d.formats.image_fit import check_fit, fit_of
from gemini_det3d.formats.turned_cloud import check_full, count_full
from gemini_det3d.models.bare import bare_model
from gemini_det3d.models.metas import ImageGeometry, view_geometries
from gemini_det3d.registration import register

_FEW_POINTS = 20
_FEW_BOXES, _OTHER_SIZE = 3, 0.5
# Of points, by the boxes of their set; others are in the LiDAR's.
_FRAMES = {DepthInstance3DBoxes: "DEPTH", CameraInstance3DBoxes: "CAMERA"}


@register(HOOKS)
class FirstBatchHook(Hook):
    """Looks at the first batch as the model gets it; `ExactRunner` adds it to every run.

    A wrong calibration trains without an error: no point sees a pixel, and the image branch learns
    nothing. So do mirrored images and turned clouds; they are warned of, with the numbers. Samples
    whose metadata do not say where points fall are left to the model, which may not ask.

    Args:
        coord_type: Frame of the points, as the fusion neck has it; None: that of the set's boxes
            (``box_type_3d`` of the metadata), the LiDAR's where it is not stated.
    """

    def __init__(self, coord_type: str | None = None) -> None:
        self.coord_type = coord_type
        self._is_done = False

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Count the images of every batch, and the points in those of the first.

        Raises:
            FormatError: Samples of a batch have different numbers of cameras, or a sample has
                points, and none of them falls into an image.
        """
        inputs = (data_batch or {}).get("inputs")
        if isinstance(inputs, dict) and "img" in inputs:
            _check_cameras(inputs["img"], data_batch["data_samples"])  # type: ignore[index]
        if self._is_done or not isinstance(inputs, dict) or not {"img", "points"} <= set(inputs):
            return
        self._is_done = True
        defaults = stated_defaults(getattr(runner, "model", None))
        for sample, points, images in zip(
            data_batch["data_samples"],
            inputs["points"],
            inputs["img"],  # type: ignore[index]
        ):
            self._check({**defaults, **sample.metainfo}, points, images)
        _check_boxes(data_batch["data_samples"], inputs["points"])  # type: ignore[index]
        head = getattr(bare_model(getattr(runner, "model", None)), "pts_bbox_head", None)
        for fault in check_sizes(head, data_batch["data_samples"]):  # type: ignore[index]
            print_log(f"first batch: {fault}", logger="current", level=logging.WARNING)

    def _check(self, meta: dict, points: Any, images: Any) -> None:
        views = images[None] if images.dim() == 3 else images
        height, width = views.shape[-2:]
        meta.setdefault("batch_input_shape", (height, width))
        geometries = self._geometries(meta, len(views))
        if geometries is None:
            return
        cloud = points.detach().cpu().numpy()
        counts = [
            count_in_image(cloud, g.matrix.cpu().numpy(), (width, height)) for g in geometries
        ]
        path = _path_of(meta)
        if not len(cloud) or sum(counts) >= min(_FEW_POINTS, len(cloud)):
            _check_ways(path, cloud, views, geometries)
            return
        fault = f"{sum(counts)} of {len(cloud)} points of the first batch fall into its images"
        if not sum(counts):
            raise FormatError(
                path, f"{fault}; points, calibration and images do not belong together"
            )
        print_log(f"{path}: {fault}", logger="current", level=logging.WARNING)

    def _geometries(self, meta: dict, count: int) -> list[ImageGeometry] | None:
        frame = self.coord_type or _FRAMES.get(meta.get("box_type_3d"), "LIDAR")
        try:
            return view_geometries(meta, count, frame)
        except KeyError:
            return None
        except ValueError as error:
            print_log(f"{_path_of(meta)}: {error}", logger="current", level=logging.WARNING)
            return None


def _check_ways(path: str, cloud: np.ndarray, views: Any, geometries: Sequence) -> None:
    """Warn of images that are the other way round than the calibration says."""
    if cloud.shape[1] < 4:
        return
    for pixels, geometry in zip(views, geometries):
        image = pixels.detach().cpu().numpy().transpose(1, 2, 0)
        for fault in check_fit(fit_of(cloud, image, geometry.matrix.cpu().numpy())):
            print_log(f"{path}: {fault.text}", logger="current", level=logging.WARNING)


def _check_boxes(samples: Sequence, clouds: Sequence) -> None:
    """Warn of clouds that are turned against the boxes."""
    counts, total = [], 0
    for sample, points in zip(samples, clouds):
        truth = getattr(sample, "gt_instances_3d", None)
        if truth is not None and "bboxes_3d" in truth:
            boxes = truth.bboxes_3d.tensor.detach().cpu().numpy()[:, :7]
            counts.append(count_full(boxes, points.detach().cpu().numpy()))
            total += len(boxes)
    for fault in check_full(counts, total):
        print_log(f"first batch: {fault.text}", logger="current", level=logging.WARNING)


def check_sizes(head: Any, samples: Sequence) -> list[str]:
    """Whether boxes have the sizes of their own class's anchors.

    A class that stands in another one's place has no anchor that overlaps it, and is not learnt.

    Args:
        head: With anchors of one size for each class; another one is not asked.
        samples: Of a batch, with their boxes.

    Returns:
        One line where most boxes, three at least, fit the anchors of another class twice as well.
    """
    sizes = np.array(getattr(getattr(head, "prior_generator", None), "sizes", ()), dtype=float)
    truth = [each for s in samples if (each := getattr(s, "gt_instances_3d", None)) is not None]
    if sizes.ndim != 2 or len(sizes) != head.num_classes or not truth:
        return []
    boxes = np.concatenate([each.bboxes_3d.tensor.cpu().numpy()[:, 3:6] for each in truth])
    labels = np.concatenate([each.labels_3d.cpu().numpy() for each in truth])
    boxes, labels = boxes[labels >= 0], labels[labels >= 0]
    shared = np.minimum(boxes[:, None], sizes).prod(axis=-1)
    overlap = shared / (boxes.prod(axis=-1)[:, None] + sizes.prod(axis=-1) - shared)
    own = overlap[np.arange(len(labels)), labels]
    count = int((own < _OTHER_SIZE * overlap.max(axis=1, initial=0)).sum())
    if count < _FEW_BOXES or 2 * count <= len(labels):
        return []
    fault = f"{count} of {len(labels)} boxes have the size of another class's anchors; are "
    return [f"{fault}anchor_generator.sizes in the order of metainfo.classes?"]


def stated_defaults(model: Any) -> dict:
    """Metadata that a model's parts take as given where the pipeline does not write them."""
    found: dict = {}
    for part in () if model is None else model.modules():
        found |= getattr(getattr(part, "sampler", part), "meta_defaults", None) or {}
    return found


def _path_of(meta: dict) -> str:
    return str(meta.get("lidar_path") or meta.get("img_path") or meta.get("sample_idx"))


def _check_cameras(images: Any, samples: Any) -> None:
    """A batch is one tensor of images, so its samples have as many cameras each."""
    counts = [1 if image.dim() == 3 else len(image) for image in images]
    if len(set(counts)) < 2:
        return
    other = next(i for i, count in enumerate(counts) if count != counts[0])
    raise FormatError(
        _path_of(samples[other].metainfo),
        f"has {counts[other]} camera images and {_path_of(samples[0].metainfo)} of the same batch "
        f"{counts[0]}; train them apart, or with train_dataloader.batch_size=1",
    )
