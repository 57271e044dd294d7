"""Runs of a comparison under corruptions: which runs there are, pairs by condition, one table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from gemini_det3d.apis.comparison import corrupted as module
from gemini_det3d.apis.comparison.corrupted import compare_conditions, evaluate_runs
from gemini_det3d.apis.comparison.corrupted_table import (
    corrupted_sections,
    markdown,
    write_corrupted,
)
from gemini_det3d.apis.comparison.finished import finished_runs
from gemini_det3d.apis.comparison.paired import holm
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.robustness_file import Robustness
from gemini_det3d.cli import main
from gemini_det3d.formats import FormatError

NAMES = ("cfg-SumFusion", "cfg-GeminiFusion")


def finish(root: Path, variant: str, seed: int) -> Path:
    """A finished run's folder, as `compare` leaves it."""
    train = root / "runs" / variant / f"seed{seed}" / "train"
    train.mkdir(parents=True)
    (train / "cfg.py").write_text(
        f'model = dict(type="Any")\nvariant = {variant!r}\nseed = {seed}\n'
    )
    (train / "epoch_2.pth").write_bytes(b"")
    record = {"checkpoint": str(train / "epoch_2.pth")}
    (train.parent / "result.json").write_text(json.dumps(record))
    return train


@pytest.fixture
def comparison(tmp_path):
    """Two variants with three seeds each; the table names the later one of the alphabet first."""
    root = tmp_path / "compared"
    for name in NAMES:
        for seed in range(3):
            finish(root, name, seed)
    (root / "table.json").write_text(json.dumps({"rows": [{"name": name} for name in NAMES]}))
    return root


def scores(clean: float, fog: float, crosstalk: float) -> Robustness:
    return Robustness(clean, {"fog": {1: fog + 1, 3: fog - 1}, "crosstalk": {1: crosstalk}}, 9)


@pytest.fixture
def tested(monkeypatch):
    """What is tested, in order; sum: 90, 50 and 70, of GeminiFusion seed by seed more."""
    calls = []

    def evaluate(config, checkpoint, out, **options):
        calls.append((config.variant, config.seed, checkpoint, out, options))
        more = config.seed + 1 if config.variant == NAMES[1] else 0
        return scores(90.0 + config.seed, 50.0 + 2 * more, 70.0 - more)

    monkeypatch.setattr(module, "evaluate_robustness", evaluate)
    return calls


def test_finished_runs_come_in_the_order_of_the_table(comparison):
    found = finished_runs(comparison)
    assert [(run.variant, run.seed) for run in found] == [(n, s) for n in NAMES for s in range(3)]
    assert found[4].config == comparison / "runs" / NAMES[1] / "seed1/train/cfg.py"
    assert found[4].checkpoint == found[4].config.with_name("epoch_2.pth")


def test_runs_that_go_on_are_left_out_and_without_a_table_names_decide(comparison):
    (comparison / "table.json").unlink()
    (comparison / "runs" / NAMES[1] / "seed2/result.json").unlink()
    found = [(run.variant, run.seed) for run in finished_runs(comparison)]
    assert found == [(NAMES[1], 0), (NAMES[1], 1), *((NAMES[0], seed) for seed in range(3))]


def test_a_comparison_that_was_moved_has_its_checkpoints(comparison, tmp_path):
    moved = comparison.rename(tmp_path / "elsewhere")
    assert {run.checkpoint.parents[4] for run in finished_runs(moved)} == {moved}


def test_what_is_no_finished_comparison_is_one_line(comparison, tmp_path):
    with pytest.raises(ConfigError, match="has no finished run"):
        finished_runs(tmp_path / "nowhere")
    train = comparison / "runs" / NAMES[0] / "seed0/train"
    (train / "epoch_2.pth").unlink()
    with pytest.raises(ConfigError, match=r"seed0/train: epoch_2\.pth has gone"):
        finished_runs(comparison)
    (train / "other.py").write_text("")
    with pytest.raises(ConfigError, match="holds 2 configs"):
        finished_runs(comparison)
    (train / "other.py").unlink()
    for text in ("[]", "{}", '{"checkpoint": 3}'):
        (train.parent / "result.json").write_text(text)
        with pytest.raises(ConfigError, match="names no checkpoint"):
            finished_runs(comparison)
    (train.parent / "result.json").write_text("{")
    with pytest.raises(FormatError, match=r"result\.json"):
        finished_runs(comparison)


