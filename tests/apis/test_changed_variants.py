"""What a comparison changes in its configs has an effect, or is an error before anything runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.comparison import compare as module
from gemini_det3d.apis.comparison.variants import Swap, make_variants
from gemini_det3d.apis.config import ConfigError


def test_changes_that_would_change_nothing_are_refused(tmp_path):
    config = tmp_path / "fused.py"
    config.write_text(
        "max_epochs = 5\ntrain_cfg = dict(by_epoch=True, max_epochs=max_epochs)\n"
        "model = dict(type='mmdet.ResNet', depth=18)\n"
    )
    with pytest.raises(ConfigError, match=r"max_epochs: the config computes with .* train_cfg"):
        module.make_plan([str(config)], [Swap.parse("max_epochs=5,9")], tmp_path, 1, {})
    for key in ("optim_wraper.type", "model.depht"):
        with pytest.raises(ConfigError, match=f"fused: --cfg-options {key}"):
            module.make_plan([str(config)], [], tmp_path, 1, {key: "3"})


def test_a_swapped_type_decides_what_its_part_takes(tmp_path):
    config = tmp_path / "fused.py"
    config.write_text("model = dict(type='A', fusion=dict(type='SumFusion', dim=8))\n")
    swap = Swap.parse("model.fusion.type=SumFusion,GeminiFusion;init=balanced")
    plan = module.make_plan([str(config)], [swap], tmp_path, 1, {})
    assert plan.variants[1].options["model.fusion.init"] == "balanced"
    with pytest.raises(ConfigError, match="model.fusion has no 'init'"):
        swap = Swap.parse("model.fusion.type=SumFusion;init=balanced,GeminiFusion")
        module.make_plan([str(config)], [swap], tmp_path, 1, {})


def test_a_swapped_value_keeps_what_its_brackets_and_quotes_hold(tmp_path):
    assert Swap.parse("a=[1,2,3],(4,5),{'x':6,'y':[7,8]}").values == (
        "[1,2,3]", "(4,5)", "{'x':6,'y':[7,8]}"
    )  # fmt: skip
    assert Swap.parse("a='b,c','d]','e;f'").values == ("'b,c'", "'d]'", "'e;f'")
    swap = Swap.parse("m.a=[1,2];b=(3,4),'c;d'")
    assert [swap.options(value) for value in swap.values] == [
        {"m.a": "[1,2]", "m.b": "(3,4)"}, {"m.a": "'c;d'"}
    ]  # fmt: skip
    config = tmp_path / "fused.py"
    config.write_text("model = dict(type='A', data_preprocessor=dict(mean=[0, 0, 0]))\n")
    swap = Swap.parse("model.data_preprocessor.mean=[1,2,3],[4,5,6]")
    plan = module.make_plan([str(config)], [swap], tmp_path, 1, {})
    assert [variant.options[swap.key] for variant in plan.variants] == ["[1,2,3]", "[4,5,6]"]


@pytest.mark.parametrize(
    "values, fault",
    [("[1,2", "] is missing"), ("1,2]", "] closes nothing"), ("'x,y", "' is missing"),
     ("(1,[2)]", ") closes nothing"), ("A;b=(1,B", ") is missing")],
)  # fmt: skip
def test_a_swapped_value_that_is_cut_off_is_refused_in_one_line(values, fault):
    with pytest.raises(ConfigError, match=r"^--swap .*: " + re.escape(fault) + "$"):
        Swap.parse(f"a={values}")


@pytest.mark.parametrize("epochs", ["abc", "0", "-1", "2.5", "nan"])
def test_epochs_that_are_no_number_are_named(tmp_path, epochs):
    config = tmp_path / "fused.py"
    config.write_text("model = dict(type='A')\ntrain_cfg = dict(by_epoch=True, max_epochs=2)\n")

    def planned(number):
        options = {"train_cfg.max_epochs": number}
        return module.make_plan([str(config)], [], tmp_path, 1, options)

    said = f"fused: train_cfg.max_epochs={epochs}: expected a whole number above 0"
    with pytest.raises(ConfigError, match=said):
        planned(epochs)
    assert planned("7.0").runs[0].epochs == 7


def test_costs_are_measured_again_when_anything_they_hang_on_is_other(tmp_path, monkeypatch):
    measured = []

    class Counted:
        def __init__(self, threads):
            pass

        def follow(self, command, log, name):
            measured.append(command)
            command[3].write_text(json.dumps({"latency_ms": float(len(measured))}))

    monkeypatch.setattr(module, "Programs", Counted)
    config = tmp_path / "fused.py"

    def latency(depth, options, threads=1):
        config.write_text(f"model = dict(type='A', depth={depth})\n")
        plan = module.make_plan([str(config)], [], tmp_path, 1, options)
        return module.measure_all(plan, tmp_path, threads)["fused"]["latency_ms"]

    assert latency(1, {}) == latency(1, {}) == 1.0
    assert latency(2, {}) == latency(2, {}) == 2.0
    assert latency(2, {"model.depth": "3"}) == 3.0
    assert latency(2, {"model.depth": "3"}, threads=2) == 4.0
    monkeypatch.setattr(module, "facts", lambda: {"machine": {"processor": "another"}})
    assert latency(2, {"model.depth": "3"}, threads=2) == 5.0


def test_swaps_of_the_validation_that_is_left_out_are_refused(tmp_path):
    config = tmp_path / "fused.py"
    config.write_text("model = dict(type='A')\nval_dataloader = dict(batch_size=1)\n")
    swap = module.Swap.parse("val_dataloader.batch_size=1,2")
    with pytest.raises(ConfigError, match="val_dataloader.batch_size: not in a comparison, whose"):
        module.make_plan([str(config)], [swap], tmp_path, 1, {})


def test_two_swaps_that_set_one_key_differently_are_refused(tmp_path):
    config = tmp_path / "fused.py"
    config.write_text("model = dict(operator=dict(type='A', init='x'))\n")
    swaps = [module.Swap.parse(text) for text in
             ("model.operator.init=y,z", "model.operator.type=A;init=z,B")]  # fmt: skip
    line = "--swap model.operator.type: A;init=z: model.operator.init is set to y by another swap"
    with pytest.raises(ConfigError, match=line):
        module.make_plan([str(config)], swaps, tmp_path, 1, {})


def test_checkpoints_to_start_from_are_there_and_part_of_the_run(tmp_path):
    config, start = tmp_path / "fused.py", tmp_path / "0.pth"
    config.write_text("model = dict(type='A')\n")

    def mark():
        options = {"load_from": str(tmp_path / "{seed}.pth")}
        return module.make_plan([str(config)], [], tmp_path, 1, options).runs[0].fingerprint

    with pytest.raises(ConfigError, match=r"load_from: .*0\.pth: no such file"):
        mark()
    start.write_bytes(b"one")
    first = mark()
    assert mark() == first
    start.write_bytes(b"two")
    assert mark() != first


def test_one_run_under_two_names_is_refused(tmp_path):
    config = tmp_path / "fused.py"
    config.write_text("model = dict(operator=dict(type='A', init='x'))\n")
    swaps = [module.Swap.parse(text) for text in
             ("model.operator.init=y", "model.operator.type=A,A;init=y")]  # fmt: skip
    with pytest.raises(ConfigError, match="fused-y-A seed 0 and fused-y-A_init_y seed 0: are the"):
        module.make_plan([str(config)], swaps, tmp_path, 1, {})


@pytest.mark.parametrize("key", ["randomness.seed", "work_dir"])
def test_what_a_comparison_sets_itself_is_refused(key):
    config = {Path("a.py"): {"randomness": {"seed": 3}, "work_dir": "x"}}
    with pytest.raises(ConfigError, match=f"--cfg-options {key}: not in a comparison, whose "):
        make_variants(config, [], {key: "7"})
    with pytest.raises(ConfigError, match=f"--swap {key}: not in a comparison, whose "):
        make_variants(config, [Swap(key, ("7", "8"))])


def test_validation_that_a_comparison_leaves_out_is_told(capsys):
    key, config = "train_cfg.val_interval", {Path("a.py"): {"train_cfg": {"val_interval": 1}}}
    (variant,) = make_variants(config, [], {key: "7"})
    assert variant.options == {key: "7"}
    assert f"--cfg-options {key}: has no effect in a comparison" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="whose runs are tested at the end and not validated"):
        make_variants(config, [Swap(key, ("7", "8"))])
