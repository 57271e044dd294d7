"""Steps of a pipeline that do not go together: each is right by itself, and no error would show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmcv.transforms import RandomFlip
from mmdet3d.datasets.transforms import (
    ObjectNameFilter,
    ObjectSample,
    RandomFlip3D,
    RandomResize3D,
    Resize3D,
)
from mmengine.dataset import Compose
from torch import nn

from gemini_det3d.engine.leaf_datasets import leaf_datasets
from gemini_det3d.formats import FormatError


def check_pipelines(datasets: Mapping[str, Any], model: nn.Module) -> None:
    """Refuse pipelines after which the metadata do not say where points fall.

    Args:
        datasets: Data sets that are built, by the name of their loader.
        model: That reads them.

    Raises:
        FormatError: Points lie in another frame than a neck projects them from, two steps flip the
            image of a sample with points, one rescales the camera matrix of a model that rescales
            it by the metadata, one names a modality that the set does not have, or means other
            classes by its names than the data set by their numbers.
    """
    for loader, dataset in datasets.items():
        for leaf in leaf_datasets(dataset):
            pipeline = getattr(leaf, "pipeline", None)
            if isinstance(pipeline, Compose):
                steps = list(_flat(pipeline.transforms))
                _check_flips(steps, loader)
                _check_camera(steps, model, loader)
                _check_frame(leaf, model, loader)
                _check_modalities(steps, leaf, loader)
                metainfo = getattr(leaf, "metainfo", None) or {}
                if metainfo.get("classes"):
                    _check_names(steps, tuple(metainfo["classes"]), loader)


def _check_flips(steps: list, loader: str) -> None:
    """The second step takes the first one's word, flips the image back and says it is flipped."""
    flips = [step for step in steps if isinstance(step, RandomFlip)]
    are_points_flipped = any(isinstance(step, RandomFlip3D) for step in flips)
    if len(flips) < 2 or not are_points_flipped or not any(map(_may_flip, flips)):
        return
    names = " and ".join(type(step).__name__ for step in flips)
    hint = "leave one RandomFlip3D, which flips image and points together (sync_2d=False: apart)"
    fault = f"both {names} flip the image, and the metadata keep one flip"
    raise FormatError(f"{loader}.dataset.pipeline", f"{fault}; {hint}")


def _check_camera(steps: list, model: nn.Module, loader: str) -> None:
    """These steps scale ``cam2img``, and a neck with points in the camera's frame does so, too."""
    scaled = next((step for step in steps if isinstance(step, (Resize3D, RandomResize3D))), None)
    samplers = (getattr(part, "sampler", None) for part in model.modules())
    if scaled is None or not any(getattr(s, "coord_type", None) == "CAMERA" for s in samplers):
        return
    name = type(scaled).__name__
    fault = f"{name} rescales cam2img, which a neck with coord_type='CAMERA' does by scale_factor"
    raise FormatError(f"{loader}.dataset.pipeline", f"{fault}; take {name.removesuffix('3D')}")


def _check_frame(dataset: Any, model: nn.Module, loader: str) -> None:
    """Each frame has matrices of its own, and points of another one would fall anywhere."""
    mode = getattr(getattr(dataset, "box_mode_3d", None), "name", None)
    mode = {"CAM": "CAMERA"}.get(mode, mode)
    for name, part in model.named_modules() if mode else ():
        frame = getattr(getattr(part, "sampler", None), "coord_type", mode)
        if frame != mode:
            fault = f"has its boxes in the frame {mode}; model.{name} has coord_type={frame!r}"
            raise FormatError(f"{loader}.dataset.box_type_3d", fault)


def _check_modalities(steps: list, dataset: Any, loader: str) -> None:
    """A name that no image has changes nothing, and nothing else would say so."""
    published = getattr(dataset, "published", None)
    known = getattr(published, "modalities", ())
    for step in steps if known else ():
        unknown = [name for name in getattr(step, "named_modalities", ()) if name not in known]
        if unknown:
            fault = f"{type(step).__name__} names {', '.join(unknown)}; the images of "
            fault += f"{type(dataset).__name__} are {', '.join(known)}"
            raise FormatError(f"{loader}.dataset.pipeline", fault)


def _check_names(steps: list, classes: tuple, loader: str) -> None:
    """These steps are told names, and go by numbers."""
    for step in steps:
        if isinstance(step, ObjectNameFilter):
            kept = classes[: len(step.classes)]
            if set(kept) != set(step.classes) & set(classes):
                fault = f"names {', '.join(step.classes)}, but goes by number and keeps "
                _refuse_names(step, fault + ", ".join(kept), classes, loader)
        if isinstance(step, ObjectSample):
            numbers = step.db_sampler.cat2label
            wrong = [n for n in step.db_sampler.sample_classes if classes[numbers[n] :][:1] != (n,)]
            if wrong:
                fault = f"gives {wrong[0]} the number {numbers[wrong[0]]} (db_sampler.classes)"
                _refuse_names(step, fault, classes, loader)


def _refuse_names(step: Any, fault: str, classes: tuple, loader: str) -> None:
    hint = f"name the classes of metainfo in their order: {', '.join(classes)}"
    raise FormatError(f"{loader}.dataset.pipeline", f"{type(step).__name__} {fault}; {hint}")


def _may_flip(step: RandomFlip) -> bool:
    chances = step.prob if isinstance(step.prob, Iterable) else [step.prob or 0.0]
    vertical = getattr(step, "flip_ratio_bev_vertical", None) or 0.0
    return sum(chances) > 0 or vertical > 0


def _flat(steps: Any) -> Iterator[Any]:
    """Steps, and those inside of them (test-time augmentation)."""
    for step in steps:
        inner = getattr(step, "transforms", None)
        if isinstance(inner, Compose):
            inner = inner.transforms
        if isinstance(inner, (list, tuple)):
            yield from _flat(inner)
        else:
            yield step
