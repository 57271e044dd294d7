"""The segmentor of the paper: encoder with fusion, one head on every stream, their ensemble.

Shape shorthand: B images, M modalities, K classes, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from mmdet3d.registry import MODELS
from mmengine.dist import get_world_size
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn

from gemini_det3d.formats.segmentation import IGNORED, NO_SENSOR
from gemini_det3d.fusion import StreamBlend, blend_many, blend_streams
from gemini_det3d.geometry import send
from gemini_det3d.models.auxiliary import auxiliary_losses, reliability_losses
from gemini_det3d.models.decode_heads.mlp_head import enlarge
from gemini_det3d.models.layers import keep_in_graph
from gemini_det3d.models.segmentors.inference import (
    NOT_FINITE,
    checked_test_cfg,
    classes_of,
    multi_scale,
    slide,
)
from gemini_det3d.models.segmentors.preprocessor import labels_of
from gemini_det3d.models.sensor_metas import sensor_mask
from gemini_det3d.registration import register

ENSEMBLE = "ensemble"


@register(MODELS)
class FusionSegmentor(BaseModel):
    """Segment aligned images of one or more modalities.

    The ensemble is the mean of the streams' logits with learned weights; the streams are trained
    by losses of their own, and the ensemble's loss reaches only its weights, as released. A sample
    whose metadata hold ``sensor_mask=dict(depth=False)`` says that a modality's sensor delivered
    nothing (:func:`gemini_det3d.models.sensor_metas.sensor_mask`); it is not read, and the ensemble
    consists of what is there.

    Args:
        backbone: Config of a `FusionBackbone`; its ``num_modalities`` is the number of names in
            ``modalities``.
        decode_head: Config of the head; ``in_channels`` is the backbone's unless given.
        modalities: Names, the leading one first.
        loss: Config of the loss of each stream and of the ensemble.
        with_detached_ensemble: Whether the ensemble's loss trains its weights only.
        autocast_dtype: "bfloat16" or "float16": forward runs under autocast; None: in the
            parameters' precision.
        test_cfg: ``mode`` "whole" or "slide" (then ``window`` and ``stride``, two numbers each),
            ``scales`` and ``flip`` to average over, ``resize`` of the logits ("bilinear" or
            "bicubic"), ``rescale``: whether predictions have the size of the file (``ori_shape``)
            or the one that the pipeline made.
        train_cfg: Nothing; for mmengine's configs.
        data_preprocessor: Config of `ModalityPreprocessor`.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Arguments contradict each other; the message names them.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        decode_head: Mapping[str, Any],
        modalities: Sequence[str] = ("rgb", "depth"),
        loss: Mapping[str, Any] | None = None,
        with_detached_ensemble: bool = True,
        autocast_dtype: str | None = None,
        test_cfg: Mapping[str, Any] | None = None,
        train_cfg: Mapping[str, Any] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.modalities = tuple(modalities)
        if len(set(self.modalities)) != len(self.modalities) or ENSEMBLE in self.modalities:
            raise ValueError(f"modalities={self.modalities} must be different names")
        if autocast_dtype not in (None, "bfloat16", "float16"):
            raise ValueError(f"autocast_dtype={autocast_dtype!r} must be bfloat16, float16 or None")
        self.autocast_dtype = autocast_dtype
        self.backbone: Any = MODELS.build({**backbone, "num_modalities": len(self.modalities)})
        dims = tuple(decode_head.get("in_channels", self.backbone.dims))
        if dims != tuple(self.backbone.dims):
            raise ValueError(f"decode_head: in_channels={dims} must be the backbone's "
                             f"{tuple(self.backbone.dims)}, or left out")  # fmt: skip
        self.decode_head: Any = MODELS.build({**decode_head, "in_channels": dims})
        self.loss_function: Any = MODELS.build(dict(loss or {"type": "PixelCrossEntropy"}))
        counted = getattr(self.loss_function, "ignore_index", IGNORED)
        if counted != IGNORED:
            raise ValueError(f"loss: ignore_index={counted} must be {IGNORED}, the label of pixels "
                             "that do not count")  # fmt: skip
        self.ensemble = (
            StreamBlend(num_streams=self.backbone.num_streams) if len(self.modalities) > 1 else None
        )
        self.with_detached_ensemble = with_detached_ensemble
        self.test_cfg = checked_test_cfg(test_cfg or {})

    @property
    def stream_names(self) -> tuple[str, ...]:
        """The leading modality, and the other one, or "extra" for the merged others."""
        if self.backbone.num_streams < len(self.modalities):
            return self.modalities[0], "extra"
        return self.modalities

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """mmengine's call.

        Args:
            inputs: For each modality ``(B, 3, H, W)``.
            data_samples: Labels and metadata of each image.
            mode: "loss", "predict" or "tensor".

        Returns:
            Losses by name; samples with ``pred_sem_seg``; or logits ``(B, K, H / 4, W / 4)`` by
            stream, the ensemble among them.
        """
        if mode == "tensor":
            return self.logits(inputs, data_samples)
        if mode == "loss":
            return self.loss(inputs, data_samples or [])
        if mode == "predict":
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be loss, predict or tensor, got {mode!r}")

    def logits(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: Sequence[BaseDataElement] | None = None,
        size: Sequence[int] | None = None,
        resize: str = "bilinear",
    ) -> dict[str, Tensor]:
        """Logits of each stream and of their ensemble, float32.

        Args:
            inputs: As in `forward`.
            data_samples: Their ``sensor_mask`` is read.
            size: Height and width of the answer; None: that of the head.
            resize: How the head's answer is resized.
        """
        exists = self._exists(inputs, data_samples)
        images = [inputs[name] for name in self.modalities]
        if exists is not None:  # what a dead sensor holds, NaN for example, is nobody's input
            images = [torch.where(e.view(-1, 1, 1, 1), x, 0) for e, x in zip(exists, images)]
        with self._precision(images[0]):
            maps = self.backbone(images, exists)
            there = self.backbone.streams_exist(exists)
            alive = [None] * len(maps) if there is None else there
            streams = [self._classify(stream, e) for stream, e in zip(maps, alive)]
        streams = [x.float() if size is None else enlarge(x.float(), size, resize) for x in streams]
        found = dict(zip(self.stream_names, streams))
        return {**found, ENSEMBLE: self._blend(streams, there)}

    def loss(
        self, inputs: Mapping[str, Tensor], data_samples: Sequence[BaseDataElement]
    ) -> dict[str, Tensor]:
        """Losses of streams, ensemble and operators by name.

        A stream is not blamed for images that its sensors did not deliver.

        Raises:
            ValueError: A sample has no labels; the message names it.
        """
        labels = labels_of(data_samples)
        found = self.logits(inputs, data_samples, labels.shape[-2:])
        there = self.backbone.streams_exist(self._exists(inputs, data_samples))
        if len(found) == 2:  # a single stream is its own ensemble
            found.pop(ENSEMBLE)
        losses = {}
        for index, (stream, logits) in enumerate(found.items()):
            target = labels
            if there is not None and stream != ENSEMBLE:
                ignored = self.loss_function.ignore_index
                target = torch.where(there[index].view(-1, 1, 1), labels, ignored)
            losses[f"loss_{stream}"] = self.loss_function(logits, target)
        metas = [sample.metainfo for sample in data_samples]
        streams = self.modalities[:1], self.modalities[1:]
        doubted = reliability_losses(self, metas, streams) if streams[1] else {}
        return {**losses, **auxiliary_losses(self), **doubted}

    @torch.no_grad()
    def predict(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: Sequence[BaseDataElement] | None = None,
    ) -> list[BaseDataElement]:
        """Classes of every pixel.

        Returns:
            The samples; ``pred_sem_seg`` holds one ``(1, h, w)`` int64 map for each stream and for
            the ensemble, under their names; `NOT_FINITE` where the logits are NaN or infinite, and
            of an ensemble without any sensor; `NO_SENSOR` of a stream without its own.
        """
        cfg = self.test_cfg
        size = next(iter(inputs.values())).shape[-2:]

        def whole(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
            size = next(iter(images.values())).shape[-2:]
            return self.logits(images, data_samples, size, cfg["resize"])

        def in_windows(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return slide(whole, images, cfg["window"], cfg["stride"])

        ask = in_windows if cfg["mode"] == "slide" else whole
        found = multi_scale(ask, inputs, cfg["scales"], cfg["flip"])
        batch = len(next(iter(inputs.values())))
        samples = data_samples or [BaseDataElement() for _ in range(batch)]
        codes = self._codes(inputs, samples)
        for index, sample in enumerate(samples):
            height, width = sample.get("img_shape", size)[:2]
            shape = sample.get("ori_shape", (height, width))[:2] if cfg["rescale"] else None
            maps = {}
            for stream, logits in found.items():
                own = logits[index : index + 1, :, :height, :width]
                answer = classes_of(own, shape or (height, width), cfg["resize"])
                there, code = codes.get(stream, (None, 0))
                maps[stream] = answer if there is None else torch.where(there[index], answer, code)
            sample.pred_sem_seg = PixelData(**maps)
        return list(samples)

    def _codes(
        self, inputs: Mapping[str, Tensor], samples: Sequence[BaseDataElement]
    ) -> dict[str, tuple[Tensor, int]]:
        """By stream, which of the B samples it sees and what it answers of others; none: all."""
        there = self.backbone.streams_exist(self._exists(inputs, samples))
        if there is None:
            return {}
        codes = {name: (alive, NO_SENSOR) for name, alive in zip(self.stream_names, there)}
        return {**codes, ENSEMBLE: (torch.stack(list(there)).any(dim=0), NOT_FINITE)}

    def _classify(self, maps: Sequence[Tensor], exists: Tensor | None) -> Tensor:
        """The head on the images that exist, zeros for the others.

        A dead stream is the same everywhere; in the head's batch norm it would bend the others'
        statistics, and the gradient that it gets back grows a thousandfold in every LayerNorm.
        """
        if exists is None or bool(exists.all()):
            return self.decode_head(maps)
        shape = (len(exists), self.decode_head.num_classes, *maps[0].shape[-2:])
        if not bool(exists.any()) and not _is_synced(self.decode_head):
            # nothing of no row: distributed training waits for all norms
            nothing = sum(x[:0].sum() for x in maps) + keep_in_graph(self.decode_head)
            return maps[0].new_zeros(shape) + nothing
        found = self.decode_head([x[exists] for x in maps])
        logits = maps[0].new_zeros(shape, dtype=found.dtype)
        return logits.masked_scatter(exists.view(-1, 1, 1, 1), found)

    def _blend(self, streams: Sequence[Tensor], there: Sequence[Tensor] | None) -> Tensor:
        if self.ensemble is None:
            return streams[0]
        if self.training and self.with_detached_ensemble:
            streams = [x.detach() for x in streams]
        masks = None if there is None else [t.view(-1, 1, 1) for t in there]
        if len(streams) > 2:
            return blend_many(streams, self.ensemble.alpha, masks)
        if masks is None:
            return self.ensemble(*streams)
        return blend_streams(streams[0], streams[1], self.ensemble.alpha, *masks)

    def _exists(
        self, inputs: Mapping[str, Tensor], data_samples: Sequence[BaseDataElement] | None
    ) -> list[Tensor] | None:
        """For each modality ``(B,)`` bool, or None where all are there."""
        metas = [sample.metainfo for sample in data_samples or []]
        if not any(meta.get("sensor_mask") for meta in metas):
            return None
        known = {*inputs, *self.modalities}
        masks = [sensor_mask(metas, name, known=known)[:, 0] for name in self.modalities]
        if all(mask.all() for mask in masks):  # data sets say so; told on the host, nothing waits
            return None
        device = next(iter(inputs.values())).device
        return [send(mask, device) for mask in masks]

    def _precision(self, image: Tensor):
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(image.device.type, getattr(torch, self.autocast_dtype))


def _is_synced(head: nn.Module) -> bool:
    """Whether a norm waits for its likes in other processes: then no process may pass it by.

    PyTorch's takes a batch of no image.
    """
    names = (type(module).__name__ for module in head.modules())
    return get_world_size() > 1 and any("SyncBatchNorm" in name for name in names)
