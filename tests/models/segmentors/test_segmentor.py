from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.formats.segmentation import NO_SENSOR
from gemini_det3d.models.checkpoints import from_released_segmentor
from gemini_det3d.models.segmentors import fusion_segmentor
from gemini_det3d.models.segmentors.inference import multi_scale, slide, starts
from tests.models.segmentors.small_segmentor import CLASSES, batch, make, prepared


def test_segmentor_matches_the_released_one(golden_segmentor):
    data = golden_segmentor
    params = {n[len("param/") :]: t for n, t in data.items() if n.startswith("param/")}
    backbone = dict(type="GeminiMiT", dims=data["dims"].tolist(), depths=data["depths"].tolist(),
                    num_heads=data["heads"].tolist())  # fmt: skip
    head = dict(type="SegFormerMLPHead", num_classes=7, embed_dim=48)
    model = MODELS.build(dict(type="FusionSegmentor", backbone=backbone, decode_head=head)).eval()
    model.load_state_dict(from_released_segmentor(params).state)
    with torch.no_grad():
        found = model(dict(rgb=data["x0"], depth=data["x1"]))
    for ours, theirs in (("rgb", "logits0"), ("depth", "logits1"), ("ensemble", "ens")):
        torch.testing.assert_close(found[ours], data[theirs], rtol=0, atol=1e-5)


@pytest.fixture
def golden_segmentor(shared_dir):
    with np.load(shared_dir / "golden" / "mit_segmentor.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_losses_name_streams_and_ensemble_and_reach_every_parameter(count):
    names = ("rgb", "depth", "event", "lidar")[:count]
    model = make(names).train()
    losses = model(**prepared(model, True, modalities=names), mode="loss")
    wanted = {1: {"loss_rgb"}, 2: {"loss_rgb", "loss_depth", "loss_ensemble"}}
    assert set(losses) == wanted.get(count, {"loss_rgb", "loss_extra", "loss_ensemble"})
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", ["GeminiMiT", "GeminiSwin"])
@pytest.mark.parametrize("dead", [("rgb",), ("depth", "event")])
def test_a_batch_without_a_stream_leaves_no_parameter_to_wait_for(kind, dead):
    """One image a process and a dead camera: DistributedDataParallel wants every gradient."""
    names = ("rgb", "depth", "event")
    model = make(names).train()
    if kind == "GeminiSwin":
        sizes = dict(embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=3)
        model.backbone = MODELS.build(dict(type=kind, num_modalities=3, **sizes))
    mask = [{name: name not in dead for name in names}]
    data = prepared(model, True, modalities=names, sizes=((37, 61),), masks=mask)
    losses = model(**data, mode="loss")
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert losses["loss_rgb" if "rgb" in dead else "loss_extra"] == 0


def test_a_norm_of_several_processes_is_passed_without_an_image_too(monkeypatch):
    """`--sync_bn torch`: a process whose camera is dead would let the others wait for ever."""

    class SyncBatchNorm(torch.nn.Identity):
        def forward(self, x):
            rows.append(len(x))
            return x

    rows: list[int] = []
    model = make().train()
    model.decode_head.fuse["bn"] = SyncBatchNorm()
    mask = [dict(rgb=False, depth=True)]
    for processes, wanted in ((1, [1]), (2, [0, 1])):
        monkeypatch.setattr(fusion_segmentor, "get_world_size", lambda n=processes: n)
        losses = model(**prepared(model, True, sizes=((37, 61),), masks=mask), mode="loss")
        sum(losses.values()).backward()
        assert rows == wanted and losses["loss_rgb"] == 0
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        rows.clear()
        model.zero_grad(set_to_none=True)


def test_ensemble_loss_trains_its_weights_only():
    model = make().train()
    model(**prepared(model, True), mode="loss")["loss_ensemble"].backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None}
    assert trained == {"ensemble.alpha"}


def test_predictions_have_the_size_of_the_file():
    model = make().eval()
    samples = model(**prepared(model), mode="predict")
    for sample, size in zip(samples, ((37, 61), (41, 53))):
        assert set(sample.pred_sem_seg.keys()) == {"rgb", "depth", "ensemble"}
        assert sample.pred_sem_seg.ensemble.shape == (1, *size)


@pytest.mark.parametrize("cfg", [dict(), dict(mode="slide", window=(32, 32), stride=(32, 32)),
                                 dict(flip=True)])  # fmt: skip
@pytest.mark.parametrize("lost", [float("nan"), float("inf")])
def test_an_answer_that_is_not_finite_is_no_class(cfg, lost):
    model = make(test_cfg=cfg).eval()
    with torch.no_grad():
        model.decode_head.classify.bias[1] = lost
    for sample in model(**prepared(model), mode="predict"):
        assert (sample.pred_sem_seg.ensemble == -1).all()


def test_images_of_a_sample_that_differ_in_size_are_refused():
    data = batch()
    data["inputs"]["depth"][1] = torch.zeros(3, 99, 99).byte()  # padding would cut it
    with pytest.raises(ValueError, match=r"'rgb' are .*\(41, 53\).* of 'depth' .*\(99, 99\)"):
        make().data_preprocessor(data, True)


def test_a_stride_beyond_the_window_leaves_no_holes():
    with pytest.raises(ValueError, match=r"stride \(4, 3\) is larger than the window \(3, 5\)"):
        slide(lambda x: x, {"rgb": torch.zeros(1, 1, 7, 11)}, (3, 5), (4, 3))


