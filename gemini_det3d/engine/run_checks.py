"""What would train or test something else than was asked, told before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

from gemini_det3d.engine.config_types import type_name
from gemini_det3d.engine.evaluator_checks import check_evaluator
from gemini_det3d.engine.exact.seeding import SampleKey
from gemini_det3d.engine.grid_checks import check_anchors, check_grid
from gemini_det3d.engine.leaf_datasets import leaf_configs
from gemini_det3d.engine.pipeline_checks import check_pipelines
from gemini_det3d.engine.resume_checks import check_optimizer, kept_settings, rates
from gemini_det3d.engine.same_classes import check_data, check_trained_classes
from gemini_det3d.engine.same_model import model_differences
from gemini_det3d.engine.same_streams import (
    Domains,
    check_domains,
    check_modalities,
    check_read_modalities,
    check_trained_domains,
)
from gemini_det3d.formats import FormatError
from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register

_ON_OTHER_RATE = ("error", "warn")
_RATE_TOLERANCE = 1e-6
_TAKERS = ("ModalityDropout", "RobustTrainingHook")


@register(HOOKS)
class RunChecksHook(Hook):
    """Refuses data, a head or a checkpoint that do not mean what the others say.

    Args:
        on_other_rate: What to do when a run is resumed whose config gives another learning rate
            (another batch size under ``auto_scale_lr``, for example): mmengine keeps the rate of
            the checkpoint in silence. 'error', or 'warn' and keep it.

    Raises:
        ValueError: ``on_other_rate`` is another word.
    """

    priority = "VERY_HIGH"

    def __init__(self, on_other_rate: str = "error") -> None:
        if on_other_rate not in _ON_OTHER_RATE:
            raise ValueError(f"on_other_rate={on_other_rate!r} must be one of {_ON_OTHER_RATE}")
        self.on_other_rate = on_other_rate
        self._classes: tuple[str, ...] | None = None
        self._domains: Domains | None = None

    def before_run(self, runner: Runner) -> None:
        """Compare classes and domains of all data sets and the head's, and look at the pipelines.

        Raises:
            FormatError: They are others, or in another order; steps do not go together; an
                evaluator lacks its files; or processes would wait for ever.
        """
        loops = {name: getattr(runner, f"_{name}_loop") for name in ("train", "val", "test")}
        built = {
            f"{name}_dataloader": loop.dataloader.dataset
            for name, loop in loops.items()
            if isinstance(loop, BaseLoop)
        }
        model = bare_model(runner.model)
        self._classes, self._domains = check_data(built, model), check_domains(built)
        check_read_modalities(built, model)
        check_pipelines(built, model)
        check_grid(runner.cfg.get("model") or {})
        check_anchors(model)
        for name in ("val", "test"):
            if f"{name}_dataloader" in built:
                evaluator = runner.cfg.get(f"{name}_evaluator")
                check_evaluator(evaluator, built[f"{name}_dataloader"])
        if built.get("train_dataloader") is not None:
            check_synced_norms(runner.cfg, get_world_size())

    def before_train(self, runner: Runner) -> None:
        """Look at the rates, and read a sample of the validation before the first epoch.

        Raises:
            FormatError: Nothing would be learned, or a pipeline or file cannot be used.
        """
        check_rates(runner.optim_wrapper)
        for words in unused_keys(runner.cfg.get("optim_wrapper"), bare_model(runner.model)):
            runner.logger.warning(words)
        if runner.val_loop is not None and len(runner.val_loop.dataloader.dataset):
            runner.val_loop.dataloader.dataset[SampleKey(0, runner.shared_seed, 0)]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare what the checkpoint states with the config.

        Raises:
            FormatError: Modalities, classes or domains are others, or in another order, or a
                resumed run has another optimiser, or would keep another learning rate than the
                config's.
        """
        name = runner._load_from or "the checkpoint"
        check_modalities(checkpoint, getattr(bare_model(runner.model), "modalities", None), name)
        is_start = not runner._resume and isinstance(runner._train_loop, BaseLoop)
        self._check_trained(runner, checkpoint, name, may_differ=is_start)
        meta, model = checkpoint.get("meta") or {}, runner.cfg.get("model") or {}
        other = None if is_start else model_differences(meta, model, name)
        if other:
            runner.logger.warning(f"{name}: {other}")
        if runner._resume and "optimizer" in checkpoint:
            check_optimizer(checkpoint, runner.optim_wrapper, name)
            self._check_rate(runner, checkpoint["optimizer"], name)
            for words in kept_settings(runner, checkpoint):
                runner.logger.warning(f"{name}: a resumed run {words}")

    def _check_trained(self, runner: Runner, checkpoint: dict, name: Any, may_differ: bool) -> None:
        """Compare classes and domains; a training that starts anew may have others."""
        for check, ours, effect in (
            (check_trained_classes, self._classes, "a head in it starts with other labels"),
            (check_trained_domains, self._domains, "a stream in it starts with another domain"),
        ):
            try:
                check(checkpoint, ours, name)
            except FormatError as error:
                if not may_differ:
                    raise
                runner.logger.warning(f"{error}; {effect}")

    def _check_rate(self, runner: Runner, optimizer: Any, name: Any) -> None:
        before, now = list(rates(optimizer)), list(rates(runner.optim_wrapper))
        pairs = [(b, n) for b, n in zip(before, now) if abs(b - n) > _RATE_TOLERANCE * abs(b)]
        if not pairs:
            return
        fault = (
            f"was trained with a learning rate of {pairs[0][0]:g}, the config gives "
            f"{pairs[0][1]:g} (another batch size under auto_scale_lr?); a resumed run keeps the "
            "checkpoint's"
        )
        if self.on_other_rate == "warn":
            runner.logger.warning(f"{name}: {fault}")
            return
        remedy = "default_hooks.run_checks.on_other_rate=warn accepts that, load_from starts anew"
        raise FormatError(name, f"{fault}: {remedy}")


