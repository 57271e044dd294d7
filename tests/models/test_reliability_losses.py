"""What was injected reaches the operators' doubts, in detectors and segmentors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from adapters import NECK, point_fusion_inputs
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData

from gemini_det3d.apis.config import find_config
from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.models import WithAuxiliaryLosses, reliability_losses
from gemini_det3d.models.sensor_metas import corruption_strengths

DOUBTING = dict(type="GeminiFusion", num_heads=4, reliability=True)


def loss_at_the_start(strength):
    """Cross-entropy of a doubt of 0.1 with a mean strength, weighted by 0.1."""
    return -0.1 * (strength * np.log(0.1) + (1 - strength) * np.log(0.9))


class Host(torch.nn.Module):
    def __init__(self, neck):
        super().__init__()
        self.neck = neck

    def loss(self, inputs, samples):
        return {"loss_box": self.neck(*inputs).sum()}


class GeminiHost(WithAuxiliaryLosses, Host):
    pass


def samples_of(*metas):
    return [BaseDataElement(metainfo=dict(meta)) for meta in metas]


def test_strength_of_a_sensor_is_that_of_its_views_and_1_where_it_is_gone():
    metas = [
        {},
        {"corruption_strength": {"camera": 0.5}},
        {"corruption_strength": {"camera": [0.0, 0.5]}, "sensor_mask": {"camera": [False, True]}},
        {"sensor_mask": {"camera": False, "lidar": True}},
    ]
    assert corruption_strengths(metas, "camera").tolist() == [0.0, 0.5, 0.75, 1.0]
    assert corruption_strengths(metas, "lidar").tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"radar": 1.0}, KeyError),
        ({"camera": 1.5}, ValueError),
        ({"lidar": float("nan")}, ValueError),
    ],
)
def test_strength_that_cannot_be_is_refused_with_the_sample(entry, error):
    metas = [{"corruption_strength": entry, "lidar_path": "000007.bin"}]
    with pytest.raises(error, match=r"corruption_strength of sample 000007\.bin"):
        for sensor in ("camera", "lidar"):
            corruption_strengths(metas, sensor)


def test_detectors_doubts_learn_from_the_strength_of_their_own_samples(meta):
    """Samples of different numbers of points, whose camera lies in the second alone."""
    neck = MODELS.build({**NECK, "operator": DOUBTING}).train()
    metas = [meta, {**meta, "corruption_strength": {"camera": 1.0}}]
    samples = samples_of(*metas)
    model, inputs = GeminiHost(neck), point_fusion_inputs(metas)
    seen = []
    neck.operator.register_forward_pre_hook(lambda _, given: seen.append(given[3]))
    losses = model.loss(inputs, samples)
    assert losses.keys() == {"loss_box", "loss_reliability"}
    counts = seen[0]  # of the points that the camera sees, of both samples
    start = loss_at_the_start(counts[1] / (2 * sum(counts)))
    assert losses["loss_reliability"].item() == pytest.approx(start, rel=1e-5)
    optimizer = torch.optim.Adam(
        [neck.operator.reliability_weight, neck.operator.reliability_bias], 0.3
    )
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(inputs, samples)["loss_reliability"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * start


def test_detector_without_an_image_has_a_loss_of_nothing(meta):
    neck = MODELS.build({**NECK, "operator": DOUBTING}).train()
    _, *rest = point_fusion_inputs([meta, meta])
    losses = GeminiHost(neck).loss((None, *rest), samples_of(meta, meta))
    assert losses["loss_reliability"] == 0
    losses["loss_reliability"].backward()


def test_map_fusion_of_doubting_zeros_equals_the_released_one():
    torch.manual_seed(0)
    config = dict(type="MapFusionNeck", in_channels=[8, 8], out_channels=8)
    plain = MODELS.build({**config, "operator": dict(type="GeminiFusion", num_heads=4)})
    doubting = MODELS.build({**config, "operator": DOUBTING})
    doubting.load_state_dict(plain.state_dict(), strict=False)
    maps = torch.randn(2, 3, 8, 5, 7).unbind()
    torch.testing.assert_close(doubting(maps), plain(maps))
    with torch.no_grad():
        doubting.operator.reliability_bias.copy_(torch.tensor([30.0, -30.0]))
        doubting.operator.reliability_worth.fill_(0.2)
        left = doubting(maps)
        doubting.operator.doubts = lambda *streams: (streams[0][..., 0] * 0,) * 2
        assert (left - doubting(maps)).abs().mean() > 0.1


def test_segmentors_doubts_join_its_losses():
    config = Config.fromfile(find_config("segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"))
    config.model.backbone.operator = dict(type="GeminiFusion", num_heads=1, reliability=True)
    model = MODELS.build(config.model).train()
    inputs = {name: torch.randn(2, 3, 64, 64) for name in model.modalities}
    samples = samples_of({"corruption_strength": {model.modalities[1]: 1.0}}, {})
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 64, 64, dtype=torch.long))
    loss = model.loss(inputs, samples)["loss_reliability"]
    assert loss.item() == pytest.approx(
        loss_at_the_start(1 / 12), rel=1e-4
    )  # 1 of 3 extras, of 1 of 2 samples
    loss.backward()
    weights = [m.reliability_weight for m in model.modules() if isinstance(m, GeminiFusion)]
    assert weights and all(weight.grad[1].abs().sum() > 0 for weight in weights)
    assert reliability_losses(model, []) == {}


def test_threads_do_not_read_each_others_numbers_of_points(meta):
    """Six threads on one neck, whose frames have other numbers of points."""
    neck = MODELS.build({**NECK, "operator": DOUBTING}).eval()
    torch.nn.init.normal_(neck.operator.reliability_weight)
    torch.nn.init.ones_(neck.operator.reliability_worth)
    images, points, feats, metas = point_fusion_inputs([meta, meta])
    split = feats.split([len(p) for p in points])
    alone = [([level[:1] for level in images], [points[0][:n]], split[0][:n], metas[:1])
             for n in range(1, len(points[0]) + 1)]  # fmt: skip
    cases = [(images, points, feats, metas), *alone] * 20
    with torch.no_grad(), ThreadPoolExecutor(6) as pool:
        wanted = [neck(*case) for case in cases]
        found = list(pool.map(torch.no_grad()(lambda case: neck(*case)), cases))
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other)
