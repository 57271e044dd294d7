"""Data sets, models and checkpoints that mean other streams are named."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("mmdet3d", exc_type=ImportError)

import torch

from gemini_det3d.apis.translator import Translator
from gemini_det3d.engine.same_streams import (
    Domains,
    check_domains,
    check_modalities,
    check_read_modalities,
    check_trained_domains,
    domains_of_config,
)
from gemini_det3d.formats import FormatError

OURS = Domains(("rgb", "edge_occlusion"), "depth_euclidean")
OTHERS = [
    Domains(("edge_occlusion", "rgb"), "depth_euclidean"),
    Domains(("rgb", "edge_occlusion"), "normal"),
    Domains(("reshading", "edge_texture"), "rgb"),
    Domains(("rgb",), "depth_euclidean"),
]


def data(domains):
    return SimpleNamespace(sources=list(domains.sources), target=domains.target)


def checkpoint(domains):
    stated = {"sources": domains.sources, "targets": (domains.target,)}
    return {"meta": {"dataset_meta": stated}}


@pytest.mark.parametrize("other", OTHERS)
def test_data_sets_and_checkpoints_of_other_domains_are_refused(other):
    with pytest.raises(FormatError, match=f"val: translates {other}, train {OURS}; one model"):
        check_domains({"train": data(OURS), "val": data(other)})
    with pytest.raises(FormatError, match=f"a.pth: was trained to translate {other}, in this"):
        check_trained_domains(checkpoint(other), OURS, "a.pth")


def test_the_same_streams_and_what_does_not_translate_pass():
    wrapped = SimpleNamespace(dataset=data(OURS))
    assert check_domains({"train": wrapped, "val": data(OURS)}) == OURS
    assert check_domains({"train": SimpleNamespace(metainfo={})}) is None
    check_trained_domains(checkpoint(OURS), OURS, "a.pth")
    check_trained_domains({"meta": {}}, OURS, "a.pth")
    check_trained_domains(checkpoint(OURS), None, "a.pth")
    settings = dict(type="RepeatDataset", dataset=dict(type="A", **OURS._asdict()))
    assert domains_of_config(settings) == OURS
    assert domains_of_config(dict(type="KittiDataset")) is None


def test_a_translator_refuses_the_checkpoint_of_another_task(tmp_path):
    name = "translator_gemini_mit-toy_views-rgb-edge2depth"
    state = Translator(name).model.state_dict()
    torch.save({"state_dict": state, **checkpoint(OTHERS[2])}, tmp_path / "other.pth")
    torch.save({"state_dict": state, **checkpoint(OURS)}, tmp_path / "ours.pth")
    with pytest.raises(FormatError, match=f"was trained to translate {OTHERS[2]}"):
        Translator(name, tmp_path / "other.pth")
    assert Translator(name, tmp_path / "ours.pth").sources == OURS.sources


@pytest.mark.parametrize(
    ("stated", "model"),
    [(("rgb", "depth"), ("depth", "rgb")), (("rgb", "depth", "event", "lidar"), ("rgb", "depth")),
     (("rgb",), ("rgb", "depth"))],
)  # fmt: skip
def test_other_modalities_than_in_training_are_named(stated, model):
    checkpoint = {"meta": {"dataset_meta": {"classes": ("a",), "modalities": stated}}}
    with pytest.raises(FormatError, match=f"a.pth: was trained on {', '.join(stated)}, in this"):
        check_modalities(checkpoint, model, "a.pth")
    check_modalities(checkpoint, list(stated), "a.pth")
    check_modalities({"meta": {}}, model, "a.pth")
    check_modalities(checkpoint, None, "a.pth")


@pytest.mark.parametrize("given", [("depth", "rgb"), ("rgb",), ("rgb", "rgb"), ("rgb", "event")])
def test_data_of_other_modalities_than_the_model_reads_are_refused(given):
    model = torch.nn.Module()
    model.modalities = ("rgb", "depth")
    wrapped = SimpleNamespace(dataset=SimpleNamespace(modalities=given))
    said = f"val.dataset.modalities: gives {', '.join(given)}; model.modalities are rgb, depth"
    with pytest.raises(FormatError, match=said):
        check_read_modalities({"val": wrapped}, model)
    check_read_modalities({"val": SimpleNamespace(modalities=["rgb", "depth"])}, model)
    check_read_modalities({"val": wrapped}, torch.nn.Module())


@pytest.mark.parametrize(
    "stated",
    [7, [], "rgb", {"modalities": 5}, {"modalities": "rgb"}, {"sources": 5, "targets": ()},
     {"sources": ("rgb",), "targets": {"a": 1}}, {"sources": ["rgb"], "targets": None}],
)  # fmt: skip
def test_what_a_file_states_in_another_form_says_nothing(stated):
    checkpoint = {"meta": {"dataset_meta": stated}}
    assert check_modalities(checkpoint, ("rgb", "depth"), "a.pth") is None
    assert check_trained_domains(checkpoint, OURS, "a.pth") is None
