"""Recordings for rerun: the camera is the projection, and without the package one line says so."""

import os
import sys
import types

import numpy as np
import pytest

from gemini_det3d.cli import main
from gemini_det3d.visualization import LabeledBoxes
from gemini_det3d.visualization.page import ViewFrame
from gemini_det3d.visualization.page.frame import Camera
from gemini_det3d.visualization.rerun_file import decompose, record_frames

CAM2IMG = np.array([[70.0, 3, 61], [0, 65, 37], [0, 0, 1]])
LIDAR2CAM = np.array([[0.0, -1, 0, 0.3], [0, 0, -1, 0.2], [1, 0, 0, -0.1]])
TRUTH = LabeledBoxes([[9, 1, -1, 4, 2, 1.5, 0.3], [17, -5, -1, 1, 0.7, 1.8, 0]], ["Car", "Walker"])


def frames(number=2):
    points = np.random.default_rng(3).uniform(-9, 9, (31, 4)).astype(np.float32)
    image = np.zeros((73, 121, 3), np.uint8)
    found = LabeledBoxes(TRUTH.boxes[:1], ["Car"], [0.5])
    cameras = (Camera(image, CAM2IMG @ LIDAR2CAM), Camera(image, None, "a/b <i>"))
    return [
        ViewFrame(f"{k}", points, cameras=cameras, truth=TRUTH, results=[None if k else found])
        for k in range(number)
    ]


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_decomposed_projection_is_camera_and_place(scale):
    matrix = scale * CAM2IMG @ LIDAR2CAM
    intrinsic, rotation, translation = decompose(np.vstack([matrix, [0, 0, 0, 1]]))
    np.testing.assert_allclose(intrinsic, CAM2IMG, atol=1e-9)
    np.testing.assert_allclose(rotation, LIDAR2CAM[:, :3], atol=1e-12)
    np.testing.assert_allclose(translation, LIDAR2CAM[:, 3], atol=1e-9)


class Stub(types.ModuleType):
    """What is called of rerun: every archetype becomes its name and arguments."""

    def __init__(self):
        super().__init__("rerun")
        self.logged, self.time, self.path = [], None, None

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": _remember, "compress": lambda self, **_: self})

    ViewCoordinates = types.SimpleNamespace(RIGHT_HAND_Z_UP="z up")
    TransformRelation = types.SimpleNamespace(ChildFromParent="child from parent")

    def RecordingStream(self, title):  # noqa: N802
        return self

    def save(self, path):
        self.path = path

    def set_time(self, timeline, sequence):
        self.time = sequence

    def log(self, path, what, static=False):
        path = path if isinstance(path, str) else "|".join(path)
        self.logged.append((self.time, path, type(what).__name__, what))

    def flush(self):
        open(self.path, "wb").close()

    def disconnect(self):
        pass


def _remember(self, *args, **kwargs):
    self.args, self.kwargs = args, kwargs


@pytest.fixture
def rerun(monkeypatch):
    stub = Stub()
    monkeypatch.setitem(sys.modules, "rerun", stub)
    return stub


def test_boxes_stand_on_their_bottoms_and_a_missing_set_is_cleared(rerun, tmp_path):
    passed = list(record_frames(frames(), tmp_path / "out.rrd", ["a/b"], "t"))
    assert [frame.name for frame in passed] == ["0", "1"] and os.listdir(tmp_path) == ["out.rrd"]
    boxes = next(w for t, p, _, w in rerun.logged if p == "world/truth" and t == 0).kwargs
    np.testing.assert_allclose(boxes["centers"][0], [9, 1, -0.25])
    np.testing.assert_allclose(boxes["half_sizes"][0], [2, 1, 0.75])
    np.testing.assert_allclose(boxes["quaternions"][0], [0, 0, np.sin(0.15), np.cos(0.15)])
    kinds = [(time, kind) for time, path, kind, _ in rerun.logged if path == "world|1 a/b"]
    assert kinds == [(0, "Boxes3D"), (1, "Clear")]


def test_camera_without_calibration_stands_outside_of_the_world(rerun, tmp_path):
    list(record_frames(frames(1), tmp_path / "out.rrd", ["a"], "t"))
    kinds = [(path, kind) for _, path, kind, _ in rerun.logged if "camera" in path or "<i>" in path]
    assert kinds == [
        ("world|0 camera", "Transform3D"), ("world|0 camera|image", "Pinhole"),
        ("world|0 camera|image", "Image"), ("images|1 a/b <i>", "Image"),
    ]  # fmt: skip


def test_recording_that_is_cut_off_leaves_no_file(rerun, tmp_path):
    frame = next(iter(record_frames(frames(), tmp_path / "out.rrd", ["a"], "t")))
    assert frame.name == "0" and os.listdir(tmp_path) == []


def test_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ImportError, match=r"gemini_det3d\[rerun\]"):
        next(record_frames(frames(), tmp_path / "out.rrd", ["a"], "t"))


def test_command_without_the_package_is_one_line_before_any_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["view", str(tmp_path / "none"), "--rrd", str(tmp_path / "out.rrd")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install 'gemini_det3d[rerun]'" in error


def test_rerun_itself_reads_the_recording_back(tmp_path):
    rerun = pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    list(record_frames(frames(), tmp_path / "out.rrd", ["a/b"], "t"))
    recording = rerun.dataframe.load_recording(tmp_path / "out.rrd")
    table = recording.view(index="frame", contents="/**").select().read_all()
    assert table.num_rows == 2
    names = " ".join(table.column_names)
    assert all(word in names for word in ("/world/points", "/world/truth", "Pinhole", "1\\ a\\/b"))
