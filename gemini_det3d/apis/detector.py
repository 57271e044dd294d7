"""A detector that takes an image, a point cloud and a calibration, as files or as arrays.

The model and its preparation of the input come from the config; what data sets read from info
files is computed from the calibration. As in training, the model sees only the points that fall
into the image: mmdet3d's KITTI recipes read clouds reduced that way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gemini_det3d.apis.array_inputs import (
    build_pipeline,
    check_image,
    check_points,
    columns_of,
    is_path,
)
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.frame_calibration import require_lidar, values_of
from gemini_det3d.apis.input_checks import check_frame, check_kept, tell
from gemini_det3d.apis.predictor import Predictor
from gemini_det3d.apis.trained_model import require_detector
from gemini_det3d.engine.same_classes import trained_classes
from gemini_det3d.formats.calibration_check import check_cloud
from gemini_det3d.formats.calibration_json import calibration_from, read_any_calibration
from gemini_det3d.formats.image_fit import check_fit, fit_of
from gemini_det3d.formats.kitti import Calibration, read_image, read_image_size, read_points
from gemini_det3d.geometry.boxes import in_view, project_points
from gemini_det3d.visualization import LabeledBoxes

if TYPE_CHECKING:
    from mmengine.config import Config


# Frames, the first ones, whose edges in image and cloud are compared, which takes 20 ms each.
_COMPARED = 4

Image = str | os.PathLike | np.ndarray
Points = str | os.PathLike | np.ndarray
Matrices = str | os.PathLike | Calibration | Mapping[str, Any]


class Detector(Predictor):
    """A model with its input pipeline.

    Takes the arguments of :class:`Predictor` and has its attributes.

    Attributes:
        classes: Class names in the order of its labels.
        num_columns: Columns of a cloud that its config reads (``load_dim``).

    Raises:
        ConfigError: As :class:`Predictor`, or the config names no classes, is of another task or
            frame than the LiDAR's, or reads several cameras.
        FormatError: As :class:`Predictor`, or the head tells another number of classes apart.
    """

    def _check_task(self) -> None:
        require_detector(self._config)
        _check_sensors(self._config.filename, self._dataset)

    def _prepare(self, meta: dict[str, Any], source: str | os.PathLike) -> None:
        self.classes = _class_names(meta, self._config, self._dataset)
        self._check_head(self.classes, source)
        self.model.dataset_meta = {"classes": self.classes}
        self.model.cfg = self._config
        self._pipeline = build_pipeline(self._dataset["pipeline"])
        self.num_columns = columns_of(self._pipeline)
        self._is_kitti = self._dataset.get("type") == "KittiDataset"
        self._range = next(values_of(self._config.model, "point_cloud_range"), None)
        self._samples_points = any("PointSample" in kind for kind in _kinds_of(self._dataset))
        self._num_compared = 0

    def __call__(
        self,
        image: Image | list[Image],
        points: Points | list[Points],
        calibration: Matrices | list[Matrices],
        crop_to_image: bool = True,
    ) -> LabeledBoxes | list[LabeledBoxes]:
        """Detect objects in one frame, or in a batch of them.

        Args:
            image: Image file, or ``(H, W, 3)`` uint8 RGB. A list of B images makes a batch.
            points: ``(N, num_columns or more)`` x, y, z (metres, LiDAR frame), reflectance, or a
                file (.bin, .npy, .pcd, .las); a list of B in a batch.
            calibration: Matrices, a mapping with ``cam2img`` and ``lidar2cam``, or a file that
                :func:`read_any_calibration` reads; in a batch one for all, or a list of B.
            crop_to_image: Give the model only the points that fall into the image, as in
                training. A cloud that is reduced already is not changed by it.

        Returns:
            Boxes in the LiDAR frame, best score first; a list of B in a batch.

        Raises:
            FormatError: A file or an array cannot be used.
            ConfigError: The lists of a batch differ in length.
        """
        if not isinstance(image, (list, tuple)):
            return self._detect([self._load(image, points, calibration, crop_to_image)])[0]
        is_one = not isinstance(calibration, (list, tuple))
        calibrations = [calibration] * len(image) if is_one else calibration
        if not isinstance(points, (list, tuple)) or {len(points), len(calibrations)} != {
            len(image)
        }:
            raise ConfigError(f"a batch of {len(image)} images needs a list of as many point "
                              "clouds, and one calibration or as many")  # fmt: skip
        frames = zip(image, points, calibrations)
        return self._detect([self._load(*frame, crop_to_image) for frame in frames])

    def _load(self, image: Image, points: Points, calibration: Matrices, crop: bool) -> dict:
        """One frame through the pipeline."""
        source = os.fspath(calibration) if is_path(calibration) else "calibration"
        calibration = _read_calibration(calibration)
        count = self.num_columns
        points = read_points(points, count) if is_path(points) else check_points(points, count)
        if is_path(image):
            size = read_image_size(image)
        else:
            image = check_image(image)
            size = (image.shape[1], image.shape[0])
        tell(check_cloud(points, self._is_kitti), "points")
        tell(check_frame(calibration, points, size, self._range), source)
        if self._num_compared < _COMPARED:
            self._num_compared += 1
            pixels = read_image(image) if is_path(image) else image
            tell(check_fit(fit_of(points, pixels, calibration.lidar2img)), source)
        if crop:
            points = points_in_image(points, calibration, size)
        packed = self._pipeline(self._frame(image, points, calibration, size))
        if not self._samples_points:
            tell(check_kept(len(points), packed["inputs"]["points"]), "points")
        return packed

    def _frame(
        self, image: Image, points: np.ndarray, calibration: Calibration, size: tuple[int, int]
    ) -> dict:
        """What ``KittiDataset`` makes of an entry of an info file, with arrays as they are."""
        from mmdet3d.structures import get_box_type

        box_type, box_mode = get_box_type(self._dataset.get("box_type_3d", "LiDAR"))
        matrices = {
            "cam2img": calibration.cam2img,
            "lidar2cam": calibration.lidar2cam,
            "lidar2img": calibration.lidar2img,
        }
        camera: dict = {"width": size[0], "height": size[1]}
        camera.update({name: matrix.tolist() for name, matrix in matrices.items()})
        # mmcv's order of colours is BGR
        pixels = {} if is_path(image) else {"img": np.ascontiguousarray(image[..., ::-1])}
        camera.update({"img_path": os.fspath(image) if is_path(image) else "image", **pixels})
        return {
            "sample_idx": 0,
            "images": {self._dataset.get("default_cam_key", "CAM2"): camera},
            "img_path": camera["img_path"],
            "lidar_points": {"lidar_path": "points", "num_pts_feats": points.shape[1]},
            "lidar_path": "points",
            "num_pts_feats": points.shape[1],
            "points": points,
            **pixels,
            **matrices,
            "box_type_3d": box_type,
            "box_mode_3d": box_mode,
        }

    def _detect(self, frames: list[dict]) -> list[LabeledBoxes]:
        return [self._boxes(sample.pred_instances_3d) for sample in self._predict(frames)]

    def _boxes(self, found: Any) -> LabeledBoxes:
        scores = found.scores_3d.double().cpu().numpy()
        labels = found.labels_3d.cpu().numpy()
        order = np.argsort(-scores, kind="stable")
        boxes = found.bboxes_3d.tensor.double().cpu().numpy()[:, :7]
        names = [self.classes[label] for label in labels[order]]
        return LabeledBoxes(boxes[order], names, scores[order])


def infer(
    config: str | os.PathLike | Config | Detector,
    checkpoint: str | os.PathLike | None,
    image: Image,
    points: Points,
    calibration: Matrices,
    device: str | None = None,
) -> LabeledBoxes:
    """Detect objects in one frame, in one call; for many frames keep a :class:`Detector`.

    Args:
        config: As for :class:`Detector`, or one that is built already.
        checkpoint: As for :class:`Detector`; not read where that is built already.
        image: As for a call of :class:`Detector`, like the next two.
        points: Points of the frame.
        calibration: Matrices of the frame.
        device: As for :class:`Detector`.

    Returns:
        Boxes in the LiDAR frame, best score first.

    Raises:
        FormatError: A file cannot be used.
        ConfigError: The config cannot be used.
    """
    detector = config if isinstance(config, Detector) else Detector(config, checkpoint, device)
    return detector(image, points, calibration)


def points_in_image(
    points: np.ndarray, calibration: Calibration, image_size: tuple[int, int]
) -> np.ndarray:
    """The points that the camera sees.

    Args:
        points: ``(N, F)``, x, y, z first, metres, LiDAR frame.
        calibration: Matrices.
        image_size: ``(width, height)`` in pixels.

    Returns:
        ``(M, F)`` in the same order.
    """
    pixels, depth = project_points(points[:, :3], calibration.lidar2img)
    width, height = image_size
    return points[in_view(pixels, depth, height, width)]


def _read_calibration(given: Matrices) -> Calibration:
    if isinstance(given, Calibration):
        return given
    return calibration_from(given) if isinstance(given, Mapping) else read_any_calibration(given)


def _check_sensors(config: str, dataset: Mapping[str, Any]) -> None:
    """Refuse frames of coordinates and cameras that a call does not hand over."""
    place = f"{config}: test_dataloader.dataset"
    remedy = "take mmdet3d.apis.inference_multi_modality_detector"
    require_lidar(dataset, place, remedy)
    for kind in _kinds_of(dataset["pipeline"]):
        if "MultiView" in kind:
            raise ConfigError(f"{place}.pipeline: {kind} wants several cameras; {remedy}")


def _kinds_of(config: Any) -> Iterator[str]:
    """Names of all that a part of a config builds."""
    return map(str, values_of(config, "type"))


def _class_names(meta: dict, cfg: Config, dataset: dict) -> list[str]:
    """As the checkpoint says, for it fixed the order of the labels; else as the config says."""
    config = dataset.get("metainfo") or {}
    for names in (trained_classes(meta), config.get("classes"), cfg.get("class_names")):
        if names:
            return [str(name) for name in names]
    raise ConfigError(f"{cfg.filename}: names no classes (test_dataloader.dataset.metainfo)")
