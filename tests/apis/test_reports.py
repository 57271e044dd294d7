"""Reports of trainings, also of running ones: what is read beside the log, and what is said."""

from __future__ import annotations

import json
import os

import pytest
from logged_runs import LINES, make_run, train_line

from gemini_det3d.apis.reports import find_trainings
from gemini_det3d.apis.reports.config_text import (
    base_of,
    config_lines,
    diff_lines,
    read_dumped_config,
)
from gemini_det3d.apis.reports.training_report import lead, provenance, training_sections
from gemini_det3d.cli import main
from gemini_det3d.formats.errors import FormatError


def test_lead_says_how_far_a_running_training_is(tmp_path):
    (running,) = find_trainings(make_run(tmp_path / "a", LINES[:3]))
    os.utime(running.folder / "20260101_000000/vis_data/scalars.json", (0, 0))
    assert running.length == (1, 2)
    assert "not over" in lead([running])[0] and "1970" in lead([running])[0]
    assert lead(find_trainings(make_run(tmp_path / "b", LINES))) == ["The training is over."]


def test_a_training_in_its_last_epoch_is_not_over(tmp_path):
    (last,) = find_trainings(make_run(tmp_path / "a", LINES[:4]))
    assert last.length == (1, 2) and not last.is_over and "not over" in lead([last])[0]


@pytest.mark.parametrize("stale", [False, True])
def test_without_evaluations_the_last_checkpoint_ends_a_training(tmp_path, stale):
    lines = LINES[:2] if stale else [*LINES[:2], *LINES[3:5]]  # stale: trained anew beside it
    folder = make_run(tmp_path / "a", lines)
    (folder / "last_checkpoint").write_text("/elsewhere/epoch_2.pth")
    (found,) = find_trainings(folder)
    assert found.is_over is not stale and found.length == ((0, 2) if stale else (2, 2))


@pytest.mark.parametrize("evaluated", [False, True])
def test_a_training_that_is_evaluated_at_its_end_is_over_after_that(tmp_path, evaluated):
    config = "train_cfg = dict(max_iters=5)\nval_dataloader = dict(batch_size=1)\n"
    lines = [{k: v for k, v in train_line(s, 1.0).items() if k != "epoch"} for s in (2, 4)]
    lines += [{"mAP": 30.0, "step": 5}] * evaluated
    folder = make_run(tmp_path / "a", lines, config=config)
    (folder / "last_checkpoint").write_text("iter_5.pth\n")
    (found,) = find_trainings(folder)
    assert found.length == (5, 5) and found.is_over is evaluated


def test_test_of_a_run_is_the_latest_one_beside_its_training(tmp_path):
    make_run(tmp_path / "train", LINES)
    for stamp, score in (("20260101_000000", 1.0), ("20260102_000000", 2.0)):
        make_run(tmp_path / "test", [], stamp, {"mAP": score, "time": 9.0})
    (training,) = find_trainings(tmp_path)
    assert training.test == {"mAP": 2.0}
    (tmp_path / "test/20260102_000000/20260102_000000.json").write_text('{"mAP": 3')
    assert find_trainings(tmp_path)[0].test == {"mAP": 1.0}


@pytest.mark.parametrize(
    ("test", "score"),
    [
        ({"Indoor/mAP_0.25": 30.0, "mAR_0.25": 0.9, "Indoor/mAP_0.50": 10.0}, 30.0),
        ({"MAE": 0.2, "MSE": 3}, None),
    ],
)
def test_score_is_of_what_sums_up_alone(tmp_path, test, score):
    make_run(tmp_path, LINES[:2], test=test)
    table = training_sections(find_trainings(tmp_path))[0]
    found = dict(zip(table.head, table.rows[0])).get("test")
    assert (found and found.mean) == score


def test_machine_and_seed_come_from_the_log_and_not_from_its_config(tmp_path):
    trainings = find_trainings(make_run(tmp_path, LINES))
    (tmp_path / "net.py").touch()
    rows = {key: value for _, key, value in provenance(trainings)[0].rows}
    assert rows["Python"] == "3.11.7 (main)" and rows["seed"] == "41"
    assert "net.py" in rows["command"] and "randomness.seed=41" in rows["command"]


def test_dumped_config_is_read_and_nothing_in_it_is_run(tmp_path):
    path, mark = tmp_path / "config.py", tmp_path / "mark"
    path.write_text(
        f"import os\nopen({str(mark)!r}, 'w')\na = dict(b=[1, (2, -3.5)], c={{'d.e': None}})\n"
        f"f = open({str(mark)!r}, 'w')\ng = dict(h=float('inf'))\n"
    )
    config = read_dumped_config(path)
    assert config["a"] == {"b": [1, [2, -3.5]], "c": {"d.e": None}} and not mark.exists()
    assert config["g"] == {"h": "float('inf')"} and config["f"].startswith("open(")