def check_steps(loader: DataLoader, batch_size: int | None) -> None:
    """Refuse a training whose epochs have no step.

    Raises:
        FormatError: It gives no batch.
    """
    if len(loader) == 0:
        count, size = len(loader.dataset), f" of {batch_size}" if batch_size else ""  # type: ignore
        fault = f"{count} frames make no batch{size} with drop_last=True: nothing to train on"
        raise FormatError("train_dataloader", fault)


def check_rates(wrapper: Any) -> None:
    """Refuse a training whose steps change nothing.

    Args:
        wrapper: What wraps the optimiser, or several.

    Raises:
        FormatError: All learning rates, or all gradients, are made zero.
    """
    given = list(rates(wrapper))
    if given and not any(given):
        raise FormatError("optim_wrapper", "every learning rate is 0: nothing would be learned")
    for name, part in getattr(wrapper, "optim_wrappers", {"": wrapper}).items():
        clip = getattr(part, "clip_grad_kwargs", None) or {}
        limit = clip.get("max_norm", clip.get("clip_value", 1))
        if not limit > 0:
            key = ".".join(filter(None, ("optim_wrapper", name, "clip_grad")))
            raise FormatError(key, f"gradients are cut to {limit:g}: nothing would be learned")


def unused_keys(config: Any, model: nn.Module, path: str = "optim_wrapper") -> list[str]:
    """What ``custom_keys`` of an optimiser's config name in vain: mmengine passes over them.

    Args:
        config: Of one optimiser or several.
        model: Whose parameters are trained.
        path: Where the config stands.

    Returns:
        A line for each key that is part of no parameter's name.
    """
    if not isinstance(config, Mapping):
        return []
    names = [name for name, _ in model.named_parameters()]
    found = []
    for key, value in config.items():
        if key == "custom_keys":
            vain = [word for word in value or () if not any(word in name for name in names)]
            found += [f"{path}.{key}: no parameter has {word!r} in its name" for word in vain]
        else:
            found += unused_keys(value, model, f"{path}.{key}")
    return found


def check_synced_norms(config: Mapping[str, Any], processes: int) -> None:
    """Refuse a detector's training whose processes would wait for each other for ever.

    A branch without data is not computed, so its norms never meet those of the other processes.

    Args:
        config: Of the run.
        processes: How many train together.

    Raises:
        FormatError: Norms are synchronised, and something takes sensors away.
    """
    if config.get("sync_bn") is None or processes < 2 or "decode_head" in config["model"]:
        return
    leaves = leaf_configs(config["train_dataloader"]["dataset"])
    parts = [step for leaf in leaves for step in leaf.get("pipeline") or ()]
    parts += [*(config.get("default_hooks") or {}).values(), *(config.get("custom_hooks") or ())]
    names = [type_name(part) for part in parts]
    taker = next((name for name in _TAKERS if name in names), None)
    if taker is not None:
        fault = f"norms of {processes} processes wait for each other, and {taker} takes the "
        raise FormatError("sync_bn", f"{fault}data of some from them: leave --sync_bn out")
