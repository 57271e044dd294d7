"""A file that an encoder starts from must be that encoder's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.fusion import OPERATOR_KINDS
from gemini_det3d.models.backbones.layers import ModalityHub
from gemini_det3d.models.checkpoints import read_checkpoint
from gemini_det3d.models.checkpoints.loading import fit_state

if TYPE_CHECKING:
    from gemini_det3d.models.backbones.base import FusionBackbone


def check_pretrained(encoder: FusionBackbone, init_cfg: Any) -> None:
    """Refuse what mmengine's ``Pretrained`` would only log: parameters that keep random values.

    Args:
        encoder: The encoder that will be initialized.
        init_cfg: Its own; others than ``Pretrained`` of a local file are passed over.

    Raises:
        FormatError: The file cannot be read, lacks a parameter, or has it in another shape. What
            merges and fuses modalities may be missing, for classifiers are trained without, and
            so may norms that only the stage's output goes through (Swin).
    """
    if not isinstance(init_cfg, Mapping) or init_cfg.get("type") != "Pretrained":
        return
    path = os.fspath(init_cfg["checkpoint"])
    if "://" in path:
        return
    state = read_checkpoint(path)["state_dict"]
    prefix = init_cfg.get("prefix")
    if prefix:
        start = prefix.rstrip(".") + "."
        state = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    _, report = fit_state(encoder, state)
    new = [
        name
        for name, part in encoder.named_modules()
        if isinstance(part, (*OPERATOR_KINDS, ModalityHub))
    ]
    new += [f"stages.{i}.norms" for i, s in enumerate(encoder.stages) if not s.carries_norm]
    faults = report.faults(new, may_have_more=True)
    if faults:
        raise FormatError(path, f"init_cfg of {type(encoder).__name__}: {'; '.join(faults)}")
