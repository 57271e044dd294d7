"""What an evaluator will not find, told before the frames have run and not after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gemini_det3d.engine.config_types import type_name
from gemini_det3d.engine.leaf_datasets import leaf_datasets
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.infos import preferred_infos

_NUSCENES, _KITTI = "NuScenesMetric", "KittiMetric"
_EXPORTS = ("txt_dir", "format_only", "pklfile_prefix", "submission_prefix", "jsonfile_prefix",
            "outfile_prefix")  # fmt: skip


def metrics_of(evaluator: Any) -> list[tuple[str, Mapping]]:
    """Type, without scope, and config of each of an evaluator's metrics.

    Args:
        evaluator: Of a config: one, several, one that holds some as ``metrics``, or none.
    """
    if isinstance(evaluator, (list, tuple)):
        return [pair for each in evaluator for pair in metrics_of(each)]
    if not isinstance(evaluator, Mapping):
        return []
    if "metrics" in evaluator:  # mmdet.MultiDatasetsEvaluator
        return metrics_of(evaluator["metrics"])
    return [(type_name(evaluator), evaluator)]


def without_exports(evaluator: Any) -> Any:
    """A copy of an evaluator's config that scores and writes no file.

    Args:
        evaluator: As for :func:`metrics_of`.
    """
    if isinstance(evaluator, (list, tuple)):
        return [without_exports(each) for each in evaluator]
    if not isinstance(evaluator, Mapping):
        return evaluator
    kept = {key: value for key, value in evaluator.items() if key not in _EXPORTS}
    return {k: without_exports(v) if k == "metrics" else v for k, v in kept.items()}


def check_evaluator(evaluator: Any, dataset: Any) -> None:
    """Refuse an evaluation that would end in an error after the last frame.

    Args:
        evaluator: As for :func:`metrics_of`.
        dataset: That it evaluates, built.

    Raises:
        FormatError: An ``ann_file`` is not there; of nuScenes the tables of the data set's version
            are not, or a frame's ``sample_idx`` is not its place in the info file, by which mmdet3d
            finds its token; mmdet3d's KITTI metric is named where no GPU is, which it computes on.
    """
    metrics = metrics_of(evaluator)
    for _, each in metrics:
        path = each.get("ann_file")
        if isinstance(path, str) and "://" not in path and not preferred_infos(path).is_file():
            raise FormatError(path, "no such file (ann_file of the evaluator)")
    for kind, metric in metrics:
        if kind == _KITTI and not _is_flat(metric) and not torch.cuda.is_available():
            fault = f"{kind} computes on a GPU only, and none is here; take KittiDetectionMetric"
            raise FormatError("evaluator", fault)
        if kind == _NUSCENES and not metric.get("format_only"):
            leaves = leaf_datasets(dataset)
            own = [leaf for leaf in leaves if "NuScenes" in type(leaf).__name__]
            _check_nuscenes(metric, (own or leaves)[0])


def _is_flat(metric: Mapping) -> bool:
    """Whether mmdet3d's KITTI metric compares boxes in images alone, or nothing."""
    wanted = metric.get("metric", "bbox")
    kinds = {wanted} if isinstance(wanted, str) else set(wanted)
    return bool(metric.get("format_only")) or kinds == {"img_bbox"}


def _check_nuscenes(metric: Mapping, leaf: Any) -> None:
    root = Path(metric["data_root"])
    version = (getattr(leaf, "metainfo", None) or {}).get("version")
    if version is not None and not (root / version).is_dir():
        there = ", ".join(sorted(path.name for path in root.glob("v1.0-*"))) or "none"
        fault = f"has no folder {version} with the tables that {_NUSCENES} reads (there: {there}); "
        raise FormatError(root, f"{fault}metainfo.version of the data set names it, and "
                          "format_only=True with jsonfile_prefix=... needs none")  # fmt: skip
    last = len(leaf) - 1
    number = leaf.get_data_info(last).get("sample_idx") if last >= 0 else last
    if number != last:
        fault = f"frame {last} has sample_idx {number}; {_NUSCENES} takes it for the frame's place"
        raise FormatError(metric.get("ann_file", root), f"{fault}: number a part of a set anew")
