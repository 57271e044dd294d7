"""Damaged files in every reader of geometry, clouds, labels, lists and checkpoints."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gemini_det3d.apis.kitti.canonical import canonical_calibration, canonical_labels
from gemini_det3d.apis.kitti.splits import read_splits
from gemini_det3d.formats.calibration_json import read_any_calibration
from gemini_det3d.formats.kitti import read_calibration, read_objects, read_points
from gemini_det3d.formats.kitti_infos import read_infos
from gemini_det3d.formats.safe_pickle import load_plain_pickle
from gemini_det3d.formats.sunrgbd import read_labels
from gemini_det3d.formats.sunrgbd_infos import SunInfos
from gemini_det3d.formats.sunrgbd_sensors import read_calibration as read_room_calibration
from gemini_det3d.formats.sunrgbd_sensors import read_depth_points
from gemini_det3d.formats.taskonomy import read_list
from gemini_det3d.formats.text import read_json, read_lines
from gemini_det3d.models.checkpoints import read_checkpoint
from tests.formats.test_clouds import npy, pcd, scan
from tests.formats.test_text import CALIBRATION, MATRICES, OBJECT, ROOM, ROOM_LABEL
from tests.fuzz.harness import Reader, faults_of
from tests.fuzz.mutations import mutated, restructured

PER_READER = 36
POINTS = scan(4, 300)


def saved(write, *arguments, **options) -> bytes:
    stream = io.BytesIO()
    write(*arguments, stream, **options)
    return stream.getvalue()


def checkpoint() -> bytes:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}
    return saved(torch.save, {"state_dict": state, "meta": {"epoch": 3, "CLASSES": ("Car",)}})


def safetensors() -> bytes:
    from safetensors.torch import save

    return save({"a.weight": torch.arange(6.0).reshape(2, 3)}, metadata={"layout": "x"})


def depth() -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {"instance": scan(6, 200)}, do_compression=True)
    return stream.getvalue()


def info_content() -> dict:
    """One frame with one object, as both data sets' info files have them."""
    camera = {"img_path": "1.png", "width": 100, "height": 50, "depth2img": np.eye(3).tolist(),
              "cam2img": np.eye(4).tolist(), "lidar2cam": np.eye(4).tolist()}  # fmt: skip
    instance = {"bbox": [1.0, 2, 3, 4], "bbox_label": 0, "bbox_label_3d": 0, "occluded": 0,
                "bbox_3d": [1.0, 2, 9, 4, 2, 2, 0], "truncated": 0.0, "alpha": 0.0,
                "score": 0.0}  # fmt: skip
    frame = {"sample_idx": 1, "images": {"CAM2": camera, "CAM0": camera},
             "lidar_points": {"lidar_path": "1.bin"}, "instances": [instance]}  # fmt: skip
    return {"metainfo": {"categories": {"bed": 0}}, "data_list": [frame]}


def infos(_: str) -> bytes:
    return pickle.dumps({**info_content(), "array": np.arange(7.0)})


def whole_kitti_infos(path: Path) -> None:
    read = read_infos(path)
    for frame in read.frames:
        read.calibration(frame), read.image_size(frame), read.objects(frame)


def whole_room_infos(path: Path) -> None:
    read = SunInfos(path)
    for frame in read.frames:
        read.depth2img(frame), read.image_name(frame), read.objects(frame)


def splits(path: Path) -> object:
    folder = path.parent / "ImageSets"
    folder.mkdir(exist_ok=True)
    (folder / "train.txt").write_bytes(path.read_bytes())
    return read_splits(path.parent)


def both_canonical(read, canonical):
    """What the converter gets is made of files that were read before."""

    def run(path: Path) -> object:
        read(path)
        return canonical(path)

    return run


def finite(value) -> None:
    assert np.isfinite(np.asarray(value, dtype=np.float64)).all()


