"""The viewer of configs and checkpoints: their frames, what they find, their gates."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from browser import view
from mmdet3d.registry import DATASETS, MODELS
from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from gemini_det3d.apis.ablation.gates import FrameGates, cell_centers
from gemini_det3d.apis.view.config import DetectorFrames
from gemini_det3d.cli import main
from gemini_det3d.geometry.boxes import project_points

SIZE = (96, 160)
MATRIX = np.array([[80.0, -100, 0, 0], [48, 0, -100, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
BOX = torch.tensor([[10.0, 0, -1, 4, 2, 1.5, 0.3]])


class ViewStubSet:
    """Three packed frames with one car each."""

    metainfo = {"classes": ["Car"]}

    def __init__(self, pipeline):
        pass

    def __len__(self):
        return 3

    def get_data_info(self, index):
        return {"lidar_path": f"{index:06d}.bin", "images": {"R0": [1]}}

    def __getitem__(self, index):
        meta = dict(
            lidar2img=MATRIX, ori_shape=SIZE, img_shape=SIZE, scale_factor=(1.0, 1.0),
            flip=False, transformation_3d_flow=[], box_type_3d=LiDARInstance3DBoxes,
        )  # fmt: skip
        sample = Det3DDataSample(metainfo=meta)
        sample.eval_ann_info = dict(
            gt_bboxes_3d=LiDARInstance3DBoxes(BOX), gt_labels_3d=np.array([0])
        )
        points = torch.rand(50, 4, generator=torch.Generator().manual_seed(index)) * 20
        return dict(inputs=dict(points=points, img=torch.zeros(3, *SIZE).byte()),
                    data_samples=sample)  # fmt: skip


class ViewStubDetector(BaseModel):
    """Finds its truth, moved by a parameter."""

    def __init__(self):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs, data_samples, mode):
        boxes = BOX.clone()
        boxes[:, 0] += self.shift
        data_samples[0].pred_instances_3d = InstanceData(
            bboxes_3d=LiDARInstance3DBoxes(boxes),
            scores_3d=torch.tensor([0.8]), labels_3d=torch.tensor([0]))  # fmt: skip
        return data_samples


@pytest.fixture
def config(tmp_path):
    """A config of the two, and the checkpoints `good` and `bad`."""
    DATASETS.register_module(module=ViewStubSet, force=True)
    MODELS.register_module(module=ViewStubDetector, force=True)
    path = tmp_path / "stub.py"
    path.write_text(
        "model = dict(type='ViewStubDetector')\n"
        "test_dataloader = dict(dataset=dict(type='ViewStubSet', pipeline=[]))\n"
    )
    for name, shift in (("good", 0.1), ("bad", 30.0)):
        state = dict(state_dict=dict(shift=torch.tensor(shift)), meta={})
        (tmp_path / name).mkdir()
        torch.save(state, tmp_path / name / "epoch_1.pth")
    return SimpleNamespace(path=path, config=Config.fromfile(path), folder=tmp_path)


def test_config_alone_shows_its_test_set(config):
    data = view(config.folder / "v.html", config.path, "--max-frames", 2)
    assert [f["name"] for f in data["frames"]] == ["000000", "000001"]
    assert data["sets"] == ["truth"] and "first 2 of 3" in data["notes"][0]
    assert data["frames"][0]["cameras"][0]["width"] == 160


def test_each_checkpoint_is_a_result_set_named_by_what_tells_it_apart(config):
    files = [config.folder / name / "epoch_1.pth" for name in ("good", "bad")]
    data = view(config.folder / "v.html", config.path, *files)
    assert data["sets"] == ["truth", "good", "bad"]
    _, good, bad = data["frames"][0]["boxes"]
    assert good["overlaps"]["0"][0][1] > 0.9 and "0" not in bad["overlaps"]
    assert str(config.folder) not in (config.folder / "v.html").read_text()


def test_metadata_that_the_model_takes_as_given_are_taken_as_given(config, monkeypatch):
    whole = ViewStubSet.__getitem__

    def without_flip(self, index):
        data = whole(self, index)
        meta = {k: v for k, v in data["data_samples"].metainfo.items() if k != "flip"}
        sample = Det3DDataSample(metainfo=meta)
        sample.eval_ann_info = data["data_samples"].eval_ann_info
        return dict(data, data_samples=sample)

    wanted = DetectorFrames(config.config).read("000000").cameras[0].lidar2img
    monkeypatch.setattr(ViewStubSet, "__getitem__", without_flip)
    with pytest.raises(KeyError, match="'flip'"):
        DetectorFrames(config.config).read("000000")
    config.config.model = dict(type="ViewStubDetector", meta_defaults=dict(flip=False))
    found = DetectorFrames(config.config).read("000000").cameras[0].lidar2img
    np.testing.assert_array_equal(found, wanted)


def test_pixels_of_a_config_s_frames_count_from_the_middle_of_the_first(config):
    frame = DetectorFrames(config.config).read("000000")
    pixels, _ = project_points(np.array([[10.0, -1, 0.5]]), frame.cameras[0].lidar2img)
    np.testing.assert_allclose(pixels, [[90, 43]])  # as MATRIX says for an image that stays


def test_config_and_results_or_data_and_checkpoint_are_refused(config, capsys):
    out = ["--out", str(config.folder / "v.html")]
    assert main(["view", str(config.path), "--results", str(config.folder), *out]) == 2
    assert "checkpoints with a config" in capsys.readouterr().err
    checkpoint = str(config.folder / "good" / "epoch_1.pth")
    assert main(["view", str(config.folder), checkpoint, *out]) == 2
    assert "is no config" in capsys.readouterr().err


def test_page_over_a_checkpoint_is_refused(config, capsys):
    checkpoint = str(config.folder / "good" / "epoch_1.pth")
    assert main(["view", str(config.path), checkpoint, "--out", checkpoint]) == 2
    assert "is an input" in capsys.readouterr().err


def test_gate_of_a_cell_is_that_of_the_points_in_it_and_of_no_others():
    cells = cell_centers((2, 4), [0, 0, 0, 8, 2, 1])  # 2 m x 1 m
    gates = FrameGates(cells[[0, 5]], np.zeros(2), np.array([0.25, 0.75]), (2.0, 1.0))
    points = np.array([[0.1, 0.9, 5], [1.9, 0.1, 0], [2.1, 0.5, 0], [3.9, 1.9, 0], [3.9, 0.9, 0]])
    np.testing.assert_array_equal(gates.at_points(points), [0.25, 0.25, np.nan, 0.75, np.nan])


def test_gate_of_a_point_is_its_own():
    points = np.random.default_rng(2).uniform(0, 9, (7, 3))
    gates = FrameGates(points[[4, 1]], np.zeros(2), np.array([0.4, 0.1]))
    found = gates.at_points(points)
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(found)), [1, 4])
    assert (found[1], found[4]) == (0.1, 0.4)
