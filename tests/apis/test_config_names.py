"""A name in a config file that changes nothing is said before the training."""

from __future__ import annotations

from difflib import get_close_matches

import pytest
from mmengine.config import Config

from gemini_det3d.apis.config import ConfigError, config_root, find_config, mmdet3d_mim
from gemini_det3d.apis.config_changes import effective_changes, known_names, twins_of
from gemini_det3d.apis.config_names import _CLOSE, _is_variable, _only_set, check_names

TOY = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"


def check(folder, text):
    path = folder / "mine.py"
    path.write_text(f"_base_ = [{find_config(TOY).as_posix()!r}]\n{text}\n")
    return check_names(Config.fromfile(path))


@pytest.mark.parametrize(
    "text, said",
    [
        ("point_cloud_range = [0, -10, -3, 20, 10, 1]", "set model.data_preprocessor.voxel_layer"),
        ("voxel_size = [0.2, 0.2, 0.2]", "voxel_size changes nothing: the base config"),
        ("class_names = ['Car']", r"metainfo\.classes"),
        ("train_pipeline = []", r"set train_dataloader\.dataset\.dataset\.pipeline"),
        ("data_root = 'data/mine/'", r"set train_dataloader\.dataset\.dataset\.data_root"),
        ("optim_wraper = dict(optimizer=dict(lr=1))", "close to it: optim_wrapper"),
        ("modle = dict(img_neck=None)", "nothing reads modle; close to it: model"),
        ("train_cgf = dict(max_epochs=1)", "nothing reads train_cgf; close to it: train_cfg"),
        ("load_form = 'a.pth'", "nothing reads load_form; close to it: load_from"),
        (
            "auto_scale_lr = dict(enabled=False)",
            r"nothing reads auto_scale_lr\.enabled; close to it: enable",
        ),
        ("env_cfg = dict(cudnn_benchmrk=True)", r"nothing reads env_cfg\.cudnn_benchmrk; close"),
    ],
)
def test_name_that_the_base_has_computed_with_is_refused(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        check(tmp_path, text)


def test_every_entry_is_listed_those_of_the_same_value_first(tmp_path):
    places = [f"model.part{number}.size" for number in range(9)]
    (tmp_path / "base.py").write_text(
        "size = [1, 2]\nmodel = dict("
        + ", ".join(f"part{n}=dict(size=size)" for n in range(9))
        + ")"
    )
    path = tmp_path / "mine.py"
    path.write_text("_base_ = ['base.py']\nsize = [3, 4]\n")
    with pytest.raises(ConfigError) as error:
        check_names(Config.fromfile(path))
    assert str(error.value).endswith(f"set {', '.join(places)}")
    config = Config.fromfile(tmp_path / "base.py").to_dict()
    with pytest.raises(ConfigError) as error:
        effective_changes(config, "size=[3,4]")
    assert f"; set {', '.join(places)}" in str(error.value)
    entries = {"model": {"size": 3, "a": {"size": [1, 2]}, "b": [1, 2]}}
    assert twins_of(entries, "size", [1, 2]) == ["model.a.size", "model.b", "model.size"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "my_note = 'anything'",
        "data_root = _base_.data_root",
        "voxel_size = [0.2, 0.2, 0.2]\nmodel = dict(data_preprocessor=dict(voxel_layer="
        "dict(voxel_size=voxel_size)))",
        "voxel_size = [0.2, 0.2, 0.2]\nmodel = dict(data_preprocessor=dict(voxel_layer="
        "dict(voxel_size=[0.2, 0.2, 0.2])))",
        "optim_wrapper = dict(optimizer=dict(lr=0.001))",
    ],
)
def test_name_that_does_or_promises_nothing_passes(tmp_path, text):
    assert check(tmp_path, text) is None


def test_every_config_passes():
    for path in sorted(config_root().glob("*/*.py")):
        if path.parent.name != "_base_":
            assert check_names(Config.fromfile(path)) is None


def test_names_of_mmdet3ds_own_configs_are_not_taken_for_misspelt_ones():
    """Those of all its files, in one file without a base."""
    names = {
        name
        for path in (mmdet3d_mim() / "configs").rglob("*.py")
        for name in _only_set(path.read_text())
    }
    assert len(names) > 20
    for name in names - set(known_names()):
        close = get_close_matches(name, known_names(), 1, _CLOSE)
        assert not close or _is_variable(name), name


def test_flat_config_passes(tmp_path):
    """As runs dump them: names stand there that nothing reads; one is much like tta_pipeline."""
    path = tmp_path / "dumped.py"
    text = "test_pipeline = [dict(type='A')]\nmodel = dict(type='B')\nlr = 0.1\n"
    path.write_text(f"{text}eval_pipeline = train_pipeline = []\n")
    assert check_names(Config.fromfile(path)) is None
