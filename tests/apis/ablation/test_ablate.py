"""What the ablation concludes and draws, and the command."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from programs import run_python

from gemini_det3d.apis.ablation.conditions import CONDITIONS
from gemini_det3d.apis.ablation.gates import FrameGates
from gemini_det3d.apis.ablation.report import AblationRow, chart, markdown, verdicts
from gemini_det3d.formats import FormatError
from gemini_det3d.visualization import save_png


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
        ablating.ablate(Config({"model": {}}), "none.pth", tmp_path / "image_2")
    assert not list((tmp_path / "image_2").iterdir())


def test_page_shows_the_gates_of_this_run_alone(tmp_path, monkeypatch):
    class Frames(list):
        metainfo = {"classes": ["Car"]}

        def get_data_info(self, index):
            return {}

    gates = FrameGates(np.zeros((1, 3)), np.full(1, 0.5), np.full(1, 0.5))
    recorder = nullcontext(SimpleNamespace(take=lambda: gates))
    bench = SimpleNamespace(
        dataset=Frames([{}, {}]), model=None, test=lambda *_: None,
        truth=lambda data: (np.zeros((0, 7)), []), rows=lambda *_: rows_of(),
        draw=lambda path, *_: save_png(path, np.full((5, 7, 3), 200, np.uint8)),
    )  # fmt: skip
    ablating = import_module("gemini_det3d.apis.ablation.ablate")
    monkeypatch.setattr(ablating, "_Bench", lambda *_: bench)
    monkeypatch.setattr(ablating, "GateRecorder", lambda model: recorder)
    monkeypatch.setattr(ablating, "spoil", lambda name, data, other, index: data)
    save_png(tmp_path / "pictures" / "gates_000777.png", np.zeros((5, 7, 3), np.uint8))
    ablating.ablate(Config({"model": {}}), "none.pth", tmp_path, pictures=1)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "gates_000000" in page and "gates_000777" not in page


def test_ablation_of_a_pipeline_that_draws_is_the_same_each_time(tmp_path, monkeypatch):
    class Frames(list):
        metainfo = {"classes": ["Car"]}

        def __getitem__(self, index):
            return {"drawn": np.random.random()}

        def get_data_info(self, index):
            return {}

    tested = []
    bench = SimpleNamespace(
        dataset=Frames([1, 2, 3]), model=None, test=lambda _, data, *__: tested.append(data),
        truth=lambda data: (np.zeros((0, 7)), []), rows=lambda *_: rows_of(),
    )  # fmt: skip
    ablating = import_module("gemini_det3d.apis.ablation.ablate")
    monkeypatch.setattr(ablating, "_Bench", lambda *_: bench)
    recorder = nullcontext(SimpleNamespace(take=lambda: None))
    monkeypatch.setattr(ablating, "GateRecorder", lambda model: recorder)
    monkeypatch.setattr(ablating, "spoil", lambda name, data, other, index: data)
    for _ in range(2):
        ablating.ablate(Config({"model": {}}), "none.pth", tmp_path)
    half = len(tested) // 2
    assert tested[:half] == tested[half:]


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
