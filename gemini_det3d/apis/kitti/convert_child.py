"""The process that calls mmdet3d's KITTI converter.

The converter lives inside mmdet3d's wheel as part of a top-level package ``tools``, a name that
any project's own ``tools`` folder takes. Its modules import each other relatively, so they are
loaded here under a name that nobody else has.

The converter keeps all that it reads, so it gets the frames in groups. What it made of a group lies
in a folder of the stage; a process that is killed goes on after the last one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from gemini_det3d.apis.kitti.long_pickle import LongList, dump
from gemini_det3d.apis.kitti.splits import SPLITS
from gemini_det3d.apis.kitti.stage import GROUPS, INFOS, lock, own_name
from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.kitti_objects import DONT_CARE

_PACKAGE = "_gemini_det3d_mmdet3d_converters"
_LISTS = ("train", "val", "test")
# Info file -> lists whose frames it holds.
_PARTS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val"), "test": ("test",)}
# Frames of each list at a time.
_GROUP = 256


def main() -> None:
    """Run ``convert STAGE`` or ``database ROOT``; the first argument is mmdet3d's .mim folder."""
    mim, command, folder = sys.argv[1:]
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(Path(mim) / "tools" / "dataset_converters")]
    sys.modules[_PACKAGE] = package
    {"convert": _convert, "database": _write_database}[command](Path(folder))


def _convert(stage: Path) -> None:
    """Make the groups that are not there yet, then the info files of all."""
    with lock(stage):
        names = {split: _listed(stage, split) for split in _LISTS}
        most = max(map(len, names.values()))
        for start in range(0, max(most, 1), _GROUP):
            result = stage / GROUPS / f"{start:08d}"
            if not result.is_dir():
                group = {s: frames[start : start + _GROUP] for s, frames in names.items()}
                _convert_group(stage, group, result)
        _say("writing info files")
        _write_infos(stage, names)


def _convert_group(stage: Path, group: dict[str, list[str]], result: Path) -> None:
    """Reduced clouds of some frames, and info files of the splits that have any in ``result``."""
    converter = import_module(f"{_PACKAGE}.kitti_converter")
    update = import_module(f"{_PACKAGE}.update_infos_to_v2")
    first, second = (_emptied(stage / name) for name in ("v1", "v2"))
    for split, frames in group.items():
        (stage / "ImageSets" / f"{split}.txt").write_text("".join(f"{n}\n" for n in frames))
    infos = {split: first / f"kitti_infos_{split}.pkl" for split in _LISTS}
    _say("reading frames")
    converter.create_kitti_info_file(str(stage), "kitti", save_path=str(first))
    _say("reducing clouds")
    converter.create_reduced_point_cloud(str(stage), "kitti", *(str(infos[s]) for s in _LISTS))
    for split in (split for split in _LISTS if group[split]):
        update.update_pkl_infos("kitti", out_dir=str(second), pkl_path=str(infos[split]))
    second.rename(result)


def _write_infos(stage: Path, names: dict[str, list[str]]) -> None:
    """The files that the converter would have written in one go, but for `_metainfo`."""
    folder = _emptied(stage / INFOS)
    metainfos = {split: _metainfo(stage, splits) for split, splits in _PARTS.items()}
    filled = [metainfo for metainfo in metainfos.values() if metainfo]
    for split, parts in _PARTS.items():  # the converter itself cannot write an empty split
        count = len({name for part in parts for name in names[part]})
        frames = LongList(_frames(stage, parts), count)
        content = {"metainfo": metainfos[split] or (filled or [{}])[-1], "data_list": frames}
        write_whole(folder / f"kitti_infos_{split}.pkl", lambda file, c=content: dump(c, file))


def _metainfo(stage: Path, splits: tuple[str, ...]) -> dict:
    """Of the groups' files of some splits together; empty where there is none.

    The converter names DontCare where its last frame has such a region; mmdet3d's ``KittiMetric``
    asks for its name wherever a frame has one.
    """
    metainfo: dict = {}
    for content in _contents(stage, splits):
        metainfo = metainfo or content["metainfo"]
        objects = (each for frame in content["data_list"] for each in frame.get("instances") or ())
        if any(each["bbox_label"] == -1 for each in objects):
            metainfo["categories"][DONT_CARE] = -1
    return _with_shared_keys(metainfo)


def _frames(stage: Path, splits: tuple[str, ...]) -> Iterator[dict]:
    """Of some splits, in their order; a frame in two of them once, at its first place."""
    seen: set[int] = set()
    for split in splits:
        part = stage / SPLITS[split]
        for content in _contents(stage, (split,)):
            for frame in content["data_list"]:
                if frame["sample_idx"] not in seen:
                    seen.add(frame["sample_idx"])
                    _name_as_in_the_tree(frame, part)
                    yield _with_shared_keys(frame)


def _name_as_in_the_tree(frame: dict, part: Path) -> None:
    image, cloud = frame["images"]["CAM2"], frame["lidar_points"]
    image["img_path"] = own_name(part / "image_2", image["img_path"])
    cloud["lidar_path"] = own_name(part / "velodyne", cloud["lidar_path"])


def _contents(stage: Path, splits: tuple[str, ...]) -> Iterator[dict]:
    """What the converter wrote for each group of these splits, one at a time."""
    import mmengine

    for split in splits:
        for group in sorted((stage / GROUPS).iterdir()):
            path = group / f"kitti_infos_{split}.pkl"
            if path.is_file():
                yield mmengine.load(path)


def _listed(stage: Path, split: str) -> list[str]:
    return (stage / "ImageSets" / f"{split}.txt").read_text().split()


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _with_shared_keys(value: Any) -> Any:
    """Keys as one object each, as in the program that made them: a pickle names them once."""
    if isinstance(value, dict):
        return {
            sys.intern(k) if type(k) is str else k: _with_shared_keys(v) for k, v in value.items()
        }
    return [_with_shared_keys(v) for v in value] if type(value) is list else value


def _write_database(root: Path) -> None:
    import mmdet3d.datasets  # noqa: F401  registers the data set
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet3d")
    module = import_module(f"{_PACKAGE}.create_gt_database")
    _say("cutting out objects")
    module.create_groundtruth_database(
        "KittiDataset", str(root), "kitti", "kitti_infos_train.pkl", relative_path=False
    )


def _say(step: str) -> None:
    print(f"step: {step}", flush=True)
