"""mmengine's runner, with a resume that is exact.

``runner_type = "ExactRunner"`` in a config is all: mmdet3d's scripts build the runner by that name,
and it puts its own parts in the place of mmengine's loops, checkpoint hook and batch sampler.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, master_only
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS, RUNNERS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch.utils.data import DataLoader

from gemini_det3d.engine.checkpoint_loading import CheckedLoadingHook
from gemini_det3d.engine.config_errors import config_fault
from gemini_det3d.engine.config_types import class_of
from gemini_det3d.engine.exact.bad_samples import bad_sample_policy, notes_path
from gemini_det3d.engine.exact.batches import ExactBatchSampler, with_exact_batches
from gemini_det3d.engine.exact.checkpoint_files import (
    BACKEND,
    has_gone_on,
    newest_whole_checkpoint,
    noted_seed,
)
from gemini_det3d.engine.exact.checkpoint_hook import WholeCheckpointHook
from gemini_det3d.engine.exact.config_text import OnceFormattedConfig
from gemini_det3d.engine.exact.going_on import go_on
from gemini_det3d.engine.exact.loops import with_exact_loop
from gemini_det3d.engine.exact.pinning import with_pinned_samples
from gemini_det3d.engine.exact.reading import (
    read_training_checkpoint,
    require_parameters,
    require_training_state,
)
from gemini_det3d.engine.exact.seeding import hold_cublas_to_one_order
from gemini_det3d.engine.exact.state_hook import STATE, restore_counts
from gemini_det3d.engine.first_batch import FirstBatchHook
from gemini_det3d.engine.run_checks import RunChecksHook, check_steps
from gemini_det3d.engine.something_to_learn import SomethingToLearnHook
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.device_faults import is_device_fault, naming_device_faults
from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register

# Hooks of every run, under their names in default_hooks.
_CHECKS: dict[str, type] = {
    "checked_loading": CheckedLoadingHook,
    "first_batch": FirstBatchHook,
    "run_checks": RunChecksHook,
}


@register(RUNNERS)
class ExactRunner(Runner):
    """``Runner`` whose interrupted trainings go on bit by bit as if they had not been interrupted.

    It takes mmengine's configs. A process may be killed at any instant; ``--resume`` goes on from
    the newest whole checkpoint, with the same weights, optimisers, schedules and averages, and the
    same next batch. What a sample draws depends on (seed, epoch, index) alone. Checkpoints of
    others are read without running code of theirs. Own loops or ready-made ``DataLoader`` objects
    in place of configs are refused: for them nothing of this could be promised.
    """

    _bad_samples: int | None = None  # how many are borne
    _place: dict[str, Any] | None = None  # what the checkpoint says beyond mmengine's part

    def __init__(self, *args: Any, cfg: Any = None, **kwargs: Any) -> None:
        if isinstance(cfg, Config):
            cfg = OnceFormattedConfig.of(cfg)
        self.run_id: str | None = secrets.token_hex(8)  # tells runs in one folder apart
        super().__init__(*args, cfg=cfg, **kwargs)

    def set_randomness(self, *args: Any, **kwargs: Any) -> None:
        """As mmengine's; the seed that all processes share is kept beside."""
        super().set_randomness(*args, **kwargs)
        if self._deterministic:
            hold_cublas_to_one_order()
        differs = self._randomness_cfg.get("diff_rank_seed", False)
        self.shared_seed = self.seed - get_rank() if differs else self.seed

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | Mapping, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """As mmengine's, with batches of sample keys; in pinned memory where there is a GPU.

        Raises:
            ValueError: It is built already, by somebody else.
        """
        if isinstance(dataloader, DataLoader):
            if isinstance(dataloader.batch_sampler, ExactBatchSampler):
                return dataloader
            raise ValueError("ExactRunner builds data loaders from configs, not from objects")
        changed = with_exact_batches(dataloader, seed or 0, diff_rank_seed)
        pinned = {"pin_memory": torch.cuda.is_available(), **changed}
        return with_pinned_samples(Runner.build_dataloader(pinned, seed, diff_rank_seed))

    def build_train_loop(self, loop: BaseLoop | Mapping) -> BaseLoop:
        """As mmengine's, with our loops.

        Raises:
            ValueError: The config names another loop.
            FormatError: There are fewer frames than a batch, and ``drop_last``; it would train for
                fewer than 0 steps, or validate after every 0.
        """
        if isinstance(loop, Mapping):
            loop = with_exact_loop(loop)
            if self._bad_samples is not None and isinstance(self._train_dataloader, Mapping):
                notes = str(notes_path(self.work_dir))
                self._train_dataloader = {**self._train_dataloader, "bad_sample_notes": notes}
        built = super().build_train_loop(loop)
        for name, most in (("max_epochs", built.max_epochs), ("max_iters", built.max_iters)):
            if most < 0:
                raise FormatError(f"train_cfg.{name}", f"is {most}, must be 0 or more")
        if self._val_loop is not None and built.val_interval < 1:
            fault = f"is {built.val_interval}, must be 1 or more; without validation val_dataloader"
            raise FormatError("train_cfg.val_interval", f"{fault}, val_cfg, val_evaluator are None")
        check_steps(built.dataloader, (self.cfg.get("train_dataloader") or {}).get("batch_size"))
        return built

    def register_default_hooks(self, hooks: Mapping | None = None) -> None:
        """As mmengine's, with our checkpoint hook, the one that keeps the state, and the checks.

        Checkpoints are loaded whole or not at all, unless ``checked_loading`` is None, and the
        first batch is looked at, unless ``first_batch`` is.
        """
        hooks = dict(hooks or {})
        hooks.setdefault("checkpoint", dict(type="CheckpointHook", interval=1))
        hooks["run_checks"] = hooks.get("run_checks") or {}
        for name, kind in _CHECKS.items():
            given = hooks.pop(name, {})
            if given is not None:  # mmengine takes None for its own hooks alone
                hooks[name] = {"type": kind, **given} if isinstance(given, Mapping) else given
        super().register_default_hooks(hooks)
        self.register_hook(dict(type="ExactStateHook"))
        self.register_hook(SomethingToLearnHook())
        self._bad_samples = bad_sample_policy(self.cfg.get)
        if self._bad_samples is not None:
            self.register_hook(dict(type="BadSampleHook", limit=self._bad_samples))

    def register_hook(self, hook: Any, priority: Any = None) -> None:
        """As mmengine's, with our checkpoint hook for its own; it stays the last.

        Raises:
            ValueError: mmengine's is built already, by somebody else.
        """
        if type(hook) is CheckpointHook:
            raise ValueError("ExactRunner builds the checkpoint hook from a config, not an object")
        if isinstance(hook, Mapping) and class_of(hook.get("type"), HOOKS) is CheckpointHook:
            hook = {**hook, "type": WholeCheckpointHook}
        super().register_hook(hook, priority)
        self._hooks.sort(key=lambda each: isinstance(each, WholeCheckpointHook))

    def train(self) -> Any:
        """As mmengine's.

        Raises:
            FormatError: Besides faults of files: a part of the model does not fit what it is given
                in the first step. Whoever starts the run, the line names the part in the config.
            DeviceError: A GPU failed, or its memory is full.
        """
        try:
            with naming_device_faults():
                self._take_seed()
                return super().train()
        except FormatError:
            raise
        except Exception as error:
            fault = config_fault(error)
            if fault is None:
                raise
            raise FormatError(self.cfg.filename or "the config", fault) from error

    def _take_seed(self) -> None:
        """Of the run that goes on, before data sets are built: some draw their frames then."""
        if not self._resume or self._randomness_cfg.get("seed") is not None:
            return
        found = self._load_from or newest_whole_checkpoint(self.work_dir, lambda line: None)
        seed = noted_seed(found) if found else None
        if seed is not None:
            self.set_randomness(**{**self._randomness_cfg, "seed": seed})

    def load_or_resume(self) -> None:
        """As mmengine's; ``--resume`` without a file takes the newest whole checkpoint."""
        if self._resume and self._load_from is None and not self._has_loaded:
            found = newest_whole_checkpoint(self.work_dir, self.logger.warning)
            if found is None:
                self.logger.warning(f"{self.work_dir}: no checkpoint to resume from; "
                                    "training starts at the beginning")  # fmt: skip
            else:
                self.resume(str(found))
            return
        super().load_or_resume()
        if self._resume and has_gone_on(self._load_from, self.run_id, self.iter):
            self.run_id = secrets.token_hex(8)

    def resume(
        self, filename: str, resume_optimizer: bool = True, resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:  # fmt: skip
        """Go on exactly where a checkpoint stands.

        Read on the CPU: Adam's counts of steps, on a GPU, would be waited for at every parameter.

        Raises:
            FormatError: It cannot be resumed from: damaged, of another model, or not plain data.
        """
        self._resume = True
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
            go_on(self, self._place, self._warn_inexact)
        except FormatError:
            raise
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            if is_device_fault(error):
                raise
            fault = f"cannot be resumed from: {type(error).__name__}: {error}"
            raise FormatError(filename, fault) from error

    def load_checkpoint(
        self, filename: str, map_location: Any = "cpu", strict: bool = False,
        revise_keys: list = [(r"^module.", "")],  # noqa: B006
    ) -> dict:  # fmt: skip
        """As mmengine's, without running code of the file.

        Raises:
            FormatError: It is no local file, cannot be read, or holds more than plain data.
        """
        if not isinstance(filename, (str, Path)):
            raise FormatError("load_from", f"is {filename!r}, expected the path of a file")
        filename = str(filename)
        if "://" in filename:
            raise FormatError(filename, "is not a local file; fetch it and name the copy")
        checkpoint = read_training_checkpoint(Path(filename).expanduser(), map_location)
        self._load_from = filename  # hooks name it, also where --resume has found it
        if self._resume:
            require_training_state(checkpoint, filename, bool(self.param_schedulers))
            self._place = {"file": filename, **checkpoint.get(STATE, {})}
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        require_parameters(checkpoint, filename)
        model = bare_model(self.model)
        checkpoint = _load_checkpoint_to_model(model, checkpoint, strict, revise_keys=revise_keys)
        self._has_loaded = True
        self.logger.info(f"weights loaded from {filename}")
        return checkpoint

    def _warn_inexact(self, reason: str) -> None:
        self.logger.log(logging.WARNING, f"{self._place['file']}: the run goes on, but not bit by "
                        f"bit as if uninterrupted: {reason}")  # fmt: skip

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As mmengine's; before the first step, what mmengine has just reset is put back."""
        if fn_name != "before_train" or not self._place:
            super().call_hook(fn_name, **kwargs)
            return
        restore_counts(self, self._place.get("inner_counts", {}))
        self._place = None
        told = {name: self.message_hub.runtime_info.get(name, 0) for name in ("iter", "epoch")}
        super().call_hook(fn_name, **kwargs)
        for name, value in told.items():  # mmengine tells the next step's before there is one
            self.message_hub.update_info(name, value)

    @master_only
    def save_checkpoint(
        self, out_dir: str, filename: str, *args: Any, meta: dict | None = None,
        by_epoch: bool = True, save_optimizer: bool = True, save_param_scheduler: bool = True,
        backend_args: Mapping | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """As mmengine's; on the disk whole or not at all, with a note beside it.

        Raises:
            FormatError: It cannot be written; the one before is still there.
        """
        meta = dict(meta or {})
        meta.setdefault("epoch", self.epoch + 1 if by_epoch else self.epoch)
        meta.setdefault("iter", self.iter if by_epoch else self.iter + 1)
        if backend_args is None:
            resumable = save_optimizer and (save_param_scheduler or not self.param_schedulers)
            backend_args = dict(backend=BACKEND, iteration=meta["iter"], resumable=resumable,
                                run=self.run_id, seed=self.seed)  # fmt: skip
        super().save_checkpoint(
            out_dir, filename, *args, meta=meta, by_epoch=by_epoch,
            save_optimizer=save_optimizer, save_param_scheduler=save_param_scheduler,
            backend_args=backend_args, **kwargs,
        )  # fmt: skip