@pytest.mark.parametrize("text", ["a = (", "a = " + "(" * 500 + ")" * 500, "a = " + "-" * 99999])
def test_config_that_is_no_python_is_a_fault_of_its_file(tmp_path, text):
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(FormatError, match="config.py: is no config"):
        read_dumped_config(path)


def test_diff_has_whole_keys_and_one_line_for_an_inserted_step():
    base = {"model": {"dim": 3}, "pipeline": [{"type": "A"}, {"type": "B", "p": 1}]}
    new = {"model": {"dim": 5}, "pipeline": [{"type": "A"}, {"type": "C"}, {"type": "B", "p": 1}]}
    assert diff_lines(base, new) == [
        "- model.dim = 3", "+ model.dim = 5", "+ pipeline[C].type = 'C'"
    ]  # fmt: skip
    assert diff_lines(new, new) == [] and config_lines({"b": (1, 2)}) == ["b = [1, 2]"]


def test_base_is_all_that_a_config_inherits(tmp_path):
    (tmp_path / "one.py").write_text("a = 1\n")
    (tmp_path / "two.py").write_text("b = dict(c=2)\n")
    (tmp_path / "own.py").write_text("_base_ = ['one.py', 'two.py']\na = 3\n")
    assert base_of(tmp_path / "own.py") == {"a": 1, "b": {"c": 2}}
    assert base_of(tmp_path / "one.py") is None


def test_sections_compare_the_config_with_the_named_one(tmp_path):
    from mmengine.config import Config

    from gemini_det3d.apis.config import find_config

    name = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
    config = Config.fromfile(find_config(name))
    config.train_cfg.max_epochs = 77
    make_run(tmp_path, LINES, config=config.pretty_text)
    sections = {s.title: s for s in training_sections(find_trainings(tmp_path), name)}
    changed = sections[f"Config: changed in {name}"].lines
    assert [line for line in changed if line.startswith("+")] == ["+ train_cfg.max_epochs = 77"]
    assert sections[f"Config: what {name} changes in its base"].lines
    assert any("GeminiFusion" in line for line in sections["Config: all of it"].lines)


def test_command_writes_a_page_beside_the_training_or_elsewhere(tmp_path, capsys):
    make_run(tmp_path / "wörk", LINES, test={"mAP": 12.0})
    assert main(["report", str(tmp_path / "wörk")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "wörk" / "report.html")
    page = (tmp_path / "wörk" / "report.html").read_text(encoding="utf-8")
    assert "<h1>wörk</h1>" in page and "The training is over." in page
    assert main(["report", str(tmp_path / "wörk"), "--out", str(tmp_path / "o")]) == 0
    assert (tmp_path / "o" / "report.html").is_file()


def test_watching_ends_with_the_training(tmp_path, capsys, monkeypatch):
    make_run(tmp_path, LINES[:2])
    log = tmp_path / "20260101_000000/vis_data/scalars.json"

    def goes_on(seconds):
        with log.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in LINES[3:])

    monkeypatch.setattr("gemini_det3d.commands.report.time.sleep", goes_on)
    assert main(["report", str(tmp_path), "--watch", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert "The training is over." in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["{}/nothing"], "no such folder"),
        (["{}"], "holds no training"),
        (["{}/run", "--results", "{}"], "--labels"),
        (["{}/run", "--watch", "0"], "--watch 0"),
        (["{}/run", "--base", "no_such"], "no_such"),
        (["{}/run", "--pictures", "{}/none"], "none: no such folder"),
        (["{}/run", "--classes", "Car"], "--classes is for --results and --labels"),
        (["{}/run", "--split", "{}/val.txt"], "--split is for --results and --labels"),
        (["{}/run", "--results", "{}/r", "--labels", "{}/l"], "l: no such"),
    ],
)
def test_fault_is_one_line_that_names_it(tmp_path, capsys, arguments, word):
    if "{}/run" in arguments:
        make_run(tmp_path / "run", LINES)
    assert main(["report", *(a.format(tmp_path) for a in arguments)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert word in error and error.startswith("gemini-det3d report:")


@pytest.mark.parametrize("text", ["train_cfg = 'a'", "model = 3", "randomness = ['a']"])
def test_dump_with_a_value_where_a_dict_belongs_is_refused(tmp_path, text):
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"config\.py: {text.split()[0]} is a .*, not a dict"):
        read_dumped_config(path)
