"""What mmdet3d's scripts would accept without effect is one line before they run."""

from __future__ import annotations

import pytest

from gemini_det3d.apis.config import ConfigError, config_root, find_config, read_changed_config
from gemini_det3d.apis.script_options import checked_arguments, split_arguments
from gemini_det3d.cli import main

TOY = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
SEG = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"


def checked(*options, config=TOY, name="train"):
    return checked_arguments(name, [config, *options])


@pytest.mark.parametrize(
    ("argv", "places", "options", "changes"),
    [
        (["c.py", "--work-dir", "w"], ["c.py"], ["--work-dir", "w"], []),
        (["--work-dir", "w", "c.py"], ["c.py"], ["--work-dir", "w"], []),
        (["--amp", "--resume", "c.py"], ["c.py"], ["--amp", "--resume"], []),
        (["--resume", "a.pth", "c.py"], ["c.py"], ["--resume", "a.pth"], []),
        (["--cfg-options", "a=1", "b.c=2", "c.py"], ["c.py"], [], ["a=1", "b.c=2"]),
        (["--cfg", "a=1", "--work-dir=w", "c.py", "x.pth"], ["c.py", "x.pth"], ["--work-dir=w"],
         ["a=1"]),
        (["c.py", "--cfg-options=a=1", "--cfg-opt=b=c=d"], ["c.py"], [], ["a=1", "b=c=d"]),
        (["--cfg-options=a=1", "c.py"], ["c.py"], [], ["a=1"]),
    ],
)  # fmt: skip
def test_options_may_stand_before_the_config(argv, places, options, changes):
    assert split_arguments(argv) == (places, options, changes)


def test_a_change_in_one_word_with_its_option_is_checked_and_kept():
    change = "train_cfg.max_epochs=1"
    assert checked(f"--cfg-options={change}")[1:] == ["--cfg-options", change]
    with pytest.raises(ConfigError, match="dataroot: no such key"):
        checked("--cfg-options=dataroot=x")
    with pytest.raises(ConfigError, match="--cfg-options=x: expected --cfg-options KEY=VALUE"):
        checked("--cfg-options=x")


def test_the_config_comes_first_with_its_path():
    found = checked_arguments("train", ["--work-dir", "w", "--cfg-options", "resume=True", TOY])
    path = str(find_config(TOY))
    assert found == [path, "--work-dir", "w", "--cfg-options", "resume=True"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dataroot=x", "dataroot: no such key; close to it: data_root"),
        ("max_epochs=1", "max_epochs: the config computes with .*; set train_cfg.max_epochs"),
        ("class_names=[a]", "the config computes with class_names, and nothing reads it"),
        ("train_pipeline.0.type=X", "computes with train_pipeline.*set train_dataloader.dataset"),
        ("auto_scale_lr.enabled=True", "auto_scale_lr has no 'enabled'; close to it: enable"),
        ("env_cfg.cudnn_benchmrk=1", "env_cfg has no 'cudnn_benchmrk'; close to it: cudnn_bench"),
        ("model.test_cfg.pts.max_nun=1", "model.test_cfg.pts has no 'max_nun'; close.*max_num"),
        ("model.pts_voxel_encoder.fuse_att=all", "has no 'fuse_att'; close to it: fuse_at"),
        (
            "train_dataloader.dataset.ann_file=x",
            "has no 'ann_file'; train_dataloader.dataset.dataset.ann_file is there",
        ),
        ("param_scheduler.9.end=1", "param_scheduler has 2 entries, no '9'"),
        ("find_unused_parameters=1", "set model_wrapper_cfg.find_unused_parameters"),
        ("load_from.x=1", None),
        ("train_dataloader.batch_size.x=1", "train_dataloader.batch_size is 2 and has no 'x'"),
    ],
)
def test_a_change_without_effect_is_named(change, message):
    if message is None:  # a new value where there was none
        assert change in checked("--cfg-options", change)
        return
    with pytest.raises(ConfigError, match=message):
        checked("--cfg-options", change)


@pytest.mark.parametrize(
    "change",
    [
        "train_cfg.max_epochs=1", "train_dataloader.batch_size=1", "randomness.seed=3",
        "model.test_cfg.pts.max_num=5", "optim_wrapper.optimizer.lr=0.1", "sync_bn=torch",
        "train_dataloader.drop_last=True", "train_dataloader.dataset.dataset.indices=3",
        "default_hooks.checkpoint.save_best=x", "param_scheduler.0.end=3",
        "model.pts_voxel_encoder.fusion_layer.operator.type=SumFusion", "load_from=None",
        "test_dataloader.dataset.pipeline.0.on_non_finite=drop",
        "env_cfg.resource_limit=1", "model.backbone=None", "work_dir=x",
    ],
)  # fmt: skip
def test_a_change_with_effect_is_left_alone(change):
    if change.startswith("model.backbone"):
        with pytest.raises(ConfigError, match="has no 'backbone'; close to it: .*img_backbone"):
            checked("--cfg-options", change)
    else:
        assert checked("--cfg-options", change)[1:] == ["--cfg-options", change]


