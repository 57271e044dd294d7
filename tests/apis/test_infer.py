"""``gemini-det3d infer``: image, points and calibration in; boxes, JSON and a picture out."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch
from kitti_camera import CALIBRATION, SIZE
from PIL import Image

from gemini_det3d.apis.config import ConfigError, config_root, read_config
from gemini_det3d.apis.infer import find_frames
from gemini_det3d.commands.infer import add_arguments, run
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import (
    read_calibration,
    read_objects,
    write_calibration,
    write_points,
)

CLASSES = ["Pedestrian", "Cyclist", "Car"]


# --- frames ----------------------------------------------------------------------------------


def _write_frame(root, name, points=None):
    rng = np.random.default_rng(3)
    for folder in ("image", "points"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "image" / f"{name}.png")
    if points is None:
        ahead = rng.uniform([5, -3, -1.5, 0], [30, 3, 0, 1], (499, 4))
        behind = rng.uniform([-30, -3, -1.5, 0], [-5, 3, 0, 1], (997, 4))
        points = np.concatenate([ahead, behind])
    write_points(root / "points" / f"{name}.bin", points)
    write_calibration(root / "calib" / f"{name}.txt", CALIBRATION)
    return root


def test_files_of_a_frame_share_their_stem(tmp_path):
    for name in ("000002", "000001"):
        _write_frame(tmp_path, name)
    frames = find_frames(tmp_path / "image", tmp_path / "points", tmp_path / "calib")
    assert [frame.name for frame in frames] == ["000001", "000002"]
    assert frames[0].points == tmp_path / "points" / "000001.bin"
    one_calib = tmp_path / "calib" / "000001.txt"
    frames = find_frames(tmp_path / "image", tmp_path / "points", one_calib)
    assert {frame.calib for frame in frames} == {one_calib}


def test_frames_are_paired_whatever_case_and_dots(tmp_path):
    root = _write_frame(tmp_path, "1305031102.175304")
    (root / "image" / "1305031102.175304.png").rename(root / "image" / "1305031102.175304.PNG")
    (root / "points" / "1305031102.175304.bin").rename(root / "points" / "1305031102.175304.BIN")
    (root / "image" / "._1305031102.175304.png").write_bytes(b"")
    (frame,) = find_frames(root / "image", root / "points", root / "calib")
    assert frame.name == "1305031102.175304" and frame.points.suffix == ".BIN"


def test_missing_files_of_frames_are_named(tmp_path):
    root = _write_frame(tmp_path, "000001")
    image, points, calib = root / "image", root / "points", root / "calib"
    with pytest.raises(FormatError, match="nowhere: no such file or folder"):
        find_frames(root / "nowhere", points, calib)
    with pytest.raises(FormatError, match="nowhere: no such file or folder"):
        find_frames(image, points, root / "nowhere")
    with pytest.raises(FormatError, match="000001.bin: is one file for the 1 images"):
        find_frames(image, points / "000001.bin", calib)
    (points / "000001.bin").unlink()
    with pytest.raises(FormatError, match="000001.bin: no such file, but an image of that name"):
        find_frames(image, points, calib)
    with pytest.raises(FormatError, match="points: holds no image"):
        find_frames(points, points, calib)


# --- a stub detector through the whole command -----------------------------------------------

STUB_CONFIG = """
default_scope = "mmdet3d"
model = dict(type="InferStubDetector")
class_names = ["Pedestrian", "Cyclist", "Car"]
test_pipeline = [
    dict(type="LoadPointsFromFile", coord_type="LIDAR", load_dim=4, use_dim=4),
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(794, 262), keep_ratio=True),
    dict(type="Pack3DDetInputs", keys=["points", "img"]),
]
test_dataloader = dict(dataset=dict(type="RepeatDataset", times=1, dataset=dict(
    type="KittiDataset", pipeline=test_pipeline, box_type_3d="LiDAR",
    metainfo=dict(classes=["Car", "Cyclist", "Pedestrian"]))))
