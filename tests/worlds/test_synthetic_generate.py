"""Data sets on disk: KITTI's layout, the same bytes every time, and runs that go on."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.commands import make_scenes
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.kitti import (
    read_calibration,
    read_image,
    read_objects,
    read_points,
)
from gemini_det3d.worlds import (
    KittiWorld,
    RoomWorld,
    Viewpoint,
    ViewSet,
    generate,
    make_frame,
    make_kitti_scenes,
    make_rooms,
    make_taskonomy_views,
)
from gemini_det3d.worlds.frames import frame_files, write_frame
from gemini_det3d.worlds.generate_seg import make_seg_scenes
from gemini_det3d.worlds.seg_frames import LAYOUTS, SegWorld


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(small_world, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "kitti"
    make_kitti_scenes(folder, 3, 2, seed=7, preset=small_world)
    return folder


def test_layout_is_kittis(made):
    sets = {p.stem: p.read_text().split() for p in (made / "ImageSets").iterdir()}
    assert sets == {
        "train": ["000000", "000001", "000002"],
        "val": ["000003", "000004"],
        "trainval": [f"{i:06d}" for i in range(5)],
        "test": ["000000"],
    }
    for folder, count, kinds in (
        ("training", 5, {"image_2": "png", "velodyne": "bin", "calib": "txt", "label_2": "txt"}),
        ("testing", 1, {"image_2": "png", "velodyne": "bin", "calib": "txt"}),
    ):
        assert {p.name for p in (made / folder).iterdir()} == set(kinds)
        for kind, suffix in kinds.items():
            names = sorted(p.name for p in (made / folder / kind).iterdir())
            assert names == [f"{i:06d}.{suffix}" for i in range(count)]


def test_files_read_back_as_the_frame_that_was_drawn(made, small_world):
    frame = make_frame(small_world, 7, "val", 1)
    files = frame_files(made, "val", 4)
    np.testing.assert_array_equal(read_image(files["image"]), frame.image)
    np.testing.assert_array_equal(read_points(files["points"]), frame.points)
    calibration = read_calibration(files["calibration"])
    np.testing.assert_array_equal(calibration.lidar2img, frame.calibration.lidar2img)
    objects = read_objects(files["objects"])
    assert objects.name.tolist() == frame.objects.name.tolist()
    np.testing.assert_allclose(objects.location, frame.objects.location, atol=1e-6)
    assert frame.image.shape == (67, 211, 3)


def test_two_workers_write_the_same_bytes_as_one(made, small_world, tmp_path):
    result = make_kitti_scenes(tmp_path / "two", 3, 2, seed=7, preset=small_world, workers=2)
    assert (result.num_made, result.num_kept) == (6, 0)
    assert contents(tmp_path / "two") == contents(made)


def test_other_seeds_and_splits_give_other_frames(small_world):
    points = [
        make_frame(small_world, seed, split, index).points
        for seed, split, index in ((7, "train", 0), (8, "train", 0), (7, "val", 0), (7, "train", 1))
    ]
    for i in range(4):
        for j in range(i):
            same_shape = points[i].shape == points[j].shape
            assert not same_shape or np.abs(points[i] - points[j]).max() > 0.1


def test_frame_does_not_depend_on_how_many_there_are(small_world, made, tmp_path):
    make_kitti_scenes(tmp_path, 1, 1, seed=7, preset=small_world, num_test=0)
    for split, here, there in (("train", 0, 0), ("val", 1, 3)):
        for kind, path in frame_files(tmp_path, split, here).items():
            assert path.read_bytes() == frame_files(made, split, there)[kind].read_bytes()


def test_interrupted_run_goes_on_and_keeps_what_is_finished(small_world, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    make_kitti_scenes(whole, 3, 0, seed=1, preset=small_world)
    halted = tmp_path / "halted"
    make = generate.make_frame

    def make_until_the_second(world, seed, split, index):
        if index == 1:
            raise KeyboardInterrupt
        return make(world, seed, split, index)

    monkeypatch.setattr(generate, "make_frame", make_until_the_second)
    with pytest.raises(KeyboardInterrupt):
        make_kitti_scenes(halted, 3, 0, seed=1, preset=small_world)
    monkeypatch.undo()
    first = frame_files(halted, "train", 0)["image"].stat().st_mtime_ns
    result = make_kitti_scenes(halted, 3, 0, seed=1, preset=small_world)
    assert (result.num_made, result.num_kept) == (3, 1)
    assert frame_files(halted, "train", 0)["image"].stat().st_mtime_ns == first
    assert contents(halted) == contents(whole)


def test_frame_that_lost_a_file_is_made_again(small_world, tmp_path):
    make_kitti_scenes(tmp_path, 2, 0, seed=1, preset=small_world)
    before = contents(tmp_path)
    frame_files(tmp_path, "train", 1)["points"].unlink()
    result = make_kitti_scenes(tmp_path, 2, 0, seed=1, preset=small_world)
    assert (result.num_made, result.num_kept) == (1, 2)
    assert contents(tmp_path) == before


def test_write_that_fails_leaves_no_file_behind(small_world, tmp_path):
    frame = make_frame(small_world, 0, "train", 0)
    files = frame_files(tmp_path, "train", 0)
    broken = replace(frame, points=np.zeros(5, dtype=np.float32))
    with pytest.raises(ValueError, match="points"):
        write_frame(files, broken)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [files["image"]]


def test_other_parameters_in_the_same_folder_are_an_error_that_names_them(made, small_world):
    other = replace(small_world, street=replace(small_world.street, decoy_share=0.5))
    with pytest.raises(FormatError) as error:
        make_kitti_scenes(made, 3, 2, seed=8, preset=other)
    text = str(error.value)
    assert "scenes.json: was made with" in text and "\n" not in text
    assert "seed=7 (asked for 8)" in text
    assert "street.decoy_share=0.2 (asked for 0.5)" in text
    assert "image_width" not in text


def test_record_holds_every_parameter(made, small_world):
    record = json.loads((made / "scenes.json").read_text())
    assert record["seed"] == 7 and record["num_train"] == 3
    assert record["scanner"]["num_beams"] == 31
    assert record["street"]["shares"][0][0] == "Car"


def test_unreadable_record_is_an_error_that_names_it(small_world, tmp_path):
    (tmp_path / "scenes.json").write_text("{")
    with pytest.raises(FormatError, match="scenes.json"):
        make_kitti_scenes(tmp_path, 1, 0, preset=small_world)


TINY = KittiWorld(image_width=64, image_height=24, supersample=1)
SETS = {
    "kitti": lambda out: make_kitti_scenes(out, 1, 1, preset=TINY),
    **{
        layout: lambda out, layout=layout: make_seg_scenes(out, 1, 1, 0, layout, SegWorld(TINY))
        for layout in LAYOUTS
    },
    "rooms": lambda out: make_rooms(out, 1, 1, preset=RoomWorld(image_width=31, image_height=23)),
    "views": lambda out: make_taskonomy_views(
        out, ViewSet(1, 1, viewpoint=Viewpoint(size_px=16, supersample=1))
    ),
}


@pytest.mark.parametrize("kind", SETS)
def test_somebody_elses_data_is_not_overwritten(tmp_path, kind):
    SETS[kind](tmp_path / "ours")
    tops = {path.name: path.is_dir() for path in (tmp_path / "ours").iterdir()}
    assert tops.pop("scenes.json") is False and len(tops) > (kind != "rooms")
    for name, is_folder in tops.items():
        theirs = tmp_path / name / name
        theirs.parent.mkdir()
        theirs.mkdir() if is_folder else theirs.write_text("theirs")
        with pytest.raises(FormatError, match=f"holds {name} but no scenes.json"):
            SETS[kind](tmp_path / name)
        assert [*(tmp_path / name).rglob("*")] == [theirs]
        assert is_folder or theirs.read_text() == "theirs"


def test_views_lists_name_a_view_or_are_not_there(tmp_path):
    make_taskonomy_views(tmp_path, ViewSet(1, 0, viewpoint=Viewpoint(size_px=16, supersample=1)))
    assert [path.name for path in tmp_path.glob("*.txt")] == ["train.txt"]
    assert (tmp_path / "train.txt").read_text() == "point_0_view_0\n"


def test_progress_of_views_counts_views(tmp_path, capsys):
    views = ViewSet(3, 0, viewpoint=Viewpoint(size_px=16, supersample=1))  # two of a scene
    make_taskonomy_views(tmp_path, views)
    assert "| 3/3 [" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_train": -1}, "num_train=-1"),
        ({"seed": -3}, "seed=-3"),
        ({"workers": 0}, "workers=0"),
        (
            {"preset": "huge"},
            "no preset 'huge'; there are toy, look-alikes, look-alikes-hard, kitti",
        ),
    ],
)
def test_impossible_arguments_are_an_error_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_kitti_scenes(tmp_path / "out", **{"num_train": 1, "num_val": 0, **arguments})
    assert not (tmp_path / "out").exists()


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    make_scenes.add_arguments(parser)
    return parser.parse_args(argv)


def test_command_writes_what_its_arguments_say(tmp_path, capsys):
    argv = [str(tmp_path), "--train", "1", "--val", "0", "--image-size", "131", "53"]
    argv += ["--beams", "7", "--azimuths", "61", "--range", "30", "--decoys", "0", "--workers", "1"]
    assert make_scenes.run(parse(*argv)) == 0
    assert (
        "2 frames made, 0 were there already; one of them is for testing/"
        in capsys.readouterr().out
    )
    files = frame_files(tmp_path, "train", 0)
    assert read_image(files["image"]).shape == (53, 131, 3)
    points = read_points(files["points"])
    assert len(points) <= 7 * 61
    assert np.linalg.norm(points[:, :3], axis=1).max() < 30.2
    assert json.loads((tmp_path / "scenes.json").read_text())["street"]["decoy_share"] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--decoys", "2"], "--decoys 2.0: must lie"),
        (["--beams", "0"], "--beams 0: must"),
        (["--train", "-1"], "--train -1"),
        (["--image-size", "0", "9"], "--image-size 0: must"),
        (["--field", "400"], "--field 400.0: must be 360 or less"),
        *(
            (["--preset", preset, "--layout", layout], "no class Tram")
            for preset in ("look-alikes", "look-alikes-hard")
            for layout in LAYOUTS
        ),
    ],
)
def test_command_refuses_impossible_arguments(tmp_path, argv, message):
    with pytest.raises(ConfigError, match=message):
        make_scenes.run(parse(str(tmp_path / "out"), "--train", "1", "--val", "0", *argv))
    assert not (tmp_path / "out").exists()
