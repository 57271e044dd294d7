"""mmengine's load_from, test and resume: whole, or one line; through our configs and its runner."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.formats import FormatError
from tests.test_configs import CONFIGS


class Small(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.branch, self.head = torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)

    def forward(self, inputs=None, data_samples=None, mode="tensor"):
        return {"loss": self.head(self.branch(torch.ones(1, 3))).sum()}


def runner(folder, checkpoint, is_training=False, resume=False, more=None, **options) -> Runner:
    hooks = dict(checked_loading=dict(type="CheckedLoadingHook", **options), **(more or {}))
    made = Runner(
        Small(), str(folder), default_hooks=hooks, load_from=str(checkpoint), resume=resume,
        experiment_name=str(folder), default_scope="mmdet3d", log_level="ERROR",
    )  # fmt: skip
    if is_training:
        made._train_loop = object()
    made.call_hook("before_run")
    return made


WRAPPED = {
    "bare": lambda s: dict(s),
    "model": lambda s: {"model": dict(s)},
    "module.": lambda s: {"state_dict": {f"module.{n}": t for n, t in s.items()}},
    "_orig_mod.": lambda s: {"state_dict": {f"_orig_mod.{n}": t for n, t in s.items()}},
    "half": lambda s: {"state_dict": {n: t.half() for n, t in s.items()}},
}


@pytest.mark.parametrize("way", WRAPPED)
@pytest.mark.parametrize("with_average", [False, True])
def test_wrapped_parameters_reach_the_model(tmp_path: Path, way: str, with_average: bool) -> None:
    state = Small().half().float().state_dict()
    torch.save(WRAPPED[way](state), tmp_path / "c.pth")
    more = dict(ema=dict(type="EMAHook")) if with_average else {}
    made = runner(tmp_path, tmp_path / "c.pth", more=more)
    made.load_or_resume()
    assert all(torch.equal(t, state[name]) for name, t in made.model.state_dict().items())


def test_safetensors_are_read(tmp_path: Path) -> None:
    from gemini_det3d.models.checkpoints import write_state

    state = Small().state_dict()
    write_state(tmp_path / "c.safetensors", state, {})
    made = runner(tmp_path, tmp_path / "c.safetensors")
    made.load_or_resume()
    assert torch.equal(made.model.head.weight, state["head.weight"])


def without_head(folder: Path, **more) -> Path:
    state = {n: t for n, t in Small().state_dict().items() if "head" not in n}
    torch.save({"state_dict": {**state, **more}, "meta": {}}, folder / "c.pth")
    return folder / "c.pth"


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("resume", [False, True])
def test_missing_parameters_stop_every_run(tmp_path: Path, is_training, resume) -> None:
    made = runner(tmp_path, without_head(tmp_path), is_training, resume, allow_missing=["nothing"])
    said = r"c\.pth: 2 parameters \(head\.weight, head\.bias\)"
    with pytest.raises(FormatError, match=said) as error:
        made.load_or_resume()
    remedy = "; a resumed run needs all of them; load_from starts anew"
    assert str(error.value).endswith(remedy) == resume
    assert ("--allow-missing NAME" in str(error.value)) != resume


def test_unused_parameters_stop_a_test_and_not_a_training_that_starts_from_them(tmp_path) -> None:
    torch.save({**Small().state_dict(), "rpn.weight": torch.ones(1)}, tmp_path / "c.pth")
    runner(tmp_path, tmp_path / "c.pth", is_training=True).load_or_resume()
    with pytest.raises(FormatError, match=r"1 parameters \(rpn\.weight\) in it have no place"):
        runner(tmp_path, tmp_path / "c.pth").load_or_resume()


def test_what_starts_anew_may_be_missing_in_a_training_and_not_in_a_test(tmp_path: Path) -> None:
    path = without_head(tmp_path)
    runner(tmp_path, path, is_training=True, starts_anew=["head"]).load_or_resume()
    runner(tmp_path, path, allow_missing=["head"]).load_or_resume()
    with pytest.raises(FormatError, match="head.weight"):
        runner(tmp_path, path, starts_anew=["head"]).load_or_resume()


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02N.", b"PK\x03\x04 cut off", b"<html>404</html>"]
)
def test_file_that_is_no_checkpoint_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(FormatError, match=r"c\.pth: ") as error:
        runner(tmp_path, tmp_path / "c.pth").load_or_resume()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_loads_checkpoints_whole(path: Path) -> None:
    hooks = Config.fromfile(path).default_hooks
    assert hooks.checked_loading.type == "CheckedLoadingHook"