def test_every_run_is_tested_in_a_folder_of_its_own(comparison, tested, tmp_path):
    found = evaluate_runs(comparison, tmp_path / "out", corruptions=["fog"], frames=7, seed=5)
    assert [call[:2] for call in tested] == [(name, seed) for name in NAMES for seed in range(3)]
    assert tested[3][3] == tmp_path / "out" / NAMES[1] / "seed0"
    options = {"corruptions": ["fog"], "frames": 7, "seed": 5, "where_applicable": True}
    assert all(call[4] == options for call in tested)
    assert not found.faults and list(found.runs) == list(NAMES)


def test_variants_are_held_against_each_other_seed_by_seed(comparison, tested, tmp_path):
    found = evaluate_runs(comparison, tmp_path)
    rows = {condition.name: condition for condition in found.conditions}
    assert list(rows) == ["clean", "fog", "crosstalk", "mean of 2"]
    assert [rows[name].family for name in rows] == ["", "camera weather", "LiDAR error", ""]
    assert rows["fog"].scores[NAMES[1]] == {0: 52.0, 1: 54.0, 2: 56.0}
    fog, crosstalk = (rows[name].paired[NAMES[1]] for name in ("fog", "crosstalk"))
    assert (fog.against, fog.pairs, fog.difference) == (NAMES[0], 3, 4.0)
    assert (crosstalk.difference, crosstalk.p_value) == (-2.0, 0.25)
    assert rows["clean"].paired[NAMES[1]].difference == 0
    assert rows["mean of 2"].paired[NAMES[1]].difference == pytest.approx(1.0)
    assert NAMES[0] not in rows["fog"].paired
    # three conditions: 0.25 three times as large, then no less than that, and never above 1
    assert rows["fog"].corrected == {NAMES[1]: 0.75} and rows["clean"].corrected[NAMES[1]] == 1
    assert not rows["mean of 2"].corrected


def test_against_names_a_variant(comparison, tested, tmp_path):
    found = evaluate_runs(comparison, tmp_path, against=NAMES[1])
    assert found.conditions[1].paired[NAMES[0]].difference == -4.0
    with pytest.raises(ConfigError, match="--against max: the variants are cfg-SumFusion, cfg-G"):
        evaluate_runs(comparison, tmp_path, against="max")


