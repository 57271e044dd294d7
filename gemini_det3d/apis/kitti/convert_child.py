"""The process that calls mmdet3d's KITTI converter.

The converter lives inside mmdet3d's wheel as part of a top-level package ``tools``, a name that
any project's own ``tools`` folder takes. Its modules import each other relatively, so they are
loaded here under a name that nobody else has.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "_gemini_det3d_mmdet3d_converters"
_SPLITS = ("train", "val", "trainval", "test")
_LISTS = ("train", "val", "test")
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
    """Frames in groups: the converter keeps all that it reads, and forgets it after each."""
    names = {split: _listed(stage, split) for split in _LISTS}
    merged: dict[str, list] = {split: [] for split in _LISTS}
    metainfos: dict[str, dict] = {}
    most = max(map(len, names.values()))
    for start in range(0, max(most, 1), _GROUP):
        group = {split: frames[start : start + _GROUP] for split, frames in names.items()}
        for split, frames in group.items():
            (stage / "ImageSets" / f"{split}.txt").write_text("".join(f"{n}\n" for n in frames))
        for split, (metainfo, frames) in _convert_group(stage, group).items():
            merged[split] += frames
            known = metainfos.setdefault(split, metainfo)
            known["categories"].update(metainfo["categories"])
    _write_infos(stage / "v2", merged, metainfos)


def _convert_group(stage: Path, group: dict[str, list[str]]) -> dict[str, tuple[dict, list]]:
    """Metainfo and frames of the splits that have any."""
    import mmengine

    converter = import_module(f"{_PACKAGE}.kitti_converter")
    update = import_module(f"{_PACKAGE}.update_infos_to_v2")
    infos = {split: stage / "v1" / f"kitti_infos_{split}.pkl" for split in _LISTS}
    _say("reading frames")
    converter.create_kitti_info_file(str(stage), "kitti", save_path=str(stage / "v1"))
    _say("reducing clouds")
    converter.create_reduced_point_cloud(
        str(stage), "kitti", str(infos["train"]), str(infos["val"]), str(infos["test"])
    )
    _say("writing info files")
    found = {}
    for split in (split for split in _LISTS if group[split]):
        update.update_pkl_infos("kitti", out_dir=str(stage / "v2"), pkl_path=str(infos[split]))
        content = mmengine.load(stage / "v2" / infos[split].name)
        found[split] = content["metainfo"], [_with_shared_keys(f) for f in content["data_list"]]
    return found


def _write_infos(folder: Path, merged: dict[str, list], metainfos: dict[str, dict]) -> None:
    """The files that the converter would have written in one go, to the byte."""
    import mmengine

    # A frame in both lists is once in trainval, at its first place.
    both = {frame["sample_idx"]: frame for frame in merged["train"] + merged["val"]}
    lists = {**merged, "trainval": list(both.values())}
    parts = [metainfos[split] for split in ("train", "val") if split in metainfos]
    if parts:
        categories = {name: n for part in parts for name, n in part["categories"].items()}
        metainfos = {**metainfos, "trainval": {**parts[0], "categories": categories}}
    last = next((metainfos[s] for s in reversed(_SPLITS) if s in metainfos), {})
    for split in _SPLITS:  # the converter itself cannot write an empty split
        content = {"metainfo": metainfos.get(split, last), "data_list": lists[split]}
        mmengine.dump(content, folder / f"kitti_infos_{split}.pkl")


def _listed(stage: Path, split: str) -> list[str]:
    return (stage / "ImageSets" / f"{split}.txt").read_text().split()


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
