"""What works on this machine, found out by running it, and how to mend what does not."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata

VERSIONS = {  # tested together; see tools/constraints.txt
    "torch": "2.13.0",
    "numpy": "1.26.4",
    "mmengine": "0.10.7",
    "mmcv": "2.1.0",
    "mmdet": "3.3.0",
    "mmdet3d": "1.4.0",
    "spconv": "2.3.8",
    "numba": None,
}
# Versions that cannot work, whatever else is installed: (package, first bad one, why).
REFUSED = {
    "mmcv": ("2.2", "mmdet3d 1.4 refuses mmcv 2.2 and newer: pip install mmcv==2.1.0"),
    "numpy": ("2", "mmdet3d 1.4 needs numpy below 2: pip install 'numpy<2'"),
}
BUILD_MMCV = (
    "pip install psutil ninja 'setuptools<81' && "
    "MMCV_WITH_OPS=1 pip install --no-build-isolation --force-reinstall --no-deps mmcv==2.1.0"
)


@dataclass(frozen=True)
class Row:
    """One line of the report; ``ok`` None means that it does not apply here."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options: the point is that it just runs."""
    del parser


def run(args: argparse.Namespace | None = None) -> int:
    """Print the report; exit code 1 when a row failed."""
    del args
    rows = list(diagnose())
    print(f"Python {platform.python_version()} on {platform.machine()} {platform.system()}\n")
    for row in rows:
        mark = {True: "ok    ", False: "FAILED", None: "-     "}[row.ok]
        print(f"{mark}  {row.name:<34} {row.detail}")
        if row.ok is False and row.fix:
            print(f"        fix: {row.fix}")
    failed = sum(row.ok is False for row in rows)
    print(f"\n{'Everything works.' if not failed else f'{failed} of {len(rows)} rows failed.'}")
    return int(failed > 0)


def diagnose() -> Iterator[Row]:
    """Yield a row per package and per capability; never raises."""
    for package in VERSIONS:
        yield _version_row(package)
    for name, check, fix in CHECKS:
        yield _check_row(name, check, fix)
    yield from _cuda_rows()


def _version_row(package: str) -> Row:
    try:
        found = _installed(package)
    except metadata.PackageNotFoundError:
        pin = f"=={VERSIONS[package]}" if VERSIONS[package] else ""
        fix = BUILD_MMCV if package == "mmcv" else f"pip install {package}{pin}"
        return Row(package, False, "not installed", fix)
    refused = REFUSED.get(package)
    if refused and _numbers(found) >= _numbers(refused[0]):
        return Row(package, False, found, refused[1])
    tested = VERSIONS[package]
    same = tested is None or _numbers(found) == _numbers(tested)
    return Row(package, True, found if same else f"{found} (tested with {tested})")


def _installed(package: str) -> str:
    if package != "spconv":
        return metadata.version(package)
    names = {d.metadata["Name"] for d in metadata.distributions()}  # spconv, spconv-cu120, ...
    matches = sorted(n for n in names if n and (n == "spconv" or n.startswith("spconv-cu")))
    if not matches:
        raise metadata.PackageNotFoundError(package)
    return f"{metadata.version(matches[0])}"


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int(p) for p in parts if p.isdigit())


def _check_row(name: str, check: Callable[[], str], fix: str) -> Row:
    try:
        return Row(name, True, check())
    except Exception as error:  # noqa: BLE001 (the report must go on, whatever is broken)
        return Row(name, False, f"{type(error).__name__}: {str(error).splitlines()[0][:90]}", fix)


def _mmcv_ops() -> str:
    import torch
    from mmcv.ops import nms_rotated

    boxes = torch.tensor([[0.0, 0, 2, 2, 0], [0, 0, 2, 2, 0.01], [9, 9, 2, 2, 0]])
    kept = nms_rotated(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1]
    assert kept.tolist() == [0, 2], f"rotated NMS kept {kept.tolist()} instead of [0, 2]"
    return "rotated NMS runs on CPU"


def _scatter(device: str = "cpu") -> str:
    import torch

    from gemini_det3d.ops import dynamic_scatter

    features = torch.tensor([[1.0], [3.0], [2.0]], device=device, requires_grad=True)
    coors = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], device=device).int()
    pooled, _ = dynamic_scatter(features, coors, "max")
    pooled.sum().backward()
    assert sorted(pooled.flatten().tolist()) == [2, 3], "wrong maxima"
    assert features.grad.flatten().tolist() == [0, 1, 1], "wrong gradient"
    return "forward and backward"


