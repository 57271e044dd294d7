"""The whole corpus of hostile files against every door: each ends in one line, and nothing runs."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import hostile
import mmengine
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmengine.model import BaseModel
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.cli import main
from gemini_det3d.engine.checkpoint_loading import CheckedLoadingHook
from gemini_det3d.engine.exact.batches import build_dataset
from gemini_det3d.engine.exact.reading import read_training_checkpoint, require_parameters
from gemini_det3d.engine.robust_training import load_teacher
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.images import read_image
from gemini_det3d.formats.infos import load_infos, write_twin
from gemini_det3d.formats.kitti import read_points
from gemini_det3d.formats.kitti_infos import read_infos
from gemini_det3d.formats.sunrgbd_infos import SunInfos
from gemini_det3d.formats.text import read_text
from gemini_det3d.models.backbones import GeminiMiT
from gemini_det3d.models.checkpoints import read_checkpoint

sys.path.insert(0, str(Path(__file__).parent / "engine" / "exact"))
from toy import toy_config, train  # noqa: E402


class Scored(BaseModel):
    """Small, with what a teacher is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.decode_head = torch.nn.Linear(3, 2)

    def forward(self, inputs=None, data_samples=None, mode="tensor"):
        return self.logits(inputs)

    def logits(self, inputs):
        return self.decode_head(inputs)


def command(*words: object) -> None:
    """A command as a user calls it; its line is the error."""
    assert main([str(word) for word in words]) == 2
    raise FormatError(str(words), "ended with code 2")


def start_encoder(path: Path) -> None:
    shape = dict(dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2))
    init = dict(type="Pretrained", checkpoint=str(path))
    GeminiMiT(**shape, init_cfg=init).init_weights()


def start_streams(path: Path) -> None:
    WEIGHT_INITIALIZERS.build(dict(type="PretrainedStreams", checkpoint=str(path)))(Scored())


def read_for_training(path: Path) -> None:
    require_parameters(read_training_checkpoint(path), path)


def load_by_mmengine(path: Path) -> None:
    runner = SimpleNamespace(model=Scored(), logger=logging.getLogger(), _load_from=str(path),
                             _resume=False, _train_loop=None)  # fmt: skip
    content = CheckpointLoader.load_checkpoint(str(path), "cpu", None)
    CheckedLoadingHook().after_load_checkpoint(runner, content)


def load_data_set(path: Path) -> None:
    build_dataset(dict(type="mmdet3d.KittiDataset", data_root=str(path.parent), ann_file=path.name,
                       data_prefix=dict(pts="")))  # fmt: skip


def load_points(path: Path) -> None:
    loader = dict(type="LoadPointsFromFileChecked", coord_type="LIDAR", load_dim=4, use_dim=4)
    TRANSFORMS.build(loader)(dict(lidar_points=dict(lidar_path=str(path))))


def load_image(path: Path) -> None:
    TRANSFORMS.build(dict(type="LoadImageFromFileChecked"))(dict(img_path=str(path)))


DOORS: dict[str, dict[str, Callable]] = {
    "checkpoints": {
        "read_checkpoint": read_checkpoint,
        "read_training_checkpoint": read_for_training,
        "mmengine's runner": load_by_mmengine,
        "init_cfg of an encoder": start_encoder,
        "init_cfg of streams": start_streams,
        "teacher": lambda path: load_teacher(Scored(), str(path)),
        "convert-checkpoint": lambda path: command("convert-checkpoint", path),
    },
    "infos": {
        "load_infos": load_infos,
        "kitti": read_infos,
        "sunrgbd": SunInfos,
        "data set": load_data_set,
        "view": lambda path: command("view", path, "--out", path.parent / "page.html"),
        "convert-infos": lambda path: command("convert-infos", path),
        "eval-kitti": lambda path: command("eval-kitti", results_in(path.parent), path),
        "eval-sunrgbd": lambda path: command("eval-sunrgbd", results_in(path.parent), path),
    },
    "yamls": {"mmengine": lambda path: mmengine.load(str(path))},
    "clouds": {
        "read_points": read_points,
        "loader": load_points,
    },
}


def results_in(folder: Path) -> Path:
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / "000000.txt").touch()
    return folder / "results"


def complaint(door: Callable, path: Path) -> str | None:
    """What is wrong with how a door refuses a file; None: nothing."""
    try:
        door(path)
    except FormatError as error:
        return None if "\n" not in str(error) else f"{path.name}: several lines"
    except Exception as error:
        return f"{path.name}: {type(error).__name__}: {error}"
    return f"{path.name}: let in"


@pytest.mark.parametrize(
    ("kind", "door"), [(kind, door) for kind, doors in DOORS.items() for door in doors]
)
def test_no_file_of_the_corpus_comes_in(kind, door, tmp_path, capsys):
    mark = tmp_path / "was_run"
    files = getattr(hostile, kind)(mark)
    complaints = []
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        complaints.append(complaint(DOORS[kind][door], path))
        path.unlink()
    assert [text for text in complaints if text] == [] and files
    assert "Traceback" not in capsys.readouterr().err
    assert not mark.exists()


@pytest.fixture
def patience():
    """A reader that waits for a pipe fails instead."""

    def stop(*args):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


READERS = {
    **{f"{kind} {name}": door for kind in ("checkpoints", "infos", "clouds")
       for name, door in DOORS[kind].items()},
    "image": read_image,
    "image loader": load_image,
    "text": read_text,
    "calibration": read_any_calibration,
    "load_from": lambda path: train(toy_config(path.parent / "run", load_from=str(path))),
    "resume": lambda path: train(toy_config(path.parent / "run", load_from=str(path)), resume=True),
}  # fmt: skip


@pytest.mark.parametrize("what", ["device", "pipe", "loop", "folder", "nowhere"])
def test_link_to_what_is_no_file_is_one_line(what, tmp_path, capsys, patience):
    for name in ("read.pkl", "read.pth"):
        path, target = tmp_path / name, tmp_path / f"{what} of {name}"
        if what == "device":
            target = Path(os.devnull)  # as /dev/zero, but it ends
        elif what == "pipe":
            os.mkfifo(target)
        elif what == "loop":
            target = path
        elif what == "folder":
            target.mkdir()
        path.symlink_to(target)
    paths = {True: tmp_path / "read.pth", False: tmp_path / "read.pkl"}
    found = {
        name: complaint(door, paths["checkpoint" in name or name in ("load_from", "resume")])
        for name, door in READERS.items()
    }
    assert {name: text for name, text in found.items() if text} == {}
    assert "Traceback" not in capsys.readouterr().err


def test_link_out_of_a_folder_is_not_written_through(tmp_path):
    (tmp_path / "theirs").mkdir()
    mine, link = tmp_path / "mine.json", tmp_path / "theirs" / "infos.json"
    mine.write_text("mine")
    link.symlink_to(mine)
    infos = tmp_path / "theirs" / "infos.pkl"
    infos.write_bytes(pickle.dumps({"metainfo": {}, "data_list": []}))
    for write in (lambda: write_whole(link, "theirs"), lambda: write_twin(infos)):
        with pytest.raises(FormatError, match=r"infos\.json: is a link to .*mine\.json, in anoth"):
            write()
    assert mine.read_text() == "mine" and link.is_symlink()
