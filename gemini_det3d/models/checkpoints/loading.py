"""Parameters into a model: all of them, or an error that says which are not."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.fusion import find_released_blocks
from gemini_det3d.models.checkpoints.names import find_layout
from gemini_det3d.models.checkpoints.sparse import (
    in_layout_of,
    sparse_convolutions,
    states_version,
    version_of_layout,
)
from gemini_det3d.models.checkpoints.wrappers import without_wrappers

_SHOWN = 3
_REMEDY = "--allow-missing NAME lets them differ"


@dataclass(frozen=True)
class LoadReport:
    """What became of the parameters of a model and of a file.

    Attributes:
        loaded: Names that both have, in one shape.
        missing: Names of the model that the file lacks.
        unexpected: Names of the file that the model has no place for.
        other_shape: Names that both have, with the shape in the file and in the model.
        other_kind: Names that hold whole, complex or truth values in place of floats, or the other
            way round, with the types.
        not_finite: Names of those loaded that hold NaN or infinite values.
    """

    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    other_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = ()  # type: ignore
    other_kind: Mapping[str, tuple[str, str]] = ()  # type: ignore
    not_finite: tuple[str, ...] = ()

    def text(self) -> str:
        """The counts, in one line."""
        return (
            f"{len(self.loaded)} parameters loaded, {len(self.missing)} missing, "
            f"{len(self.unexpected)} without a place, {len(self.other_shape)} of other shapes"
        )

    def knows(self, start: str) -> bool:
        """Whether the model or the file has a parameter of this name, or start of a name."""
        names = (*self.loaded, *self.missing, *self.unexpected, *self.other_shape)
        return any(_is_allowed(name, (start,)) for name in names)

    def faults(self, allowed: Iterable[str] = (), may_have_more: bool = False) -> list[str]:
        """Why the file is not to be used.

        Args:
            allowed: Names, or starts of names at a dot, that may be on one side only.
            may_have_more: Whether the file may hold what the model has no place for.

        Returns:
            Phrases; none where all is well.
        """
        allowed = tuple(allowed)
        missing = [name for name in self.missing if not _is_allowed(name, allowed)]
        other = [name for name in self.other_shape if not _is_allowed(name, allowed)]
        more = [name for name in self.unexpected if not _is_allowed(name, allowed)]
        faults = []
        if missing:
            faults.append(f"{_some(missing)} of the config's model are not in it")
        if other:
            ours = "{} in the file, {} in the config's model".format(*self.other_shape[other[0]])
            faults.append(f"{_some(other)} have other shapes than in the config ({ours})")
        if more and not may_have_more:
            faults.append(f"{_some(more)} in it have no place in the config's model")
        if self.other_kind:
            ours = "{} in the file, {} in the config's model".format(*list(
                dict(self.other_kind).values())[0])  # fmt: skip
            faults.append(f"{_some(self.other_kind)} hold numbers of another kind ({ours})")
        if self.not_finite:
            faults.append(f"{_some(self.not_finite)} hold NaN or infinite values")
        return faults


def load_parameters(
    model: nn.Module,
    checkpoint: Mapping,
    path: str | os.PathLike,
    allow_missing: Collection[str] = (),
    remedy: str = _REMEDY,
) -> LoadReport:
    """Put a checkpoint's parameters into a model.

    Args:
        model: Model to fill.
        checkpoint: What :func:`read_checkpoint` returned.
        path: Its file, for the errors.
        allow_missing: Names, or starts of names at a dot, that only one of the two may have, or
            that may differ in shape; the model's keep their values.
        remedy: As for :func:`check_report`.

    Raises:
        FormatError: Another parameter is on one side only, has another shape, or is not finite:
            the two do not belong together.
    """
    state, report = fit_state(model, checkpoint["state_dict"])
    check_report(report, state, path, allow_missing, remedy=remedy)
    model.load_state_dict(state, strict=False)
    return report


def check_report(
    report: LoadReport,
    state: Mapping[str, Tensor],
    path: str | os.PathLike,
    allow_missing: Collection[str] = (),
    may_have_more: bool = False,
    remedy: str = _REMEDY,
) -> None:
    """Refuse what does not belong together.

    Args:
        report: Of :func:`fit_state`.
        state: Of the file, which tells what else it may be.
        path: Its name.
        allow_missing: As for :func:`load_parameters`.
        may_have_more: Whether the file may hold what the model has no place for.
        remedy: What to do where names are missing, differ in shape or have no place.

    Raises:
        FormatError: With all faults, in one line.
    """
    faults = report.faults(allow_missing, may_have_more)
    if not faults:
        return
    unknown = [name for name in allow_missing if not report.knows(name)]
    if unknown:
        faults.append(f"neither has a parameter {' or '.join(unknown)}, which may be missing")
    kind = _kind_of([*state, *report.unexpected])
    if kind:
        faults.append(f"it is a {kind}; gemini-det3d convert-checkpoint makes it ours")
    elif not report.not_finite and not report.other_kind:
        faults.append(remedy)
    raise FormatError(path, "; ".join(faults))


def fit_state(
    model: nn.Module, state: Mapping[str, Tensor]
) -> tuple[OrderedDict[str, Tensor], LoadReport]:
    """A file's parameters as a model takes them.

    Args:
        model: The model.
        state: Names to tensors, wrapped or not, sparse weights in either layout.

    Returns:
        What fits, under the model's names, with the versions (``_metadata``) that keep mmdet3d
        from turning a sparse weight again; and what became of the rest.
    """
    versions = getattr(state, "_metadata", None) or OrderedDict()
    own = model.state_dict()
    state = _without_common_start(without_wrappers(state), own)
    convolutions = [name for name in sparse_convolutions(model) if f"{name}.weight" in state]
    # Where one weight's shape leaves its layout open, the others of the file tell it.
    is_ours = any(
        state[f"{name}.weight"].shape == own[f"{name}.weight"].shape
        and len(set(own[f"{name}.weight"].shape)) > 1
        for name in convolutions
    )
    for name in convolutions:
        is_stated = is_ours or states_version(versions, name)
        weight = f"{name}.weight"
        state[weight] = in_layout_of(state[weight], own[weight], is_stated)
    fitting = OrderedDict(
        (name, tensor)
        for name, tensor in state.items()
        if name in own and tensor.shape == own[name].shape
    )
    fitting._metadata = OrderedDict(getattr(state, "_metadata", None) or {})  # type: ignore
    fitting._metadata.update({name: version_of_layout() for name in convolutions})  # type: ignore
    return fitting, _report(own, state, fitting)


def _report(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], fitting: Mapping[str, Tensor]
) -> LoadReport:
    return LoadReport(
        loaded=tuple(fitting),
        # counted by batch norms for a momentum of None, which nothing here has
        missing=tuple(n for n in own if n not in state and not n.endswith("num_batches_tracked")),
        unexpected=tuple(
            n for n in state if n not in own and not n.endswith("num_batches_tracked")
        ),
        other_shape={
            n: (tuple(t.shape), tuple(own[n].shape))
            for n, t in state.items()
            if n in own and n not in fitting
        },
        other_kind={
            n: (str(t.dtype), str(own[n].dtype))
            for n, t in fitting.items()
            if (t.is_floating_point(), t.is_complex())
            != (own[n].is_floating_point(), own[n].is_complex())
        },
        not_finite=tuple(
            n for n, t in fitting.items() if t.is_floating_point() and not torch.isfinite(t).all()
        ),
    )


def _without_common_start(
    state: OrderedDict[str, Tensor], own: Mapping[str, Tensor]
) -> OrderedDict[str, Tensor]:
    """Names without the one word that all of them start with, if the model's then match."""
    start = next(iter(state), "").partition(".")[0] + "."
    if any(name in own or not name.startswith(start) for name in state):
        return state
    if not any(name.removeprefix(start) in own for name in state):
        return state
    return OrderedDict((name.removeprefix(start), tensor) for name, tensor in state.items())


def _kind_of(names: Collection[str]) -> str | None:
    """What else a file is by its names."""
    layout = find_layout(names)
    if layout is not None:
        return layout.name
    blocks = find_released_blocks(dict.fromkeys(names))  # type: ignore[arg-type]
    return "released KITTI detector" if any("fusion_layer" in block for block in blocks) else None


def _is_allowed(name: str, allowed: tuple[str, ...]) -> bool:
    return any(
        name == start or name.startswith(start if start.endswith((".", "_")) else f"{start}.")
        for start in allowed
    )


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return f"{len(names)} parameters ({shown}{', ...' if len(names) > _SHOWN else ''})"
