"""Pictures of detections on one image or several, and what cannot be drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet3d.structures import DepthInstance3DBoxes, Det3DDataSample, LiDARInstance3DBoxes

from gemini_det3d.apis.config import ConfigError, find_config
from gemini_det3d.apis.draw import panel
from gemini_det3d.apis.packed_frames import data_files, views_of
from gemini_det3d.cli import main
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.inputs import keep_folders
from gemini_det3d.visualization import class_colors

SIZE = (96, 160)
# straight ahead (+x) is the middle of the image
MATRIX = np.array([[80.0, -100, 0, 0], [48, 0, -100, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
BOX = [[10.0, 0, -1, 4, 2, 1.5, 0.3]]


def packed(cameras=None, truth=None):
    shape = (3, *SIZE) if cameras is None else (cameras, 3, *SIZE)
    meta = dict(
        lidar2img=MATRIX, ori_shape=SIZE, img_shape=SIZE, scale_factor=(1.0, 1.0), flip=False,
        transformation_3d_flow=[],
    )  # fmt: skip
    if cameras is not None:
        meta.update(lidar2img=[MATRIX] * cameras, img_aug_matrix=[np.eye(4)] * cameras)
    sample = Det3DDataSample(metainfo=meta)
    if truth is not None:
        sample.eval_ann_info = dict(
            gt_bboxes_3d=LiDARInstance3DBoxes(truth), gt_labels_3d=np.array([1] * len(truth))
        )
    image = torch.full(shape, 100, dtype=torch.uint8)
    return dict(inputs=dict(points=torch.rand(50, 4) * 20, img=image), data_samples=sample)


def found(score=0.9, kind=LiDARInstance3DBoxes):
    return SimpleNamespace(
        bboxes_3d=kind(BOX), labels_3d=torch.tensor([0]), scores_3d=torch.tensor([score])
    )


def test_pictures_do_not_go_to_the_folder_of_the_frames(tmp_path):
    class Frames:
        def __len__(self):
            return 3

        def get_data_info(self, index):
            return {"img_path": str(tmp_path / "image_2" / "000000.png"),
                    "images": {"R0_rect": np.eye(4).tolist(),
                               "CAM2": {"img_path": str(tmp_path / "image_3" / "000000.png")}},
                    "lidar_path": str(tmp_path / "velodyne" / "000000.bin")}  # fmt: skip

    files = data_files(Frames())
    for folder in ("image_2", "image_3", "velodyne"):
        (tmp_path / folder).mkdir()
        with pytest.raises(FormatError, match="a folder of inputs"):
            keep_folders(tmp_path / folder, files)
    keep_folders(tmp_path / "pictures", files)


def draw(data, result=None, score=0.3):
    return panel(data, result or found(), ("Car", "Bus"), score)


@pytest.mark.parametrize("cameras", [None, 3, 6])
def test_every_camera_shows_the_detection(cameras):
    picture = draw(packed(cameras))
    without = draw(packed(cameras), found(score=0.1))
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    changed = (picture != without).any(-1)
    columns = 3 if cameras else 1
    each = picture.shape[1] // columns
    above = int(each * SIZE[0] / SIZE[1]) * (2 if cameras == 6 else 1)
    for column in range(columns):
        assert changed[:above, column * each : (column + 1) * each].any()


def test_a_class_has_its_colour_among_all_of_the_model_s():
    classes = ("Lorry", "Car")  # alone they would have one colour
    color = class_colors(classes)["Lorry"]
    picture = panel(packed(), found(), classes, 0.3)
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    assert (np.abs(picture.astype(int) - rgb).max(-1) < 12).sum() > 20


def test_pixels_are_counted_as_the_model_counts_them():
    (plain,), (moved,) = (views_of(packed(), offset)[1] for offset in ((0, 0), (0.5, -0.25)))
    point = np.array([10.0, 2, 1, 1])
    (x, y, depth), (right, down, same) = plain @ point, moved @ point
    assert same == depth == 10
    assert (right - x, down - y) == pytest.approx((0.5 * depth, -0.25 * depth))


def test_truth_is_drawn_where_there_is_one():
    assert (draw(packed(truth=BOX)) != draw(packed())).any()


def test_boxes_of_another_frame_and_missing_images_are_refused():
    with pytest.raises(ConfigError, match="LiDAR frame, got DepthInstance3DBoxes"):
        draw(packed(), found(kind=DepthInstance3DBoxes))
    data = packed()
    del data["inputs"]["img"]
    with pytest.raises(ConfigError, match="no image"):
        draw(data)


def test_command_names_what_is_wrong(capsys):
    assert main(["draw", "nothing-like-this", "none.pth"]) == 2
    assert "nothing-like-this" in capsys.readouterr().err
    config = "bev_gemini-map_r18_1xb2-toy_look-alikes-3class"
    assert main(["draw", config, "none.pth", "--frames", "0"]) == 2
    assert "--frames 0" in capsys.readouterr().err
    for score in ("30", "nan"):
        assert main(["draw", config, "none.pth", "--score", score]) == 2
        assert f"--score {float(score)}, expected 0 to 1" in capsys.readouterr().err


def test_metadata_that_the_model_takes_as_given_are_taken_as_given():
    whole = packed()
    data = dict(whole)
    meta = {key: value for key, value in data["data_samples"].metainfo.items() if key != "flip"}
    data["data_samples"] = Det3DDataSample(metainfo=meta)
    with pytest.raises(KeyError, match="'flip'"):
        draw(data)
    picture = panel(data, found(), ("Car", "Bus"), 0.3, meta_defaults={"flip": False})
    np.testing.assert_array_equal(picture, draw(whole))
    flipped = panel(data, found(), ("Car", "Bus"), 0.3, meta_defaults={"flip": True})
    assert (flipped != picture).any()


@pytest.mark.parametrize(
    "change, said",
    [
        ("model = dict(type='GeminiMVXNetz')", "cannot be built: KeyError: GeminiMVXNetz is not"),
        ("model = dict(pts_middle_encoder=dict(sparse_shape=[9, 9, 9]))", "sparse_shape: is [9, 9"),
        ("model = dict(img_neck=dict(outs=3))", "unexpected keyword argument 'outs'"),
    ],
)
def test_config_that_cannot_be_built_is_one_line(tmp_path, capsys, change, said):
    base = find_config("mvxnet_gemini-point_r18_1xb2-toy_scenes-3class").as_posix()
    (tmp_path / "c.py").write_text(f"_base_ = [{base!r}]\n{change}\n")
    (tmp_path / "c.pth").touch()
    assert (
        main(
            ["draw", str(tmp_path / "c.py"), str(tmp_path / "c.pth"), "--out", str(tmp_path / "o")]
        )
        == 2
    )
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("gemini-det3d draw: ") and said in error


@pytest.mark.parametrize("command", ["draw", "test", "train", "eval-robustness", "ablate"])
def test_config_without_a_model_is_one_line(tmp_path, capsys, command):
    (tmp_path / "c.py").write_text("work_dir = 'a'\n")
    (tmp_path / "c.pth").touch()
    config, checkpoint = str(tmp_path / "c.py"), str(tmp_path / "c.pth")
    words = [config] if command == "train" else [config, checkpoint]
    assert main([command, *words]) == 2
    assert "c.py: has no model = dict(type=...)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["draw", "check-alignment", "eval-robustness", "ablate"])
def test_change_that_leaves_no_model_is_one_line(capsys, command):
    config = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
    words = [config] if command == "check-alignment" else [config, "any.pth"]
    assert main([command, *words, "--cfg-options", "model="]) == 2
    said = capsys.readouterr().err.strip()
    assert said.endswith("--cfg-options model: is '', expected a dict of its parts")
