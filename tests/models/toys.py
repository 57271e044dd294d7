"""The toy configs' own models, and small random batches for each of them."""

from __future__ import annotations

import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, PixelData
from test_launch_budgets import batch as driving_batch
from test_launch_budgets import frame as driving_frame
from test_votenet import batch as room_batch
from test_votenet import frame as room_frame

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config

DRIVING = (
    "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class",
    "mvxnet_lidar-only_1xb2-toy_look-alikes-3class",
    "bev_gemini-map_r18_1xb2-toy_scenes-3class",
    "bev_lidar-only_1xb2-toy_scenes-3class",
)
ROOMS = ("votenet_gemini-point_r18_1xb4-toy_rooms-6class", "votenet_1xb4-toy_rooms-6class")
SEGMENTOR = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"
TRANSLATOR = "translator_gemini_mit-toy_views-rgb-edge2depth"
DETECTORS = (*DRIVING, *ROOMS)
TOYS = (*DETECTORS, SEGMENTOR, TRANSLATOR)


def toy_config(name: str) -> Config:
    init_default_scope("mmdet3d")
    return Config.fromfile(find_config(name))


def toy_model(name: str) -> torch.nn.Module:
    """The config's model, the same at every call."""
    config = toy_config(name)
    torch.manual_seed(0)
    return MODELS.build(config.model).train()


def toy_batch(name: str, numbers: tuple[int, ...] = (0, 1), lacks: str = "") -> dict:
    """Frames by number.

    Args:
        name: Of a toy config.
        numbers: Of the frames; each always looks the same.
        lacks: "camera" or "points" of a detector, a modality of a segmentor: frames without.
    """
    if name == SEGMENTOR:
        batch = _views_with_labels(numbers, tuple(toy_config(name).model.modalities))
        for sample in batch["data_samples"] if lacks else ():
            sample.set_metainfo(dict(sensor_mask={lacks: False}))
        return batch
    if name == TRANSLATOR:
        return _views_with_target(numbers)
    if name in ROOMS:
        with_image = "gemini" in name and lacks != "camera"
        return room_batch(*map(room_frame, numbers), with_image=with_image)
    frames = [driving_frame(number, 3 + number, 3) for number in numbers]
    if lacks == "points":
        frames = [(points[:0], image, sample) for points, image, sample in frames]
    if lacks == "camera":
        for _, _, sample in frames:
            sample.set_metainfo(dict(sensor_mask=dict(camera=[False], lidar=True)))
    batch = driving_batch(*frames)
    if "gemini" not in name:
        del batch["inputs"]["img"]
    return batch


def _drawn(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def _views_with_labels(numbers, modalities, size=(64, 96), classes: int = 25) -> dict:
    views = [
        torch.randint(0, 256, (len(modalities), 3, *size), generator=_drawn(n)) for n in numbers
    ]
    inputs = {m: [view[i].byte() for view in views] for i, m in enumerate(modalities)}
    samples = []
    for view in views:
        labels = (view[0, :1].float() / 256 * classes).byte()
        sample = BaseDataElement(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=size, ori_shape=size))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def _views_with_target(numbers, size=(32, 32)) -> dict:
    inputs, samples = [], []
    for number in numbers:
        views = torch.randint(0, 256, (2, 3, *size), generator=_drawn(number)).byte()
        inputs.append(views)
        sample = BaseDataElement(metainfo={"stem": f"v{number}"})
        sample.set_data({"target": views[0]})
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)
