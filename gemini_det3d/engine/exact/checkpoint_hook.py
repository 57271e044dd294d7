"""mmengine's checkpoint hook, with nothing deleted before what replaces it lies on the disk."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from gemini_det3d.engine.exact.checkpoint_files import (
    POINTER,
    clear_away,
    remove_checkpoint,
)
from gemini_det3d.engine.same_buffers import average_buffers
from gemini_det3d.engine.training_errors import TrainingError
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.files import write_whole
from gemini_det3d.models.bare import bare_model
from gemini_det3d.registration import register

_SAVE_BEST = "default_hooks.checkpoint.save_best"
SUPERSEDED = "superseded"
"""Key of a checkpoint: names of the files that go when it is there, if there is time for it."""


class _LaterDeletions:
    """A storage backend that notes what it is told to delete."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self._backend = backend
        self.noted: list[str] = []

    def remove(self, path: str) -> None:
        self.noted.append(str(path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


@register(HOOKS)
class WholeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` for `ExactRunner`, which puts it in that one's place.

    It takes the same arguments and keeps the same files. It is the last of all hooks, so what is
    stored knows what the others made of a step or a validation. Old checkpoints go when the new one
    is on the disk; the file that names the newest is replaced as a whole; what a killed process
    left behind is cleared away.
    """

    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder; a run that goes on knows its last checkpoint."""
        super().before_train(runner)
        if runner._resume:
            self.last_ckpt = runner.message_hub.runtime_info.get("last_ckpt", self.last_ckpt)
        if Path(self.out_dir).is_dir() and is_main_process():
            clear_away(self.out_dir)
        self.file_backend = _LaterDeletions(self.file_backend)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note in the checkpoint what goes once it is there.

        Raises:
            TrainingError: A parameter is not finite, so nothing could be done with the file.
        """
        trained = dict(bare_model(runner.model).named_parameters())  # a mask may be infinite
        lost = [
            name
            for name, value in checkpoint["state_dict"].items()
            if torch.isnan(value).any() or (name in trained and torch.isinf(value).any())
        ]
        if lost:
            names = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
            raise TrainingError(
                f"{len(lost)} parameters are NaN or infinite after iteration {runner.iter} "
                f"({names}): the training diverged, and no checkpoint of it is written; "
                "default_hooks.finite_loss.type=FiniteLossHook names the step and its samples"
            )
        checkpoint[SUPERSEDED] = [Path(path).name for path in self.file_backend.noted]

    def after_load_checkpoint(self, runner: Runner, checkpoint: Mapping) -> None:
        """Delete what the process that wrote it had no time to delete."""
        names = checkpoint.get(SUPERSEDED)
        if not runner._resume or not is_main_process() or not isinstance(names, list):
            return
        folder = Path(self.out_dir or runner.work_dir)
        self._remove(folder, (name for name in names if isinstance(name, str)))

    def _remove(self, folder: Path, names: Iterable[str]) -> None:
        """Of the names, those that this hook gives, and in its folder: a checkpoint told them."""
        literal = re.split(r"\{[^}]*\}", self.filename_tmpl)
        pattern = "*".join(map(glob.escape, literal))
        ours = {path.name for path in (*folder.glob(pattern), *folder.glob(f"best_*{pattern}"))}
        for name in ours.intersection(names):
            remove_checkpoint(folder / name)

    def _save_checkpoint(self, runner: Runner) -> None:
        """As the super class does it; all processes go on with what is stored of the first one."""
        average_buffers(runner)
        super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """As the super class does it, in another order."""
        self._make_room(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_whole(Path(runner.work_dir) / POINTER, self.last_ckpt, durable=True)
        self._delete_noted()

    def _make_room(self, runner: Runner, step: int) -> None:
        """Note the checkpoint that is one too many from now on."""
        kept = getattr(self, "keep_ckpt_ids", None)
        if self.max_keep_ckpts <= 0 or kept is None or step in list(kept)[-1:]:
            return
        if len(kept) == self.max_keep_ckpts:
            path = self.filename_tmpl.format(kept.popleft())
            self.file_backend.remove(self.file_backend.join_path(self.out_dir, path))
        kept.append(step)
        runner.message_hub.update_info("keep_ckpt_ids", list(kept))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """As the super class's.

        Raises:
            FormatError: The evaluation gives no such figure, or mmengine cannot say what is better.
        """
        wanted = self.key_indicators if self.save_best else []
        absent = [name for name in wanted if name != "auto" and name not in metrics]
        if absent or wanted and not metrics:
            found = ", ".join(metrics) or "none"
            raise FormatError(_SAVE_BEST, f"no figure {(absent or wanted)[0]}; there are {found}")
        try:
            super()._save_best_checkpoint(runner, metrics)
        except ValueError as error:  # 'auto', of a name that mmengine has no rule for
            raise FormatError(_SAVE_BEST, f"{error} (rule=greater or rule=less)") from error
        self._delete_noted()

    def _delete_noted(self) -> None:
        noted, self.file_backend.noted = self.file_backend.noted, []
        best = getattr(self, "best_ckpt_path", None), getattr(self, "best_ckpt_path_dict", {})
        in_use = {Path(path).name for path in (self.last_ckpt, best[0], *best[1].values()) if path}
        if is_main_process():
            self._remove(Path(self.out_dir), {Path(path).name for path in noted} - in_use)