def _spconv(device: str = "cpu") -> str:
    import torch
    import torch.nn.functional as F

    from gemini_det3d.ops import enable_spconv_on_cpu

    if not enable_spconv_on_cpu():
        raise ImportError("spconv is not installed")
    import spconv.pytorch as spconv

    conv = spconv.SubMConv3d(2, 3, 3, padding=1, bias=False).to(device)
    cells = torch.cartesian_prod(*[torch.arange(3)] * 3).int()  # a full 3 x 3 x 3 grid
    coors = torch.nn.functional.pad(cells, (1, 0)).to(device)
    features = torch.randn(27, 2, device=device, requires_grad=True)
    sparse = conv(spconv.SparseConvTensor(features, coors, [3, 3, 3], 1)).features
    dense = features.detach().T.reshape(1, 2, 3, 3, 3).requires_grad_()
    expected = F.conv3d(dense, conv.weight.detach().permute(0, 4, 1, 2, 3), padding=1)
    torch.testing.assert_close(sparse.T.reshape(expected.shape), expected, rtol=1e-3, atol=1e-4)
    sparse.square().sum().backward()
    expected.square().sum().backward()
    grad = features.grad.T.reshape(dense.shape)
    torch.testing.assert_close(grad, dense.grad, rtol=1e-2, atol=1e-3)
    return "forward and backward equal dense convolution"


def _plugin() -> str:
    from mmdet3d.registry import MODELS

    import_module("gemini_det3d.plugin")  # as a config does
    MODELS.build(dict(type="GeminiFusion", dim=16))
    return "registered in mmdet3d"


def _operator(device: str = "cpu") -> str:
    import torch

    from gemini_det3d.fusion import GeminiFusion

    fusion = GeminiFusion(16).to(device)
    first, second = torch.randn(2, 5, 16, device=device, requires_grad=True)
    sum(out.square().sum() for out in fusion(first, second)).backward()
    assert all(p.grad.isfinite().all() for p in fusion.parameters()), "gradients are not finite"
    few, many = (fusion.explain(*torch.empty(2, n, 16, device=device)).form for n in (1, 9999))
    return f"forward and backward; few tokens by {few}, many by {many}"


def _kitti_evaluation() -> str:
    import numpy as np

    from gemini_det3d.evaluation.functional import evaluate_kitti
    from gemini_det3d.formats.kitti import Objects

    truth = Objects(
        name=np.array(["Car"]),
        truncated=np.zeros(1),
        occluded=np.zeros(1, dtype=int),
        alpha=np.zeros(1),
        bbox=np.array([[100.0, 100, 200, 180]]),
        dimensions=np.array([[1.5, 1.6, 3.9]]),
        location=np.array([[1.0, 1.7, 12.0]]),
        rotation_y=np.array([0.3]),
        score=None,
    )
    found = Objects(**{**vars(truth), "score": np.ones(1)})
    values = evaluate_kitti([truth], [found], ["Car"]).as_dict()
    car = next(v for k, v in values.items() if k.startswith("Car/3d_AP40_moderate"))
    assert car == 100, f"truth fed as detections gives {car} instead of 100"
    return "truth fed as detections gives 100.00"


def _tools() -> str:
    from gemini_det3d.apis.config import config_root, mmdet3d_mim

    count = sum("_base_" not in p.parts for p in config_root().rglob("*.py"))
    assert count, f"no config under {config_root()}"
    return f"mmdet3d's tools at {mmdet3d_mim() / 'tools'}, {count} configs of ours"


CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("mmcv ops", _mmcv_ops, BUILD_MMCV),
    ("fusion operator on CPU", _operator, "pip install --force-reinstall torch"),
    ("plug-in in the registry", _plugin, "pip install mmengine==0.10.7 mmdet3d==1.4.0"),
    ("dynamic scatter on CPU", _scatter, "pip install --force-reinstall gemini_det3d"),
    ("sparse convolution on CPU", _spconv, "pip install spconv==2.3.8"),
    ("KITTI evaluation on CPU", _kitti_evaluation, "pip install --upgrade numba 'numpy<2'"),
    ("tools and configs", _tools, "pip install --force-reinstall --no-deps mmdet3d==1.4.0"),
)


def _cuda_rows() -> Iterator[Row]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        yield Row("CUDA", None, "no CUDA device; everything above runs on CPU")
        return
    yield Row("CUDA", True, f"{torch.cuda.get_device_name()}, torch for CUDA {torch.version.cuda}")
    spconv = f"pip install spconv-cu{(torch.version.cuda or '12.0').split('.')[0]}0"
    yield _check_row("fusion operator on CUDA", lambda: _operator("cuda"), "reinstall torch")
    yield _check_row("dynamic scatter on CUDA", lambda: _scatter("cuda"), BUILD_MMCV)
    yield _check_row("sparse convolution on CUDA", lambda: _spconv("cuda"), spconv)
