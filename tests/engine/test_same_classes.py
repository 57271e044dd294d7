"""Lists of classes that number them in different ways are named, and so is another model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("mmdet3d", exc_type=ImportError)

from mmdet3d.datasets import KittiDataset
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import InstanceData, PixelData
from torch import nn

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config
from gemini_det3d.engine.exact.batches import build_dataset
from gemini_det3d.engine.same_classes import (
    check_data,
    check_trained_classes,
    classes_of_config,
    classes_of_head,
)
from gemini_det3d.engine.same_model import model_differences
from gemini_det3d.engine.something_to_learn import SomethingToLearnHook
from gemini_det3d.formats import FormatError

PCC = ["Pedestrian", "Cyclist", "Car"]


def model(head: str = "pts_bbox_head", count=3, names=()) -> nn.Module:
    found = nn.Module()
    part = nn.Module()
    part.num_classes, part.class_names = count, names
    setattr(found, head, part)
    return found


def data(classes, kind: type = object, **metainfo) -> object:
    made = kind.__new__(kind) if kind is not object else SimpleNamespace()
    info = {"classes": classes, **metainfo}
    if kind is object:
        made.metainfo = info
    else:
        made._metainfo, made.ann_file = info, "infos.pkl"
    return made


@pytest.mark.parametrize(
    "sets, head, fault",
    [
        ({"train": PCC, "val": PCC[::-1]}, model(), "val: its classes are Car, Cyclist, Pedestr"),
        ({"train": PCC, "val": PCC[:2]}, model(), "val: its classes are Pedestrian, Cyclist, "),
        ({"train": ["Car"]}, model(), r"train: names 1 classes \(Car\), model.pts_bbox_head"),
        ({"test": PCC}, model("decode_head", 2), "names 3 classes .*model.decode_head tells 2"),
        ({"train": PCC}, model(count=[1, 2], names=[["Car"], PCC[:2]]), "tasks of model.pts"),
        ({"train": PCC, "val": tuple(PCC)}, model(), None),
        ({"train": PCC}, model(count=[1, 2], names=[PCC[:1], PCC[1:]]), None),
        ({"train": PCC}, nn.Module(), None),
    ],
)  # fmt: skip
def test_data_sets_and_head_number_classes_alike_or_are_refused(sets, head, fault) -> None:
    sets = {name: data(classes) for name, classes in sets.items()}
    if fault is None:
        assert check_data(sets, head) == tuple(PCC)
        return
    with pytest.raises(FormatError, match=fault):
        check_data(sets, head)


def test_wrapped_sets_are_compared_and_those_without_classes_are_not() -> None:
    both = SimpleNamespace(datasets=[data(PCC), SimpleNamespace(dataset=data(["Car"]))])
    with pytest.raises(FormatError, match="train: its classes are Car"):
        check_data({"train": both}, nn.Module())
    assert check_data({"train": SimpleNamespace(metainfo={"sources": ["rgb"]})}, model()) is None


@pytest.mark.parametrize(
    "categories, ok",
    [
        ({"Pedestrian": 0, "Cyclist": 1, "Car": 2, "DontCare": -1}, True),
        ({"Car": 0, "Pedestrian": 1, "Cyclist": 2}, False),
        ({"Pedestrian": 0, "Cyclist": 1, "Car": 2, "Bus": 8}, False),
    ],
)
def test_info_file_that_numbers_classes_otherwise_is_refused(categories: dict, ok: bool) -> None:
    sets = {"train": data(PCC, KittiDataset, categories=categories)}
    if ok:
        assert check_data(sets, model()) == tuple(PCC)
        return
    with pytest.raises(FormatError, match="infos.pkl: its metainfo.categories has .* reads Pedest"):
        check_data(sets, model())


@pytest.mark.parametrize("meta", [{"dataset_meta": {"classes": PCC[::-1]}}, {"CLASSES": PCC[:1]}])
def test_checkpoint_of_other_classes_is_refused(meta: dict) -> None:
    with pytest.raises(FormatError, match="a.pth: was trained on Car|a.pth: was trained on Pedest"):
        check_trained_classes({"meta": meta}, tuple(PCC), "a.pth")
    check_trained_classes({"meta": meta}, None, "a.pth")
    check_trained_classes({"meta": {"dataset_meta": {"classes": tuple(PCC)}}}, PCC, "a.pth")
    check_trained_classes({"meta": {}}, PCC, "a.pth")


@pytest.mark.parametrize(
    "metainfo, fault",
    [
        ({"classes": ["Car", "Bus"]}, "dataset: metainfo.classes names Bus; KittiDataset"),
        ({"classes": ["car"]}, "dataset: metainfo.classes names car"),
        ({"CLASSES": ["Car"]}, "dataset: metainfo.CLASSES is read by nothing"),
    ],
)  # fmt: skip
def test_class_that_a_data_set_does_not_know_is_named(metainfo: dict, fault: str) -> None:
    leaf = {"type": "KittiDataset", "ann_file": "none.pkl", "metainfo": metainfo}
    with pytest.raises(FormatError, match=fault):
        build_dataset({"type": "RepeatDataset", "times": 2, "dataset": leaf})


def test_names_of_a_config_are_its_own_or_those_of_its_kind() -> None:
    own = {"type": "NYUDv2SegDataset", "metainfo": {"classes": ["a", "b"]}}
    assert classes_of_config(own) == ("a", "b")
    assert len(classes_of_config({"dataset": {"type": "NYUDv2SegDataset"}})) == 40
    assert classes_of_config(None) == ()


def test_head_with_tasks_knows_its_names() -> None:
    from mmdet3d.registry import MODELS
    from mmengine.config import Config

    config = Config.fromfile(find_config("bev_gemini-map_r18_1xb1-overfit_nus-3d"))
    settings = {"train_cfg": config.model.train_cfg.pts, "test_cfg": None}
    holder = nn.Module()
    holder.pts_bbox_head = MODELS.build({**config.model.pts_bbox_head, **settings})
    classes = classes_of_config(config.test_dataloader.dataset)
    assert len(classes) == 10 and classes_of_head(holder).names == classes


TRAINED = (
    "model = dict(encoder=dict(type='A', voxel_size=[0.1, 0.1], init_cfg=dict(type='X'),\n"
    "    operator=dict(type='GeminiFusion', num_heads=4), norm_cfg=dict(type='BN', eps=0.001)),\n"
    "    heads=[dict(type='H', ranges=[(0, 1)])], loss_cls=dict(weight=2.0), mean=(1, 2, 3))\n"
)
SAME = dict(
    encoder=dict(type="B", voxel_size=(0.1, 0.1), init_cfg=None,
                 operator=dict(type="GeminiFusion", num_heads=4), norm_cfg=dict(eps=1e-3)),
    heads=[dict(ranges=[[0, 1]], more=1)], loss_cls=dict(weight=1.0), mean=[1, 2, 3],
)  # fmt: skip


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda m: None, None),
        (lambda m: m["encoder"].update(voxel_size=[0.2, 0.1]),
         r"was trained with model.encoder.voxel_size=\[0.1, 0.1\] \(now \[0.2, 0.1\]\)"),
        (lambda m: m["encoder"]["operator"].update(num_heads=8), "num_heads=4"),
        (lambda m: m["encoder"]["operator"].update(type="SumFusion"), "operator.type=GeminiFusion"),
        (lambda m: m["heads"][0].update(ranges=[[0, 2]]), "heads.0.ranges"),
        (lambda m: m.update(mean=[0, 0, 0]), "model.mean"),
    ],
)  # fmt: skip
def test_another_model_of_the_same_shapes_is_told(change, said) -> None:
    import copy
    import re

    now = copy.deepcopy(SAME)
    change(now)
    found = model_differences({"cfg": TRAINED}, now, "a.pth")
    assert found is None if said is None else re.search(said, found)


@pytest.mark.parametrize("meta", [{}, {"cfg": "model = ("}, {"cfg": 3}, {"cfg": "a = 1"},
                                  {"cfg": "model = open('x')"}])  # fmt: skip
def test_nothing_is_said_of_a_model_that_is_not_known(meta: dict) -> None:
    assert model_differences(meta, SAME, "a.pth") is None


def test_detector_of_the_former_axes_is_told() -> None:
    said = model_differences({"mmdet3d_version": "0.17.1", "cfg": TRAINED}, SAME, "a.pth")
    assert "mmdet3d 0.17.1; before 1.0 boxes were turned" in said
    assert model_differences({"mmdet3d_version": "1.0.0rc0"}, SAME, "a.pth") is None


def sample(labels: int | None = None, pixels: int | None = None) -> Det3DDataSample:
    made = Det3DDataSample()
    if labels is not None:
        made.gt_instances_3d = InstanceData(labels_3d=torch.zeros(labels, dtype=torch.long))
    if pixels is not None:
        made.gt_sem_seg = PixelData(data=torch.full((1, 2, 3), pixels, dtype=torch.uint8))
    return made


def batch(samples: list, points: int | None = 5) -> dict:
    inputs = {} if points is None else {"points": [torch.zeros(points, 4)]}
    return {"inputs": inputs, "data_samples": samples}


@pytest.mark.parametrize(
    "bad, good",
    [
        (batch([sample(0), sample(0)]), batch([sample(0), sample(2)])),
        (batch([sample(None, 255)], None), batch([sample(None, 3), sample(None, 1)], None)),
        (batch([sample(None, 0)], None), batch([sample(None, 1)], None)),
        (batch([sample(2)], 0), batch([sample(2)], 1)),
    ],
)
def test_training_on_nothing_stops_and_one_label_is_enough(bad: dict, good: dict) -> None:
    hook = SomethingToLearnHook(batches=3)
    for number in range(2):
        hook.before_train_iter(None, number, bad)
    with pytest.raises(FormatError, match="train_dataloader: the first 3 batches have"):
        hook.before_train_iter(None, 2, bad)
    short = SomethingToLearnHook()
    short.before_train_iter(None, 0, bad)
    with pytest.raises(FormatError, match="the first 1 batches have (no label|no point|labels)"):
        short.after_train_epoch(None)
    fine = SomethingToLearnHook(batches=3)
    for number, each in enumerate([bad, good, bad, bad]):
        fine.before_train_iter(None, number, each)
    assert fine.after_train_epoch(None) is None


def test_task_without_labels_of_these_kinds_is_left_alone() -> None:
    hook = SomethingToLearnHook(batches=1)
    assert hook.before_train_iter(None, 0, {"inputs": torch.zeros(1), "index": 3}) is None
    assert hook.before_train_iter(None, 0, None) is None


@pytest.mark.parametrize("wrapped", [False, True])
def test_info_file_without_frames_is_one_line(tmp_path, wrapped):
    path = tmp_path / "infos.json"
    path.write_text('{"metainfo": {}, "data_list": []}')
    config = dict(type="mmdet3d.KittiDataset", data_root="", ann_file=str(path))
    with pytest.raises(FormatError, match=r"infos\.json: lists no frame"):
        build_dataset(
            dict(type="mmengine.RepeatDataset", times=2, dataset=config) if wrapped else config
        )
