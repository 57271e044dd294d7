"""Every config loads by its name and its model builds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from gemini_det3d.apis.config import ConfigError, config_root, find_config
from gemini_det3d.engine.same_classes import check_head, classes_of_config, classes_of_head
from gemini_det3d.models.checkpoints.loading import check_report, fit_state

ROOT = Path(__file__).resolve().parent.parent
# projects/BEVFusion inherits from an mmdet3d checkout: tests/test_bevfusion_project.py
CONFIGS = sorted(
    path
    for folder in (config_root(), ROOT / "projects")
    for path in folder.rglob("*.py")
    if not {"_base_", "BEVFusion"} & set(path.parts)
)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_config_loads_and_its_model_builds(path):
    from mmdet3d.registry import MODELS

    config = Config.fromfile(path)
    init_default_scope(config.get("default_scope", "mmdet3d"))
    # Segmentors run to 370 million parameters; without values they are built in no time.
    is_large = config.model.type in ("FusionSegmentor", "GeminiTranslator")
    device = "meta" if is_large else "cpu"
    with torch.device(device):
        model = MODELS.build(config.model)
    assert sum(p.numel() for p in model.parameters()) > 0
    is_detector = config.model.type.endswith(("Net", "Detector"))
    assert (
        not is_detector or config.visualizer.type == "Det3DLocalVisualizer"
    )  # inferencers need it
    loaders = [config[f"{name}_dataloader"] for name in ("train", "val", "test")]
    names = {classes_of_config(each.dataset) for each in loaders if each is not None}
    assert len(names) == 1
    head = classes_of_head(model)
    if head is not None:
        check_head(head, *names, path)


# What leads from each data set's way of counting pixels to edges at 0.
PIXEL_OFFSET = {
    "KittiDataset": (0.5, 0.5),
    "NuScenesDataset": (0.5, 0.5),
    "SUNRGBDDataset": (-0.5, -0.5),
}
# Takes pixels as they are, as the detector did whose published numbers it is to repeat.
RELEASED = "mvxnet_gemini-point_r50_"


@pytest.mark.parametrize(
    "path",
    [p for p in CONFIGS if p.stem.startswith(("mvxnet_gemini", "bev_gemini", "votenet_gemini"))],
    ids=lambda p: p.stem,
)
def test_detector_counts_pixels_as_its_data_set_does(path):
    config = Config.fromfile(path)
    dataset = config.test_dataloader.dataset
    model = config.model
    fusion = model.get("fusion_layer") or model.get("pts_voxel_encoder", {}).get("fusion_layer")
    reader = model if model.type == "GeminiBEVDetector" else fusion
    expected = (0, 0) if path.stem.startswith(RELEASED) else PIXEL_OFFSET[dataset.type]
    assert tuple(reader.get("pixel_offset", (0, 0))) == expected
    if reader is fusion:  # zeros beside the image, as released, dim what points at its edge read
        is_released = path.stem.startswith(RELEASED)
        assert reader.get("padding_mode", "zeros") == ("zeros" if is_released else "border")


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if config_root() in p.parents], ids=lambda p: p.stem
)
def test_config_is_found_by_its_bare_name(path):
    assert find_config(path.stem).stem == path.stem


@pytest.mark.parametrize(
    "name, millions",
    [
        ("mit-b3_3xb2-300e_nyudv2", 74.55),
        ("mit-b4_3xb2-300e_nyudv2", 102.25),
        ("mit-b5_3xb2-300e_nyudv2", 137.21),
        ("swin-t_3xb2-300e_nyudv2", 51.95),
        ("swin-s_3xb2-300e_nyudv2", 92.80),
        ("swin-l-w7_3xb2-300e_nyudv2", 369.01),
        ("swin-l_3xb2-300e_nyudv2", 369.22),
    ],
)
def test_segmentor_has_as_many_parameters_as_the_released_one(name, millions):
    from mmdet3d.registry import MODELS

    config = Config.fromfile(find_config(f"segformer_gemini-pixel_{name}-40class"))
    init_default_scope("mmdet3d")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    counted = sum(p.numel() for p in model.parameters()) / 1e6
    assert counted == pytest.approx(millions, abs=0.01)


def test_find_config_lists_what_there_is():
    with pytest.raises(ConfigError, match="mvxnet_gemini-point"):
        find_config("no_such_config")


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("votenet_1xb4-30e_rooms-6class", "votenet_1xb4-toy_rooms-6class"),
        ("configs/toy/bev_lidar-only_1xb2-10e_look-alikes-3class.py",
         "bev_lidar-only_1xb2-toy_look-alikes-3class"),
        ("segformer_gemini-pixel_mit-toy_1xb4-12e_scenes-25class",
         "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"),
    ],
)  # fmt: skip
def test_former_name_of_a_toy_config_is_found(former, now):
    assert find_config(former).stem == now


def _model(name):
    from mmdet3d.registry import MODELS

    config = Config.fromfile(find_config(name))
    init_default_scope("mmdet3d")
    if "arch" in config.model.get("backbone", {}):
        config.model.backbone.update(arch="tiny", init_cfg=None)  # the same names, but for depths
    return config, MODELS.build(config.model)


MVXNET = "mvxnet_r50_8xb2-80e_kitti-3d-3class"  # its published start has the image branch alone
is_of_image = lambda name: name.startswith("img_")  # noqa: E731
SWIN_L = "segformer_gemini-pixel_swin-l_4xb2-300e_sunrgbd-37class"


@pytest.mark.parametrize(
    "name, first, start",
    [
        (MVXNET, MVXNET, is_of_image),
        ("mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class", MVXNET, is_of_image),
        ("bev_gemini-map_r50_8xb2-80e_kitti-3d-3class", MVXNET, is_of_image),
        ("segformer_gemini-pixel_swin-l_3xb2-400e-sunrgbd-init_nyudv2-40class", SWIN_L,
         lambda n: "decode_head.classify" not in n),
    ],
)  # fmt: skip
def test_config_starts_from_the_file_that_it_names(name, first, start):
    config, model = _model(name)
    assert config.load_from
    found = {n: t for n, t in _model(first)[1].state_dict().items() if start(n)}
    allowed = tuple(config.default_hooks.checked_loading.starts_anew)
    _, report = fit_state(model, found)
    check_report(report, found, "start.pth", allow_missing=allowed, may_have_more=True)
    assert any(n.startswith(("img_backbone", "backbone")) for n in found)


def test_path_that_is_not_there_is_no_config_of_ours(tmp_path):
    name = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
    for ours in (name, f"{name}.py", f"toy/{name}.py", f"configs/toy/{name}"):
        assert find_config(ours) == config_root() / "toy" / f"{name}.py"
    with pytest.raises(ConfigError, match=f"no such file; this plug-in's own config is {name}"):
        find_config(str(tmp_path / f"{name}.py"))
