"""Which parameters a converted file must hold, told from the file itself or from a config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gemini_det3d.apis.config import read_config
from gemini_det3d.apis.trained_model import build_model

DETECTOR_CONFIG = "mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class"
NUM_STAGES = 4


def expected_shapes(state: Mapping[str, Tensor], layout: str) -> dict[str, torch.Size]:
    """Names and shapes of the model that a converted state belongs to.

    Args:
        state: Our names; shapes tell the architecture.
        layout: Name of the layout it was converted from.

    Raises:
        ValueError: The shapes fit no architecture.
        KeyError: A parameter that tells the architecture is missing.
    """
    if "KITTI" in layout:
        return config_shapes(DETECTOR_CONFIG)
    from mmdet3d.registry import MODELS

    import gemini_det3d.models  # noqa: F401

    is_whole = any(name.startswith("backbone.") for name in state)
    start = "backbone." if is_whole else ""
    backbone = _backbone_config({n[len(start) :]: t for n, t in state.items()
                                 if n.startswith(start)}, layout)  # fmt: skip
    with torch.device("meta"):
        if not is_whole:
            return _shapes(MODELS.build(backbone))
        head: dict[str, Any] = dict(type="SegFormerMLPHead", num_classes=1)
        if "decode_head.classify.weight" in state:
            classes, dim = state["decode_head.classify.weight"].shape[:2]
            head.update(num_classes=classes, embed_dim=dim)
        names = [f"m{m}" for m in range(backbone["num_modalities"])]
        return _shapes(
            MODELS.build(
                dict(type="FusionSegmentor", modalities=names, backbone=backbone, decode_head=head)
            )
        )


def config_shapes(config: str) -> dict[str, torch.Size]:
    """Names and shapes of a config's model.

    Raises:
        ConfigError: There is no such config.
    """
    import gemini_det3d.models  # noqa: F401

    return _shapes(build_model(read_config(config)))


def new_parameters(layout: str) -> list[tuple[str, str]]:
    """Parts of our names that files of a layout do not have, with the reason."""
    if not layout.startswith("ImageNet"):
        return []
    new = [(".operator.", "new: fusion starts at random"), (".hub.", "new: starts at random")]
    if "Swin" in layout:
        new.append(("norms.", "new: the classifier has no norm for each stage"))
    new += [(part, "new: starts at random") for part in ("decode_head.", "ensemble.")]
    return new


def check_known_architecture(state: Mapping[str, Tensor], layout: str) -> list[str]:
    """A remark where the blocks of each stage are those of no published encoder."""
    from gemini_det3d.models.backbones import mit, swin

    if "KITTI" in layout:
        return []
    start = "backbone." if any(name.startswith("backbone.") for name in state) else ""
    table = swin.ARCHITECTURES if "Swin" in layout else mit.ARCHITECTURES
    depths = _depths({n[len(start) :]: t for n, t in state.items() if n.startswith(start)})
    known = {tuple(entry[1]) for entry in table.values()}
    if depths in known:
        return []
    return [f"depths {depths} are those of no published encoder: is the file complete?"]


def _backbone_config(state: Mapping[str, Tensor], layout: str) -> dict[str, Any]:
    depths = _depths(state)
    if len(depths) != NUM_STAGES:
        raise ValueError(f"{len(depths)} stages, expected {NUM_STAGES}")
    embeds = [state[f"stages.{s}.embed.proj.weight"] for s in range(NUM_STAGES)
              if "Swin" not in layout or s == 0]  # fmt: skip
    norms = {n.split(".")[4] for n in state if n.startswith("stages.0.embed.norm.")}
    common = dict(depths=depths, num_modalities=len(norms), in_channels=embeds[0].shape[1])
    first = {s: f"stages.{s}.blocks.0." for s in range(NUM_STAGES)}
    dims = [state[f"{first[s]}mlp.fc1.weight"].shape[1] for s in range(NUM_STAGES)]
    common["mlp_ratio"] = state[f"{first[0]}mlp.fc1.weight"].shape[0] / dims[0]
    common["operator"] = dict(type="GeminiFusion", num_heads=1)
    if "Swin" in layout:
        tables = [state[f"{first[s]}attn.relative_position_bias_table"] for s in first]
        window = (round(tables[0].shape[0] ** 0.5) + 1) // 2
        heads = [table.shape[1] for table in tables]
        return dict(
            type="GeminiSwin", embed_dim=dims[0], num_heads=heads, window_size=window, **common
        )
    ratios = [
        weight.shape[-1] if (weight := state.get(f"{first[s]}attn.sr.weight")) is not None else 1
        for s in range(NUM_STAGES)
    ]
    kernels = [weight.shape[-1] for weight in embeds]
    return dict(type="GeminiMiT", dims=dims, num_heads=(1,) * NUM_STAGES, sr_ratios=ratios,
                patch_sizes=kernels, **common)  # fmt: skip


def _depths(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    last: dict[int, int] = {}
    for name in state:
        found = re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", name)
        if found:
            stage, block = map(int, found.groups())
            last[stage] = max(last.get(stage, 0), block + 1)
    return tuple(last.get(stage, 0) for stage in range(max(last, default=-1) + 1))


def _shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}
