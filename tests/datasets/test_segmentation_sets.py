"""The sets read what the synthetic world writes, in each layout."""

from __future__ import annotations

import numpy as np
import pytest
from mmdet3d.registry import DATASETS, TRANSFORMS
from mmengine.registry import init_default_scope
from PIL import Image

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.datasets.segmentation_sets import (
    DELIVER_CLASSES,
    NYUDV2_CLASSES,
    SUNRGBD_CLASSES,
)
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.segmentation import read_color, read_labels, write_image
from gemini_det3d.worlds.generate_seg import make_seg_scenes
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.seg_frames import CLASSES, SegWorld, make_seg_frame

WORLD = SegWorld(KittiWorld(image_width=64, image_height=24, supersample=1))
SETS = {
    "deliver": "DELIVERSegDataset",
    "nyudv2": "NYUDv2SegDataset",
    "sunrgbd": "SUNRGBDSegDataset",
}
ALL = ["rgb", "depth", "event", "lidar"]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmdet3d")


@pytest.fixture(scope="module", params=list(SETS))
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    make_seg_scenes(folder, 3, 2, 0, request.param, WORLD)
    return request.param, folder


def build(layout, folder, split="train", **options):
    steps = [dict(type=step) for step in ("LoadModalities", "LoadSegLabels", "PackSegInputs")]
    return DATASETS.build(
        dict(type=SETS[layout], data_root=str(folder), split=split, pipeline=steps, **options)
    )


def test_set_reads_what_was_drawn(written):
    layout, folder = written
    modalities = ALL if layout == "deliver" else ["rgb", "depth"]
    dataset = build(layout, folder, modalities=modalities)
    assert len(dataset) == 3
    found = {dataset[k]["data_samples"].sample_name: dataset[k] for k in range(3)}
    for index in range(3):
        truth = make_seg_frame(WORLD, 0, "train", index)
        (sample,) = [s for name, s in found.items() if f"{index:06d}" in name]
        labels = sample["data_samples"].gt_sem_seg.data[0].numpy()
        if layout == "deliver":
            names = np.array([*DELIVER_CLASSES, "none"])
            assert (names[labels] == np.array(CLASSES)[truth.labels]).all()
        else:
            assert (labels == truth.labels).all()
        depth = truth.images["hha" if layout == "deliver" else "depth"]
        assert (sample["inputs"]["depth"].numpy().transpose(1, 2, 0) == depth).all()
        if layout == "deliver":
            for modality in ("rgb", "event", "lidar"):
                image = sample["inputs"][modality].numpy().transpose(1, 2, 0)
                assert (image == truth.images[modality]).all()
        assert sample["data_samples"].sensor_mask == dict.fromkeys(modalities, True)


def test_a_second_run_keeps_everything(written):
    layout, folder = written
    made = make_seg_scenes(folder, 3, 2, 0, layout, WORLD)
    assert (made.num_made, made.num_kept) == (0, 5)
    with pytest.raises(FormatError, match="seed=0"):
        make_seg_scenes(folder, 3, 2, 1, layout, WORLD)


def test_deliver_can_be_cut_by_weather(tmp_path):
    make_seg_scenes(tmp_path, 5, 1, 0, "deliver", WORLD)
    dataset = build("deliver", tmp_path, groups=["night"])
    assert [dataset.get_data_info(k)["group"] for k in range(len(dataset))] == ["night"]


def test_an_unknown_weather_is_named_with_the_known_ones(tmp_path):
    make_seg_scenes(tmp_path, 2, 1, 0, "deliver", WORLD)
    with pytest.raises(FormatError, match=r"the split 'train' has no hail \(groups\), but \w"):
        build("deliver", tmp_path, groups=["hail"])


def test_the_numbering_of_classes_is_an_argument(written):
    layout, folder = written
    usual = {"deliver": 1, "nyudv2": 0, "sunrgbd": 1}[layout]
    assert build(layout, folder).get_data_info(0)["first_label"] == usual
    assert build(layout, folder, first_label=3).get_data_info(0)["first_label"] == 3
    with pytest.raises(ValueError, match="first_label=-1"):
        build(layout, folder, first_label=-1)


def test_the_order_of_modalities_is_part_of_what_checkpoints_state(written):
    layout, folder = written
    dataset = build(layout, folder, modalities=["depth", "rgb"])
    assert dataset.metainfo["modalities"] == ("depth", "rgb")


def test_deliver_labels_are_the_first_channel_as_released(tmp_path):
    make_seg_scenes(tmp_path, 2, 1, 0, "deliver", WORLD)
    plain = build("deliver", tmp_path)[0]["data_samples"].gt_sem_seg.data
    path = build("deliver", tmp_path).get_data_info(0)["label_path"]
    pixels = np.asarray(Image.open(path))
    noise = np.random.default_rng(0).integers(0, 255, (*pixels.shape, 2), dtype=np.uint8)
    Image.fromarray(np.dstack([pixels, noise])).save(path)
    assert (build("deliver", tmp_path)[0]["data_samples"].gt_sem_seg.data == plain).all()


