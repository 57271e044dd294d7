"""A small segmentor and its batches."""

from __future__ import annotations

import torch
from mmdet3d.registry import MODELS
from mmengine.structures import BaseDataElement, PixelData

import gemini_det3d.plugin  # noqa: F401

CLASSES = 5


def make(modalities=("rgb", "depth"), **options):
    torch.manual_seed(0)
    backbone = dict(type="GeminiMiT", dims=(8, 16), depths=(1, 1), num_heads=(1, 2),
                    sr_ratios=(2, 1), patch_sizes=(7, 3), strides=(4, 2),
                    operator=dict(type="GeminiFusion", num_heads=2))  # fmt: skip
    head = dict(type="SegFormerMLPHead", num_classes=CLASSES, embed_dim=7)
    preprocessor = dict(type="ModalityPreprocessor", modalities={m: {} for m in modalities})
    return MODELS.build(
        dict(
            type="FusionSegmentor", backbone=backbone, decode_head=head, modalities=modalities,
            data_preprocessor=preprocessor, **options,
        )
    )  # fmt: skip


def batch(modalities=("rgb", "depth"), sizes=((37, 61), (41, 53)), masks=None):
    torch.manual_seed(1)
    inputs = {m: [torch.randint(0, 256, (3, *size)).byte() for size in sizes] for m in modalities}
    samples = []
    for index, size in enumerate(sizes):
        labels = torch.randint(0, CLASSES, (1, *size)).byte()
        sample = BaseDataElement(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=size, ori_shape=size))
        if masks:
            sample.set_metainfo(dict(sensor_mask=masks[index]))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def prepared(model, training=False, **options):
    return model.data_preprocessor(batch(**options), training)
