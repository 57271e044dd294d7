"""Comparing variants: which there are, that runs resume and may fail, and the table."""

from __future__ import annotations

import csv
import json
import math
import textwrap

import numpy as np
import pytest
from PIL import Image
from programs import run_warm

from gemini_det3d.apis.comparison import compare as module
from gemini_det3d.apis.comparison.compare import compare
from gemini_det3d.apis.comparison.paired import Threshold
from gemini_det3d.apis.comparison.scores import headline
from gemini_det3d.apis.comparison.variants import Swap, make_variants
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.runs import Scripts

KEY = "model.operator.type"
# Stand-ins for mmdet3d's scripts: same arguments, logs and files, no training.
SCRIPT = """
    import json, pathlib, sys
    work = pathlib.Path(sys.argv[sys.argv.index("--work-dir") + 1])
    options = dict(o.split("=", 1) for o in sys.argv[sys.argv.index("--cfg-options") + 1:])
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "calls", "a") as file:
        file.write("x")
"""
TRAIN = """
    for epoch in (1, 2):
        print(f"mmengine - INFO - Epoch(train) [{epoch}][10/10] loss: 0.5")
    if options.get("model.operator.type") == "Broken":
        sys.exit("RuntimeError: it broke")
    checkpoint = work / "epoch_2.pth"
    checkpoint.touch()
    (work / "last_checkpoint").write_text(str(checkpoint))
"""
TEST = """
    print("mmengine - INFO - Epoch(test) [ 5/10]")
    score = {"A": 50.0, "B": 60.0}.get(options.get("model.operator.type"), 10.0)
    score += 4 * int(options["randomness.seed"])
    metrics = {"KITTI/Car/3d_AP40_moderate_0.70": score, "KITTI/Car/3d_AP40_moderate_0.50": 99.0,
               "KITTI/Tram/3d_AP40_moderate_0.50": score + 2, "time": 0.1}
    (work / "20260101_000000").mkdir(exist_ok=True)
    (work / "20260101_000000" / "20260101_000000.json").write_text(json.dumps(metrics))
"""


@pytest.fixture
def scripts(tmp_path):
    paths = tmp_path / "train.py", tmp_path / "test.py"
    for path, body in zip(paths, (TRAIN, TEST)):
        path.write_text(textwrap.dedent(SCRIPT) + textwrap.dedent(body))
    return Scripts(*paths)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "fused.py"
    path.write_text("model = dict(operator=dict(type='A'))\ntrain_cfg = dict(max_epochs=2)\n")
    return path


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "lidar_only.py"
    path.write_text("model = dict(operator=None)\ntrain_cfg = dict(max_epochs=2)\n")
    return path


@pytest.fixture(autouse=True)
def _figures(monkeypatch):
    figures = dict(parameters=1.5, multiply_adds=2.5, latency_ms=3.5, peak_mb=4.5)
    monkeypatch.setattr(
        module, "measure_all", lambda plan, *_: {v.name: figures for v in plan.variants}
    )


def calls(out) -> int:
    return sum(len(path.read_text()) for path in out.rglob("calls"))


def test_every_value_and_the_config_without_the_key_become_rows(config, plain):
    configs = {config: {"model": {"operator": {"type": "A"}}}, plain: {"model": {"operator": None}}}
    variants = make_variants(configs, [Swap.parse(f"{KEY}=A,B")], {"lr": "1"})
    assert [v.name for v in variants] == ["fused-A", "fused-B", "lidar_only"]
    assert variants[1].options == {"lr": "1", KEY: "B"} and variants[2].options == {"lr": "1"}


def test_two_swaps_give_all_combinations(config):
    configs = {config: {"a": 1, "b": [{"c": 2}]}}
    swaps = [Swap.parse("a=1,2"), Swap.parse("b.0.c=x,y,z")]
    assert len(make_variants(configs, swaps)) == 6


def test_value_brings_others_of_its_part_along(config):
    configs = {config: {"model": {"operator": {"type": "A"}}}}
    variants = make_variants(configs, [Swap.parse(f"{KEY}=A,B;init=balanced;noise_std=0.02")])
    assert [v.name for v in variants] == ["fused-A", "fused-B_init_balanced_noise_std_0.02"]
    brought = {"model.operator.init": "balanced", "model.operator.noise_std": "0.02"}
    assert variants[0].options == {KEY: "A"} and variants[1].options == {KEY: "B", **brought}


