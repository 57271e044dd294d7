"""A start from weights that were trained without fusion, on as many sources or on more."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.fusion import OPERATOR_KINDS
from gemini_det3d.models.checkpoints import read_checkpoint, take_streams
from gemini_det3d.registration import register


@register(WEIGHT_INITIALIZERS, "PretrainedStreams")
class PretrainedStreams:
    """For ``init_cfg``: loads a checkpoint, with some of its streams only; operators start anew.

    ``init_cfg = dict(type='PretrainedStreams', checkpoint='both.pth', streams=[1])`` starts a model
    of the second source alone from one of two sources. Unlike mmengine's ``Pretrained`` it refuses
    a file that leaves a parameter out, but for those of fusion operators, and with any version of
    torch it runs no code of the file.

    Args:
        checkpoint: A .pth file.
        streams: Whose norms to take, in the order of the model's streams.
    """

    def __init__(self, checkpoint: str, streams: Sequence[int] = (0, 1)) -> None:
        self.checkpoint, self.streams = checkpoint, tuple(streams)

    def __call__(self, module: nn.Module) -> None:
        """Load.

        Raises:
            FormatError: It cannot be read, could run code, has no such stream, or lacks a parameter
                in the module's shape.
        """
        loaded = read_checkpoint(self.checkpoint)
        try:
            state = take_streams(loaded["state_dict"], self.streams)
            chosen = _matching(module, state)
        except ValueError as error:
            raise FormatError(self.checkpoint, str(error)) from None
        module.load_state_dict(chosen, strict=False)
        unused = len(state) - len(chosen)
        print_log(f"streams {list(self.streams)} of {self.checkpoint}; {unused} names without a "
                  "place here", logger="current")  # fmt: skip


def _matching(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the module has a place for: all of its parameters, operators excepted."""
    of_operators = {
        f"{prefix}.{name}"
        for prefix, part in module.named_modules()
        if isinstance(part, OPERATOR_KINDS)
        for name in part.state_dict()
    }
    wanted = {k: v.shape for k, v in module.state_dict().items() if k not in of_operators}
    for name, shape in wanted.items():
        if name not in state:
            raise ValueError(f"has no {name}")
        if state[name].shape != shape:
            found = tuple(state[name].shape)
            raise ValueError(f"{name} is {found}, the model's is {tuple(shape)}")
    return {name: state[name] for name in wanted}