def test_a_loader_without_workers_keeps_none():
    found = checked("--cfg-options", "train_dataloader.num_workers=0", config=SEG)
    assert found[2:] == ["train_dataloader.num_workers=0",
                         "train_dataloader.persistent_workers=False"]  # fmt: skip
    assert len(checked("--cfg-options", "train_dataloader.num_workers=2", config=SEG)) == 3


def test_workers_of_a_loader_that_the_config_switches_off_are_left_alone(tmp_path):
    path = tmp_path / "child.py"
    path.write_text(f"_base_ = [{str(find_config(TOY))!r}]\nval_dataloader = None\n")
    found = checked("--cfg-options", "val_dataloader.num_workers=0", config=str(path))
    assert found[2:] == ["val_dataloader.num_workers=0"]


@pytest.mark.parametrize("config", [TOY, SEG, "translator_gemini_mit-toy_views-rgb-edge2depth"])
def test_data_root_reaches_everything_below_it(config):
    from mmengine.config import Config, DictAction

    found = checked("--cfg-options", "data_root=/elsewhere/d/", config=config)
    cfg = Config.fromfile(found[0])
    action = DictAction(["--cfg-options"], "cfg_options", nargs="+")

    class Answer:
        pass

    answer = Answer()
    action(None, answer, found[2:])
    cfg.merge_from_dict(answer.cfg_options)
    runs = {k: cfg[k] for k in ("train_dataloader", "val_dataloader", "test_dataloader",
                                "val_evaluator", "test_evaluator")}  # fmt: skip
    assert "data/" not in str(runs).replace("/elsewhere/d", "") and "/elsewhere/d" in str(runs)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("train", ["--amp"], "needs a GPU"),
        ("train", ["--cfg-options", "optim_wrapper.type=AmpOptimWrapper"], "needs a GPU"),
        ("test", ["a.pth", "--tta"], "has no tta_model and no tta_pipeline"),
        ("test", ["a.pth", "--show"], "--show"),
        ("test", ["nowhere.pth"], "nowhere.pth: no such file"),
        ("train", ["--resume", "nowhere.pth"], "nowhere.pth: no such file"),
        ("train", ["--resume=nowhere.pth"], "nowhere.pth: no such file"),
    ],
)
def test_what_machine_or_config_cannot_do_is_named(monkeypatch, name, options, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        checked(*options, name=name)


def test_auto_scale_lr_without_a_base_batch_is_named():
    with pytest.raises(ConfigError, match="has no auto_scale_lr"):
        checked("--auto-scale-lr", config=SEG)


def test_every_recipe_that_states_its_batch_can_be_scaled():
    stated = [
        path
        for path in config_root().glob("[!_]*/*.py")
        if "base_batch_size" in (read_changed_config(str(path), []).get("auto_scale_lr") or {})
    ]
    assert len(stated) > 30
    for path in stated:
        options = "--auto-scale-lr", "--cfg-options", "load_from=None"
        assert "--auto-scale-lr" in checked(*options, config=str(path))


def test_nothing_to_resume_leaves_the_start_to_load_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = ["--cfg-options", "load_from=a.pth"]
    with pytest.raises(ConfigError, match=r"load_from: a\.pth: no such file"):
        checked(*changes)
    with pytest.raises(ConfigError, match="load_from: http://x/a.pth: ExactRunner reads local"):
        checked("--cfg-options", "load_from=http://x/a.pth")
    (tmp_path / "a.pth").touch()
    for auto in (["--resume"], ["--resume", "auto"], ["--resume=auto"]):
        assert checked(*auto, "--ceph", *changes)[1:] == ["--ceph", *changes]
        assert checked(*auto, *changes)[1:] == changes
        assert checked(*auto)[1:] == auto  # nothing that would be forgotten
    named = tmp_path / "b.pth"
    named.touch()
    assert checked("--resume", str(named), "--work-dir=w", *changes)[1:3] == [
        "--resume",
        str(named),
    ]
    (tmp_path / "work_dirs" / TOY).mkdir(parents=True)
    (tmp_path / "work_dirs" / TOY / "last_checkpoint").touch()
    assert checked("--resume", *changes)[1:] == ["--resume", *changes]
    assert checked("--resume", "--work-dir", "w", *changes)[1:] == ["--work-dir", "w", *changes]


@pytest.mark.parametrize("value", ["/data/my set", "['my class', b]"])
def test_blanks_that_the_scripts_would_lose_are_refused(value):
    with pytest.raises(ConfigError, match="would take the blanks out of .*; say it in a config"):
        checked("--cfg-options", f"data_root={value}")
    change = "model.data_preprocessor.mean=[1, 2, 3]"
    assert checked("--cfg-options", change)[2] == change


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("model.pts_voxel_encoder.fusion_layer.operator.type=SumFusoin", True),
        ("optim_wrapper.optimizer.type=AdmW", True),
        ("optim_wrapper.optimizer.type=SGD", False),
        ("model.img_backbone.type=mmdet.SwinTransformer", False),
        ("model.img_neck.norm_cfg.type=SyncBN", False),
        ("model.pts_voxel_encoder.fusion_layer.operator.type=None", False),
    ],
)
def test_types_that_nothing_registers_are_refused(change, refused):
    if refused:
        with pytest.raises(ConfigError, match="nothing is registered as .*; close to it: .*"):
            checked("--cfg-options", change)
    else:
        assert checked("--cfg-options", change)[2] == change