def test_options_may_name_the_run(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variant in ("fused-A", "fused-B"):
        (tmp_path / "before" / variant).mkdir(parents=True)
        for seed in (0, 1):
            (tmp_path / "before" / variant / f"seed{seed}.pth").touch()
    options = {"load_from": "before/{variant}/seed{seed}.pth"}
    plan = module.make_plan([str(config)], [Swap.parse(f"{KEY}=A,B")], tmp_path, 2, options)
    found = [run.options["load_from"] for run in plan.runs]
    assert found == [f"before/fused-{v}/seed{s}.pth" for s in (0, 1) for v in "AB"]
    assert len({run.fingerprint for run in plan.runs}) == 4


@pytest.mark.parametrize(
    "text", ["model.operator.type", "=A", "a=", "a=A,,B", "a=A,A", "a=A;b", "a=A;=3"]
)
def test_swap_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError, match="--swap"):
        Swap.parse(text)


def test_key_that_no_config_has_is_named_before_anything_runs(config, scripts, tmp_path):
    with pytest.raises(ConfigError, match="model.operatr.type.*fused"):
        compare([str(config)], [Swap.parse("model.operatr.type=A")], tmp_path / "out",
                scripts=scripts)  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_table_holds_mean_and_spread_over_seeds_and_the_costs(config, plain, scripts, tmp_path):
    out = tmp_path / "out"
    rows = compare([str(config), str(plain)], [Swap.parse(f"{KEY}=A,B")], out, seeds=3, jobs=2,
                   scripts=scripts)  # fmt: skip
    by_name = {row.name: row for row in rows}
    assert by_name["fused-A"].scores == (51.0, 55.0, 59.0)
    assert by_name["fused-B"].mean == 65.0 and by_name["fused-B"].spread == pytest.approx(4.0)
    assert by_name["lidar_only"].mean == 15.0
    table = (out / "table.md").read_text()
    assert "| fused-B | 65.00 ± 4.00 | 65.00 | 3 | 64.00 | 66.00 | 1.500 | 2.500 | 3.5 |" in table
    assert "| fused-B | fused-A | 3 | +10.00 | +10.00 to +10.00 | 0.2500 |" in table
    stored = json.loads((out / "table.json").read_text())
    assert [row["mean"] for row in stored["rows"]] == [55.0, 65.0, 15.0]
    assert stored["seeds"] == [0, 1, 2] and stored["versions"]["torch"]
    assert stored["rows"][0]["scores"] == [51.0, 55.0, 59.0] and not stored["rows"][0]["paired"]
    assert stored["rows"][2]["paired"]["difference"] == -40.0
    lines = list(csv.DictReader((out / "table.csv").open()))
    assert [float(line["mean"]) for line in lines] == [55.0, 65.0, 15.0]
    assert [line["p_value"] for line in lines] == ["", "0.25", "0.25"]
    chart = np.asarray(Image.open(out / "chart.png").convert("RGB"))
    assert chart.std() > 10  # something is drawn
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "55.00 ± 4.00" in page and "0.2500" in page and "Every run" in page


def test_second_call_runs_nothing_again(config, scripts, tmp_path):
    swaps, out = [Swap.parse(f"{KEY}=A,B")], tmp_path / "out"
    first = compare([str(config)], swaps, out, scripts=scripts)
    assert calls(out) == 4  # two variants, trained and tested
    assert compare([str(config)], swaps, out, scripts=scripts) == first
    assert calls(out) == 4
    compare([str(config)], swaps, out, seeds=2, scripts=scripts)
    assert calls(out) == 8


def test_variant_that_fails_leaves_the_others_and_is_tried_again(config, scripts, tmp_path, capsys):
    swaps, out = [Swap.parse(f"{KEY}=A,Broken,B")], tmp_path / "out"
    rows = compare([str(config)], swaps, out, scripts=scripts)
    assert [row.mean for row in rows if row.scores] == [51.0, 61.0]
    assert "RuntimeError: it broke" in rows[1].faults[0] and "train.log" in rows[1].faults[0]
    assert "| fused-Broken | failed |" in (out / "table.md").read_text()
    before = calls(out)
    compare([str(config)], swaps, out, scripts=scripts)
    assert calls(out) == before + 1


