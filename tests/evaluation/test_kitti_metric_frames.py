"""Which frame a prediction is of: by file, by number, seen twice, of two trees, in processes."""

from __future__ import annotations

import pickle

import pytest
import torch

pytest.importorskip("mmdet3d")

from kitti_frames import CLASSES, FRAMES, build, run  # noqa: E402
from mmdet3d.registry import METRICS  # noqa: E402
from mmdet3d.structures import LiDARInstance3DBoxes  # noqa: E402

from gemini_det3d.formats.errors import FormatError  # noqa: E402


def test_a_frame_is_told_by_its_file_or_else_by_its_position(tmp_path, infos, truth_samples):
    expected = run(build(tmp_path, infos), truth_samples)
    numbers = dict(zip(FRAMES, (41, 7, 23)))
    moved = [{**entry, "sample_idx": numbers[entry["sample_idx"]]} for entry in infos["data_list"]]
    named = [
        {**one, "sample_idx": 99, "img_path": f"image_2/{numbers[one['sample_idx']]:06d}.png"}
        for one in truth_samples
    ]
    infos = {**infos, "data_list": moved}
    assert run(build(tmp_path, infos), truth_samples) == pytest.approx(expected, nan_ok=True)
    assert run(build(tmp_path, infos), named) == pytest.approx(expected, nan_ok=True)


def test_frames_seen_twice_count_once(tmp_path, infos, truth_samples):
    expected = run(build(tmp_path, infos), truth_samples)
    got = run(build(tmp_path, infos), truth_samples + truth_samples[:1])
    assert got == pytest.approx(expected, nan_ok=True)


def in_tree(tree, samples, broken=False) -> list[dict]:
    """The same samples as frames of a tree, with the truth or with boxes far away."""
    found = []
    for one in samples:
        one = {**one, "img_path": f"{tree}/image_2/{one['sample_idx']:06d}.png"}
        if broken:
            boxes = one["pred_instances_3d"]["bboxes_3d"].tensor + 3.0
            parts = {**one["pred_instances_3d"], "bboxes_3d": LiDARInstance3DBoxes(boxes)}
            one["pred_instances_3d"] = parts
        found.append(one)
    return found


@pytest.mark.parametrize("order", [("good", "bad"), ("bad", "good")])
def test_two_trees_that_number_alike_are_an_error_that_names_both_files(
    tmp_path, infos, truth_samples, order
):
    samples = [one for t in order for one in in_tree(t, truth_samples, broken=t == "bad")]
    with pytest.raises(FormatError) as error:
        run(build(tmp_path, infos), samples)
    files = [f"{tree}/image_2/000000.png" for tree in order]
    assert f"frame 000000 stands for {files[0]} and {files[1]}" in str(error.value)
    assert "MultiDatasetsEvaluator" in str(error.value)


def test_the_same_file_again_is_padding(tmp_path, infos, truth_samples):
    samples = in_tree("good", truth_samples)
    expected = run(build(tmp_path, infos), samples)
    assert run(build(tmp_path, infos), samples + samples[:2]) == pytest.approx(
        expected, nan_ok=True
    )


@pytest.mark.parametrize("with_own_metas", [False, True])
def test_every_data_set_of_a_test_is_evaluated_by_its_own_metric(
    tmp_path, infos, truth_samples, with_own_metas
):
    evaluators = pytest.importorskip("mmdet.evaluation.evaluator")
    more = [{**entry, "sample_idx": entry["sample_idx"] + 70} for entry in infos["data_list"]]
    metrics = []
    for name, content in (("a", infos), ("b", {**infos, "data_list": more})):
        (tmp_path / name).mkdir()
        metrics.append(build(tmp_path / name, content))
    evaluator = evaluators.MultiDatasetsEvaluator(metrics, ["a", "b"])
    sizes = {"classes": CLASSES, "cumulative_sizes": [3, 6]}
    evaluator.dataset_meta = [sizes, dict(sizes)] if with_own_metas else sizes
    second = [{**one, "sample_idx": one["sample_idx"] + 70} for one in truth_samples]
    for one in in_tree("a", truth_samples) + in_tree("b", second, broken=True):
        evaluator.process([one])
    figures = evaluator.evaluate(6)
    assert figures["a/KITTI/mean/3d_AP40_moderate"] == 100.0
    assert figures["b/KITTI/mean/3d_AP40_moderate"] == 0.0


def test_a_frame_of_another_tree_is_named_when_it_is_evaluated(tmp_path, infos, truth_samples):
    strange = in_tree("b", [{**truth_samples[0], "sample_idx": 77}])
    with pytest.raises(FormatError, match=r"has no frame 000077 \(b/image_2/000077\.png\)"):
        run(build(tmp_path, infos), strange)


def test_results_survive_the_way_between_processes(tmp_path, infos, truth_samples):
    metric = build(tmp_path, infos)
    for one in truth_samples:
        metric.process(None, [one])
    expected = metric.compute_metrics(metric.results)
    again = metric.compute_metrics(pickle.loads(pickle.dumps(metric.results)))
    assert again == pytest.approx(expected, nan_ok=True)


def evaluate_on_rank(rank, folder, samples):
    """Process of two: its share of the frames, filled up as mmengine's sampler does."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    metric = METRICS.build(dict(type="KittiDetectionMetric", ann_file=f"{folder}/infos.pkl"))
    metric.dataset_meta = {"classes": CLASSES}
    for one in (samples + samples[:1])[rank::2]:
        metric.process(None, [one])
    figures = metric.evaluate(len(samples))
    torch.save(figures, f"{folder}/figures_{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(tmp_path, infos, truth_samples):
    expected = run(build(tmp_path, infos), truth_samples)
    torch.multiprocessing.spawn(evaluate_on_rank, args=(str(tmp_path), truth_samples), nprocs=2)
    for rank in range(2):
        figures = torch.load(tmp_path / f"figures_{rank}.pt")
        assert figures == pytest.approx(expected, nan_ok=True)
