"""Batches that can start anywhere, and know their samples' keys.

mmengine's samplers decide the order, as in the config; here the order is cut into batches, of which
the first so many are left out without anything being loaded, and every index gets its key.
"""

from __future__ import annotations

import copy
import random
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset.sampler import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import BatchSampler, Sampler

from gemini_det3d.engine.config_types import type_name
from gemini_det3d.engine.exact.dataset import SeededDataset
from gemini_det3d.engine.exact.seeding import ORDER, SampleKey, seed_process
from gemini_det3d.engine.leaf_datasets import leaf_configs
from gemini_det3d.engine.plain_files import UNNAMED, annotation_file, with_preferred_infos
from gemini_det3d.engine.same_classes import check_class_names
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.errors import OTHER_FORM
from gemini_det3d.formats.files import refuse_devices
from gemini_det3d.registration import register

# Data sets whose info files our own command writes, and those of mmdet3d's script.
_PREPARED = ("KittiDataset", "SUNRGBDDataset")
_CREATED = (
    "LyftDataset", "NuScenesDataset", "S3DISDataset", "S3DISSegDataset", "ScanNetDataset",
    "ScanNetInstanceSegDataset", "ScanNetSegDataset", "SemanticKittiDataset", "WaymoDataset",
)  # fmt: skip


@register(DATA_SAMPLERS)
class ExactBatchSampler(Sampler):
    """Batches of sample keys.

    Args:
        sampler: Order of the indices: any sampler of mmengine.
        batch_size: Samples in a batch.
        seed: Seed of the samples' draws, the same in all processes.
        drop_last: Leave out a last batch that is not full.
        batches: Config of another batch sampler, in place of consecutive ones.

    Attributes:
        first: Batches that the next pass leaves out; 0 again once it has begun.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        seed: int,
        drop_last: bool = False,
        batches: Mapping[str, Any] | None = None,
    ) -> None:
        self.order, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self.seed, self.epoch, self.first = seed, 0, 0
        self.batches = BatchSampler(sampler, batch_size, drop_last)
        if batches is not None:
            sizes = dict(sampler=sampler, batch_size=batch_size)
            self.batches = DATA_SAMPLERS.build(dict(batches), default_args=sizes)

    @property
    def sampler(self) -> ExactBatchSampler:
        """Where mmengine's hooks look for ``set_epoch``."""
        return self

    @property
    def is_infinite(self) -> bool:
        """Whether a pass never ends."""
        return isinstance(self.order, InfiniteSampler)

    @property
    def length_of_pass(self) -> int:
        """Batches in which the data are seen once."""
        if not self.is_infinite:
            return len(self.batches)
        return -(-self.order.size // (self.batch_size * self.order.world_size))

    def preview(self, number: int) -> list[list[int]]:
        """The indices of a pass, without beginning it; generators stay as they are.

        Args:
            number: Which pass, from 0.

        Returns:
            Its batches; nothing where the config has a batch sampler of its own.
        """
        if type(self.batches) is not BatchSampler:
            return []
        other = copy.copy(self)
        other.order = copy.copy(self.order)
        other.batches = copy.copy(self.batches)
        other.batches.sampler = other.order
        length = self.length_of_pass
        other.epoch, other.first = (0, number * length) if self.is_infinite else (number, 0)
        with _generators_kept():
            return [[key.index for key in batch] for batch in islice(other, length)]

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the draws of the next pass."""
        self.epoch = epoch

    def set_seed(self, seed: int, order_seed: int | None) -> None:
        """Go on with the seeds of another run."""
        self.seed = seed
        if order_seed is not None and hasattr(self.order, "seed"):
            self.order.seed = order_seed

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        first, self.first = self.first, 0
        # For samplers that draw from the process's generators.
        seed_process(self.seed, ORDER, self.epoch)
        if self.is_infinite:
            yield from self._endless(first)
            return
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(self.epoch)
        epoch = self.epoch
        for batch in islice(self.batches, first, None):
            yield [SampleKey(int(index), self.seed, epoch) for index in batch]

    def _endless(self, first: int) -> Iterator[list[SampleKey]]:
        """An endless sampler's epoch is how often it has been through the data before."""
        order: Any = self.order
        order.indices = order._indices_of_rank()  # it keeps its place between passes otherwise
        position = order.rank + first * self.batch_size * order.world_size
        for batch in islice(self.batches, first, None):
            keys = []
            for index in batch:
                keys.append(SampleKey(int(index), self.seed, position // order.size))
                position += order.world_size
            yield keys


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Give Python's, numpy's and torch's generators their states back."""
    python, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)


def build_dataset(config: Mapping[str, Any]) -> Any:
    """Build a data set from its info file, or from the JSON twin of that.

    Raises:
        FormatError: The info file is not there, cannot be read, would run code, or lacks a class
            that a wrapper balances; or the config names classes that the data set does not know.
    """
    check_class_names(config)
    try:
        refuse_devices(annotation_file(config) or ".")
        dataset = DATASETS.build(with_preferred_infos(config))
        if hasattr(dataset, "full_init"):
            dataset.full_init()
    except FormatError as error:
        if error.path != UNNAMED:
            raise
        raise FormatError(annotation_file(config) or UNNAMED, error.fault) from error
    except OSError as error:
        path = error.filename or annotation_file(config) or UNNAMED
        fault = f"cannot be read ({error.strerror or error})"
        if isinstance(error, FileNotFoundError) and Path(path) == annotation_file(config):
            fault = "no such file" + _writer_of(config)
        raise FormatError(path, fault) from error
    except OTHER_FORM as error:
        places = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        if not places & {"load_data_list", "_serialize_data"}:
            raise
        fault = f"has another form than the data set expects ({type(error).__name__}: {error})"
        fault = fault if "load_data_list" in places else "lists no frame"
        raise FormatError(annotation_file(config) or UNNAMED, fault) from error
    except ZeroDivisionError as error:  # mmdet3d's CBGSDataset
        fault = "has no object of one of the classes (metainfo.classes), so they cannot be balanced"
        raise FormatError(annotation_file(config) or UNNAMED, fault) from error
    return dataset


def _writer_of(config: Mapping[str, Any]) -> str:
    """What makes the info file of a data set, for the error that it is not there."""
    kind = type_name(leaf_configs(config)[0])
    if kind in _PREPARED:
        return "; gemini-det3d prepare writes info files (its --help says how)"
    return "; mmdet3d's tools/create_data.py writes its info files" if kind in _CREATED else ""


def with_exact_batches(loader: Mapping[str, Any], seed: int, diff_rank_seed: bool) -> dict:
    """A data loader's config, with keys for its samples.

    Args:
        loader: As mmengine's runner takes it; ``bad_sample_notes`` in it is `SeededDataset`'s.
        seed: The runner's seed.
        diff_rank_seed: Whether that differs between processes.

    Returns:
        Another config, of the same data in the same order; its data set is built.
    """
    changed = copy.deepcopy(dict(loader))
    dataset = changed["dataset"]
    if isinstance(dataset, Mapping):
        dataset = build_dataset(dataset)
    changed["dataset"] = SeededDataset(dataset, changed.pop("bad_sample_notes", None))
    changed["batch_sampler"] = dict(
        type="ExactBatchSampler",
        seed=seed - get_rank() if diff_rank_seed else seed,
        drop_last=changed.pop("drop_last", False),
        batches=changed.get("batch_sampler"),
    )
    return changed
