"""mmengine's `load_from`, `test` and `resume`: read by our reader, loaded whole or refused.

mmengine loads what fits and logs the rest; with another architecture, a wrapper around the names or
sparse weights in spconv 1's layout a training or a test goes on with random parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader, Runner

from gemini_det3d.engine.safe_globals import openmmlab_globals
from gemini_det3d.formats.torch_files import read_torch_file
from gemini_det3d.models.bare import bare_model
from gemini_det3d.models.checkpoints import (
    check_report,
    find_parameters,
    fit_state,
)
from gemini_det3d.registration import register

_KEY = "default_hooks.checked_loading.allow_missing"
_REMEDY = f"--allow-missing NAME (--cfg-options {_KEY}=[NAME]) lets them differ"
_WHOLE = "a resumed run needs all of them; load_from starts anew"


@register(HOOKS)
class CheckedLoadingHook(Hook):
    """Loads a checkpoint into the runner's model as a whole, or stops the run.

    Wrappers around the parameters and their names are understood, sparse weights are taken in
    either layout. A training that starts from a file (`load_from`) may leave some of the file's
    parameters; a test and a resumed training may not.

    Args:
        allow_missing: Names of parameters, or starts of names at a dot or underscore, that only
            the file or only the model may have, or that may differ in shape; the model's keep
            their values. Not for a resumed training, which goes on as it was.
        starts_anew: Names of the same kind that a file need not have which a training starts from.
    """

    # Before EMAHook, which takes the parameters for the averaged model as it finds them.
    priority = "VERY_HIGH"

    def __init__(self, allow_missing: Sequence[str] = (), starts_anew: Sequence[str] = ()) -> None:
        self.allow_missing = tuple(allow_missing)
        self.starts_anew = tuple(starts_anew)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the parameters under `state_dict`, fitted to the model.

        Raises:
            FormatError: Model and file do not belong together.
        """
        path = runner._load_from or f"{runner.work_dir}/last_checkpoint"
        is_start = _is_training(runner) and not runner._resume
        allowed = () if runner._resume else self.allow_missing
        found = find_parameters(checkpoint, path)
        model = bare_model(runner.model)
        state, report = fit_state(model, found)
        check_report(
            report,
            found,
            path,
            allow_missing=allowed + (self.starts_anew if is_start else ()),
            may_have_more=is_start,
            remedy=_WHOLE if runner._resume else _REMEDY,
        )
        runner.logger.info(f"{path}: {report.text()}")
        if "state_dict" not in checkpoint:  # parameters at the top, or under another name
            checkpoint.clear()
        checkpoint["state_dict"] = state


def read_for_runner(path: str, map_location: Any = None) -> Any:
    """A local file for mmengine's loops: nothing in it is run, whatever the version of torch.

    Raises:
        FormatError: It cannot be read, or could run code.
    """
    return read_torch_file(path, openmmlab_globals(), map_location)


def use_our_reader() -> None:
    """Let mmengine read local checkpoints by :func:`read_for_runner`, by its own register."""
    CheckpointLoader.register_scheme("", read_for_runner, force=True)


def _is_training(runner: Runner) -> bool:
    """Whether ``runner.train()`` was called: only then there is a loop and not its config."""
    return runner._train_loop is not None and not isinstance(runner._train_loop, dict)
