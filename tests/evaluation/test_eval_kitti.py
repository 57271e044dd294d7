"""The command that evaluates result files, and the benchmark."""

from __future__ import annotations

import argparse
import json
import os
import pickle

import numpy as np
import pytest
from kitti_reference import write_random_set

from benchmarks import kitti_eval as benchmark_kitti_eval
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.file_evaluation import text_files
from gemini_det3d.apis.kitti import evaluate as eval_kitti
from gemini_det3d.cli import main
from gemini_det3d.evaluation import evaluate_kitti
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import read_objects, write_objects


@pytest.fixture
def folders(tmp_path):
    """Eleven random frames: label files and result files."""
    write_random_set(tmp_path)
    return tmp_path / "results", tmp_path / "label_2"


def evaluate(folders, **options):
    return eval_kitti.evaluate_files(*folders, progress=False, **options)


def test_files_give_the_figures_of_the_objects_in_them(folders):
    frames = [[read_objects(p) for p in sorted(f.iterdir())] for f in folders[::-1]]
    frames[1] = [read_objects(p, with_score=True) for p in sorted(folders[0].iterdir())]
    expected = evaluate_kitti(*frames).as_dict()
    assert evaluate(folders).result.as_dict() == pytest.approx(expected, nan_ok=True)


def test_a_missing_result_file_counts_as_empty_and_is_said(folders):
    (folders[0] / "000003.txt").write_text("")
    expected = evaluate(folders)
    (folders[0] / "000003.txt").unlink()
    got = evaluate(folders)
    assert got.result.as_dict() == pytest.approx(expected.result.as_dict(), nan_ok=True)
    assert got.missing == ("000003",)
    assert "1 of 11 frames have no result file and count as empty" in got.report()


def test_a_result_of_an_unknown_frame_is_an_error_that_names_its_file(folders):
    stray = folders[0] / "000077.txt"
    stray.write_text("")
    with pytest.raises(FormatError, match=r"000077\.txt: .*label_2 has no frame 000077"):
        evaluate(folders)


def test_frames_and_split_choose_what_is_evaluated(folders, tmp_path):
    split = tmp_path / "val.txt"
    split.write_text("000002\n000003\n000005\n")
    assert evaluate(folders, split=split).result.num_frames == 3
    both = evaluate(folders, split=split, frames=["3", "000005", "7"])
    assert both.result.num_frames == 2
    assert len(both.left_out) == 9
    assert "9 result files of other frames left out" in both.report()


def test_a_frame_that_the_labels_lack_is_named(folders, tmp_path):
    split = tmp_path / "val.txt"
    split.write_text("000002\n000099\n")
    with pytest.raises(FormatError, match=r"val\.txt: .*label_2 has no frame 000099"):
        evaluate(folders, split=split)
    with pytest.raises(FormatError, match="label_2: has no frame 000098"):
        evaluate(folders, frames=["98"])


def test_one_bad_line_names_file_and_line(folders):
    with open(folders[0] / "000006.txt", "a") as file:
        file.write("Car 0 0 1 2 3\n")
    with pytest.raises(FormatError, match=r"results.000006\.txt: line \d+: 6 columns"):
        evaluate(folders)


def test_labels_in_place_of_results_are_refused(folders):
    with pytest.raises(FormatError, match=r"\d+\.txt: line 1: 15 columns, .*end with a score"):
        evaluate(folders[::-1])


def test_a_folder_without_result_files_is_named_with_the_subfolder_that_has_some(folders):
    with pytest.raises(FormatError, match=r"holds no result files .*subfolder label_2 does"):
        text_files(folders[0].parent, "result")
    with pytest.raises(FormatError, match="no such folder"):
        text_files(folders[0] / "none", "result")


