"""Every published layout, forward and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config

from gemini_det3d.apis.config import find_config
from gemini_det3d.apis.conversion.convert import convert_state
from gemini_det3d.apis.conversion.resize import resize_position_table
from gemini_det3d.cli import main
from gemini_det3d.formats import FormatError
from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.models.backbones import GeminiMiT, GeminiSwin
from gemini_det3d.models.checkpoints import (
    convert_released_detector,
    from_released_segmentor,
    read_checkpoint,
    to_released_detector,
    to_released_segmentor,
    write_state,
)
from gemini_det3d.models.checkpoints.names import LAYOUTS

SEGMENTORS = (
    "segmentation_mit_b3_nyudv2",
    "segmentation_mit_b5_nyudv2",
    "segmentation_swin_tiny_nyudv2",
    "segmentation_swin_large_window12_nyudv2",
    "deliver_b2_2modal_backbone",
    "deliver_b2_4modal_backbone",
)


@pytest.fixture(scope="session")
def key_lists(shared_dir):
    return json.loads((shared_dir / "golden" / "released_state_dict_keys.json").read_text())


def skeleton(shapes):
    """Names and shapes without values, so that even the largest model costs nothing."""
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("name", SEGMENTORS)
def test_released_segmentor_maps_one_to_one(key_lists, name):
    report = convert_state(skeleton(key_lists[name]))
    assert report.fatal == []
    assert report.suspicious == []
    theirs = set(report.mapped) | (set(report.absent) & set(key_lists[name]))
    assert theirs == set(key_lists[name])
    back = to_released_segmentor(report.state, report.layout)
    assert {n: list(t.shape) for n, t in back.items()} == key_lists[name]


def test_released_detector_maps_one_to_one(key_lists):
    report = convert_state(skeleton(key_lists["detection_mvxnet_kitti"]))
    assert report.fatal == []
    assert report.suspicious == []
    assert set(report.mapped) == set(key_lists["detection_mvxnet_kitti"])
    back = to_released_detector(report.state)
    assert {n: list(t.shape) for n, t in back.items()} == key_lists["detection_mvxnet_kitti"]


def test_command_writes_a_released_detector(key_lists, tmp_path):
    shapes = key_lists["detection_mvxnet_kitti"]
    fusion = {n: torch.rand(shape) for n, shape in shapes.items() if "voxel_encoder" in n}
    torch.save(convert_released_detector(fusion), tmp_path / "ours.pth")
    target = tmp_path / "released.pth"
    command = ["convert-checkpoint", str(tmp_path / "ours.pth"), str(target)]
    assert main([*command, "--to-released", "released KITTI detector"]) == 0
    back = read_checkpoint(target)["state_dict"]
    assert back.keys() == fusion.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in fusion.items())


@pytest.mark.parametrize(
    "name", ["fusion_layer.operator.to_first.weight", "fusion_layer.operator.query_weight"]
)
def test_detector_with_another_fusion_is_refused_by_name(name):
    with pytest.raises(ValueError, match=r"fusion_layer\.operator\.\w+"):
        to_released_detector({name: torch.zeros(2, 4, 4)})


def golden(shared_dir, name, prefix=""):
    with np.load(shared_dir / "golden" / f"{name}.npz") as arrays:
        return {
            prefix + n[len("param/") :]: torch.from_numpy(arrays[n])
            for n in arrays.files
            if n.startswith("param/")
        }


@pytest.mark.parametrize(
    "name, prefix",
    [("mit_segmentor", ""), ("swin", "encoder.body."), ("multimodal4_backbone", "backbone.")],
)
def test_values_survive_the_way_there_and_back(shared_dir, name, prefix):
    state = golden(shared_dir, name, prefix)
    found = from_released_segmentor(state)
    back = to_released_segmentor(found.state, found.layout)
    assert set(back) == set(state)
    for each, tensor in state.items():
        if "never read" in found.absent.get(each, ""):
            assert back[each].abs().sum() == 0
        else:
            assert torch.equal(back[each], tensor)


def plain_mit():
    """Names of an ImageNet MiT, from our own without fusion."""
    torch.manual_seed(0)
    model = GeminiMiT("b0", num_modalities=1)
    pairs = {
        "patch_embed1.proj.weight": "stages.0.embed.proj.weight",
        "patch_embed1.proj.bias": "stages.0.embed.proj.bias",
    }
    state = {}
    for name, tensor in model.state_dict().items():
        stage, rest = name.split(".", 2)[1:]
        number = int(stage) + 1
        rest = rest.replace("norm.0.", "norm.").replace("norm1.0.", "norm1.")
        rest = rest.replace("norm2.0.", "norm2.").replace("norms.0.", "norm.")
        rest = rest.replace("dwconv.", "dwconv.dwconv.")
        if rest.startswith("embed."):
            theirs = f"patch_embed{number}.{rest[len('embed.') :]}"
        elif rest.startswith("blocks."):
            theirs = f"block{number}.{rest[len('blocks.') :]}"
        else:
            theirs = f"norm{number}.{rest[len('norm.') :]}"
        state[theirs] = tensor
    assert set(pairs) <= set(state)
    state["head.weight"], state["head.bias"] = torch.rand(1000, 256), torch.rand(1000)
    return state, model


@pytest.mark.parametrize("kind", ["GeminiFusion", "GeminiWaysFusion"])
def test_imagenet_mit_fills_every_norm_of_the_model_that_wants_it(kind):
    state, _ = plain_mit()
    model = GeminiMiT("b0", num_modalities=3, operator=dict(type=kind, num_heads=1))
    report = convert_state(state, wanted={n: t.shape for n, t in model.state_dict().items()})
    assert report.fatal == []
    missing = model.load_state_dict(report.state, strict=False).missing_keys
    assert missing and all("operator" in n or "hub" in n for n in missing)


def test_imagenet_mit_fits_the_backbone_of_a_config(tmp_path):
    state, _ = plain_mit()
    base = find_config("segformer_gemini-pixel_mit-b2_8xb1-200e_deliver-25class")
    config, target = tmp_path / "b0.py", tmp_path / "ours.pth"
    config.write_text(
        f"_base_ = {str(base)!r}\n"
        "operator = dict(_delete_=True, type='GeminiWaysFusion', num_heads=1)\n"
        "model = dict(backbone=dict(arch='b0', operator=operator))\n"
    )
    torch.save({"state_dict": state}, tmp_path / "plain.pth")
    options = [str(tmp_path / "plain.pth"), str(target), "--config", str(config)]
    assert main(["convert-checkpoint", *options]) == 0
    backbone = {**Config.fromfile(config).model.backbone, "num_modalities": 4}
    start = dict(type="Pretrained", checkpoint=str(target))
    MODELS.build({**backbone, "init_cfg": start}).init_weights()


def test_imagenet_mit_fills_every_norm_and_leaves_fusion_new():
    state, plain = plain_mit()
    report = convert_state(state, num_modalities=3)
    assert report.fatal == []
    model = GeminiMiT("b0", num_modalities=3)
    result = model.load_state_dict(report.state, strict=False)
    assert result.unexpected_keys == []
    assert all("operator" in n or "hub" in n for n in result.missing_keys)
    for m in range(3):
        norm = model.stages[1].embed.norm[m].weight
        assert torch.equal(norm, plain.stages[1].embed.norm[0].weight)
    assert report.absent["head.weight"] == "the ImageNet classifier"


def test_imagenet_swin_is_found_inside_its_wrapper(tmp_path):
    model = GeminiSwin("tiny", num_modalities=1)
    state = {}
    for name, tensor in model.state_dict().items():
        _, stage, rest = name.split(".", 2)
        if rest.startswith("blocks."):
            state[f"layers.{stage}.{rest}"] = tensor
        elif stage == "0" and rest.startswith("embed."):
            state[f"patch_{rest.replace('norm.0.', 'norm.')}"] = tensor
        elif rest.startswith("embed."):
            state[f"layers.{int(stage) - 1}.downsample.{rest[len('embed.') :]}"] = tensor
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    state["norm.weight"], state["head.bias"] = torch.rand(768), torch.rand(1000)
    torch.save({"model": state}, tmp_path / "swin.pth")
    report = convert_state(read_checkpoint(tmp_path / "swin.pth")["state_dict"])
    assert report.fatal == [] and report.suspicious == []
    assert report.layout == "ImageNet Swin"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_command_writes_what_our_model_loads(shared_dir, tmp_path, suffix, capsys):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    source, target = tmp_path / "released.pth", tmp_path / f"ours{suffix}"
    state = golden(shared_dir, "mit_segmentor")
    torch.save({"segmenter": {f"module.{n}": t for n, t in state.items()}}, source)
    assert main(["convert-checkpoint", str(source), str(target)]) == 0
    out = capsys.readouterr().out
    for part in ("mapped: ", "expected to be absent: ", "suspicious: ", "fatal: 0"):
        assert part in out
    written = read_checkpoint(target)["state_dict"]
    assert torch.equal(written["ensemble.alpha"], state["alpha"])
    if suffix == ".pth":
        assert set(read_checkpoint(target)["state_dict"]) == set(written)


def test_command_goes_back(shared_dir, tmp_path):
    source, ours, back = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    state = golden(shared_dir, "mit_segmentor")
    torch.save(state, source)
    assert main(["convert-checkpoint", str(source), str(ours)]) == 0
    layout = ["--to-released", "released MiT segmentor"]
    assert main(["convert-checkpoint", str(ours), str(back), *layout]) == 0
    found = read_checkpoint(back)["state_dict"]
    assert set(found) == set(state)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda s: s.pop("encoder.block3.0.mlp.fc2.module.weight"), "missing in the file"),
        (lambda s: s.pop("encoder.block2.0.attn.k_noise.weight"), "k_noise.weight is missing"),
        (lambda s: s.update({"decoder.linear_pred.bias": torch.rand(3)}), "(3,) in the file"),
        (lambda s: s.clear() or s.update(a=torch.rand(2)), "fits no known layout"),
    ],
)
def test_fatal_faults_write_nothing(shared_dir, tmp_path, capsys, change, fault):
    source, target = tmp_path / "released.pth", tmp_path / "ours.pth"
    state = golden(shared_dir, "mit_segmentor")
    change(state)
    torch.save(state, source)
    assert main(["convert-checkpoint", str(source), str(target)]) == 1
    assert fault in capsys.readouterr().out
    assert not target.exists()


def test_suspicious_things_are_named(shared_dir):
    state = golden(shared_dir, "mit_segmentor")
    state["encoder.extra.weight"] = torch.rand(2)
    state["decoder.linear_pred.bias"][0] = float("nan")
    found = "\n".join(convert_state(state).suspicious)
    assert "encoder.extra.weight: no rule knows this name" in found
    assert "decode_head.classify.bias: holds NaN" in found
    assert "no published encoder" in found


def test_code_in_a_file_does_not_run(tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return print, ("ran",)

    torch.save({"state_dict": {"a": Trap()}}, tmp_path / "trap.pth")
    assert main(["convert-checkpoint", str(tmp_path / "trap.pth")]) == 2
    captured = capsys.readouterr()
    assert "ran" not in captured.out and "could run code" in captured.err


def test_target_of_another_kind_is_refused(tmp_path):
    with pytest.raises(FormatError, match="must end with one of"):
        write_state(tmp_path / "x.onnx", {}, {})


def test_position_table_keeps_its_corners_about():
    table = (
        torch.linspace(0, 1, 13, dtype=torch.float64)[:, None]
        .expand(13, 13)
        .reshape(-1, 1)
        .repeat(1, 3)
    )
    resized = resize_position_table(table, 12)
    assert resized.shape == (23**2, 3)
    assert resize_position_table(table, 7) is table
    rows = resized[:, 0].view(23, 23)
    assert (rows.diff(dim=0) > 0).all() and rows.diff(dim=1).abs().max() < 1e-12


def test_fusion_behind_a_stage_has_no_released_name():
    operator = GeminiFusion(8).state_dict()
    state = {f"backbone.stages.0.operator.{name}": value for name, value in operator.items()}
    with pytest.raises(ValueError, match=r"backbone.stages.0.operator.\* has no counterpart"):
        to_released_segmentor(state, next(known.name for known in LAYOUTS if known.fusion))