def make_among_all(modalities):
    ways = dict(type="GeminiWaysFusion", num_heads=2)
    model = make(modalities)
    backbone = dict(type="GeminiMiT", dims=(8, 16), depths=(1, 1), num_heads=(1, 2), operator=ways,
                    sr_ratios=(2, 1), patch_sizes=(7, 3), strides=(4, 2))  # fmt: skip
    torch.manual_seed(0)
    head = dict(type="SegFormerMLPHead", num_classes=CLASSES, embed_dim=7)
    preprocessor = dict(type="ModalityPreprocessor", modalities={m: {} for m in modalities})
    among_all = MODELS.build(
        dict(
            type="FusionSegmentor", backbone=backbone, decode_head=head, modalities=modalities,
            data_preprocessor=preprocessor,
        )
    )  # fmt: skip
    return model, among_all


def test_two_streams_among_all_are_the_segmentor_of_two():
    pair, among_all = make_among_all(("rgb", "depth"))
    among_all.load_state_dict(pair.state_dict())
    data = prepared(pair.eval())
    for name, logits in pair(**data).items():
        assert torch.allclose(among_all.eval()(**data)[name], logits, atol=1e-6)


def test_every_sensor_among_all_is_a_stream_and_one_that_is_gone_is_read_by_none():
    modalities = ("rgb", "depth", "event", "lidar")
    _, model = make_among_all(modalities)
    losses = model(**prepared(model, training=True, modalities=modalities), mode="loss")
    assert losses.keys() == {f"loss_{name}" for name in (*modalities, "ensemble")}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    masks = [dict(event=False), {}]
    data = prepared(model.eval(), modalities=modalities, masks=masks)
    before = model(**data)
    data["inputs"]["event"][0] = float("nan")
    for name, logits in model(**data).items():
        assert name == "event" or torch.equal(logits, before[name])


@pytest.mark.parametrize(
    "cfg", [dict(mode="slide", window=(32, 32), stride=(16, 24)), dict(scales=(0.5, 1.0, 1.5)),
            dict(flip=True), dict(resize="bicubic")], ids=str
)  # fmt: skip
def test_every_way_to_ask_gives_maps(cfg):
    model = make(test_cfg=cfg).eval()
    plain = make().eval()
    data = prepared(model)
    found = [m(**data, mode="predict")[0].pred_sem_seg.ensemble for m in (model, plain)]
    assert found[0].shape == found[1].shape
    assert (found[0] == found[1]).float().mean() > 0.3


def test_autocast_keeps_logits_in_float32():
    model = make(autocast_dtype="bfloat16").eval()
    data = prepared(model)
    found, exact = model(**data)["ensemble"], make().eval()(**data)["ensemble"]
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()


def test_windows_cover_and_average():
    assert list(starts(10, 4, 3)) == [0, 3, 6]
    assert list(starts(3, 4, 3)) == [0]
    image = torch.arange(7.0 * 11).view(1, 1, 7, 11)
    found = slide(lambda x: {"a": 2 * x["rgb"]}, {"rgb": image}, (3, 5), (2, 3))
    torch.testing.assert_close(found["a"], 2 * image)


def test_flip_mirrors_the_answer_back():
    image = torch.rand(1, 3, 32, 32)
    found = multi_scale(lambda x: {"a": x["rgb"]}, {"rgb": image}, with_flip=True)
    torch.testing.assert_close(found["a"], image.log_softmax(dim=1))


@pytest.mark.parametrize(
    "test_cfg",
    [
        dict(mode="x"),
        dict(mode="slide"),
        dict(mode="slide", window=(32, 32), stride=(33, 16)),
        dict(mode="slide", window=(32, 32), stride=(16, 64)),
        dict(size=3),
        dict(scales=()),
        dict(flip="no"),
    ],
    ids=str,
)
def test_wrong_test_cfg_is_told_when_the_model_is_built(test_cfg):
    with pytest.raises(ValueError, match="test_cfg"):
        make(test_cfg=test_cfg)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(decode_head=dict(in_channels=[8, 8])), r"decode_head: in_channels=\(8, 8\) must be"),
        (dict(loss=dict(type="PixelCrossEntropy", ignore_index=0)), "ignore_index=0 must be 255"),
    ],
)
def test_parts_that_do_not_fit_are_told_when_the_model_is_built(change, said):
    head = dict(type="SegFormerMLPHead", num_classes=7, embed_dim=8)
    backbone = dict(type="GeminiMiT", dims=(8, 16), depths=(1, 1), num_heads=(1, 1),
                    sr_ratios=(1, 1), patch_sizes=(3, 3), strides=(2, 2))  # fmt: skip
    settings = dict(type="FusionSegmentor", backbone=backbone, decode_head=head)
    MODELS.build(settings)
    head.update(change.pop("decode_head", {}))
    with pytest.raises(ValueError, match=said):
        MODELS.build({**settings, **change})


def test_stream_without_its_sensor_gives_no_answer_and_no_sensor_at_all_no_class():
    model = make().eval()
    masks = [dict(rgb=True, depth=False), dict(rgb=False, depth=False)]
    first, second = model(**prepared(model, masks=masks), mode="predict")
    assert (first.pred_sem_seg.depth == NO_SENSOR).all()
    assert (first.pred_sem_seg.rgb >= 0).all() and (first.pred_sem_seg.ensemble >= 0).all()
    assert (second.pred_sem_seg.rgb == NO_SENSOR).all()
    assert (second.pred_sem_seg.ensemble == -1).all()


def test_sample_without_labels_is_named_in_training():
    model = make().train()
    data = prepared(model, True)
    data["data_samples"][1].pop("gt_sem_seg")
    with pytest.raises(ValueError, match="has no gt_sem_seg: training needs labels"):
        model(**data, mode="loss")