def test_the_command_prints_the_table_and_writes_json_and_markdown(folders, tmp_path, capsys):
    out = tmp_path / "out" / "figures.json", tmp_path / "out" / "table.md"
    arguments = [*map(str, folders), "--classes", "Car", "Tram", "--json", str(out[0])]
    assert main(["eval-kitti", *arguments, "--markdown", str(out[1])]) == 0
    assert "KITTI evaluation of 11 frames" in capsys.readouterr().out
    content = json.loads(out[0].read_text())
    expected = evaluate(folders, classes=("Car", "Tram")).result.as_dict()
    assert content["figures"]["Car/bbox_AP40_hard_0.70"] == expected["Car/bbox_AP40_hard_0.70"]
    assert content["figures"]["Tram/3d_AP40_easy_0.50"] is None
    assert content["census"][0]["class_name"] == "Car"
    assert out[1].read_text().count("\n| Car |") == 7


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--classes", "Car", "car"], "classes must be distinct names"),
        (["--min-overlap", "Car"], "--min-overlap Car: expected NAME=IOU"),
        (["--min-overlap", "Car=2"], "--min-overlap Car=2: overlaps lie between 0 and 1"),
        (["--min-overlap", "Cra=0.5"], "--min-overlap Cra=0.5: 'Cra' is none of the classes"),
        (["--min-overlap", "=0.5"], "--min-overlap =0.5: '' is none of the classes evaluated"),
        (["--frames", "99"], "has no frame 000099"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_two(folders, capsys, extra, message):
    assert main(["eval-kitti", *map(str, folders), *extra]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_own_overlaps_are_taken_from_the_command_line():
    overlaps = eval_kitti.parse_overlaps(["Bus=0.6", "Car=0.7,0.5,0.4"], ["Car", "bus"])
    assert overlaps == {"Bus": 0.6, "Car": [0.7, 0.5, 0.4]}
    with pytest.raises(ConfigError, match="Bus=x"):
        eval_kitti.parse_overlaps(["Bus=x"], ["Bus"])


def test_an_info_file_gives_the_figures_of_the_label_folder(folders, tmp_path):
    categories = {"Car": 2, "Van": 3, "Pedestrian": 0, "Person_sitting": 5, "Cyclist": 1}
    data_list = []
    for path in sorted(folders[1].iterdir()):
        objects = read_objects(path)
        objects.dimensions[objects.name == "DontCare"] = -1
        boxes = np.column_stack(
            [objects.location, objects.dimensions[:, [2, 0, 1]], objects.rotation_y]
        )
        instances = [
            {
                "bbox_label": categories.get(str(name), 4 if name == "Truck" else -1),
                "bbox": objects.bbox[i].tolist(),
                "bbox_3d": boxes[i].tolist(),
                "truncated": float(objects.truncated[i]),
                "occluded": int(objects.occluded[i]),
                "alpha": float(objects.alpha[i]),
            }
            for i, name in enumerate(objects.name)
        ]
        data_list.append({"sample_idx": int(path.stem), "instances": instances})
    infos = tmp_path / "infos.pkl"
    metainfo = {"categories": {**categories, "Truck": 4}}
    infos.write_bytes(pickle.dumps({"metainfo": metainfo, "data_list": data_list}))
    expected = evaluate(folders).result.as_dict()
    got = evaluate((folders[0], infos)).result.as_dict()
    assert got == pytest.approx(expected, nan_ok=True)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_an_info_file_that_would_run_code_is_refused_and_not_run(folders, tmp_path, capsys):
    infos, witness = tmp_path / "infos.pkl", tmp_path / "witness"
    infos.write_bytes(pickle.dumps({"metainfo": {}, "data_list": [Bomb(f"touch {witness}")]}))
    assert main(["eval-kitti", str(folders[0]), str(infos)]) == 2
    assert f"{infos}: names posix.system" in capsys.readouterr().err
    assert not witness.exists()


def test_real_labels_as_results_give_100_where_boxes_count(shared_dir, tmp_path):
    labels = shared_dir / "data" / "kitti_mini" / "training" / "label_2"
    for path in sorted(labels.glob("*.txt")):
        objects = read_objects(path)
        objects = objects.select(objects.name != "DontCare")
        objects.score = np.linspace(0.9, 0.4, len(objects))
        write_objects(tmp_path / path.name, objects)
    classes = ("Car", "Pedestrian", "Cyclist", "Truck", "Misc")
    result = evaluate((tmp_path, labels), classes=classes).result
    for score in result.scores:
        expected = 100.0 if score.num_truth else np.nan
        np.testing.assert_equal((score.ap40, score.ap11), (expected, expected))
    assert result.find("Misc", "3d", "easy").num_truth == 1
    assert result.find("Cyclist", "3d", "hard").num_truth == 0


def test_the_benchmark_measures_the_set_it_names(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    benchmark_kitti_eval.add_arguments(parser)
    path = tmp_path / "rows.json"
    arguments = ["--frames", "50", "--quick", "--rounds", "1", "--json", str(path)]
    assert benchmark_kitti_eval.run(parser.parse_args(arguments)) == 0
    rows = json.loads(path.read_text())
    assert [row["frames"] for row in rows[1:]] == [5, 5]
    assert [row["detections"] for row in rows[1:]] == [250, 250]
    assert all(row["seconds"] > 0 for row in rows)
    assert "3 classes, all metrics, both overlap sets" in capsys.readouterr().out


def test_angles_in_degrees_are_told(folders):
    for path in folders[1].iterdir():
        with path.open("a") as file:  # as KITTI writes them
            file.write("DontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n")
    assert evaluate(folders).doubts == ()
    for path in folders[0].iterdir():
        objects = read_objects(path, with_score=True)
        objects.rotation_y = np.degrees(objects.rotation_y)
        write_objects(path, objects)
    assert "detections have a rotation_y beyond 2 pi" in evaluate(folders).report()


def test_class_spelt_otherwise_than_in_the_labels_is_told_with_the_one_like_it(folders):
    doubts = evaluate(folders, classes=("Pedestrain", "Car")).doubts
    assert [d for d in doubts if "class" in d] == [
        "no label has the class Pedestrain; close to it: Pedestrian"
    ]


def test_class_in_another_case_is_no_doubt(folders):
    assert not [d for d in evaluate(folders, classes=("pedestrian",)).doubts if "class" in d]


def test_two_result_files_of_one_frame_are_refused(folders):
    (folders[0] / "3.txt").write_text("")
    with pytest.raises(FormatError, match=r"3\.txt: is of one frame with .*3\.txt; keep one"):
        evaluate(folders)
