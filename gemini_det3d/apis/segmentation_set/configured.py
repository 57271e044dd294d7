"""What a config says of its segmentation set: own classes, numbering, files and splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.frame_calibration import values_of
from gemini_det3d.apis.trained_model import enter_scope
from gemini_det3d.datasets.segmentation_sets import SegmentationSet
from gemini_det3d.engine.leaf_datasets import leaf_configs

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# Arguments of a data set that stand for what a published set has.
_OWN = ("first_label", "label_code")


@dataclass(frozen=True)
class ConfiguredSet:
    """A set, where it lies, and how its images are read.

    Attributes:
        kind: Layout, classes and numbering.
        root: Its folder.
        modalities: Names of the images that are read, the leading one first; None: all.
        max_values: As of ``LoadModalities``.
    """

    kind: SegmentationSet
    root: Path
    modalities: tuple[str, ...] | None = None
    max_values: Mapping[str, float] = field(default_factory=dict)


def set_of_config(name: str) -> ConfiguredSet:
    """The segmentation set that a config trains on and tests with.

    Args:
        name: Path or bare name of the config.

    Raises:
        ConfigError: It cannot be read, or its data sets are no segmentation sets, or several that
            differ in folder, classes or numbering.
    """
    config = read_config(name)
    enter_scope(config)
    leaves = [
        (loader, leaf)
        for loader in _LOADERS
        for leaf in leaf_configs((config.get(loader) or {}).get("dataset"))
    ]
    if not leaves:
        raise ConfigError(f"{config.filename}: has no train_dataloader.dataset")
    found = [_set_of(leaf, f"{config.filename}: {loader}.dataset") for loader, leaf in leaves]
    first = found[0]
    for (loader, _), other in zip(leaves, found):
        if replace(other, kind=replace(other.kind, splits=first.kind.splits)) != first:
            fault = f"{loader}.dataset differs from {leaves[0][0]}.dataset"
            raise ConfigError(f"{config.filename}: {fault} in folder, classes, numbering or images")
    splits = tuple(dict.fromkeys(split for each in found for split in each.kind.splits))
    return replace(first, kind=replace(first.kind, splits=splits))


def _set_of(leaf: Mapping[str, Any], place: str) -> ConfiguredSet:
    """What one data set's config says; its split is the only one."""
    from mmdet3d.registry import DATASETS

    from gemini_det3d.datasets.segmentation import MultiModalSegDataset
    from gemini_det3d.engine.config_types import class_of

    kind = class_of(leaf.get("type"), DATASETS)
    if not (isinstance(kind, type) and issubclass(kind, MultiModalSegDataset)):
        raise ConfigError(f"{place}: {leaf.get('type')} is no segmentation set of this plug-in")
    own = {name: leaf[name] for name in _OWN if leaf.get(name) is not None}
    classes = tuple((leaf.get("metainfo") or {}).get("classes") or kind.published.classes)
    sizes = next(values_of(leaf.get("pipeline"), "on_size_mismatch"), kind.published.size_rule)
    return ConfiguredSet(
        replace(kind.published, classes=classes, splits=(leaf["split"],), size_rule=sizes, **own),
        Path(leaf["data_root"]).resolve(),
        tuple(leaf.get("modalities") or ("rgb", "depth")),
        dict(next(values_of(leaf.get("pipeline"), "max_values"), None) or {}),
    )
