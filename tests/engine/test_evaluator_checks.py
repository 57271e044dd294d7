"""What nuScenes' devkit would miss after the last frame is said before the first."""

from __future__ import annotations

import pytest

from gemini_det3d.engine.evaluator_checks import check_evaluator, without_exports
from gemini_det3d.formats import FormatError


class Frames:
    def __init__(self, numbers, version="v1.0-trainval"):
        self.numbers, self.metainfo = numbers, {"version": version}

    def __len__(self):
        return len(self.numbers)

    def get_data_info(self, index):
        return {"sample_idx": self.numbers[index]}


@pytest.fixture
def metric(tmp_path):
    (tmp_path / "v1.0-mini").mkdir()
    path = tmp_path / "infos.pkl"
    path.touch()
    return dict(type="mmdet3d.NuScenesMetric", data_root=f"{tmp_path}/", ann_file=str(path))


def test_labels_of_the_evaluator_must_be_there(metric):
    metric = dict(type="KittiDetectionMetric", ann_file=metric["ann_file"])
    check_evaluator(metric, Frames([0]))
    with pytest.raises(FormatError, match=r"infos\.pkl_: no such file \(ann_file of the evaluator"):
        check_evaluator(dict(metric, ann_file=metric["ann_file"] + "_"), Frames([0]))


def test_every_metric_of_one_type_is_looked_at_and_those_inside_another(metric):
    there = dict(type="KittiDetectionMetric", ann_file=metric["ann_file"])
    absent = dict(there, ann_file="nowhere.pkl")
    both = [absent, there]
    for evaluator in (both, dict(type="mmdet.MultiDatasetsEvaluator", metrics=both)):
        with pytest.raises(FormatError, match=r"nowhere\.pkl: no such file"):
            check_evaluator(evaluator, Frames([0]))


def test_metric_of_nuscenes_beside_others_looks_at_its_own_set(metric):
    class NuScenesFrames(Frames):
        pass

    class Both:
        datasets = [Frames([3]), NuScenesFrames([0, 1], "v1.0-mini")]

    evaluator = dict(type="MultiDatasetsEvaluator", metrics=[dict(type="Other"), metric])
    assert check_evaluator(evaluator, Both()) is None
    Both.datasets[1].numbers = [0, 10]
    with pytest.raises(FormatError, match="frame 1 has sample_idx 10"):
        check_evaluator(evaluator, Both())


def test_tables_of_the_version_must_be_there(metric, tmp_path):
    check_evaluator(metric, Frames([0, 1], "v1.0-mini"))
    said = (
        r"has no folder v1\.0-trainval .*there: v1\.0-mini\); metainfo\.version.*=True with jsonf"
    )
    for evaluator in (metric, [dict(type="Other"), metric]):
        with pytest.raises(FormatError, match=said):
            check_evaluator(evaluator, Frames([0, 1]))


def test_part_of_a_set_must_be_numbered_anew(metric):
    with pytest.raises(FormatError, match=r"infos\.pkl: frame 1 has sample_idx 10"):
        check_evaluator(metric, Frames([0, 10], "v1.0-mini"))


def test_what_asks_no_devkit_needs_nothing(metric):
    for evaluator in (None, dict(type="KittiDetectionMetric"), dict(metric, format_only=True)):
        assert check_evaluator(evaluator, Frames([3])) is None


def test_exports_are_left_out_wherever_they_stand():
    one = dict(type="KittiDetectionMetric", ann_file="a", txt_dir="b", format_only=True)
    kept = dict(type="KittiDetectionMetric", ann_file="a")
    assert without_exports([one]) == [kept] and one["txt_dir"] == "b"
    assert without_exports(dict(type="Several", metrics=[one])) == dict(
        type="Several", metrics=[kept]
    )


@pytest.mark.parametrize("has_gpu", [False, True])
def test_kitti_metric_of_mmdet3d_is_refused_where_no_gpu_is(metric, monkeypatch, has_gpu):
    """Its overlaps are numba's CUDA, so it would end after the last frame."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    theirs = dict(type="KittiMetric", ann_file=metric["ann_file"])
    check_evaluator(dict(theirs, format_only=True), Frames([0]))
    check_evaluator(dict(theirs, metric="img_bbox"), Frames([0]))
    check_evaluator(dict(theirs, type="KittiDetectionMetric"), Frames([0]))
    if has_gpu:
        return check_evaluator(theirs, Frames([0]))
    with pytest.raises(FormatError, match="KittiMetric computes on a GPU only.*KittiDetection"):
        check_evaluator(theirs, Frames([0]))
