"""Files of strangers: nothing of them runs, whichever door they come in by; each is one line."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import hostile
import mmengine
import numpy as np
import pytest
import torch

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.engine.exact.batches import build_dataset
from gemini_det3d.engine.exact.checkpoint_files import remove_checkpoint
from gemini_det3d.formats.clouds import parse_cloud
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.infos import load_infos, preferred_infos, write_twin
from gemini_det3d.formats.kitti_infos import read_infos
from gemini_det3d.formats.sunrgbd_infos import SunInfos
from gemini_det3d.models.checkpoints import read_checkpoint

sys.path.insert(0, str(Path(__file__).parent / "engine" / "exact"))
from toy import toy_config, train  # noqa: E402

NAMES = {kind: sorted(getattr(hostile, kind)(Path("was_run"))) for kind in
         ("checkpoints", "infos", "yamls", "clouds")}  # fmt: skip


@pytest.fixture
def mark(tmp_path):
    """A file that only code of a hostile file makes."""
    path = tmp_path / "was_run"
    yield path
    assert not path.exists()


def written(kind, name, mark):
    path = mark.parent / name
    path.write_bytes(getattr(hostile, kind)(mark)[name])
    return path


def one_line(error):
    assert isinstance(error.value, FormatError) and "\n" not in str(error.value)


def test_corpus_has_thirty_files_and_its_attacks_are_real(tmp_path):
    assert len(hostile.all_files(tmp_path / "was_run")) >= 30
    pickle.loads(hostile.infos(tmp_path / "was_run")["top.pkl"])
    assert (tmp_path / "was_run").exists()


@pytest.mark.usefixtures("each_reader")
@pytest.mark.parametrize("name", NAMES["checkpoints"])
def test_hostile_checkpoint_is_refused_by_every_command(name, mark):
    with pytest.raises(FormatError, match=name) as error:
        read_checkpoint(written("checkpoints", name, mark))
    one_line(error)


@pytest.mark.parametrize("resume", [False, True], ids=["load_from", "resume"])
@pytest.mark.parametrize("name", [n for n in NAMES["checkpoints"] if n[:5] != "meta_"])
def test_hostile_checkpoint_is_refused_by_training(name, resume, mark):
    path = written("checkpoints", name, mark)
    config = toy_config(mark.parent / "run", load_from=str(path))
    with pytest.raises(FormatError, match=name) as error:
        train(config, resume=resume)
    one_line(error)


@pytest.mark.parametrize("read", [load_infos, read_infos, SunInfos], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", NAMES["infos"])
def test_hostile_info_file_is_refused(name, read, mark):
    with pytest.raises(FormatError, match=name) as error:
        read(written("infos", name, mark))
    one_line(error)


@pytest.mark.parametrize("name", [n for n in NAMES["infos"] if n.endswith(".pkl")])
def test_hostile_info_file_is_refused_by_training_with_its_name(name, mark):
    written("infos", name, mark)
    config = dict(
        type="RepeatDataset", times=1,
        dataset=dict(type="mmdet3d.KittiDataset", data_root=str(mark.parent), ann_file=name,
                     data_prefix=dict(pts="")),
    )  # fmt: skip
    with pytest.raises(FormatError, match=name) as error:
        build_dataset(config)
    one_line(error)


def test_training_without_its_info_file_is_told_what_writes_it(tmp_path):
    config = dict(type="mmdet3d.KittiDataset", data_root=f"{tmp_path}/", ann_file="none.pkl")
    with pytest.raises(FormatError, match=r"none\.pkl: no such file; gemini-det3d prepare"):
        build_dataset(config)
    config["type"] = "mmdet3d.NuScenesDataset"
    with pytest.raises(FormatError, match=r"none\.pkl: no such file; mmdet3d's tools/create_data"):
        build_dataset(config)


@pytest.mark.parametrize("name", NAMES["yamls"])
def test_tags_in_yaml_build_nothing(name, mark):
    with pytest.raises(FormatError, match="is no plain YAML") as error:
        mmengine.load(str(written("yamls", name, mark)))
    one_line(error)


@pytest.mark.parametrize("name", NAMES["clouds"])
def test_hostile_cloud_is_refused(name, mark):
    path = written("clouds", name, mark)
    with pytest.raises(FormatError, match=name) as error:
        parse_cloud(path.read_bytes(), path)
    one_line(error)


def info_content():
    frame = {"sample_idx": 3, "images": {"CAM2": {"cam2img": [[1.5, 0.1], [2.0, 1e-17]]}},
             "arrays": np.array([0.1, 3.0]), "number": np.float64(0.25)}  # fmt: skip
    return {"metainfo": {"categories": {"Car": 2, "DontCare": -1}}, "data_list": [frame]}


def test_json_twin_holds_the_same_and_is_preferred(tmp_path):
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(info_content()))
    twin = write_twin(path)
    assert twin == preferred_infos(path) == tmp_path / "infos.json"
    read, (frame,) = load_infos(path), info_content()["data_list"]
    assert read["metainfo"] == info_content()["metainfo"]
    assert read["data_list"][0]["images"] == frame["images"]
    assert read["data_list"][0]["arrays"] == frame["arrays"].tolist()
    path.unlink()  # the twin alone will do
    assert load_infos(path) == read


def test_twin_of_another_pickle_is_refused(tmp_path):
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(info_content()))
    write_twin(path)
    path.write_bytes(pickle.dumps({**info_content(), "more": 1}))
    with pytest.raises(FormatError, match=r"infos\.json: was made from another infos\.pkl"):
        load_infos(path)


def test_twin_is_not_made_of_what_json_would_change(tmp_path):
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps({"metainfo": {}, "data_list": [{1: 2}]}))
    with pytest.raises(FormatError, match="keys that JSON would turn into text"):
        write_twin(path)
    assert not (tmp_path / "infos.json").exists()


def test_convert_infos_writes_twins(tmp_path, capsys):
    from gemini_det3d.cli import main

    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(info_content()))
    assert main(["convert-infos", str(path)]) == 0
    assert json.loads((tmp_path / "infos.json").read_text())["data_list"][0]["sample_idx"] == 3
    assert main(["convert-infos", str(tmp_path / "none.pkl")]) == 2


def test_training_deletes_no_file_that_a_checkpoint_names(tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "epoch_1.pth"
    outside.write_text("mine")
    config = toy_config(folder, **{"train_cfg.max_epochs": 1})
    train(config)
    checkpoint = torch.load(folder / "iter_4.pth", weights_only=False)
    info = checkpoint["message_hub"]["runtime_info"]
    info.update(best_ckpt=str(outside), last_ckpt=str(outside), best_score=-9.0)
    checkpoint["superseded"] = ["../epoch_1.pth", str(outside)]
    hostile_file = tmp_path / "strange.pth"
    torch.save(checkpoint, hostile_file)
    resumed = toy_config(tmp_path / "other", load_from=str(hostile_file))
    train(resumed, resume=True)
    assert list((tmp_path / "other").glob("best_*")) and outside.read_text() == "mine"


def test_checkpoint_that_is_a_link_is_deleted_without_what_it_leads_to(tmp_path):
    outside, link = tmp_path / "mine", tmp_path / "iter_4.pth"
    outside.write_text("mine")
    link.symlink_to(outside)
    remove_checkpoint(link)
    assert outside.read_text() == "mine" and not link.is_symlink()


@pytest.mark.usefixtures("each_reader")
def test_checkpoint_of_a_training_is_still_read(tmp_path):
    train(toy_config(tmp_path))
    state = read_checkpoint(tmp_path / "iter_18.pth")["state_dict"]
    assert all(isinstance(value, torch.Tensor) for value in state.values())