def test_finished_runs_of_other_settings_are_not_passed_off_as_these(config, scripts, tmp_path):
    out = tmp_path / "out"
    compare([str(config)], [], out, scripts=scripts)
    config.write_text(config.read_text().replace("max_epochs=2", "max_epochs=3"))
    with pytest.raises(ConfigError, match="other settings"):
        compare([str(config)], [], out, scripts=scripts)


def test_comparison_without_a_default_score_ends_before_it_trains(tmp_path):
    with pytest.raises(ConfigError, match="--metric: TranslationMetric has no score by default"):
        compare(["translator_gemini_mit-toy_views-rgb-edge2depth"], [], tmp_path, seeds=1)
    assert not (tmp_path / "runs").exists()


def test_peak_memory_sees_what_a_step_takes_and_gives_back(tmp_path):
    program = (
        "import torch; from gemini_det3d.apis.comparison.measure import peak_memory_mb;"
        "step = lambda: torch.ones(64 * 2**18).sum().item();"
        "print('held', peak_memory_mb(step, torch.device('cpu')))"
    )
    held = run_warm("-c", program, cwd=tmp_path).split("held ")[1].strip()  # a heap of its own
    assert held == "None" or 50 < float(held) < 120  # 64 MB of float32


def test_runs_that_learned_are_counted_and_when(config, scripts, tmp_path):
    lines = [{"loss_cls": 0.9 - 0.2 * epoch, "loss": 1.0, "epoch": epoch} for epoch in (1, 2, 3)]
    log = tmp_path / "out" / "runs" / "fused-A" / "seed1" / "train" / "1" / "vis_data"
    log.mkdir(parents=True)
    (log / "scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    swaps, out = [f"{KEY}=A,B"], tmp_path / "out"
    rows = compare([str(config)], swaps, out, seeds=2, learned="54", scripts=scripts, threads=3)
    stated = json.loads((out / "table.json").read_text())
    assert (stated["threads"], stated["jobs"]) == (3, 1) and stated["machine"]["cores"]
    assert [dict(row.learned) for row in rows] == [{0: None, 1: 0}, {0: 0, 1: 0}]
    assert [row.learned_share for row in rows] == [0.5, 1.0]
    found = json.loads((log.parents[2] / "result.json").read_text())["losses"]["loss_cls"]
    assert Threshold.parse("54,loss_cls<0.6").epoch({"loss_cls": found}) == 2
    table = (out / "table.md").read_text()
    assert "| fused-A | 53.00 ± 2.83 | 53.00 | 2 | 1 of 2 |" in table and "learned: 54" in table


def test_other_variant_to_test_against_is_named_before_anything_runs(config, scripts, tmp_path):
    swaps, out = [f"{KEY}=A,B"], tmp_path / "out"
    with pytest.raises(ConfigError, match="--against C: the variants are fused-A, fused-B"):
        compare([str(config)], swaps, out, against="C", scripts=scripts)
    assert not out.exists()
    rows = compare([str(config)], swaps, out, seeds=2, against="fused-B", scripts=scripts)
    assert rows[1].paired is None and rows[0].paired.difference == -10.0


@pytest.mark.parametrize("paired", [True, False])
def test_runs_of_the_plugins_configs_start_by_name_unless_told_otherwise(config, tmp_path, paired):
    text = "custom_imports = dict(imports=['gemini_det3d.plugin'])\n"
    config.write_text(text + config.read_text())
    plan = module.make_plan([str(config)], [], tmp_path, 1, {}, paired)
    assert ("default_hooks.start.type" in plan.runs[0].options) == paired


def test_class_without_truth_does_not_enter_the_score():
    metrics = {"KITTI/Car/3d_AP40_moderate_0.70": 5.0, "KITTI/Tram/3d_AP40_moderate_0.50": math.nan}
    assert headline(metrics) == {"Car": 5.0}
    metrics.pop("KITTI/Car/3d_AP40_moderate_0.70")
    with pytest.raises(ConfigError, match="nothing to measure Tram by"):
        headline(metrics)
