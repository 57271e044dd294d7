"""A segmentor that takes the aligned images of a frame, as files or as arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gemini_det3d.apis.array_inputs import check_image, is_list_of_frames, is_path, tell_other_names
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.predictor import Predictor
from gemini_det3d.engine.same_classes import classes_of_config, trained_classes
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import read_image_size
from gemini_det3d.models.segmentors.fusion_segmentor import ENSEMBLE

Image = str | os.PathLike | np.ndarray | None
Frame = Mapping[str, Image] | Sequence[Image]


class Segmentor(Predictor):
    """A model of two or more modalities with its input pipeline.

    Takes the arguments of :class:`Predictor` and has its attributes.

    Attributes:
        modalities: Names of the images that it takes, in order.
        classes: Class names in the order of its labels.
    """

    def _check_task(self) -> None:
        if "modalities" not in self._config.model:
            name = self._config.filename
            raise ConfigError(f"{name}: model has no modalities; it is no segmentor")

    def _prepare(self, meta: dict[str, Any], source: str | os.PathLike) -> None:
        from mmengine.dataset import Compose

        # labels of the size of the images, where a protocol keeps the size that its pipeline made
        self.model.test_cfg = {**self.model.test_cfg, "rescale": True}
        self.modalities = tuple(self._config.model.modalities)
        self._stream = ENSEMBLE if len(self.modalities) > 1 else self.modalities[0]
        self.classes = trained_classes(meta) or list(classes_of_config(self._dataset))
        self._check_head(self.classes, source)
        steps = [step for step in self._dataset["pipeline"] if step["type"] != "LoadSegLabels"]
        self._pipeline = Compose(steps)

    def __call__(self, images: Frame | list[Frame]) -> np.ndarray | list[np.ndarray]:
        """Segment one frame, or a batch of frames.

        Args:
            images: For each modality a file or a ``(H, W, 3)`` uint8 array (RGB; what other
                modalities hold, as their files do), by name or in the order of ``modalities``.
                None stands for a sensor that delivered nothing. A list of such frames makes a
                batch.

        Returns:
            ``(H, W)`` uint8, the number of each pixel's class by the ensemble of the streams; a
            list in a batch, in which a frame's answer is the one that it has alone.

        Raises:
            FormatError: A file or an array cannot be used, or the answer is not finite.
            ConfigError: Modalities are missing or unknown, or no sensor delivered.
        """
        is_batch = is_list_of_frames(images)
        frames: Any = images if is_batch else [images]
        found = self._by_size([self._pipeline(self._sample(frame)) for frame in frames])
        maps = [sample.pred_sem_seg.get(self._stream)[0].cpu().numpy() for sample in found]
        for number, classes in enumerate(maps):
            if (classes < 0).any():
                count = f"{int((classes < 0).sum())} of {classes.size} pixels"
                raise FormatError(f"frame {number}", f"the answer of {count} is NaN or infinite")
        maps = [classes.astype(np.uint8) for classes in maps]
        return maps if is_batch else maps[0]

    def _by_size(self, samples: list[dict]) -> list[Any]:
        """Answers, a batch for each size: attention would see what pads the smaller ones."""
        divisor = self.model.data_preprocessor.size_divisor
        shapes = [sample["inputs"][self.modalities[0]].shape[-2:] for sample in samples]
        sizes = [tuple(-(-side // divisor) for side in shape) for shape in shapes]
        found: dict[int, Any] = {}
        for size in dict.fromkeys(sizes):
            chosen = [number for number, each in enumerate(sizes) if each == size]
            found.update(zip(chosen, self._predict([samples[number] for number in chosen])))
        return [found[number] for number in range(len(samples))]

    def _sample(self, images: Frame) -> dict:
        """What the data set makes of a frame."""
        names = ", ".join(self.modalities)
        if not isinstance(images, Mapping):
            count = 1 if is_path(images) or not hasattr(images, "__len__") else len(images)
            if count != len(self.modalities) or count == 1 and is_path(images):
                raise ConfigError(f"{count} images for {len(self.modalities)} modalities "
                                  f"({names}); a list of them, or a dict by name")  # fmt: skip
            images = dict(zip(self.modalities, images))
            tell_other_names(images)
        if set(images) != set(self.modalities):
            raise ConfigError(f"images of {', '.join(images)}; the model takes {names} "
                              "(None where a sensor delivered nothing)")  # fmt: skip
        exists = {name: images[name] is not None for name in self.modalities}
        return {
            "image_paths": _with_blanks({name: images[name] for name in self.modalities}),
            "sensor_mask": exists,
        }


def _with_blanks(images: Mapping[str, Image]) -> dict[str, Any]:
    """Files and checked arrays as they are, zeros for the others."""
    given: dict[str, Any] = {
        name: image if is_path(image) else check_image(image, name)
        for name, image in images.items()
        if image is not None
    }
    if not given:
        raise ConfigError(f"no image of {', '.join(images)}")
    if len(given) == len(images) and all(map(is_path, given.values())):
        return given  # files of different sizes are the pipeline's business
    sizes = {
        name: read_image_size(image) if is_path(image) else (image.shape[1], image.shape[0])
        for name, image in given.items()
    }
    (first, size), *others = sizes.items()
    for name, other in others:
        if other != size:
            fault = f"is {other[0]} x {other[1]} pixels, {first} {size[0]} x {size[1]}"
            raise FormatError(name, fault)
    blank = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    return {name: given.get(name, blank) for name in images}
