"""What the doctor tries: small computations whose results are known, on one device each.

Each returns what was seen, in a few words, or raises.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory


def mmcv_ops(device: str = "cpu") -> str:
    """Rotated suppression, by whoever provides mmcv's ops."""
    import torch
    from mmcv.ops import nms_rotated

    boxes = torch.tensor([[0.0, 0, 2, 2, 0], [0, 0, 2, 2, 0.01], [9, 9, 2, 2, 0]], device=device)
    kept = nms_rotated(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1]
    assert kept.tolist() == [0, 2], f"rotated NMS kept {kept.tolist()} instead of [0, 2]"
    return "rotated suppression"


def scatter(device: str = "cpu") -> str:
    """Maxima of voxels, and where their gradient goes."""
    import torch

    from gemini_det3d.ops import dynamic_scatter

    features = torch.tensor([[1.0], [3.0], [2.0]], device=device, requires_grad=True)
    coors = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], device=device).int()
    pooled, _ = dynamic_scatter(features, coors, "max")
    pooled.sum().backward()
    assert sorted(pooled.flatten().tolist()) == [2, 3], "wrong maxima"
    assert features.grad.flatten().tolist() == [0, 1, 1], "wrong gradient"
    return "forward and backward"


def checkpoints() -> str:
    """A file of `torch.save`, read without running what it says."""
    import torch

    from gemini_det3d.models.checkpoints.reading import read_checkpoint

    with TemporaryDirectory() as folder:
        path = Path(folder) / "parameters.pth"
        torch.save({"state_dict": {"weight": torch.ones(2)}}, path)
        read = read_checkpoint(path)
    assert read["state_dict"]["weight"].tolist() == [1, 1], "other values than were written"
    return "read without running code of theirs"


def sparse_convolution(device: str = "cpu") -> str:
    """A full grid, so that dense convolution knows the answer."""
    import torch
    import torch.nn.functional as F

    from gemini_det3d.ops import enable_spconv_on_cpu

    if not enable_spconv_on_cpu():
        raise ImportError("spconv is not installed")
    import spconv.pytorch as spconv

    draw = torch.Generator().manual_seed(0)
    conv = spconv.SubMConv3d(2, 3, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.uniform_(-1, 1, generator=draw)
    weight = conv.weight.detach().double()
    cells = torch.cartesian_prod(*[torch.arange(3)] * 3).int()  # a full 3 x 3 x 3 grid
    coors = F.pad(cells, (1, 0)).to(device)
    drawn = torch.randn(27, 2, generator=draw)
    features = drawn.clone().to(device).requires_grad_()
    sparse = conv.to(device)(spconv.SparseConvTensor(features, coors, [3, 3, 3], 1)).features
    # On a CPU in float64: a GPU's own convolution may round to TF32.
    dense = drawn.double().T.reshape(1, 2, 3, 3, 3).requires_grad_()
    expected = F.conv3d(dense, weight.permute(0, 4, 1, 2, 3), padding=1)
    near = dict(rtol=1e-3, atol=1e-3, check_dtype=False, check_device=False)
    torch.testing.assert_close(sparse.T.reshape(expected.shape), expected, **near)
    sparse.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(features.grad.T.reshape(dense.shape), dense.grad, **near)
    return "forward and backward equal dense convolution"


def plugin() -> str:
    """The one import, and a module built through the registry."""
    from mmdet3d.registry import MODELS

    import_module("gemini_det3d.plugin")  # as a config does
    MODELS.build(dict(type="GeminiFusion", dim=16))
    return "registered in mmdet3d"


def operator(device: str = "cpu") -> str:
    """Forward and backward of GeminiFusion."""
    import torch

    from gemini_det3d.fusion import GeminiFusion

    fusion = GeminiFusion(16).to(device)
    first, second = torch.randn(2, 5, 16, device=device, requires_grad=True)
    sum(out.square().sum() for out in fusion(first, second)).backward()
    assert all(p.grad.isfinite().all() for p in fusion.parameters()), "gradients are not finite"
    few, many = (fusion.explain(*torch.empty(2, n, 16, device=device)).form for n in (1, 9999))
    return f"forward and backward; few tokens by {few}, many by {many}"


def kitti_evaluation() -> str:
    """Truth fed as detections."""
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


def tools() -> str:
    """mmdet3d's scripts, and our configs."""
    from gemini_det3d.apis.config import config_root, mmdet3d_mim

    count = sum("_base_" not in p.parts for p in config_root().rglob("*.py"))
    assert count, f"no config under {config_root()}"
    return f"mmdet3d's tools at {mmdet3d_mim() / 'tools'}, {count} configs of ours"


def cuda() -> str:
    """The GPU and the CUDA that torch was built for."""
    import torch

    assert cuda_answers(), "the GPU gives no answer"
    return f"{torch.cuda.get_device_name()}, torch for CUDA {torch.version.cuda}"


def cuda_answers() -> bool:
    """Whether a GPU still computes; after some errors a process's GPU never does again."""
    import torch

    try:
        return torch.ones(2, device="cuda").sum().item() == 2
    except Exception:  # noqa: BLE001 (each kind of fault has its own)
        return False


def triton() -> str:
    """The fused form of the operator on CUDA; where it fails, `auto` takes another one."""
    import torch

    from gemini_det3d.fusion import GeminiFusion

    fusion = GeminiFusion(32, backend="fused").cuda()
    plain = GeminiFusion(32, backend="plain").cuda()
    plain.load_state_dict(fusion.state_dict())
    streams = torch.randn(2, 64, 32, device="cuda")
    for out, expected in zip(fusion(*streams), plain(*streams)):
        torch.testing.assert_close(out, expected, rtol=1e-2, atol=1e-2)
    return "the fused form equals the plain one"
