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

_PACKAGE = "_gemini_det3d_mmdet3d_converters"
_SPLITS = ("train", "val", "trainval", "test")


def main() -> None:
    """Run ``convert STAGE`` or ``database ROOT``; the first argument is mmdet3d's .mim folder."""
    mim, command, folder = sys.argv[1:]
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(Path(mim) / "tools" / "dataset_converters")]
    sys.modules[_PACKAGE] = package
    {"convert": _convert, "database": _write_database}[command](Path(folder))


def _convert(stage: Path) -> None:
    import mmengine

    converter = import_module(f"{_PACKAGE}.kitti_converter")
    update = import_module(f"{_PACKAGE}.update_infos_to_v2")
    infos = {split: stage / "v1" / f"kitti_infos_{split}.pkl" for split in _SPLITS}
    _say("reading frames")
    converter.create_kitti_info_file(str(stage), "kitti", save_path=str(stage / "v1"))
    _say("reducing clouds")
    converter.create_reduced_point_cloud(
        str(stage), "kitti", str(infos["train"]), str(infos["val"]), str(infos["test"])
    )
    # train + val, where a frame that is in both would appear twice
    merged = {info["image"]["image_idx"]: info for info in mmengine.load(infos["trainval"])}
    mmengine.dump(list(merged.values()), infos["trainval"])

    _say("writing info files")
    metainfo: dict = {}
    filled = [split for split in _SPLITS if mmengine.load(infos[split])]
    for split in filled:
        update.update_pkl_infos("kitti", out_dir=str(stage / "v2"), pkl_path=str(infos[split]))
        metainfo = mmengine.load(stage / "v2" / infos[split].name)["metainfo"]
    for split in set(_SPLITS) - set(filled):  # the converter cannot write an empty split
        empty = {"metainfo": metainfo, "data_list": []}
        mmengine.dump(empty, stage / "v2" / infos[split].name)


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
