"""Curves of logs, also of running trainings and of several seeds."""

from __future__ import annotations

import math

from logged_runs import LINES, make_run, train_line

from gemini_det3d.apis.reports import find_trainings
from gemini_det3d.apis.reports.curves import curve_sections, group_by_seed
from gemini_det3d.apis.scalars import join_scalars, read_scalars, thin_out


def test_line_that_is_being_written_is_left_out_and_a_broken_one_is_counted(tmp_path):
    data = make_run(tmp_path, LINES, tail='[1]\n{"loss": 1.5, "st') / "20260101_000000/vis_data"
    scalars = read_scalars(data / "scalars.json")
    assert [line["step"] for line in scalars.train] == [1, 2, 3, 4] and scalars.broken == 1
    assert [line["mAP"] for line in scalars.val] == [10, 30]


def test_log_of_another_kind_gives_no_lines_and_no_fault(tmp_path):
    path = tmp_path / "scalars.json"
    path.write_bytes(b"\xff\xfe\x00\n" + b"[" * 100_000 + b'\n{"iter": "x"}\n{"iter": 1e999}\n')
    scalars = read_scalars(path)
    assert scalars.broken == 2 and [line["iter"] for line in scalars.train] == [math.inf]


def test_resumed_training_overrules_what_it_did_again(tmp_path):
    first = make_run(tmp_path, LINES) / "20260101_000000/vis_data/scalars.json"
    again = [train_line(3, 7.0), {"mAP": 50.0, "step": 2}]
    later = make_run(tmp_path, again, "20260102_000000") / "20260102_000000/vis_data/scalars.json"
    scalars = join_scalars([read_scalars(first), read_scalars(later)])
    assert [line["loss"] for line in scalars.train] == [4, 3, 7]
    assert [line["mAP"] for line in scalars.val] == [10, 50]


def test_long_logs_are_thinned_to_means_and_keep_their_last_step():
    steps, means = thin_out(range(1, 8), [1, 3, 5, 7, 9, 11, 13], 3)
    assert (steps, means) == ([3, 6, 7], [3, 9, 13])


def test_names_lose_their_seeds_and_what_all_begin_with(tmp_path):
    for name in ("net-A/seed0/train", "net-A/seed1/train", "net-B/seed0/train"):
        make_run(tmp_path / "runs" / name, LINES)
    groups = group_by_seed(find_trainings(tmp_path))
    assert {name: len(group) for name, group in groups.items()} == {"A": 2, "B": 1}


def charts_of(groups) -> dict:
    return {chart.title: chart for s in curve_sections(groups) for chart in s.charts}


def test_curves_of_one_training_hold_every_quantity(tmp_path):
    charts = charts_of(group_by_seed(find_trainings(make_run(tmp_path, LINES))))
    series = {line.name: line for chart in charts.values() for line in chart.series}
    assert series["loss"].y == [4, 3, 2, 1] and series["loss_cls"].y == [2, 1.5, 1, 0.5]
    assert series["samples a second"].y == [16] * 4  # 4 of each of 2 devices in half a second
    assert series["mAP"].x == [1, 2] and series["mAP"].y == [10, 30]
    assert series["lr"].y[0] == 0.01 and series["memory of the GPU"].y[0] == 70
    assert series["norm of the gradients"].y == [3] * 4


def test_curves_of_seeds_are_their_mean_in_a_band_of_their_deviation(tmp_path):
    make_run(tmp_path / "seed0", [train_line(1, 4.0), train_line(2, 2.0)])
    make_run(tmp_path / "seed1", [train_line(1, 2.0)])
    make_run(tmp_path / "seed2", [])  # not begun
    (line,) = charts_of(group_by_seed(find_trainings(tmp_path)))["loss"].series
    assert (line.x, line.y, line.deviation) == ([1], [3], [math.sqrt(2)])


def test_long_curves_of_seeds_of_other_lengths_are_averaged_before_they_are_thinned(tmp_path):
    for seed, (length, loss) in enumerate([(3000, 1.0), (2000, 3.0)]):
        lines = [train_line(step, loss) for step in range(1, length + 1)]
        make_run(tmp_path / f"seed{seed}", lines)
    (line,) = charts_of(group_by_seed(find_trainings(tmp_path)))["loss"].series
    assert line.x[-1] == 2000 and len(line.x) == 1000
    assert set(line.y) == {2.0} and set(line.deviation) == {math.sqrt(2)}


def test_evaluation_that_a_resumed_training_repeats_counts_once(tmp_path):
    make_run(tmp_path / "seed0", LINES)
    again = [LINES[5], train_line(5, 0.5), {"mAP": 40.0, "time": 1.0, "step": 3}]
    make_run(tmp_path / "seed0", again, stamp="20260102_000000")
    make_run(tmp_path / "seed1", [*LINES[:5], {"mAP": 60.0, "time": 1.0, "step": 2}])
    trainings = find_trainings(tmp_path)
    assert [line["step"] for line in trainings[0].scalars.val] == [1, 2, 3]
    (line,) = charts_of(group_by_seed(trainings))["scores by epoch"].series
    assert line.y[1] == 45.0
