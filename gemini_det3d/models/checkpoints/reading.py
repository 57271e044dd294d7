"""Checkpoints of any training program: their parameters, and the plain data beside them."""

from __future__ import annotations

import os

from gemini_det3d.formats.torch_files import read_torch_file, without_stand_ins
from gemini_det3d.models.checkpoints.wrappers import find_parameters, without_wrappers


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Read a checkpoint of any training program without running what it says.

    Args:
        path: A ``.safetensors`` file, or a pickle of PyTorch.

    Returns:
        ``state_dict`` (names -> tensors, on the CPU, without the prefixes of wrappers), ``meta``
        (plain data; empty where there is none), and whatever else the file holds of tensors and
        plain data. Log histories and numpy values are left out.

    Raises:
        FormatError: It cannot be read, is cut off, names something that is neither a tensor nor
            plain data, or holds no parameters.
    """
    loaded = without_stand_ins(read_torch_file(path))
    state = find_parameters(loaded, path)
    checkpoint = dict(loaded) if "state_dict" in loaded else {"meta": loaded.get("meta")}
    if not isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"] = {}
    return {**checkpoint, "state_dict": without_wrappers(state)}