READERS = {
    "objects": Reader(".txt", f"{OBJECT}\n{OBJECT}\n".encode(), read_objects,
                      lambda o: finite(o.location)),
    "calibration": Reader(".txt", CALIBRATION.encode(), read_calibration,
                          lambda c: finite(c.lidar2img)),
    "calibration json": Reader(".json", json.dumps(MATRICES).encode(), read_any_calibration,
                               lambda c: finite(c.lidar2img)),
    "canonical labels": Reader(".txt", f"{OBJECT}\n".encode(),
                               both_canonical(read_objects, lambda p: canonical_labels(p, {}))),
    "canonical calibration": Reader(".txt", CALIBRATION.encode(),
                                    both_canonical(read_calibration, canonical_calibration)),
    "lines": Reader(".txt", b"000001\n000002\n", read_lines),
    "json": Reader(".json", json.dumps(MATRICES).encode(), read_json),
    "splits": Reader(".txt", b"000001\n000002\n000003\n", splits),
    "views": Reader(".txt", b"a/point_1_view_2\na/point_1_view_3\n", read_list),
    "cloud bin": Reader(".bin", POINTS.tobytes(), read_points, finite),
    "cloud npy": Reader(".npy", npy(POINTS), read_points, finite),
    "cloud pcd ascii": Reader(".pcd", pcd(POINTS, "ascii"), read_points, finite),
    "cloud pcd binary": Reader(".pcd", pcd(POINTS, "binary"), read_points, finite),
    "cloud pcd compressed": Reader(".pcd", pcd(POINTS, "binary_compressed"), read_points, finite),
    "room calibration": Reader(".txt", ROOM.encode(), read_room_calibration),
    "room labels": Reader(".txt", ROOM_LABEL.encode(), read_labels),
    "room depth": Reader(".mat", depth(), read_depth_points, finite),
    "pickle": Reader(".pkl", infos("kitti"), load_plain_pickle),
    "kitti infos": Reader(".pkl", infos("kitti"), whole_kitti_infos),
    "room infos": Reader(".pkl", infos("sunrgbd"), whole_room_infos),
    "checkpoint": Reader(".pth", checkpoint(), read_checkpoint),
    "safetensors": Reader(".safetensors", safetensors(), read_checkpoint),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_good_file_is_read(tmp_path: Path, name: str) -> None:
    reader = READERS[name]
    (tmp_path / f"good{reader.suffix}").write_bytes(reader.good)
    reader.check(reader.read(tmp_path / f"good{reader.suffix}"))
    assert faults_of(reader, [("nothing", reader.good)], tmp_path) == []


@pytest.mark.parametrize("name", READERS)
def test_damaged_file_is_read_rightly_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    reader = READERS[name]
    others = [other.good for other in READERS.values() if other.good != reader.good]
    files = list(mutated(reader.good, others, PER_READER))
    assert faults_of(reader, files, tmp_path) == []


STRUCTURES = {
    "kitti infos": (info_content(), pickle.dumps, whole_kitti_infos),
    "room infos": (info_content(), pickle.dumps, whole_room_infos),
    "calibration": (MATRICES, lambda c: json.dumps(c, default=str).encode(), read_any_calibration),
    "checkpoint": (
        {"state_dict": {"a": torch.ones(2)}, "meta": {"epoch": 3, "CLASSES": ["Car"]}},
        lambda content: saved(torch.save, content),
        read_checkpoint,
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_container_of_another_form_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, write, read = STRUCTURES[name]
    files = [(what, write(changed)) for what, changed in restructured(content, 60)]
    assert (
        faults_of(Reader(".x" if name != "calibration" else ".json", b"", read), files, tmp_path)
        == []
    )


def test_there_are_300_damaged_files_and_more() -> None:
    assert len(READERS) * PER_READER >= 300


def test_harness_reports_a_reader_that_breaks(tmp_path: Path) -> None:
    broken = Reader(".txt", b"1", lambda path: int(path.read_bytes()))
    assert len(faults_of(broken, [("letters", b"x"), ("good", b"2")], tmp_path)) == 1
