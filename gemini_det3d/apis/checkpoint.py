"""What commands ask of checkpoints; names of earlier releases for `models.checkpoints`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from gemini_det3d.models.checkpoints import load_parameters
from gemini_det3d.models.checkpoints import read_checkpoint as load_checkpoint_safely

__all__ = [
    "add_allow_missing",
    "allow_missing",
    "allowed_missing",
    "load_checkpoint_safely",
    "load_parameters",
]


def add_allow_missing(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow-missing``, without which a checkpoint is loaded whole or not at all."""
    parser.add_argument(
        "--allow-missing",
        action="append",
        default=[],
        metavar="NAME",
        help="a parameter, or the start of names, that only the checkpoint or only the model may "
        "have, or that may differ in shape; may be given again",
    )


def allow_missing(config: Any, names: Sequence[str]) -> None:
    """Write down in a config what checkpoints of it may lack, as its tests read it.

    Args:
        config: An mmengine config, changed in place.
        names: Of ``--allow-missing``; none change nothing.
    """
    if names:
        hook = dict(type="CheckedLoadingHook", allow_missing=list(names))
        config.merge_from_dict({"default_hooks": {"checked_loading": hook}})


def allowed_missing(config: Any) -> tuple[str, ...]:
    """What a config says that checkpoints of it may lack: its CheckedLoadingHook's."""
    hook = config.get("default_hooks", {}).get("checked_loading") or {}
    return tuple(hook.get("allow_missing", ()))
