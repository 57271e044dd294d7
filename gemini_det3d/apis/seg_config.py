"""Changes of a segmentation config that a table compares: modalities, dropout, failures."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.engine.leaf_datasets import leaf_configs

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def with_data_root(config: Config, root: str) -> Config:
    """The same config on the data of another folder."""
    config = copy.deepcopy(config)
    for name in LOADERS:
        for dataset in leaf_configs(config[name].dataset):
            dataset.data_root = root
    return config


def with_modalities(config: Config, modalities: Sequence[str]) -> Config:
    """The same model and data with some of their modalities only.

    Args:
        config: Of a `FusionSegmentor`; stays as it is.
        modalities: Names, the leading one first.

    Raises:
        ConfigError: The config has no such modality.
    """
    config = copy.deepcopy(config)
    known = config.model.data_preprocessor.modalities
    unknown = [name for name in modalities if name not in known]
    if unknown or not modalities:
        raise ConfigError(f"modalities {list(modalities)}: the config has {list(known)}")
    config.model.modalities = list(modalities)
    config.model.data_preprocessor.modalities = {name: known[name] for name in modalities}
    for name in LOADERS:
        for dataset in leaf_configs(config[name].dataset):
            dataset.modalities = list(modalities)
    return config


def with_training_step(config: Config, step: Mapping[str, Any]) -> Config:
    """The same config with one more step before a training sample is packed."""
    config = copy.deepcopy(config)
    _insert(config.train_dataloader.dataset, step)
    return config


def with_test_step(config: Config, step: Mapping[str, Any]) -> Config:
    """The same config with one more step before a test sample is packed."""
    config = copy.deepcopy(config)
    _insert(config.test_dataloader.dataset, step)
    return config


def _insert(settings: Any, step: Mapping[str, Any]) -> None:
    for dataset in leaf_configs(settings):
        pipeline = dataset.get("pipeline")
        if not pipeline or pipeline[-1]["type"] != "PackSegInputs":
            raise ConfigError("the last step of the pipeline must be PackSegInputs")
        pipeline.insert(len(pipeline) - 1, dict(step))