def test_a_run_that_cannot_be_tested_does_not_end_the_others(comparison, monkeypatch, tmp_path):
    def evaluate(config, checkpoint, *_, **__):
        if config.variant == NAMES[0]:
            raise FormatError(checkpoint, "is no checkpoint")
        return scores(90.0, 50.0, 70.0)

    monkeypatch.setattr(module, "evaluate_robustness", evaluate)
    found = evaluate_runs(comparison, tmp_path)
    assert len(found.faults) == 3 and "epoch_2.pth: is no checkpoint" in found.faults[0]
    assert not any(condition.paired for condition in found.conditions)
    text = markdown(found)
    assert "| camera weather | fog | - | 50.0 (50.0 to 50.0) |" in text
    assert "permutation" not in text and f"- {NAMES[0]} seed 0: " in text
    assert corrupted_sections(found)[-1].title == "What failed"
    monkeypatch.setattr(module, "evaluate_robustness", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate_runs(comparison, tmp_path)


def test_a_variant_is_tested_under_the_conditions_that_apply_to_it(
    comparison, monkeypatch, tmp_path
):
    def evaluate(config, *_, where_applicable, **__):
        assert where_applicable
        return Robustness(90.0, {} if config.variant == NAMES[0] else {"fog": {3: 50.0}}, 9)

    monkeypatch.setattr(module, "evaluate_robustness", evaluate)
    found = evaluate_runs(comparison, tmp_path, corruptions=["fog"])
    assert not found.faults
    assert "| clean | 90.0 (90.0 to 90.0) | 90.0 (90.0 to 90.0) |" in markdown(found)
    assert "| fog | - | 50.0 (50.0 to 50.0) |" in markdown(found)
    found = evaluate_runs(comparison, tmp_path, corruptions=["fog", "crosstalk"])
    assert found.faults == ["--corruptions crosstalk: changes nothing in any run that was tested"]
    monkeypatch.setattr(module, "evaluate_robustness", lambda *_, **__: Robustness(90.0, {}, 9))
    with pytest.raises(ConfigError, match="--corruptions fog: changes nothing in any run"):
        evaluate_runs(comparison, tmp_path, corruptions=["fog"])


def test_none_that_can_be_tested_is_an_error(comparison, monkeypatch, tmp_path):
    def evaluate(*_, **__):
        raise ConfigError("--corruptions mist: is none of fog, rain")

    monkeypatch.setattr(module, "evaluate_robustness", evaluate)
    with pytest.raises(ConfigError, match="cfg-SumFusion seed 0: --corruptions mist"):
        evaluate_runs(comparison, tmp_path)


def test_variants_with_other_sensors_share_the_conditions_that_both_have():
    runs = {"both": {0: scores(90, 50, 70), 1: scores(90, 60, 70)},
            "lidar": {s: Robustness(40, {"crosstalk": {1: 30.0}}, 9) for s in (0, 1)}}  # fmt: skip
    rows = {condition.name: condition for condition in compare_conditions(runs)}
    assert rows["fog"].scores["lidar"] == {} and not rows["fog"].paired
    assert rows["crosstalk"].paired["lidar"].difference == -40
    assert not rows["mean of 2"].paired


def test_tables_and_page_hold_every_run(comparison, tested, tmp_path):
    found = evaluate_runs(comparison, tmp_path / "parts")
    page = write_corrupted(tmp_path, found, {"seed": 0})
    text = (tmp_path / "table.md").read_text()
    assert "| camera weather | fog | 50.0 (50.0 to 50.0) | 54.0 (52.0 to 56.0) |" in text
    assert (
        "| fog | GeminiFusion | SumFusion | 3 | +4.00 | +2.00 to +6.00 | 0.2500 | 0.7500 |" in text
    )
    lines = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert len(lines) == 6 * 4  # clean, fog at 1 and 3, crosstalk
    assert lines[1] == {"variant": NAMES[0], "seed": "0", "family": "camera weather",
                        "corruption": "fog", "severity": "1", "score": "51.0"}  # fmt: skip
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["conditions"][1]["scores"][NAMES[1]]["2"] == 56.0 and content["seed"] == 0
    dots = corrupted_sections(found)[1].charts[0].series
    assert [len(series.x) for series in dots] == [12, 12] and dots[1].name == "GeminiFusion"
    assert page.read_text().count("GeminiFusion") > 1


def test_holm_multiplies_by_what_is_left_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([]) == []


def test_the_command_writes_beside_the_comparison(comparison, tested, capsys):
    assert main(["eval-robustness", "--runs", str(comparison), "--severities", "3"]) == 0
    assert "| fog | GeminiFusion | SumFusion | 3 | +4.00 |" in capsys.readouterr().out
    assert (comparison / "robustness/report.html").is_file()
    asked = {"corruptions": None, "severities": [3], "frames": None, "metric": None, "seed": 0,
             "device": None}  # fmt: skip
    assert tested[0][4] == {**asked, "where_applicable": True}
    record = json.loads((comparison / "robustness/table.json").read_text())
    assert {key: record[key] for key in asked} == asked


@pytest.mark.parametrize("more, fault", [
    (["config.py"], "CONFIG: does not go with --runs"),
    (["--baseline", "x.json"], "--baseline: does not go with --runs"),
    (["--against", "max"], "--against max: the variants are"),
    (["--frames", "0"], "--frames 0: must be 1 or more"),
])  # fmt: skip
def test_options_that_do_not_go_with_runs_are_refused(comparison, capsys, more, fault):
    assert main(["eval-robustness", "--runs", str(comparison), *more]) == 2
    assert fault in capsys.readouterr().err


def test_against_without_runs_is_refused(capsys):
    assert main(["eval-robustness", "config.py", "a.pth", "--against", "x"]) == 2
    assert "--against: goes with --runs" in capsys.readouterr().err
