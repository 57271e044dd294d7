"""``from gemini_det3d import ...``: loaded when used, files and arrays alike."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from kitti_camera import CALIBRATION, SIZE
from PIL import Image

import gemini_det3d
from gemini_det3d import Detector, Segmentor, Translator, find_config
from gemini_det3d.apis.config import ConfigError, read_config
from gemini_det3d.apis.trained_model import find_test_dataset
from gemini_det3d.cli import main
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import write_calibration, write_points
from gemini_det3d.formats.taskonomy import encode_edge, write_png

DETECTOR = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
SIX_CAMERAS = "bev_gemini-map_r18_1xb1-overfit_nus-3d"
BEV = "bev_gemini-map_r18_1xb2-toy_scenes-3class"
ROOMS = "votenet_gemini-point_r18_1xb4-toy_rooms-6class"
SEGMENTOR = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"
TRANSLATOR = "translator_gemini_mit-toy_views-shade-texture2rgb"


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- names -----------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_and_a_name_only_what_it_needs():
    code = """
import sys
before = set(sys.modules)
import gemini_det3d
heavy = {"torch", "numpy", "mmengine", "mmcv", "mmdet3d", "PIL", "matplotlib"}
print(sorted(heavy & (set(sys.modules) - before)))
from gemini_det3d import find_config
print(sorted(heavy & (set(sys.modules) - before)))
from gemini_det3d import GeminiFusion
print("torch" in sys.modules, "mmdet3d" in sys.modules, "mmengine" in sys.modules)
"""
    assert python(code).splitlines() == ["[]", "[]", "True False False"]


def test_every_public_name_is_there_and_listed():
    for name in gemini_det3d.__all__:
        assert getattr(gemini_det3d, name) is not None
    assert set(gemini_det3d.__all__) <= set(dir(gemini_det3d))
    with pytest.raises(AttributeError, match="has no attribute 'Detektor'"):
        gemini_det3d.Detektor  # noqa: B018


# --- detection -------------------------------------------------------------------------------


def a_frame(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    points = rng.uniform([5, -3, -1.5, 0], [30, 3, 0, 1], (997, 4)).astype(np.float32)
    return image, points


def a_detector(config):
    """Untrained, with a head that tells inputs apart."""
    torch.manual_seed(0)
    detector = Detector(find_config(config))
    for layer in (detector.model.pts_bbox_head.conv_cls, detector.model.pts_bbox_head.conv_reg):
        torch.nn.init.normal_(layer.weight)
    return detector


@pytest.fixture(scope="module")
def detector():
    return a_detector(BEV)


def assert_same(found, expected):
    """The same boxes; those of equal scores may stand in another order."""
    assert len(expected.boxes) > 0
    away = np.abs(found.boxes[:, None] - expected.boxes[None]).max(axis=-1)
    away[np.array(found.names)[:, None] != np.array(expected.names)[None]] = np.inf
    order = away.argmin(axis=0)
    assert sorted(order) == list(range(len(found.boxes)))
    assert [found.names[place] for place in order] == list(expected.names)
    np.testing.assert_allclose(found.boxes[order], expected.boxes, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.scores[order], expected.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [DETECTOR, BEV])
def test_detector_finds_the_same_in_arrays_as_in_files(config, tmp_path):
    detector = a_detector(config)
    image, points = a_frame(3)
    Image.fromarray(image).save(tmp_path / "a.png")
    write_points(tmp_path / "a.bin", points)
    write_calibration(tmp_path / "a.txt", CALIBRATION)
    files = detector(tmp_path / "a.png", tmp_path / "a.bin", tmp_path / "a.txt")
    matrices = {"cam2img": CALIBRATION.cam2img[:3], "lidar2cam": CALIBRATION.lidar2cam}
    before = points.copy()
    assert_same(detector(image, points, matrices), files)
    np.testing.assert_array_equal(points, before)
    swapped = detector(np.ascontiguousarray(image[..., ::-1]), points, CALIBRATION)
    assert not np.array_equal(swapped.scores, files.scores)  # the colours are read


def test_detector_finds_in_a_batch_what_it_finds_one_by_one(detector):
    frames = [a_frame(seed) for seed in (3, 4)]
    alone = [detector(image, points, CALIBRATION) for image, points in frames]
    together = detector([f[0] for f in frames], [f[1] for f in frames], CALIBRATION)
    assert len(together) == 2 and not np.array_equal(together[0].scores, together[1].scores)
    for found, expected in zip(together, alone):
        assert_same(found, expected)


def test_an_empty_batch_has_no_answers(detector):
    assert detector([], [], CALIBRATION) == detector([], [], []) == []
    assert Segmentor(SEGMENTOR)([]) == Translator(TRANSLATOR)([]) == []


TURNED = np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # nuScenes' axes


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda i, p, c: (i, p, c), None),
        (lambda i, p, c: (i, p * [1000, 1000, 1000, 1], c), "0 of 997 points lie in the config's"),
        (lambda i, p, c: (i, p * [1, 1, 1, 255], c), "reflectance spans"),
        (lambda i, p, c: (i.repeat(2, 0).repeat(2, 1), p, c), "was the image resized"),
        (lambda i, p, c: (i, p[:, [2, 1, 0, 3]] * [1, 1, 1, 1], c), "flat along x"),
        (
            lambda i, p, c: (i, np.c_[-p[:, 1], p[:, 0], p[:, 2:]],
                             dict(cam2img=c.cam2img[:3], lidar2cam=c.lidar2cam @ TURNED)),
            "the camera looks along x 0, y 1 of the cloud",
        ),
    ],
)  # fmt: skip
def test_detector_tells_what_of_a_frame_cannot_be_meant(detector, caplog, change, said):
    image, points = a_frame(3)
    try:
        detector(*change(image, points, CALIBRATION))
    except FormatError:
        pass  # as well as too few points in the image
    told = "\n".join(caplog.messages)
    assert said in told if said else not told


def test_detector_names_what_is_wrong_with_an_array(detector):
    image, points = a_frame(3)
    bad = {
        r"image: is a float64 array of \(\d+, \d+, 3\)": (image / 255, points, CALIBRATION),
        r"image: is a uint8 array of \(\d+, \d+, 2\)": (image[..., :2], points, CALIBRATION),
        r"points: has 3 columns, needs 4": (image, points[:, :3], CALIBRATION),
        "calibration: has no lidar2cam": (image, points, {"cam2img": np.eye(3)}),
    }
    for fault, arguments in bad.items():
        with pytest.raises(FormatError, match=fault):
            detector(*arguments)
    with pytest.raises(ConfigError, match="a batch of 2 images needs"):
        detector([image, image], [points], CALIBRATION)


def test_grey_array_is_read_as_a_grey_file(detector):
    image, points = a_frame(3)
    repeated = np.repeat(image[..., :1], 3, axis=2)
    expected = detector(repeated, points, CALIBRATION)
    assert_same(detector(image[..., 0], points, CALIBRATION), expected)


# --- translation -----------------------------------------------------------------------------


def test_translator_gives_the_same_for_arrays_files_and_batches(tmp_path):
    torch.manual_seed(0)
    translator = Translator(TRANSLATOR)
    rng = np.random.default_rng(0)
    first, second = (
        (rng.integers(0, 256, (70, 90, 3), dtype=np.uint8),
         rng.integers(0, 9000, (70, 90), dtype=np.uint16)) for _ in range(2)
    )  # fmt: skip
    for name, image in zip("ab", first):
        write_png(tmp_path / f"{name}.png", image)
    picture = translator([tmp_path / "a.png", tmp_path / "b.png"])
    first, second = (
        [shade, np.repeat(encode_edge(texture, translator.sources[1])[..., None], 3, axis=2)]
        for shade, texture in (first, second)
    )
    np.testing.assert_array_equal(translator(first), picture)
    both = translator([first, second])
    assert np.abs(both[0].astype(int) - picture).max() <= 1
    assert not np.array_equal(both[0], both[1])
    named = dict(zip(reversed(translator.sources), reversed(first)))
    np.testing.assert_array_equal(translator(named), translator(first))
    for wrong, fault in (
        ([first[0]], "1 images for 2 sources"),
        (str(tmp_path / "a.png"), "1 images for 2 sources"),
        (iter(first), "1 images for 2 sources"),
        ({"rgb": first[0]}, "images of rgb; the model takes"),
    ):
        with pytest.raises(ConfigError, match=fault):
            translator(wrong)
    with pytest.raises(FormatError, match="is a float64 array"):
        translator([first[0] / 255, first[1]])


# --- configs of another task -----------------------------------------------------------------


@pytest.mark.parametrize(
    "words, said",
    [
        (["eval-sensors", DETECTOR, "a.pth"], "its model has no modalities"),
        (["eval-sensors", TRANSLATOR, "a.pth"], "its model has no modalities"),
        (["check-alignment", SEGMENTOR], "loads no points to align"),
        (["check-alignment", TRANSLATOR], "loads no points to align"),
        (["draw", SEGMENTOR, "a.pth"], "its model is no detector of 3D objects"),
        (["draw", TRANSLATOR, "a.pth"], "its model is no detector of 3D objects"),
        (["ablate", SEGMENTOR, "a.pth"], "no detector of 3D objects; a segmentor goes to eval-sen"),
        (
            ["infer", "--config", SEGMENTOR, "--checkpoint", "a.pth", "--image", "a.png"]
            + ["--points", "a.bin", "--calib", "a.txt"],
            "a segmentor goes to eval-sensors, eval-robustness or gemini_det3d.Segmentor",
        ),
        (["ablate", TRANSLATOR, "a.pth"], "a translator goes to translate or gemini_det3d.Tra"),
        (["check-alignment", ROOMS], "train_dataloader.dataset: its frame is Depth, not LiDAR; pr"),
        (["draw", ROOMS, "a.pth"], "test_dataloader.dataset: its frame is Depth, not LiDAR; gemin"),
        (["ablate", ROOMS, "a.pth"], "its frame is Depth, not LiDAR; eval-robustness takes rooms"),
        (["eval-robustness"], "gemini-det3d eval-robustness: needs CONFIG and CHECKPOINT"),
    ],
)
def test_command_names_a_config_of_another_task(words, said, capsys):
    """Before it looks for files of a data set or at a checkpoint."""
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("config", [SEGMENTOR, TRANSLATOR])
def test_detector_refuses_a_config_of_another_task(config):
    with pytest.raises(ConfigError, match="its model is no detector"):
        Detector(config)


@pytest.mark.parametrize(
    "config, said",
    [
        ("votenet_1xb4-toy_rooms-6class", "its frame is Depth, not LiDAR"),
        ("votenet_gemini-point_r18_1xb4-toy_rooms-6class", "its frame is Depth, not LiDAR"),
        (SIX_CAMERAS, "LoadMultiViewImages wants several cameras"),
    ],
)
def test_detector_refuses_frames_and_cameras_that_it_does_not_take(config, said):
    with pytest.raises(ConfigError, match=f"{said}; take mmdet3d") as error:
        Detector(config)
    assert "\n" not in str(error.value) and config in str(error.value)
    own = read_config(config)
    find_test_dataset(own).update(box_type_3d="Camera")
    with pytest.raises(ConfigError, match="its frame is Camera, not LiDAR"):
        Detector(own)


def test_points_that_a_pipeline_samples_are_not_called_out_of_range(caplog):
    config = read_config(DETECTOR)
    steps = find_test_dataset(config)["pipeline"]
    kept = dict(type="PointsRangeFilter", point_cloud_range=[0, -1, -1, 9, 1, 0])
    said = "points lie in the config's point_cloud_range"
    for step, is_said in ((kept, True), (dict(type="PointSample", num_points=97), False)):
        steps.insert(1, step)
        caplog.clear()
        Detector(config)(*a_frame(3), CALIBRATION)
        assert (said in caplog.text) == is_said
        steps.pop(1)
