"""Stock MVX-Net of mmdet3d beside ours (Sum, Gemini, the released form) on the same real frames.

They take turns in one process. On a CPU the stock one can do neither step nor prediction, for its
voxel pooling has CUDA kernels alone: its row says so. `--encoder` measures the voxel encoder with
its fusion alone, ours beside the released form, forward and backward.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from gemini_det3d.apis.config import ConfigError, mmdet3d_mim, read_config
from gemini_det3d.apis.devices import choose_device
from gemini_det3d.formats.tables import markdown_table

from .fusion.measure import peak_bytes
from .launches import build_model, training_batch

__all__ = ["LEAST_MEMORY", "LEAST_SPEED", "PARTS", "compare_encoders", "compare_models"]

BASELINE = "mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py"
OURS = "mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class"
PARTS = ("img_backbone", "img_neck", "pts_voxel_encoder", "pts_middle_encoder", "pts_backbone",
         "pts_neck", "pts_bbox_head")  # fmt: skip
LEAST_SPEED, LEAST_MEMORY = 3.0, 5.0
_OPERATOR = "model.pts_voxel_encoder.fusion_layer.operator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("data_root", help="KITTI, as `prepare kitti` leaves it")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=2, help="frames (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default 3)")
    parser.add_argument("--encoder", action="store_true", help="the voxel encoder alone")


def run(args: argparse.Namespace) -> int:
    """Measure, and print."""
    if args.rounds < 1 or args.batch < 1:
        raise ConfigError("--rounds and --batch: must be 1 or more")
    choose_device(args.device)
    batch = training_batch(read_config(OURS), args.data_root, args.batch)
    place = f"{args.batch} frames, {torch.get_num_threads()} threads, {args.device}"
    if args.encoder:
        model = build_model(read_config(OURS)).to(args.device).train()
        print(f"voxel encoder and point fusion, forward and backward, {place}")
        print("\n".join(encoder_lines(compare_encoders(model, batch, args.rounds))))
        return 0
    print(f"MVX-Net, ResNet-50, {place}")
    models = {name: make().to(args.device) for name, make in variants().items()}
    print("\n".join(model_lines(compare_models(models, batch, args.rounds))))
    return 0


def variants() -> dict[str, Callable[[], nn.Module]]:
    """How to build each of the four."""

    def ours(operator: str | None = None) -> nn.Module:
        config = read_config(OURS)
        if operator is not None:
            config.merge_from_dict({_OPERATOR: dict(type=operator, _delete_=True)})
        return build_model(config)

    def released() -> nn.Module:
        from .released_detector import as_released

        return as_released(ours())

    return {
        "mmdet3d": lambda: build_model(read_config(str(mmdet3d_mim() / "configs" / BASELINE))),
        "ours, SumFusion": lambda: ours("SumFusion"),
        "ours, GeminiFusion": ours,
        "released form": released,
    }


def compare_models(models: dict[str, nn.Module], batch: dict, rounds: int) -> dict[str, dict]:
    """Milliseconds of steps and predictions, in turns, with parts and peak memory.

    Args:
        models: By name.
        batch: Collated frames of a training set.
        rounds: Timed, after one that is not.

    Returns:
        Name -> step and predict in ms, peak_mib of a step, parts in ms (forward of a step); or
        failed, why it could not.
    """
    found: dict[str, dict] = {name: {"step": [], "predict": [], "parts": []} for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            if "failed" in found[name]:
                continue
            try:
                times = _one_round(model, batch)
            except Exception as error:  # whatever an operator without a kernel raises
                found[name] = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
                continue
            if turn:
                for key, value in times.items():
                    found[name][key].append(value)
    for name, seen in found.items():
        if "failed" not in seen:
            parts = {part: median(run[part] for run in seen["parts"]) for part in PARTS}
            peak = peak_bytes(lambda model=models[name]: _step(model, batch), _device(models[name]))
            means = {key: median(seen[key]) for key in ("step", "predict")}
            found[name] = {**means, "parts": parts, "peak_mib": peak / 2**20}
    return found


def compare_encoders(model: nn.Module, batch: dict, rounds: int) -> dict[str, dict]:
    """Our voxel encoder and the released form of it, in turns, forward and backward.

    Returns:
        "ours" and "released" -> ms, peak_mib and error: the largest difference of the voxels'
        features from ours, in units of their root mean square.
    """
    from .released_detector import ReleasedVoxelEncoder

    with torch.no_grad():
        data = model.data_preprocessor(copy.deepcopy(batch), True)
        metas = [sample.metainfo for sample in data["data_samples"]]
        maps = model.extract_img_feat(data["inputs"]["imgs"], metas)
    voxels, points = data["inputs"]["voxels"], data["inputs"]["points"]
    coors = voxels["coors"]
    inside = (coors >= 0).all(dim=1)
    kept = [p[k] for p, k in zip(points, inside.split([len(p) for p in points]))]
    ways = {"ours": model.pts_voxel_encoder}
    ways["released"] = ReleasedVoxelEncoder(model.pts_voxel_encoder)

    def forward(way: nn.Module) -> torch.Tensor:
        image = [level.detach().requires_grad_() for level in maps]
        return way(voxels["voxels"][inside], coors[inside], kept, image, metas)[0]

    towards = torch.randn_like(forward(ways["ours"]).detach())

    def once(way: nn.Module) -> torch.Tensor:
        found = forward(way)
        found.backward(towards)
        return found.detach()

    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            elapsed = _timed(lambda way=way: once(way), _device(model))
            if turn:
                times[name].append(elapsed)
    model.eval()  # the same statistics for both
    results = {name: once(way.eval()) for name, way in ways.items()}
    model.train()
    scale = float(results["ours"].square().mean().sqrt())
    return {
        name: {
            "ms": median(times[name]),
            "peak_mib": peak_bytes(lambda way=way: once(way.train()), _device(model)) / 2**20,
            "error": float((results[name] - results["ours"]).abs().max()) / scale,
        }
        for name, way in ways.items()
    }


def encoder_lines(found: dict[str, dict]) -> list[str]:
    """A table and whether the goals hold."""
    rows = [[name, row["ms"], row["peak_mib"], row["error"]] for name, row in found.items()]
    ours, released = found["ours"], found["released"]
    ratios = released["ms"] / ours["ms"], released["peak_mib"] / ours["peak_mib"]
    goals = zip(("time", "memory"), ratios, (LEAST_SPEED, LEAST_MEMORY))
    return [
        markdown_table(["form", "ms", "peak MiB", "largest difference"], rows),
        *(f"{what}: {ratio:.1f} x, goal {goal:g}: {'held' if ratio >= goal else 'missed'}"
          for what, ratio, goal in goals),
    ]  # fmt: skip


def model_lines(found: dict[str, dict]) -> list[str]:
    """Tables of what could run, and a line for what could not."""
    ran = {name: row for name, row in found.items() if "failed" not in row}
    lines = [f"{name}: cannot run here ({row['failed']})" for name, row in found.items()
             if "failed" in row]  # fmt: skip
    head = ["model", "step, ms", "prediction, ms", "peak of a step, MiB", *PARTS]
    rows = [
        [name, row["step"], row["predict"], row["peak_mib"], *(row["parts"][p] for p in PARTS)]
        for name, row in ran.items()
    ]
    return [*lines, markdown_table(head, rows)]


def _one_round(model: nn.Module, batch: dict) -> dict[str, Any]:
    device = _device(model)
    parts = dict.fromkeys(PARTS, 0.0)
    hooks = [hook for name in PARTS for hook in _watch(getattr(model, name), name, parts, device)]
    try:
        _step(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    step = _timed(lambda: _step(model, batch), device)
    model.eval()
    with torch.no_grad():
        predict = _timed(lambda: model.test_step(copy.deepcopy(batch)), device)
    return {"step": step, "predict": predict, "parts": parts}


def _watch(module: nn.Module, name: str, parts: dict[str, float], device: str) -> list:
    """Hooks that add the time of a module's forward to the parts."""

    def before(*_) -> None:
        parts[name] -= _now(device) * 1e3

    def after(*_) -> None:
        parts[name] += _now(device) * 1e3

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _step(model: nn.Module, batch: dict) -> None:
    """Forward and backward; parameters stay as they are."""
    model.train()
    model.zero_grad(set_to_none=True)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    model.parse_losses(model(**data, mode="loss"))[0].backward()


def _timed(call: Callable[[], object], device: str) -> float:
    start = _now(device)
    call()
    return (_now(device) - start) * 1e3


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return perf_counter()


def _device(model: nn.Module) -> str:
    return next(model.parameters()).device.type
