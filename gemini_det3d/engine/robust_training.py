"""Training that failing sensors cannot surprise, at no cost in use: `RobustTrainingHook`."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from torch import Tensor, nn

from gemini_det3d.engine.degraded_batch import Chances, degrade_modalities, degrade_sensors
from gemini_det3d.models.bare import bare_model
from gemini_det3d.models.checkpoints import load_parameters, read_checkpoint
from gemini_det3d.registration import register

_AS_BUILT = "robust_teacher"
"""Key of a checkpoint."""
_REMEDY = "default_hooks.robust.teacher_allow_missing=[NAME] lets them differ"


@register(HOOKS)
class RobustTrainingHook(Hook):
    """Adds to each step the loss of a degraded copy of the batch, and what a teacher says of it.

    ``default_hooks = dict(robust=dict(type="RobustTrainingHook", teacher="plain.pth"))``, for
    every detector and segmentor of this plug-in. The loss of the whole batch stays in every step;
    in the copy each sensor fails by itself, and in a share of these cases nothing is left of it
    (:mod:`gemini_det3d.engine.degraded_batch`). The teacher is the same model, trained with all
    sensors and frozen; it sees the whole batch, and the copy's class scores are drawn to its own.
    A step costs about twice as much, 2.4 times with a teacher; the trained model is the same.
    VoteNet, which votes from points, loses points and cameras, but never its LiDAR, and has no
    teacher.

    Args:
        chance: Of each sensor to fail; a number, or one for each name (``camera``, ``lidar``, or
            a segmentor's modalities). 0 for a sensor without which the model sees nothing.
        absent: Share of failures where nothing is left; likewise.
        weight: Of the copy's losses, which are logged as ``degraded_loss...``.
        teacher: Checkpoint of the teacher; None: there is none.
        teacher_allow_missing: Names of parameters, or starts of names at a dot, that the teacher's
            file need not have, such as an operator's with its reliability; they are as built.
        teacher_weight: Of the teacher's loss, ``loss_teacher``: the Kullback-Leibler divergence of
            class scores, per pixel, or per object that the teacher sees.

    Raises:
        ValueError: A chance is no share, or a weight is negative or not finite.
    """

    priority = "LOW"

    def __init__(
        self,
        chance: Chances = 0.3,
        absent: Chances = 0.2,
        weight: float = 1.0,
        teacher: str | None = None,
        teacher_weight: float = 1.0,
        teacher_allow_missing: Sequence[str] = (),
    ) -> None:
        for name, given in (("chance", chance), ("absent", absent)):
            values = given.values() if isinstance(given, Mapping) else [given]
            if not all(0 <= value <= 1 for value in values):
                raise ValueError(f"RobustTrainingHook: {name}={given} must be shares")
        for name, value in (("weight", weight), ("teacher_weight", teacher_weight)):
            if not 0 <= value < math.inf:  # NaN is neither
                raise ValueError(f"RobustTrainingHook: {name}={value} must be 0 or more, finite")
        self.chance, self.absent, self.weight = chance, absent, weight
        self.teacher_file, self.teacher_weight = teacher, teacher_weight
        self.teacher_allow_missing = tuple(teacher_allow_missing)
        self._as_built: dict[str, Tensor] = {}  # of the teacher, what its file lacks

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """A resumed run's teacher is the same one."""
        checkpoint[_AS_BUILT] = {name: value.cpu() for name, value in self._as_built.items()}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what the teacher's file lacks, of a run that is resumed."""
        if runner._resume:
            self._as_built = checkpoint.get(_AS_BUILT, {})

    def before_train(self, runner: Any) -> None:
        """Load the teacher, and put the copy's losses behind the model's own.

        Raises:
            FormatError: The teacher cannot be read or is another model.
            ValueError: The model is no detector or segmentor, or has no sensor that is named; or it
                has no scores that a teacher could be asked for.
        """
        model = bare_model(runner.model)
        self._check_names(model)
        teacher = None
        if self.teacher_file is not None and self.teacher_weight:
            teacher, lacking = load_teacher(model, self.teacher_file, self.teacher_allow_missing)
            teacher.load_state_dict(self._as_built, strict=False)
            state = teacher.state_dict()
            self._as_built = {name: state[name] for name in lacking}
        plain = model.forward

        def forward(
            inputs: Any, data_samples: Any = None, mode: str = "tensor", **more: Any
        ) -> Any:
            if mode != "loss":
                return plain(inputs, data_samples, mode=mode, **more)
            degraded = self._degraded(model, inputs, data_samples)
            wanted = None if teacher is None else ask(teacher, inputs, data_samples)
            losses = plain(inputs, data_samples, mode=mode, **more)
            return {**losses, **self._more(model, plain, degraded, wanted)}

        model.forward = forward

    def after_train(self, runner: Any) -> None:
        """Give the model its own forward back."""
        model = bare_model(runner.model)
        del model.forward  # the instance's; the class has its own

    def _check_names(self, model: nn.Module) -> None:
        """Refuse what would have no effect."""
        if type(model).train_step is not BaseModel.train_step:
            name = type(model).__name__
            raise ValueError(f"RobustTrainingHook: {name} has a training step of its own, which "
                             "detectors and segmentors have not")  # fmt: skip
        known = ("camera", "lidar") if _is_detector(model) else tuple(model.modalities)
        for option, given in (("chance", self.chance), ("absent", self.absent)):
            unknown = [name for name in given if name not in known] if isinstance(
                given, Mapping) else []  # fmt: skip
            if unknown:
                raise ValueError(f"RobustTrainingHook: {option} names {', '.join(unknown)}; the "
                                 f"model has {', '.join(known)}")  # fmt: skip

    def _degraded(self, model: nn.Module, inputs: Any, samples: Sequence[Any]) -> tuple:
        if _is_detector(model):
            needs_points = getattr(model, "needs_points", False)
            return degrade_sensors(
                inputs, samples, self.chance, self.absent, model.data_preprocessor, needs_points
            )
        return degrade_modalities(inputs, samples, self.chance, self.absent)

    def _more(
        self, model: nn.Module, plain: Any, degraded: tuple, wanted: Sequence[Tensor] | None
    ) -> dict[str, Any]:
        with nullcontext([]) if wanted is None else captured(model) as said:
            losses = plain(*degraded, mode="loss")
        more = {f"degraded_{name}": _times(value, self.weight) for name, value in losses.items()}
        if wanted is not None:
            loss = divergence(class_logits(said[-1]), wanted, _is_detector(model))
            more["loss_teacher"] = self.teacher_weight * loss
        return more


def load_teacher(
    model: nn.Module, path: str, allow_missing: Sequence[str] = ()
) -> tuple[nn.Module, list[str]]:
    """A frozen copy of a model with the parameters of a file.

    Returns:
        The copy, and the names of what the file lacks or has in another shape.

    Raises:
        FormatError: The file cannot be read or is of another model.
        ValueError: The model has no scores to ask for.
    """
    _source(model)
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    report = load_parameters(teacher, read_checkpoint(path), path, allow_missing, _REMEDY)
    return teacher, [*report.missing, *report.other_shape]


@torch.no_grad()
def ask(teacher: nn.Module, inputs: Any, samples: Sequence[Any]) -> list[Tensor]:
    """Class logits of each stream or level, of the batch as it is."""
    with captured(teacher) as said:
        teacher(inputs, samples, mode="tensor")
    return class_logits(said[-1])


@contextmanager
def captured(model: nn.Module) -> Iterator[list[Any]]:
    """Keep what a detector's head, or a segmentor, says of its classes in a forward."""
    owner, name = _source(model)
    said: list[Any] = []
    before = getattr(owner, name)

    def keep(*args: Any, **kwargs: Any) -> Any:
        said.append(before(*args, **kwargs))
        return said[-1]

    setattr(owner, name, keep)
    try:
        yield said
    finally:
        delattr(owner, name)  # the instance's; the class has its own


def class_logits(said: Any) -> list[Tensor]:
    """The maps ``(B, K, h, w)`` among what heads give.

    Args:
        said: Of a segmentor maps by stream; of a detector a tuple that begins with the maps of
            its levels, or, of a head on centres, with a list of ``dict(heatmap=...)``.
    """
    if isinstance(said, Mapping):
        return list(said.values())
    if isinstance(said[0], Tensor):
        return list(said)
    levels = (
        said[0] if isinstance(said[0][0], Tensor) else [task for level in said for task in level]
    )
    return [level if isinstance(level, Tensor) else level["heatmap"] for level in levels]


def divergence(logits: Sequence[Tensor], wanted: Sequence[Tensor], is_detector: bool) -> Tensor:
    """Kullback-Leibler divergence from the teacher's class scores, mean over the maps.

    Args:
        logits: ``(B, K, H, W)`` each.
        wanted: The teacher's, ``(B, K, h, w)``; enlarged where they are smaller.
        is_detector: Scores are independent (sigmoid), and mostly nothing: the sum is divided by
            the sum of the teacher's scores. Otherwise they exclude each other (softmax), and the
            mean is over pixels.
    """
    total = []
    for ours, theirs in zip(logits, wanted):
        ours, theirs = ours.float(), theirs.float()
        if theirs.shape[-2:] != ours.shape[-2:]:
            theirs = F.interpolate(theirs, ours.shape[-2:], mode="bilinear", align_corners=False)
        if is_detector:
            scores = theirs.sigmoid()
            cross = F.binary_cross_entropy_with_logits(ours, scores, reduction="sum")
            own = F.binary_cross_entropy_with_logits(theirs, scores, reduction="sum")
            total.append((cross - own) / scores.sum().clamp(min=1))
        else:
            ours, theirs = ours.log_softmax(1), theirs.log_softmax(1)
            apart = F.kl_div(ours, theirs, reduction="none", log_target=True)
            total.append(apart.sum(1).mean())
    return torch.stack(total).mean()


def _source(model: nn.Module) -> tuple[Any, str]:
    """Whose method says what the classes are."""
    head = getattr(model, "pts_bbox_head", None)
    if head is not None:
        return head, "forward"
    if hasattr(model, "logits"):
        return model, "logits"
    raise ValueError(
        f"RobustTrainingHook: {type(model).__name__} has no maps of class scores; set teacher=None"
    )


def _is_detector(model: nn.Module) -> bool:
    return not hasattr(model, "modalities")


def _times(value: Any, weight: float) -> Any:
    return [weight * each for each in value] if isinstance(value, (list, tuple)) else weight * value
