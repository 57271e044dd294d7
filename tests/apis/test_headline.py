"""Which figures of a test make the score of a run."""

from __future__ import annotations

import pytest

from gemini_det3d.apis.comparison.scores import headline
from gemini_det3d.apis.config import ConfigError


def test_headline_is_the_strictest_overlap_of_each_class():
    metrics = {
        "KITTI/Car/3d_AP40_moderate_0.70": 5.0,
        "KITTI/Car/3d_AP40_moderate_0.50": 9.0,
        "KITTI/Tram/3d_AP40_moderate_0.50": 7.0,
        "KITTI/Car/bev_AP40_moderate_0.70": 1.0,
    }
    assert headline(metrics) == {"Car": 5.0, "Tram": 7.0}
    assert headline(metrics, "bev") == {"KITTI/Car/bev_AP40_moderate_0.70": 1.0}
    with pytest.raises(ConfigError, match="--metric"):
        headline({"time": 1.0})


def test_headline_of_points_is_their_miou_in_percent():
    assert headline({"wall": 0.9, "miou": 0.65, "acc": 0.8, "acc_cls": 0.7}) == {"miou": 65.0}


def test_headline_counts_every_data_set_of_a_test():
    metrics = {f"{s}/KITTI/Car/3d_AP40_moderate_0.70": v for s, v in (("a", 10.0), ("b", 60.0))}
    assert headline(metrics) == {"a Car": 10.0, "b Car": 60.0}


def test_headline_knows_mmdet3ds_own_metrics():
    start = "pred_instances_3d/KITTI"
    kitti = {
        f"{start}/Car_3D_AP40_moderate_loose": 9.0,
        f"{start}/Car_3D_AP40_moderate_strict": 5.0,
        f"{start}/Cyclist_3D_AP40_moderate_strict": 7.0,
        f"{start}/Overall_3D_AP40_moderate": 6.0,
    }
    assert headline(kitti) == {"Car": 5.0, "Cyclist": 7.0}
    assert headline({"mAP_0.25": 0.5, "mAP_0.50": 0.25}) == {"mAP_0.25": 50.0}
    ours = {"Indoor/bed_AP_0.25": 9.0, "Indoor/mAP_0.25": 40.0}
    assert headline(ours) == {"Indoor/mAP_0.25": 40.0}


def test_headline_of_a_segmentor_is_its_ensemble_not_the_mean_of_its_streams():
    metrics = {"seg/rgb/mIoU": 10.0, "seg/mIoU": 60.0, "seg/depth/mIoU": 20.0, "seg/pAcc": 1.0}
    assert headline(metrics) == {"seg/mIoU": 60.0}


def test_headline_is_in_percent_where_mmdet3d_counts_to_one():
    start = "NuScenes metric/pred_instances_3d_NuScenes"
    metrics = {f"{start}/mAP": 0.25, f"{start}/NDS": 0.5, f"{start}/mATE": 0.75, "mAP_0.25": 0.5}
    assert headline(metrics) == {f"{start}/NDS": 50.0}  # no mean of two kinds
    assert headline(metrics, "mAP$") == {f"{start}/mAP": 25.0}
    assert headline(metrics, "mATE") == {f"{start}/mATE": 0.75}
    assert headline(metrics, "mAP_0.25") == {"mAP_0.25": 50.0}
    waymo = {"Waymo metric/pred_instances_3d/Overall/L1 mAP": 0.25}
    assert headline(waymo) == dict.fromkeys(waymo, 25.0)
    assert headline({"Indoor/mAP_0.25": 0.5}, "mAP") == {"Indoor/mAP_0.25": 0.5}  # ours: percent
