"""What the ablation changes in a frame, how it gathers gates, and what it concludes."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from PIL import Image
from programs import run_python
from torch import nn

from gemini_det3d.apis.ablation.conditions import CONDITIONS, spoil
from gemini_det3d.apis.ablation.gates import FrameGates, GateRecorder, GateTable, cell_centers
from gemini_det3d.apis.ablation.probe import Probe, TokenRecorder, probe_markdown, probe_verdicts
from gemini_det3d.apis.ablation.report import AblationRow, chart, markdown, verdicts
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.formats import FormatError
from gemini_det3d.fusion import GeminiFusion, StreamBlend, SumFusion


def frame(fill=1, size=(6, 10), cameras=None):
    shape = (3, *size) if cameras is None else (cameras, 3, *size)
    inputs = dict(points=torch.rand(400, 4), img=torch.full(shape, fill, dtype=torch.uint8))
    return dict(inputs=inputs, data_samples=BaseDataElement())


def spoilt(name, data, other=None):
    return spoil(name, data, other or frame(9), 3)


@pytest.mark.parametrize("condition", list(CONDITIONS))
def test_no_condition_changes_the_frame_itself(condition):
    data = frame()
    points, image = data["inputs"]["points"], data["inputs"]["img"].clone()
    spoilt(condition, data)
    assert data["inputs"]["points"] is points and torch.equal(data["inputs"]["img"], image)
    assert not data["data_samples"].metainfo


def test_black_image_is_zero_and_shuffled_is_the_other_frames():
    assert spoilt("image black", frame())["inputs"]["img"].sum() == 0
    assert (spoilt("image shuffled", frame())["inputs"]["img"] == 9).all()


def test_shuffled_image_of_another_size_is_cut_and_padded():
    image = spoilt("image shuffled", frame(), frame(9, size=(4, 12)))["inputs"]["img"]
    assert image.shape == (3, 6, 10) and (image[:, :4] == 9).all() and (image[:, 4:] == 0).all()


@pytest.mark.parametrize("cameras", [None, 6])
def test_absent_camera_is_masked_and_black_for_who_reads_no_mask(cameras):
    data = spoilt("image absent", frame(cameras=cameras))
    mask = data["data_samples"].metainfo["sensor_mask"]
    assert mask == dict(camera=[False] * (cameras or 1), lidar=True)
    assert not data["inputs"]["img"].any()


def test_camera_that_was_missing_stays_so_without_the_lidar():
    data = frame(cameras=3)
    data["data_samples"].set_metainfo(dict(sensor_mask=dict(camera=[True, False, True])))
    mask = spoilt("LiDAR absent", data)["data_samples"].metainfo["sensor_mask"]
    assert mask == dict(camera=[True, False, True], lidar=False)


def test_absent_lidar_is_masked_and_has_one_point():
    data = spoilt("LiDAR absent", frame())
    assert data["data_samples"].metainfo["sensor_mask"] == dict(camera=[True], lidar=False)
    assert data["inputs"]["points"].shape == (1, 4)


def test_thinned_lidar_keeps_a_quarter_and_the_same_each_time():
    data = frame()
    one, two = (spoilt("LiDAR thinned", data)["inputs"]["points"] for _ in range(2))
    assert 60 < len(one) < 140 and torch.equal(one, two)


class Detector(nn.Module):
    """Tokens through two operators; their places come as they do from a map."""

    def __init__(self, operator):
        super().__init__()
        self.first, self.second = operator(8), operator(8)
        layer = SimpleNamespace(point_cloud_range=[0, -2, 0, 6, 2, 1])
        self.data_preprocessor = SimpleNamespace(voxel_layer=layer)

    def forward(self, camera, lidar, valid):
        self.second(*self.first(camera, lidar, valid), valid)


def test_recorder_takes_the_gates_of_the_last_operator_where_both_sensors_see():
    model = Detector(GeminiFusion)
    valid = torch.rand(1, 15) > 0.4
    streams = torch.randn(1, 15, 8), torch.randn(1, 15, 8)
    with GateRecorder(model) as recorder:
        recorder._grid = (3, 5)
        model(*streams, valid)
        found = recorder.take()
    fused = model.first(*streams, valid)
    wanted = [g.mean(-1)[valid].detach().numpy() for g in model.second.gates(*fused, valid)]
    np.testing.assert_allclose(found.camera_reads, wanted[0], rtol=1e-5)
    np.testing.assert_allclose(found.lidar_reads, wanted[1], rtol=1e-5)
    assert len(found.positions) == int(valid.sum())


def test_recorder_hears_nothing_of_other_operators_and_after_its_end():
    with GateRecorder(Detector(SumFusion)) as recorder:
        assert recorder.take() is None
    model = Detector(GeminiFusion)
    with GateRecorder(model) as recorder:
        pass
    recorder._grid = (3, 5)
    model(torch.randn(1, 15, 8), torch.randn(1, 15, 8), None)
    assert recorder.take() is None


def test_cells_lie_row_by_row_with_x_along_the_columns():
    centers = cell_centers((2, 3), [0, -2, -1, 6, 2, 1])
    assert centers[:, :2].tolist() == [[1, -1], [3, -1], [5, -1], [1, 1], [3, 1], [5, 1]]


def test_gates_are_averaged_by_class_and_by_distance():
    positions = np.array([[5, 0, 0], [5, 0.5, 0], [25, 0, 0], [60, 0, 0.0]])
    gates = FrameGates(positions, np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.1, 0.3, 0.5, 0.9]))
    table = GateTable()
    for _ in range(2):  # means do not depend on how often
        table.add(gates, np.array([[5, 0, -1, 4, 2, 2, 0.0]]), ["Car"])
    rows = {row["of"]: row for row in table.rows()}
    assert rows["Car"]["camera_reads"] == pytest.approx(0.3) and rows["Car"]["tokens"] == 4
    assert rows["background"]["lidar_reads"] == pytest.approx(0.7)
    assert rows["0 to 10 m"]["lidar_reads"] == pytest.approx(0.2)
    assert rows["50 m and more"]["camera_reads"] == pytest.approx(0.8)


def test_groups_of_gates_stand_in_order_whichever_came_first():
    gates = FrameGates(np.array([[5.0, 0, 0], [25, 0, 0], [60, 0, 0]]), np.ones(3), np.ones(3))
    table = GateTable()
    for name, x in (("Tram", 25), ("Car", 5)):
        table.add(gates, np.array([[x, 0, -1, 4, 2, 2, 0.0]]), [name])
    places = ["0 to 10 m", "20 to 30 m", "50 m and more"]
    assert [row["of"] for row in table.rows()] == ["Car", "Tram", "background", *places]


def rows_of(**scores):
    names = {"real": 60.0, "image shuffled": 60.0, "LiDAR absent": 0.0, **scores}
    return [AblationRow(n, s, {"Car": s, "Tram": s}, 0.1) for n, s in names.items()]


@pytest.mark.parametrize(
    "shuffled, word", [(20.0, "matters"), (59.0, "does not matter"), (70.0, "harms")]
)
def test_verdict_says_whether_the_camera_matters(shuffled, word):
    line = verdicts(rows_of(**{"image shuffled": shuffled}))[0]
    assert line.startswith(f"the camera {word}: ") and f"60.00 -> {shuffled:.2f} AP" in line


def test_table_shows_change_against_the_real_condition():
    gates = [dict(by="class", of="Car", tokens=7, camera_reads=0.25, lidar_reads=0.5)]
    table = markdown(rows_of(**{"image shuffled": 20.0}), gates)
    assert "| image shuffled | 20.00 | -40.00 | 20.00 | 20.00 | 0.100 |" in table
    assert "| class | Car | 7 | 0.250 | 0.500 |" in table


@pytest.mark.parametrize("has_image", [True, False])
def test_chart_is_drawn_with_and_without_an_image(tmp_path, has_image):
    positions = np.random.default_rng(0).uniform((5, -4, -1), (20, 4, 1), (50, 3))
    gates = FrameGates(positions, np.full(50, 0.5), np.linspace(0, 1, 50))
    matrix = np.array([[20.0, -20, 0, 0], [15, 0, -20, 0], [1, 0, 0, 0]])
    image = np.full((30, 40, 3), 90, np.uint8) if has_image else None
    chart(tmp_path / "a.png", image, matrix, gates, np.array([[9, 0, -1, 4, 2, 2, 0.3]]))
    assert np.asarray(Image.open(tmp_path / "a.png").convert("L")).std() > 10


def test_results_do_not_go_to_the_folder_of_the_frames(tmp_path, monkeypatch):
    class Frames(list):
        def get_data_info(self, index):
            return {"img_path": str(tmp_path / "image_2" / "000000.png")}

    (tmp_path / "image_2").mkdir()
    ablating = import_module("gemini_det3d.apis.ablation.ablate")  # the package has a function so
    bench = SimpleNamespace(dataset=Frames([1, 2]))
    monkeypatch.setattr(ablating, "_Bench", lambda *_: bench)
    with pytest.raises(FormatError, match="a folder of inputs"):
        ablating.ablate(Config(), "none.pth", tmp_path / "image_2")
    assert not list((tmp_path / "image_2").iterdir())


@pytest.mark.slow
def test_command_ablates_a_detector(tmp_path):
    config = "mvxnet_gemini-point_r18_1xb2-toy_look-alikes-3class"
    cli = ["-m", "gemini_det3d.cli"]
    data = tmp_path / "data"
    run_python(*cli, "make-scenes", data, "--preset", "look-alikes", "--train", 1, "--val", 3,
               "--workers", 1, cwd=tmp_path)  # fmt: skip
    run_python(*cli, "prepare", "kitti", data, "--classes", "Car", "Truck", "Tram",
               "--workers", 1, cwd=tmp_path)  # fmt: skip
    save = (
        "import torch, sys; from gemini_det3d.apis.config import read_changed_config as read;"
        "from mmdet3d.registry import MODELS; from mmengine.registry import init_default_scope;"
        "c = read(sys.argv[1], []); init_default_scope('mmdet3d');"
        "torch.save(MODELS.build(c.model).state_dict(), 'model.pth')"
    )
    run_python("-c", save, config, cwd=tmp_path)
    output = run_python(
        *cli, "ablate", config, "model.pth", "--out", "out", "--pictures", 1, "--cfg-options",
        f"test_dataloader.dataset.data_root={data}/",
        f"test_evaluator.ann_file={data}/kitti_infos_val.pkl", cwd=tmp_path,
    )  # fmt: skip
    assert all(f"| {condition} |" in output for condition in CONDITIONS)
    assert "the camera " in output and "| class | background |" in output
    assert len(list((tmp_path / "out" / "pictures").glob("*.png"))) == 1
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "the camera " in page and ">background<" in page and page.count("data:image/") == 1


CLASSES = ("Car", "Truck")


def probed(lost_by=None, frames=30):
    """Two cars and two trucks a frame, told apart by one channel of camera, blend and head."""
    generator, probe = np.random.default_rng(3), Probe(CLASSES)
    places = cell_centers((16, 16), [0, -8, 0, 16, 8, 1])
    boxes = np.array([[x, y, 0, 3, 2, 1, 0.0] for x in (4, 12) for y in (-4, 4)])
    for _ in range(frames):
        labels = generator.permutation([0, 0, 1, 1])
        clean = generator.normal(size=(3, len(places), 5)).astype(np.float32)
        for i, stage in enumerate(("encoders", "fusion")):
            if lost_by not in ("encoders", stage):
                for box, label in zip(boxes, labels):
                    near = np.abs(places[:, :2] - box[:2]).max(axis=1) < 1
                    clean[2 * i, near, 1] += 8 * label
        right = labels if lost_by is None else 1 - labels
        detections = boxes, np.linspace(0.1, 0.9, 4), right
        probe.add((places, list(clean)), boxes, [CLASSES[k] for k in labels], detections)
    return probe.rows()


@pytest.mark.parametrize(
    ("lost_by", "line"),
    [
        (None, "Truck is told by the head: 1.00"),
        ("encoders", "Truck is lost before the fusion"),
        ("fusion", "Truck is lost by the fusion"),
        ("head", "Truck is lost by the head"),
    ],
)
def test_probe_tells_which_stage_lost_a_class(lost_by, line):
    rows = probed(lost_by)
    assert any(text.startswith(line) for text in probe_verdicts(rows)), probe_verdicts(rows)
    assert [row.objects for row in rows] == [120] * 4
    assert probe_markdown(rows).count("\n") == 5


def test_probe_of_chance_is_near_one_half():
    camera, lidar = probed("encoders")[:2]
    for row in (camera, lidar):
        assert abs(row.right - 0.5) < 0.15


def test_an_undetected_object_is_told_wrong():
    probe, places = Probe(CLASSES), cell_centers((16, 16), [0, -8, 0, 16, 8, 1])
    nothing = np.zeros((0, 7)), np.zeros(0), np.zeros(0, dtype=int)
    box = np.array([[4, 0, 0, 3, 2, 1, 0.0]])
    for name in CLASSES * 4:
        tokens = [np.full((len(places), 2), float(name == "Car"))] * 3
        for _ in range(2):
            probe.add((places, tokens), box, [name], nothing)
    *stages, head = probe.rows()
    assert head.right == 0 and all(stage.right == 1 for stage in stages)


def test_probe_of_a_single_class_has_no_rows():
    probe, places = Probe(CLASSES), cell_centers((2, 2), [0, -8, 0, 16, 8, 1])
    box = np.array([[4, -4, 0, 9, 9, 1, 0.0]])
    nothing = np.zeros((0, 7)), np.zeros(0), np.zeros(0, dtype=int)
    for _ in range(4):
        probe.add((places, [np.zeros((4, 2))] * 3), box, ["Car"], nothing)
    assert probe.rows() == []


def test_token_recorder_takes_what_the_first_operator_reads_and_the_last_blend_makes():
    model = Detector(SumFusion)
    model.blend = StreamBlend()
    streams = torch.randn(1, 15, 8), torch.randn(1, 15, 8)
    with TokenRecorder(model) as recorder:
        recorder._grid = (3, 5)
        model(*streams, None)
        blend = model.blend(*streams)
        places, found = recorder.tokens()
    assert places.shape == (15, 3)
    for stage, wanted in zip(found, (*streams, blend)):
        np.testing.assert_array_equal(stage, wanted[0].detach().numpy())


def test_probe_of_tokens_without_places_is_refused():
    with pytest.raises(ConfigError, match="--probe"):
        Probe(CLASSES).add(None, np.zeros((0, 7)), [], (np.zeros((0, 7)), np.zeros(0), np.zeros(0)))