def test_sets_have_as_many_classes_as_published():
    assert [len(c) for c in (NYUDV2_CLASSES, SUNRGBD_CLASSES, DELIVER_CLASSES)] == [40, 37, 25]
    assert all(len(set(c)) == len(c) for c in (NYUDV2_CLASSES, DELIVER_CLASSES))


def test_faults_name_the_file(tmp_path):
    with pytest.raises(FormatError, match="train.txt: no such file"):
        build("nyudv2", tmp_path)
    (tmp_path / "train.txt").write_text("rgb/a.png\tmasks/a.png\n")
    with pytest.raises(FormatError, match="line 1: expected 3 paths, got 2"):
        build("nyudv2", tmp_path)
    with pytest.raises(FormatError, match="holds no image of the split 'train'"):
        build("deliver", tmp_path)
    with pytest.raises(ValueError, match="modalities=\\['sonar'\\]"):
        build("deliver", tmp_path, modalities=["sonar"])
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(FormatError, match="cut.png"):
        read_color(tmp_path / "cut.png")


def test_labels_from_one_leave_out_zero_and_255(tmp_path):
    write_image(tmp_path / "l.png", np.array([[0, 1, 37, 255]], dtype=np.uint8))
    assert read_labels(tmp_path / "l.png", 1).tolist() == [[255, 0, 36, 255]]
    assert read_labels(tmp_path / "l.png").tolist() == [[0, 1, 37, 255]]


def test_sixteen_bit_depth_is_scaled(tmp_path):
    Image.fromarray(np.array([[0, 5000, 20000]], dtype=np.uint16)).save(tmp_path / "d.png")
    assert read_color(tmp_path / "d.png", 10000)[..., 0].tolist() == [[0.0, 127.5, 255.0]]


def test_real_nyu_frame_goes_through_the_loader(shared_dir, tmp_path):
    folder = shared_dir / "data" / "nyuv2_mini"
    names = [str(folder / f"{name}.png") for name in ("image", "semantic40", "depth")]
    (tmp_path / "train.txt").write_text("\t".join(names))
    pipeline = [dict(type="LoadModalities"), dict(type="LoadSegLabels"), dict(type="PackSegInputs")]
    options = dict(type="NYUDv2SegDataset", data_root=str(tmp_path), split="train")
    with pytest.raises(FormatError, match=r"semantic40\.png: is colour-coded \(9 colours\).*voc"):
        DATASETS.build(dict(**options, first_label=1, pipeline=pipeline))[0]
    coded = dict(**options, first_label=1, label_code="voc", pipeline=pipeline)
    sample = DATASETS.build(coded)[0]
    labels = sample["data_samples"].gt_sem_seg.data[0].numpy()
    colors = np.asarray(Image.open(names[1]))
    assert (labels[(colors == 0).all(axis=-1)] == 255).all()
    assert (labels[(colors == [64, 0, 0]).all(axis=-1)] == NYUDV2_CLASSES.index("door")).all()
    assert set(np.unique(labels)) <= {*range(40), 255}
    depth = sample["inputs"]["depth"]
    assert depth.shape[1:] == labels.shape == (512, 682) and depth.max() > depth.min()


def test_real_views_go_through_the_translation_loader(shared_dir):
    folder = shared_dir / "data" / "nyuv2_mini"
    steps = [TRANSFORMS.build(dict(type="LoadDomainImages")),
             TRANSFORMS.build(dict(type="ResizeDomainImages", size=(64, 48)))]  # fmt: skip
    sample = {"source_paths": [folder / "image.png", folder / "normal.png"],
              "sources": ["rgb", "normal"]}  # fmt: skip
    for step in steps:
        sample = step(sample)
    assert len(sample["images"]) == 2
    assert all(image.shape == (48, 64, 3) for image in sample["images"].values())


def test_real_rgbd_pair_loads(shared_dir):
    folder = shared_dir / "data" / "rgbd_mini"
    rgb, depth = (read_color(folder / f"sample_{name}.png") for name in ("rgb", "depth"))
    assert rgb.shape == depth.shape and depth.max() > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(modalities="rgb"), "modalities='rgb' must be a list of names"),
        (dict(modalities=[]), r"modalities=\[\] must be a list"),
        (dict(groups="sun"), "groups='sun' must be a list of names"),
        (dict(groups=[]), r"groups=\[\] must be a list"),
        (dict(first_label=1.5), "first_label=1.5 must be a whole number from 0"),
        (dict(first_label="1"), "first_label='1' must be"),
    ],
)
def test_arguments_of_other_kinds_are_refused_by_name(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        build("deliver", tmp_path, **options)
