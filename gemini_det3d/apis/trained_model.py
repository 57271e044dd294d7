"""A config's model with trained parameters, ready for a test; what every command builds from."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.devices import choose_device
from gemini_det3d.apis.frame_calibration import require_lidar
from gemini_det3d.engine.exact.bad_samples import read_sample
from gemini_det3d.engine.exact.batches import build_dataset
from gemini_det3d.engine.exact.seeding import EVALUATION, SampleKey, seed_process
from gemini_det3d.engine.grid_checks import check_grid
from gemini_det3d.engine.leaf_datasets import leaf_configs
from gemini_det3d.engine.same_classes import check_trained_classes, classes_of_config
from gemini_det3d.engine.same_model import model_differences
from gemini_det3d.engine.same_streams import (
    check_modalities,
    check_trained_domains,
    domains_of_config,
)
from gemini_det3d.models.checkpoints import load_parameters, read_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config


_LOG = logging.getLogger(__name__)
# Part of a model that is none of a detector -> what takes such a config.
_TAKERS = {
    "modalities": "a segmentor goes to eval-sensors, eval-robustness or gemini_det3d.Segmentor",
    "generator": "a translator goes to translate or gemini_det3d.Translator",
}


class TrainedModel(NamedTuple):
    """A model in evaluation mode.

    Attributes:
        model: On its device.
        ignored_parameters: Names in the checkpoint that the model does not have.
        meta: What the checkpoint says of itself; empty without one.
        device: Where the model is.
    """

    model: nn.Module
    ignored_parameters: list[str]
    meta: dict[str, Any]
    device: torch.device


def build_for_test(
    config: Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | None = None,
    allow_missing: Sequence[str] = (),
    own_names: bool = False,
) -> TrainedModel:
    """Build a config's model.

    Args:
        config: mmengine's config.
        checkpoint: Its parameters, read without running what the file says; None keeps the random
            ones.
        device: Where to run, as torch names it; None: CUDA where there is one.
        allow_missing: Parameters that may be on one side only, besides those of the config's
            CheckedLoadingHook; see :func:`load_parameters`.
        own_names: Whether labels are named as the checkpoint says, whatever the config's order.

    Raises:
        FormatError: The checkpoint cannot be read or does not belong to the config: other
            parameters, or modalities, domains or classes in another order.
        ConfigError: The device is not there.
    """
    where = choose_device(device)
    model = build_model(config)
    ignored: list[str] = []
    meta: dict[str, Any] = {}
    if checkpoint is not None:
        loaded = read_checkpoint(checkpoint)
        allowed = (*allowed_missing(config), *allow_missing)
        ignored = list(load_parameters(model, loaded, checkpoint, allowed).unexpected)
        meta = loaded["meta"]
        check_modalities(loaded, config.model.get("modalities"), checkpoint)
        data = (config.get("test_dataloader") or {}).get("dataset")
        check_trained_domains(loaded, domains_of_config(data), checkpoint)
        if not own_names:
            check_trained_classes(loaded, classes_of_config(data), checkpoint)
        other = model_differences(meta, config.model, checkpoint)
        if other:
            _LOG.warning("%s: %s", checkpoint, other)
    return TrainedModel(model.to(where).eval(), ignored, meta, where)


def allowed_missing(config: Config) -> tuple[str, ...]:
    """What a config says that checkpoints of it may lack: its CheckedLoadingHook's."""
    hook = (config.get("default_hooks") or {}).get("checked_loading") or {}
    return tuple(hook.get("allow_missing", ()))


def build_model(config: Config) -> nn.Module:
    """A config's model as it starts, on the CPU.

    Raises:
        FormatError: Its parts have different ranges, voxels or grids.
    """
    from mmdet3d.registry import MODELS

    enter_scope(config)
    check_grid(config.model)
    return MODELS.build(config.model)


def enter_scope(config: Config) -> None:
    """Let registries look names up where a config means them."""
    from mmengine.registry import init_default_scope

    init_default_scope(config.get("default_scope", "mmdet3d"))


def read_frame(dataset: Any, index: int, seed: int = 0) -> dict:
    """A packed frame of a test set; what its pipeline draws is what ``gemini-det3d test`` draws.

    Args:
        dataset: Of `build_test_set`.
        index: Of the frame.
        seed: The test's ``randomness.seed``.

    Raises:
        FormatError: Its file cannot be read.
    """
    return read_sample(dataset, SampleKey(index, seed, 0), None)


def predict(
    model: Any, samples: Sequence[dict], batch: int | None = None, seed: int = 0
) -> list[Any]:
    """A model's answers to packed samples, as one batch and without gradients.

    Args:
        model: In evaluation mode.
        samples: Packed.
        batch: Which batch of the test set they are: what the model draws is what ``gemini-det3d
            test`` draws in it. None: it draws on from where the generators stand.
        seed: The test's ``randomness.seed``.
    """
    from mmengine.dataset import pseudo_collate

    if batch is not None:
        seed_process(seed, EVALUATION, 0, batch)
    with torch.no_grad():
        return model.test_step(pseudo_collate(list(samples)))


def require_detector(config: Config) -> None:
    """Refuse a config of another task.

    Raises:
        ConfigError: Its model is a segmentor or a translator; the message says what takes those.
    """
    for key, takers in _TAKERS.items():
        if key in config.model:
            fault = f"its model is no detector of 3D objects; {takers}"
            raise ConfigError(f"{config.filename}: {fault}")


def require_lidar_frames(config: Config, remedy: str) -> None:
    """Refuse a config whose test frames are not in the LiDAR's frame.

    Args:
        config: mmengine's.
        remedy: What takes such frames.

    Raises:
        ConfigError: They are in another one.
    """
    settings = (config.get("test_dataloader") or {}).get("dataset")
    for each in leaf_configs(settings):
        require_lidar(each, f"{config.filename}: test_dataloader.dataset", remedy)


def build_test_set(config: Config) -> Any:
    """The test data set, its wrappers included.

    Raises:
        FormatError: Its info file cannot be used.
        ConfigError: The config has none.
    """
    enter_scope(config)
    find_test_datasets(config)
    return build_dataset(config.test_dataloader.dataset)


def find_test_dataset(cfg: Config) -> dict:
    """The test data set's config, out of its wrappers; the first of several."""
    return find_test_datasets(cfg)[0]


def find_test_datasets(cfg: Config) -> list:
    """The configs of the test data sets, out of their wrappers.

    Raises:
        ConfigError: There is none.
    """
    settings = (cfg.get("test_dataloader") or {}).get("dataset")
    datasets = [each for each in leaf_configs(settings) if "pipeline" in each]
    if not datasets:
        raise ConfigError(f"{cfg.filename}: has no test_dataloader.dataset.pipeline")
    return datasets
