"""What mmengine saves can be loaded again without running code of the file."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

import gemini_det3d.engine.safe_globals as safe
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.torch_files import read_torch_file


@pytest.fixture
def checkpoint(tmp_path):
    hub = MessageHub("saved")
    for value in (3.0, 1.0, 2.0):
        hub.update_scalar("train/loss", value)
    hub.update_info("classes", np.array(["Car", "Van"]))
    hub.update_info("best", np.float64(0.5))
    path = tmp_path / "epoch_1.pth"
    torch.save(dict(message_hub=hub.state_dict(), state_dict=dict(w=torch.ones(2))), path)
    return path


@pytest.mark.usefixtures("each_reader")
def test_checkpoint_of_mmengine_is_read_with_its_histories(checkpoint):
    loaded = read_torch_file(checkpoint, safe.openmmlab_globals())
    info = loaded["message_hub"]["runtime_info"]
    assert info["classes"].tolist() == ["Car", "Van"] and info["best"] == 0.5
    history = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(history, HistoryBuffer)
    assert (history.mean(), history.max(), history.min()) == (2, 3, 1)


@pytest.mark.parametrize("owner, name", [(os, "system"), (HistoryBuffer, "__init__"), ("", "join")])
def test_statistic_of_gives_nothing_else_away(owner, name):
    with pytest.raises(ValueError, match="refused"):
        safe.statistic_of(owner, name)


class Malicious:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.usefixtures("each_reader")
@pytest.mark.parametrize(
    "call, args", [(os.system, ("true",)), (getattr, (HistoryBuffer, "__init__"))]
)
def test_checkpoint_that_wants_to_run_code_is_refused(tmp_path, call, args):
    path = tmp_path / "bad.pth"
    torch.save(dict(state_dict=Malicious(call, *args)), path)
    with pytest.raises(FormatError, match="could run code|refused"):
        read_torch_file(path, safe.openmmlab_globals())