"""


@pytest.fixture(scope="module")
def stub():
    """A registered detector that answers with what it was given."""
    pytest.importorskip("mmdet3d", exc_type=ImportError)
    from mmdet3d.registry import MODELS
    from mmdet3d.structures import LiDARInstance3DBoxes
    from mmengine.model import BaseModel
    from mmengine.structures import InstanceData

    class InferStubDetector(BaseModel):
        def __init__(self):
            super().__init__()
            self.offset = torch.nn.Parameter(torch.zeros(3))

        def forward(self, inputs, data_samples, mode):
            assert mode == "predict" and not self.training
            points, sample = inputs["points"][0], data_samples[0]
            InferStubDetector.seen = (points, inputs["img"][0], sample.metainfo)
            center = points[:, :3].mean(dim=0) + self.offset
            sizes = torch.tensor([4.0, 1.7, 1.5, 0.3])
            boxes = torch.stack([torch.cat([center, sizes]), torch.cat([center + 3, sizes])])
            sample.pred_instances_3d = InstanceData(
                bboxes_3d=LiDARInstance3DBoxes(boxes),
                scores_3d=torch.tensor([0.2, 0.9]),
                labels_3d=torch.tensor([0, 2]),
            )
            return [sample]

    MODELS.register_module(module=InferStubDetector, force=True)
    return InferStubDetector


@pytest.fixture
def command(stub, tmp_path):
    """Arguments of a run on one frame, and the parsed namespace with changes."""
    _write_frame(tmp_path, "000007")
    (tmp_path / "stub.py").write_text(STUB_CONFIG)
    torch.save({"state_dict": {"offset": torch.tensor([0.0, 0.0, 0.5])},
                "meta": {"dataset_meta": {"classes": CLASSES}}}, tmp_path / "c.pth")  # fmt: skip

    def arguments(**changes):
        options = {
            "config": tmp_path / "stub.py",
            "checkpoint": tmp_path / "c.pth",
            "image": tmp_path / "image" / "000007.png",
            "points": tmp_path / "points" / "000007.bin",
            "calib": tmp_path / "calib" / "000007.txt",
            "out": tmp_path / "out",
            **changes,
        }
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        words = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
                 for name, value in options.items()]  # fmt: skip
        return parser.parse_args(words)

    return arguments


def test_one_frame_gives_results_json_and_a_picture(command, tmp_path, capsys):
    assert run(command(score_threshold=0.1)) == 0
    objects = read_objects(tmp_path / "out" / "000007.txt", with_score=True)
    assert objects.name.tolist() == ["Car", "Pedestrian"]  # best first, the checkpoint's order
    np.testing.assert_allclose(objects.score, [0.9, 0.2])
    data = json.loads((tmp_path / "out" / "000007.json").read_text())
    assert [d["name"] for d in data["detections"]] == ["Car", "Pedestrian"]
    assert data["detections"][0]["length_width_height"] == [4.0, 1.7, 1.5]
    np.testing.assert_allclose(data["detections"][0]["bbox_2d"], objects.bbox[0], atol=0.01)
    with Image.open(tmp_path / "out" / "000007.png") as picture:
        assert picture.width == 1242
    assert "2 detections" in capsys.readouterr().out


def test_model_is_given_what_an_info_file_would_give(command, stub):
    run(command())
    points, image, meta = stub.seen
    assert image.shape == (3, 262, 794)  # the config's resize
    np.testing.assert_allclose(meta["lidar2img"], CALIBRATION.lidar2img)
    np.testing.assert_allclose(meta["cam2img"], CALIBRATION.cam2img)
    np.testing.assert_allclose(meta["scale_factor"], [2, 2])
    assert meta["box_type_3d"].__name__ == "LiDARInstance3DBoxes"
    assert points.shape[1] == 4


def test_points_outside_the_image_are_left_out_unless_wanted(command, stub, tmp_path):
    run(command())
    assert (stub.seen[0][:, 0] > 0).all()
    assert 0 < len(stub.seen[0]) < 500
    run(command(all_points=True))
    assert len(stub.seen[0]) == 1496


def test_parameters_of_the_checkpoint_are_used(command, tmp_path):
    heights = []
    for offset in (0.0, 5.0):
        torch.save({"state_dict": {"offset": torch.tensor([0.0, 0.0, offset])}}, tmp_path / "c.pth")
        run(command())
        data = json.loads((tmp_path / "out" / "000007.json").read_text())
        heights.append(data["detections"][0]["center_bottom"][2])
    assert heights[1] - heights[0] == pytest.approx(5, abs=1e-3)


def test_classes_come_from_the_config_where_the_checkpoint_names_none(command, tmp_path):
    torch.save({"state_dict": {"offset": torch.zeros(3)}}, tmp_path / "c.pth")
    run(command())
    assert read_objects(tmp_path / "out" / "000007.txt").name.tolist() == ["Pedestrian"]


def test_threshold_leaves_out_detections_below_it(command, tmp_path):
    run(command(score_threshold=0.95))
    assert len(read_objects(tmp_path / "out" / "000007.txt")) == 0
    assert json.loads((tmp_path / "out" / "000007.json").read_text())["detections"] == []
    with pytest.raises(ConfigError, match="--score-threshold 2.0, expected 0 to 1"):
        run(command(score_threshold=2))


def test_folder_goes_on_after_a_bad_frame(command, tmp_path, capsys):
    _write_frame(tmp_path, "000008")
    _write_frame(tmp_path, "000009")
    (tmp_path / "points" / "000008.bin").write_bytes(b"abc")
    folders = {"image": tmp_path / "image", "points": tmp_path / "points"}
    assert run(command(**folders)) == 1
    captured = capsys.readouterr()
    assert "000008.bin: 3 bytes are no whole number of points" in captured.err
    assert "results of 2 of 3 frames" in captured.out
    assert sorted(p.name for p in (tmp_path / "out").glob("*.txt")) == ["000007.txt", "000009.txt"]


BAD_INPUT = {
    "cut-off points": ("points", lambda p: p.write_bytes(p.read_bytes()[:-3]), "no whole number"),
    "NaN points": ("points", lambda p: write_points(p, np.full((3, 4), np.nan)), "NaN or infinite"),
    "image": ("image", lambda p: p.write_bytes(b"none"), "is not a readable image"),
    "cut-off image": ("image", lambda p: p.write_bytes(p.read_bytes()[:999]), "not a readable"),
    "calib": ("calib", lambda p: p.write_text("P0: 1"), "has no P2, R0_rect, Tr_velo_to_cam"),
    "checkpoint": ("checkpoint", lambda p: p.write_bytes(b"none"), "not a readable checkpoint"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_that_names_the_file(command, case):
    option, spoil, fault = BAD_INPUT[case]
    args = command()
    path = getattr(args, option)
    spoil(path)
    with pytest.raises(FormatError) as error:
        run(args)
    assert str(error.value).startswith(f"{path}: ") and fault in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_config_and_device_are_one_line(command, tmp_path):
    from mmengine.config import Config

    with pytest.raises(ConfigError, match="no config 'nowhere'"):
        run(command(config="nowhere"))
    with pytest.raises(ConfigError, match="--device tpu9: not a device"):
        run(command(device="tpu9"))
    with pytest.raises(ConfigError, match="--device cuda:97: torch sees"):
        run(command(device="cuda:97"))
    path = tmp_path / "empty.py"
    for text, lacks in (("", "model = "), ("model = dict()", "test_dataloader.dataset.pipeline")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=rf"empty\.py: has no {lacks}"):
            run(command(config=path))
    with pytest.raises(ConfigError, match="has no model = "):
        read_config(Config())


def test_labels_are_drawn_beside_the_detections(command, tmp_path):
    label = tmp_path / "label.txt"
    label.write_text("Car 0 0 0 150 60 220 110 1.5 1.7 4.1 -1.0 1.5 9.0 -1.9\n")
    run(command())
    without = np.asarray(Image.open(tmp_path / "out" / "000007.png"))
    run(command(label=label))
    with_label = np.asarray(Image.open(tmp_path / "out" / "000007.png"))
    assert without.shape != with_label.shape or (without != with_label).any()


def test_toy_model_detects_in_a_frame_without_info_files(tmp_path):
    pytest.importorskip("mmdet3d", exc_type=ImportError)
    from gemini_det3d.apis.detector import Detector

    config = next((config_root() / "toy").glob("mvxnet_gemini-point_*.py"))
    _write_frame(tmp_path, "000007")
    torch.manual_seed(0)
    detector = Detector(config)
    torch.save({"state_dict": detector.model.state_dict(), "meta": {}}, tmp_path / "c.pth")
    detector = Detector(config, tmp_path / "c.pth")
    files = [
        tmp_path / folder / f"000007.{end}"
        for folder, end in (("image", "png"), ("points", "bin"), ("calib", "txt"))
    ]
    first, second = detector(*files), detector(*files)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert set(first.names) <= set(detector.classes)
    # no point at all, and one: nothing to see, but no crash
    none = detector(files[0], np.zeros((0, 4), np.float32), read_calibration(files[2]))
    one = detector(files[0], np.array([[9, 0, -1, 0.5]], np.float32), read_calibration(files[2]))
    assert np.isfinite(none.boxes).all() and np.isfinite(one.boxes).all()
