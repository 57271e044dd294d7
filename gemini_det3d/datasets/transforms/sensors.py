"""Missing sensors, as a mask in the metadata: drawn in training, chosen in a test.

The data stay as they are; ``sensor_mask = {sensor: bool | [bool, ...]}`` says what the model may
read (:func:`gemini_det3d.models.sensor_metas.sensor_mask`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.datasets.transforms import Pack3DDetInputs
from mmdet3d.registry import TRANSFORMS

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.registration import register

MASK_KEY = "sensor_mask"
STRENGTH_KEY = "corruption_strength"


@register(TRANSFORMS)
class ModalityDropout(BaseTransform):
    """Takes away all cameras, one camera, or the LiDAR, at random and never more than one of them.

    Args:
        camera: Chance that a sample loses all its cameras.
        lidar: Chance that it loses the LiDAR.
        one_camera: Chance that it loses one camera of several, each alike. A sample with a single
            camera loses nothing by this.

    Raises:
        ValueError: A chance is negative, or they add up to more than 1.
    """

    def __init__(self, camera: float = 0.0, lidar: float = 0.0, one_camera: float = 0.0) -> None:
        for name, chance in (("camera", camera), ("lidar", lidar), ("one_camera", one_camera)):
            if not 0 <= chance <= 1:
                raise ValueError(f"ModalityDropout: {name}={chance} must lie in 0 to 1")
        if camera + lidar + one_camera > 1 + 1e-9:
            raise ValueError(
                f"ModalityDropout: camera={camera}, lidar={lidar} and one_camera={one_camera} "
                "exclude each other, so they must not add up to more than 1"
            )
        self.camera, self.lidar, self.one_camera = camera, lidar, one_camera

    def transform(self, results: dict) -> dict:
        """Draw once per sample.

        Args:
            results: A sample with its image loaded.

        Returns:
            The same dictionary with ``sensor_mask``; what an earlier step masked stays masked.
        """
        number = num_cameras(results)
        cameras, lidar = [True] * number, True
        draw = np.random.random()
        if draw < self.camera:
            cameras = [False] * number
        elif draw < self.camera + self.lidar:
            lidar = False
        elif draw < self.camera + self.lidar + self.one_camera and number > 1:
            cameras[np.random.randint(number)] = False
        before = results.get(MASK_KEY)
        mask_sensors(results, camera=cameras, lidar=lidar)
        left = results[MASK_KEY]
        if not (left["lidar"] or any(left["camera"])):  # with what was masked before: nothing left
            results[MASK_KEY] = before
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(camera={self.camera}, lidar={self.lidar}, "
            f"one_camera={self.one_camera})"
        )


@register(TRANSFORMS)
class SensorSwitch(BaseTransform):
    """Switches sensors off in every sample, to test a detector without them.

    Args:
        camera: False: no camera; a list: one value per camera; True: all cameras.
        lidar: Whether there is a LiDAR.
    """

    def __init__(self, camera: bool | Sequence[bool] = True, lidar: bool = True) -> None:
        self.camera, self.lidar = camera, lidar

    def transform(self, results: dict) -> dict:
        """Write the mask.

        Args:
            results: A sample with its image loaded.

        Returns:
            The same dictionary with ``sensor_mask``; what an earlier step masked stays masked.

        Raises:
            ValueError: ``camera`` is a list for another number of cameras.
        """
        number = num_cameras(results)
        cameras = [self.camera] * number if isinstance(self.camera, bool) else list(self.camera)
        if len(cameras) != number:
            raise ValueError(
                f"SensorSwitch: camera has {len(cameras)} values, the sample {number} cameras"
            )
        return mask_sensors(results, camera=cameras, lidar=self.lidar)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(camera={self.camera}, lidar={self.lidar})"


@register(TRANSFORMS)
class PackSensorInputs(Pack3DDetInputs):
    """mmdet3d's ``Pack3DDetInputs`` that also packs what was done to sensors, images and points.

    That is ``sensor_mask``, ``corruption_strength``, ``ori_shapes``, ``flip_direction``,
    ``img_aug_matrix`` and ``lidar_aug_matrix``, in which BEVFusion's transforms record what else
    they leave unsaid.

    Args:
        keys: As there.
        meta_keys: As there, without having to name those; None: those of mmdet3d.
    """

    def __init__(self, keys: Sequence[str], meta_keys: Sequence[str] | None = None) -> None:
        super().__init__(keys, *(() if meta_keys is None else (meta_keys,)))
        of_images = ("ori_shapes", "flip_direction", "img_aug_matrix", "lidar_aug_matrix")
        self.meta_keys = (*self.meta_keys, MASK_KEY, STRENGTH_KEY, *of_images)

    def pack_single_results(self, results: dict) -> dict:
        """As there.

        Raises:
            FormatError: The cameras' images differ in size.
        """
        images = results.get("img")
        shapes = [image.shape for image in images] if isinstance(images, list) else []
        if len(set(shapes)) > 1:
            sizes = ", ".join(f"{shape[1]} x {shape[0]}" for shape in shapes)
            name = (*results.get("img_path", ()), "img")[0]
            fault = f"the sample's images are {sizes}; MultiViewImageAug(size=...) before packing "
            raise FormatError(name, f"{fault}brings them to one size")
        return super().pack_single_results(results)


def num_cameras(results: dict) -> int:
    """Cameras of a sample in a pipeline: images loaded, else those that its info names."""
    image = results.get("img")
    if image is None:
        return max(1, len(results.get("images", ())) if "num_views" in results else 1)
    return len(image) if isinstance(image, (list, tuple)) else 1


def mask_sensors(results: dict, **exists: bool | Sequence[bool]) -> dict:
    """Add to a sample's ``sensor_mask``, as a new value: copies of it may share the old one.

    Args:
        results: The sample, changed in place.
        **exists: For each sensor whether it is there, or of several of them each; what was masked
            before stays masked.

    Returns:
        The same dictionary.
    """
    before = results.get(MASK_KEY) or {}
    added = {
        name: np.logical_and(before.get(name, True), now).tolist() for name, now in exists.items()
    }
    results[MASK_KEY] = {**before, **added}
    return results
