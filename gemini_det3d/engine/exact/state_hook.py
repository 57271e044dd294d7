"""What a checkpoint of mmengine lacks for an exact resume, and the seeds of each step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from gemini_det3d.engine.exact.frames import frame_marks
from gemini_det3d.engine.exact.order import store_order
from gemini_det3d.engine.exact.seeding import EVALUATION, STEP, seed_process
from gemini_det3d.engine.module_optimizers import wrappers_of
from gemini_det3d.engine.resume_checks import optimizer_classes
from gemini_det3d.engine.same_buffers import average_buffers
from gemini_det3d.engine.something_to_learn import SomethingToLearnHook
from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register

STATE = "exact_state"
"""Key of a checkpoint."""


@register(HOOKS)
class ExactStateHook(Hook):
    """Sets the generators before each step and adds to checkpoints what mmengine leaves out.

    All processes validate, and go on after a checkpoint, with the same buffers: `average_buffers`.

    What it leaves out is the seeds, the place within the epoch, the counters of gradient
    accumulation and the gradients gathered so far, and the memory of ``EarlyStoppingHook`` and
    `SomethingToLearnHook`. The order of the samples is stored, too, see `store_order`.
    `ExactRunner` adds this hook by itself.
    """

    priority = "HIGHEST"
    _stored: int | None = None  # the pass whose order is in the run's folder
    _marks: dict[str, str] | None = None  # of the frames, once they are known

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the generators: what a step draws depends on its number and process alone."""
        loop = runner.train_loop
        if loop.pass_number != self._stored:
            store_order(runner.work_dir, loop.batches, loop.pass_number, runner.logger.warning)
            self._stored = loop.pass_number
        seed_process(runner.shared_seed, STEP, get_rank(), runner.iter)

    def before_val_epoch(self, runner: Runner) -> None:
        """All processes test the same model."""
        average_buffers(runner)

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The same for a batch of the validation, in every validation alike."""
        seed_process(runner.shared_seed, EVALUATION, get_rank(), batch_idx)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The same for a batch of the test."""
        seed_process(runner.shared_seed, EVALUATION, get_rank(), batch_idx)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the state."""
        if self._marks is None:
            self._marks = frame_marks(runner.train_loop.dataloader.dataset)
        state = training_state(runner, checkpoint["meta"])
        checkpoint[STATE] = {**state, "frame_marks": self._marks}


def training_state(runner: Runner, meta: dict) -> dict:
    """Plain data and tensors; see `ExactStateHook`.

    Args:
        runner: The runner, at the end of a step, an epoch or a validation.
        meta: The checkpoint's ``epoch`` and ``iter``: what is done when it is loaded.
    """
    loop = runner.train_loop
    within = meta["iter"] - loop.epoch_begin if meta["epoch"] == loop.epoch else 0
    return dict(
        run=runner.run_id,
        seed=runner.shared_seed,
        order_seed=getattr(loop.batches.order, "seed", None),
        world_size=get_world_size(),
        batches_done=within,
        batches_per_epoch=len(loop.batches),
        num_samples=len(loop.dataloader.dataset),
        optimizers=optimizer_classes(runner.optim_wrapper),
        accumulative_counts=gathered_steps(runner),
        inner_counts={name: w._inner_count for name, w in wrappers_of(runner.optim_wrapper)},
        gradients={name: p.grad.cpu() for name, p in _parameters(runner) if p.grad is not None},
        stopped=loop.stop_training,
        hooks=[memory for hook in runner.hooks if (memory := _memory_of(hook))],
    )


def restore_state(runner: Runner, state: dict) -> None:
    """Put everything back, but for the weights and what mmengine puts back itself."""
    loop = runner.train_loop
    runner.shared_seed = state["seed"]
    for each in (loop, runner.val_loop):
        if each is not None:
            batches = each.dataloader.batch_sampler
            batches.set_seed(state["seed"], state["order_seed"] if each is loop else None)
    device = next(runner.model.parameters()).device
    gradients = state["gradients"]
    for name, parameter in _parameters(runner):
        parameter.grad = gradients[name].to(device) if name in gradients else None
    memories = list(state["hooks"])
    for hook in runner.hooks:
        own = next((m for m in memories if m and m.keys() == _memory_of(hook).keys()), None)
        if own is not None:
            memories.remove(own)
            _remind(hook, own)
            # Stopped by the validation that the checkpoint was written after.
            stopped = isinstance(hook, EarlyStoppingHook) and state.get("stopped", False)
            loop.stop_training = loop.stop_training or stopped


def gathered_steps(runner: Runner) -> dict[str, int]:
    """Of how many steps each optimiser gathers gradients."""
    return {name: w._accumulative_counts for name, w in wrappers_of(runner.optim_wrapper)}


def restore_counts(runner: Runner, counts: dict[str, int]) -> None:
    """Put the counters of gradient accumulation back."""
    for name, wrapper in wrappers_of(runner.optim_wrapper):
        wrapper._inner_count = counts.get(name, wrapper._inner_count)


def _memory_of(hook: Hook) -> dict[str, Any]:
    """What a hook knows from earlier steps or validations."""
    if isinstance(hook, EarlyStoppingHook):
        return {"wait_count": hook.wait_count, "best_score": hook.best_score}
    return hook.memory() if isinstance(hook, SomethingToLearnHook) else {}


def _remind(hook: Hook, memory: dict[str, Any]) -> None:
    if isinstance(hook, SomethingToLearnHook):
        hook.remember(memory)
    else:
        vars(hook).update(memory)


def _parameters(runner: Runner) -> Iterator[tuple[str, nn.Parameter]]:
    model = bare_model(runner.model)
    yield from model.named_parameters()