def test_another_plug_ins_imports_do_not_replace_ours_in_silence(tmp_path):
    path = tmp_path / "child.py"
    path.write_text(
        f"_base_ = [{str(find_config(TOY))!r}]\n"
        "custom_imports = dict(imports=['json'], allow_failed_imports=False)\n"
    )
    with pytest.raises(ConfigError, match=r"custom_imports is \['json'\].*add 'gemini_det3d.plug"):
        checked(config=str(path))
    path.write_text(path.read_text().replace("['json']", "['json', 'gemini_det3d.plugin']"))
    assert checked(config=str(path)) == [str(path)]


@pytest.mark.parametrize("command", ["draw", "ablate"])
@pytest.mark.parametrize("change", ["max_epochs=1", "model.img_bakbone=None", "no_value"])
def test_other_commands_check_their_changes_too(command, change, capsys):
    assert main([command, TOY, "none.pth", "--cfg-options", change]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--cfg-options" in error


def test_data_root_reaches_other_commands_configs():
    config = read_changed_config(TOY, ["data_root=/elsewhere/d"])
    assert config.test_dataloader.dataset.data_root == "/elsewhere/d"
    assert config.test_evaluator.ann_file == "/elsewhere/d/kitti_infos_val.pkl"


def test_a_refused_option_is_one_line_and_exit_code_2(capsys):
    assert main(["train", "--work-dir", "w", TOY, "--cfg-options", "max_epochs=1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "train_cfg.max_epochs" in error


def test_a_setting_that_every_optimizer_has_of_its_own_is_named():
    views = "translator_gemini_mit-toy_views-rgb-edge2depth"
    said = r"every part has its own; set optim_wrapper\.modules\.generator\.optimizer\.lr, optim"
    with pytest.raises(ConfigError, match=said):
        checked("--cfg-options", "optim_wrapper.optimizer.lr=1", config=views)
    for change in ("optim_wrapper.optimizer.weight_decay=1", "optim_wrapper.modules.generator={}"):
        assert checked("--cfg-options", change, config=views)[2:] == [change]


PLUGIN = "custom_imports = dict(imports=['gemini_det3d.plugin'])\n"
OWN_LOOP = "train_cfg = dict(type='MyLoop', max_epochs=1)\n"


def of_own(folder, text):
    path = folder / "mine.py"
    path.write_text(f"model = dict(type='A')\n{text}")
    return str(path)


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_config_that_names_no_runner_gets_the_one_with_checks(tmp_path, name, capsys):
    path = of_own(tmp_path, PLUGIN + "train_cfg = dict(by_epoch=True)\n")
    expected = [path, "--cfg-options", "runner_type=ExactRunner"]
    assert checked(config=path, name=name) == expected
    assert checked(config=TOY)[1:] == [] and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text, cause",
    [
        (PLUGIN + "runner_type = 'Runner'\n", "runner_type is Runner"),
        (PLUGIN + OWN_LOOP, "train_cfg.type is MyLoop"),
        ("", None),
    ],
)
def test_another_runner_or_loop_is_kept_and_what_is_off_is_said(tmp_path, text, cause, capsys):
    path = of_own(tmp_path, text)
    assert checked(config=path) == [path]
    said = capsys.readouterr().err
    assert said.count("\n") == (cause is not None)
    assert cause is None or f"{path}: {cause}: checks before the first step" in said
    with pytest.raises(ConfigError, match=r"--skip-bad.*mine\.py: needs runner_type = .Exact"):
        checked("--cfg-options", "on_bad_sample=skip", config=path)
    assert checked("--cfg-options", "on_bad_sample=stop", config=path)[-1] == "on_bad_sample=stop"
