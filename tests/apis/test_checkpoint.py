"""Checkpoints of others: parameters come in, code does not run, faults are one line."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from gemini_det3d.engine.exact.reading import read_training_checkpoint
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.models.checkpoints import load_parameters, read_checkpoint

pytestmark = pytest.mark.usefixtures("each_reader")
needs_torch_23 = pytest.mark.skipif(
    not hasattr(torch._utils, "_rebuild_tensor_v3"), reason="PyTorch cannot store it before 2.3"
)
CLASSES = ["Pedestrian", "Cyclist", "Car"]


class _Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def _state():
    return OrderedDict(weight=torch.arange(6.0).reshape(2, 3), bias=torch.ones(2))


@pytest.mark.parametrize("place", ["state_dict", "meta", "message_hub", "top", "dropped"])
def test_checkpoint_that_calls_a_function_never_runs_it(tmp_path, place):
    import os

    mark = tmp_path / "was_run"
    evil = _Evil(os.system, f"touch {mark}")
    checkpoint = {"state_dict": {**_state()}, "meta": {}, "message_hub": {}}
    if place == "top":
        checkpoint = evil
    elif place == "dropped":  # as the argument of a name that is bound to a stand-in
        checkpoint["meta"]["x"] = _Evil(np.dtype, evil)
    else:
        checkpoint[place]["x"] = evil
    path = tmp_path / "evil.pth"
    torch.save(checkpoint, path)
    with pytest.raises(FormatError) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(f"{path}: names ") and "system" in str(error.value)
    assert "\n" not in str(error.value)
    assert not mark.exists()
    with contextlib.suppress(TypeError):  # numpy does not like what the attack returns
        torch.load(path, weights_only=False)  # the attack is real
    assert mark.exists()


def test_plain_pickle_in_place_of_a_checkpoint_never_runs(tmp_path):
    import os

    mark, path = tmp_path / "was_run", tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(_Evil(os.system, f"touch {mark}")))
    with pytest.raises(FormatError, match="evil.pth: "):
        read_checkpoint(path)
    assert not mark.exists()


def test_checkpoint_of_openmmlab_is_loaded_without_its_log_histories(tmp_path):
    logging = pytest.importorskip("mmengine.logging")
    optim = pytest.importorskip("mmengine.optim")
    history = logging.HistoryBuffer([1.0, 2.0], [1, 1])
    meta = {"epoch": 7, "dataset_meta": {"classes": CLASSES}, "best": np.float64(0.5), "cfg": "x=1"}
    hub = {"log_scalars": {"train/loss": history}, "runtime_info": {"iter": 3, "v": np.arange(3)}}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    scheduler = optim.OneCycleLR(optimizer, eta_max=0.1, total_steps=7)
    training = {"optimizer": optimizer.state_dict(), "param_schedulers": [scheduler.state_dict()]}
    path = tmp_path / "epoch_7.pth"
    torch.save({"state_dict": _state(), "meta": meta, "message_hub": hub, **training}, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # why this is needed
    loaded = read_checkpoint(path)
    assert list(loaded["state_dict"]) == ["weight", "bias"]
    assert torch.equal(loaded["state_dict"]["weight"], _state()["weight"])
    assert loaded["meta"] == {"epoch": 7, "dataset_meta": {"classes": CLASSES}, "cfg": "x=1"}
    assert loaded["message_hub"] == {"log_scalars": {}, "runtime_info": {"iter": 3}}
    assert loaded["optimizer"]["param_groups"][0]["initial_lr"] == scheduler.base_values[0]
    assert loaded["param_schedulers"][0]["total_steps"] == 7


def test_function_of_openmmlab_is_swallowed_and_not_called(tmp_path):
    utils = pytest.importorskip("mmengine.utils")
    mark, path = tmp_path / "was_made", tmp_path / "c.pth"
    evil = _Evil(utils.mkdir_or_exist, str(mark))
    torch.save({"state_dict": _state(), "meta": {"x": evil, "epoch": 3}}, path)
    assert read_checkpoint(path)["meta"] == {"epoch": 3}
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the attack is real
    assert mark.exists()
    torch.save({"state_dict": {"weight": evil}}, path)
    with pytest.raises(FormatError, match="state_dict in it holds no tensors"):
        read_checkpoint(path)


@pytest.mark.skipif(
    not hasattr(torch.serialization, "get_safe_globals"), reason="no list in PyTorch before 2.4"
)
def test_loading_leaves_no_name_admitted_behind(tmp_path):
    path = tmp_path / "c.pth"
    torch.save({"state_dict": _state(), "meta": {"best": np.float64(0.5)}}, path)
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == before


def test_module_versions_survive_loading(tmp_path):
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "c.pth")
    state = read_checkpoint(tmp_path / "c.pth")["state_dict"]
    assert state._metadata["0"]["version"] == 2


def test_bare_state_dict_is_a_checkpoint(tmp_path):
    torch.save(_state(), tmp_path / "c.pth")
    loaded = read_checkpoint(tmp_path / "c.pth")
    assert list(loaded["state_dict"]) == ["weight", "bias"] and loaded["meta"] == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "no such file"),
        (b"", "is not a readable checkpoint"),
        (b"not a checkpoint", "is not a readable checkpoint"),
        ({}, "holds no state_dict, but nothing"),
        ({"epoch": 3}, "holds no state_dict, but epoch"),
        ([1], "holds a list, not the dict of a checkpoint"),
        ({"state_dict": {"weight": 3}}, "state_dict: 'weight' is a int, not a tensor"),
    ],
)
def test_file_that_is_no_checkpoint_is_one_line(tmp_path, content, fault):
    path = tmp_path / "c.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(FormatError) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(f"{path}: {fault}")
    assert "\n" not in str(error.value)


def test_checkpoint_that_is_cut_off_is_one_line(tmp_path):
    path = tmp_path / "c.pth"
    torch.save({"state_dict": _state()}, path)
    for share in (0.3, 0.7, 0.95):
        data = path.read_bytes()
        (tmp_path / "cut.pth").write_bytes(data[: int(share * len(data))])
        with pytest.raises(FormatError, match="cut.pth: is not a readable checkpoint"):
            read_checkpoint(tmp_path / "cut.pth")


def test_parameters_of_another_model_are_refused():
    model = torch.nn.Linear(3, 2)
    with pytest.raises(FormatError, match=r"c.pth: 1 parameters \(bias\) of the config's model"):
        load_parameters(model, {"state_dict": {"weight": torch.ones(2, 3)}}, "c.pth")
    other = {"state_dict": {"weight": torch.ones(5, 3), "bias": torch.ones(2)}}
    with pytest.raises(FormatError, match=r"c.pth: 1 parameters \(weight\) have other shapes"):
        load_parameters(model, other, "c.pth")


def test_parameters_of_a_wrapped_model_are_taken_and_strange_ones_named(tmp_path):
    model = torch.nn.Linear(3, 2)
    state = {f"module.{name}": value for name, value in _state().items()}
    state["module.extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "c.pth")
    found = read_checkpoint(tmp_path / "c.pth")
    with pytest.raises(FormatError, match=r"c.pth: 1 parameters \(extra\) in it have no place"):
        load_parameters(model, found, "c.pth")
    assert load_parameters(model, found, "c.pth", ["extra"]).unexpected == ("extra",)
    assert torch.equal(model.weight, _state()["weight"])


def loaded(path):
    model = torch.nn.Linear(3, 2)
    load_parameters(model, read_checkpoint(path), path)
    return model.state_dict()


@pytest.mark.parametrize(
    "change",
    [torch.Tensor.to_sparse, torch.Tensor.double, torch.Tensor.bfloat16, torch.nn.Parameter,
     pytest.param(lambda t: t.to(torch.float8_e4m3fn), marks=needs_torch_23)],
)  # fmt: skip
def test_parameters_in_another_form_are_loaded_with_their_values(tmp_path, change):
    torch.save({name: change(tensor) for name, tensor in _state().items()}, tmp_path / "a.pth")
    for name, tensor in loaded(tmp_path / "a.pth").items():
        assert torch.equal(tensor, _state()[name])  # small whole numbers, exact in all of them


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda t: (t * 20).to(torch.int8), "2 parameters .* of another kind .torch.int8 in the"),
        (lambda t: t > 1, "of another kind .torch.bool in the file, torch.float32 in the config"),
        (lambda t: t + 0j, "of another kind .torch.complex64"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "weight is quantised"),
        (lambda t: t.to("meta"), "weight has no values"),
    ],
)
def test_numbers_that_are_no_parameters_are_refused(tmp_path, change, fault):
    torch.save({name: change(tensor) for name, tensor in _state().items()}, tmp_path / "a.pth")
    with pytest.raises(FormatError, match=f"a.pth: .*{fault}"):
        loaded(tmp_path / "a.pth")


def test_layout_of_a_file_is_told_by_its_content_and_not_by_its_name(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    (tmp_path / "a.pth").write_bytes(safetensors.save(dict(_state())))
    torch.save(_state(), tmp_path / "b.safetensors")
    for name in ("a.pth", "b.safetensors"):
        assert torch.equal(loaded(tmp_path / name)["weight"], _state()["weight"])


def archive(*names):
    """A ZIP archive of such files, stored as PyTorch stores its own."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name in names:
            packed.writestr(name, b"content")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"\x1f\x8b\x08" + bytes(90), "a gzip archive"),
        (b"<!DOCTYPE html><html>", "a page of the web"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b'{"weight_map": {}}', "JSON, which only lists"),
        (archive("new.pth"), r"a ZIP archive of new\.pth; unpack it first"),
        (archive("m/constants.pkl", "m/data.pkl"), "a program of TorchScript; save the state_dict"),
        (archive("e/archive_format", "e/weight_0"), "a program of torch.export; save the state_d"),
        (
            archive("a.npy", "b.npy", "c.npy", "d.npy"),
            r"a ZIP archive of a.npy, b.npy, c.npy, \.\.",
        ),
    ],
)
def test_file_of_another_kind_is_named(tmp_path, content, kind):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(FormatError, match=f"a.pth: is no checkpoint, but {kind}"):
        read_checkpoint(tmp_path / "a.pth")


def test_folder_in_place_of_a_checkpoint_says_what_to_give(tmp_path):
    for name, content in (("b.pth", b"1"), ("a.pth", b"2")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (len(name), content[0]))
    (tmp_path / "latest.pth").symlink_to(tmp_path / "moved.pth")
    for read in (read_checkpoint, read_training_checkpoint):
        with pytest.raises(FormatError, match="is a folder, not a checkpoint; its newest one is a"):
            read(tmp_path)
    (tmp_path / "__0_0.distcp").touch()
    with pytest.raises(FormatError, match="dcp_to_torch_save makes a file of it"):
        read_checkpoint(tmp_path)


def test_parameters_as_arrays_of_numpy_are_said_to_be_no_tensors(tmp_path):
    torch.save({"state_dict": {n: t.numpy() for n, t in _state().items()}}, tmp_path / "a.pth")
    with pytest.raises(FormatError, match="a.pth: state_dict in it holds no tensors"):
        read_checkpoint(tmp_path / "a.pth")
