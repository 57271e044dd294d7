"""How often a training step and a prediction ask the device for work, and how often they wait.

On a GPU everything around the products is bound by launches and by waiting for the host; both can
be counted on a CPU (see :mod:`benchmarks.census`).
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch

from benchmarks.census import Census, count_launches
from gemini_det3d.apis.config import ConfigError, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", help="config, by path or bare name")
    parser.add_argument("--data-root", help="folder of the data set in place of the config's")
    parser.add_argument("--batch", type=int, default=2, help="frames of the batch (default 2)")
    parser.add_argument("--lines", type=int, default=12, help="places to list (default 12)")


def run(args: argparse.Namespace) -> int:
    """Count, and print."""
    config = read_config(args.config)
    batch = training_batch(config, args.data_root, args.batch)
    model = build_model(config)
    for name, census in (
        ("training step", census_of_training(model, config, batch)),
        ("prediction", census_of_prediction(model, batch)),
    ):
        print(report(f"{name}, {args.batch} frames", census, args.lines))
    return 0


def build_model(config: Any) -> torch.nn.Module:
    """The config's model with random parameters."""
    from mmdet3d.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope(config.get("default_scope", "mmdet3d"))
    return MODELS.build(config.model)


def training_batch(config: Any, data_root: str | None, size: int) -> dict:
    """The first frames of the config's training set, collated.

    Raises:
        ConfigError: The data set is not there.
    """
    from mmengine.dataset import pseudo_collate

    frames = raw_training_set(config, data_root)
    return pseudo_collate([frames[index % len(frames)] for index in range(size)])


def raw_training_set(config: Any, data_root: str | None) -> Any:
    """The config's training set without what repeats or balances it.

    Raises:
        ConfigError: The data set is not there.
    """
    from mmdet3d.registry import DATASETS
    from mmengine.registry import init_default_scope

    init_default_scope(config.get("default_scope", "mmdet3d"))
    dataset = config.train_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    if data_root is not None:
        dataset.data_root = data_root if data_root.endswith("/") else f"{data_root}/"
    try:
        return DATASETS.build(dataset)
    except FileNotFoundError as error:
        raise ConfigError(f"{config.filename}: {error}; give --data-root") from error


@contextmanager
def as_on_a_gpu(model: torch.nn.Module) -> Iterator[None]:
    """No ways that are for a CPU alone: necks read whole maps, voxels' maxima are torch's."""
    from gemini_det3d.models import PointFusionNeck

    necks = [module for module in model.modules() if isinstance(module, PointFusionNeck)]
    samplers = [neck.sampler for neck in necks]
    for neck in necks:
        neck.sampler = replace(neck.sampler, reads="maps")
    try:
        with mock.patch("gemini_det3d.ops.scatter.has_kernel", lambda features: False):
            yield
    finally:
        for neck, sampler in zip(necks, samplers):
            neck.sampler = sampler


def census_of_training(model: torch.nn.Module, config: Any, batch: dict) -> Census:
    """Count one step, the second: forward, backward, clipping and the optimiser's.

    Optimiser and clipping work on all parameters at once, as torch does by itself on a GPU.
    """
    from mmengine.optim import build_optim_wrapper

    wrapper = dict(config.optim_wrapper)
    wrapper["optimizer"] = {**wrapper["optimizer"], "foreach": True}
    if wrapper.get("clip_grad"):
        wrapper["clip_grad"] = {**wrapper["clip_grad"], "foreach": True}
    optimizer = build_optim_wrapper(model, wrapper)
    model.train()
    with as_on_a_gpu(model):
        model.train_step(copy.deepcopy(batch), optimizer)  # the optimiser makes its state
        with count_launches() as census:
            model.train_step(batch, optimizer)
    return census


def census_of_prediction(model: torch.nn.Module, batch: dict) -> Census:
    """Count one prediction."""
    model.eval()
    with torch.no_grad(), as_on_a_gpu(model), count_launches() as census:
        model.test_step(batch)
    return census


def report(title: str, census: Census, lines: int) -> str:
    """The counts as text: totals, then the places that wait most, then those that call most."""
    rows = [
        f"{title}: {census.num_calls()} operator calls ({census.num_calls(True)} ours), "
        f"{census.num_waits()} waits ({census.num_waits(True)} ours); "
        f"{census.num_on_cpu_only()} calls more that are made on a CPU only"
    ]
    for (kind, place), count in census.waits.most_common(lines):
        rows.append(f"  waits {count:5d}  {kind:28s} {place.where}")
    for place, count in census.calls.most_common(lines):
        rows.append(f"  calls {count:5d}  {place.owner:28s} {place.where}")
    return "\n".join(_shortened(rows))


def _shortened(rows: Sequence[str], width: int = 140) -> list[str]:
    return [row if len(row) <= width else f"{row[: width - 3]}..." for row in rows]
