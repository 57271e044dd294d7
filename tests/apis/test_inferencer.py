"""mmdet3d's own inferencer runs with our configs and finds what our detector finds."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from kitti_camera import CALIBRATION, SIZE
from mmdet3d.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.apis.config import find_config
from gemini_det3d.apis.detector import Detector
from gemini_det3d.datasets.transforms import LoadImageFromFileChecked, LoadPointsFromFileChecked
from gemini_det3d.formats import FormatError
from gemini_det3d.formats.kitti import write_points

SEGMENTOR = "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-rgb-depth-25class"
TOY = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"


@pytest.fixture
def frame(tmp_path):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "000001.png")
    write_points(tmp_path / "000001.bin", rng.uniform([5, -3, -1.5, 0], [30, 3, 0, 1], (499, 4)))
    camera = {
        "img_path": "000001.png",
        "cam2img": CALIBRATION.cam2img.tolist(),
        "lidar2cam": CALIBRATION.lidar2cam.tolist(),
        "lidar2img": CALIBRATION.lidar2img.tolist(),
    }
    infos = {"metainfo": {}, "data_list": [{"sample_idx": 1, "images": {"CAM2": camera}}]}
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(infos))
    return tmp_path


def test_inferencer_of_mmdet3d_finds_what_the_detector_finds(frame):
    from mmdet3d.apis import MultiModalityDet3DInferencer

    torch.manual_seed(0)
    detector = Detector(TOY)
    path = frame / "toy.pth"
    meta = {"dataset_meta": {"classes": ("Pedestrian", "Cyclist", "Car")}}
    torch.save({"state_dict": detector.model.state_dict(), "meta": meta}, path)
    files = frame / "000001.png", frame / "000001.bin"
    expected = detector(*files, CALIBRATION, crop_to_image=False)
    inferencer = MultiModalityDet3DInferencer(str(find_config(TOY)), str(path), device="cpu")
    names = {"img": str(files[0]), "points": str(files[1]), "infos": str(frame / "infos.pkl")}
    (found,) = inferencer(names)["predictions"]
    assert len(expected) > 0
    np.testing.assert_allclose(sorted(found["scores_3d"]), sorted(expected.scores), atol=2e-3)


def checkpoint_of(name, path):
    init_default_scope("mmdet3d")
    model = MODELS.build(Config.fromfile(find_config(name)).model)
    meta = {"dataset_meta": {"classes": ("a", "b", "c")}}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, path)
    return str(find_config(name)), str(path)


@pytest.mark.parametrize("name", ["mvxnet_lidar-only_1xb2-toy_look-alikes-3class",
                                  "bev_lidar-only_1xb2-toy_look-alikes-3class"])  # fmt: skip
@pytest.mark.parametrize("kind", ["file", "array"])
def test_inferencer_of_points_alone_runs_detectors_of_points_alone(frame, name, kind):
    from mmdet3d.apis import LidarDet3DInferencer

    torch.manual_seed(0)
    config, path = checkpoint_of(name, frame / "a.pth")
    points = frame / "000001.bin"
    expected = Detector(name, path)(frame / "000001.png", points, CALIBRATION, crop_to_image=False)
    given = str(points) if kind == "file" else np.fromfile(points, np.float32).reshape(-1, 4)
    inferencer = LidarDet3DInferencer(config, path, device="cpu")
    (found,) = inferencer({"points": given})["predictions"]
    assert len(expected) > 0
    np.testing.assert_allclose(sorted(found["scores_3d"]), sorted(expected.scores), atol=1e-5)


def test_inferencer_of_points_alone_says_which_one_to_take(frame):
    from mmdet3d.apis import LidarDet3DInferencer

    inferencer = LidarDet3DInferencer(*checkpoint_of(TOY, frame / "a.pth"), device="cpu")
    with pytest.raises(FormatError, match="this config reads an image beside the points; of mmdet"):
        inferencer({"points": str(frame / "000001.bin")})


@pytest.mark.parametrize(
    "kind, missing",
    [
        ("MonoDet3DInferencer", "LoadImageFromFileMono3D"),
        ("LidarSeg3DInferencer", "LoadPointsFromFile"),
    ],
)
def test_inferencer_of_another_task_names_the_loader_that_it_looks_for(frame, kind, missing):
    import mmdet3d.apis

    name = TOY if kind.startswith("Mono") else SEGMENTOR
    with pytest.raises(ValueError, match=f"{missing} is not found"):
        getattr(mmdet3d.apis, kind)(*checkpoint_of(name, frame / "a.pth"), device="cpu")


@pytest.mark.parametrize("name", [TOY, "mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class",
                                  "votenet_gemini-point_r18_1xb4-toy_rooms-6class"])  # fmt: skip
def test_loaders_have_mmdet3ds_names_and_our_checks(name, tmp_path):
    pipeline = Config.fromfile(find_config(name)).test_dataloader.dataset.pipeline
    points, image = pipeline[:2]
    assert [points.type, image.type] == ["LoadPointsFromFile", "LoadImageFromFile"]
    assert isinstance(TRANSFORMS.build(points), LoadPointsFromFileChecked)
    loader = TRANSFORMS.build(image)
    assert isinstance(loader, LoadImageFromFileChecked)
    with pytest.raises(FormatError, match="no such file"):
        loader({"img_path": str(tmp_path / "nothing.png")})


def test_the_same_names_without_our_scope_are_mmdet3ds():
    plain = TRANSFORMS.build(dict(type="LoadPointsFromFile", coord_type="LIDAR"))
    assert not isinstance(plain, LoadPointsFromFileChecked)
    old = dict(type="LoadPointsFromFileChecked", coord_type="LIDAR", load_dim=4, use_dim=4)
    assert isinstance(TRANSFORMS.build(old), LoadPointsFromFileChecked)


def sunrgbd_frame(shared_dir):
    folder = shared_dir / "data/sunrgbd_mini"
    names = ("000017.bin", "000017.jpg", "sunrgbd_000017_infos.pkl")
    return [str(folder / name) for name in names]


def test_inferencer_of_points_alone_runs_votenet_on_a_real_frame(shared_dir, tmp_path):
    from mmdet3d.apis import LidarDet3DInferencer

    name = "votenet_1xb4-toy_rooms-6class"
    inferencer = LidarDet3DInferencer(*checkpoint_of(name, tmp_path / "a.pth"), device="cpu")
    points, _, _ = sunrgbd_frame(shared_dir)
    (found,) = inferencer({"points": points})["predictions"]
    assert found["box_type_3d"] == "Depth"
    assert np.isfinite(found["scores_3d"]).all() and len(found["scores_3d"]) > 0


def test_function_of_mmdet3d_runs_votenet_with_images_on_a_real_frame(shared_dir, tmp_path):
    """Its inferencer of both reads KITTI's camera alone, whatever ``cam_type`` says."""
    from mmdet3d.apis import inference_multi_modality_detector, init_model

    name = "votenet_gemini-point_r18_1xb4-toy_rooms-6class"
    config, path = checkpoint_of(name, tmp_path / "a.pth")
    model = init_model(Config.fromfile(config), path, device="cpu")
    files = sunrgbd_frame(shared_dir)
    found, _ = inference_multi_modality_detector(model, *files, cam_type="CAM0")
    scores = found.pred_instances_3d.scores_3d
    assert len(scores) > 0 and scores.isfinite().all()


@pytest.mark.slow
def test_function_of_mmdet3d_runs_six_cameras_on_a_real_sample(shared_dir, tmp_path):
    from mmdet3d.apis import inference_multi_modality_detector, init_model

    folder = shared_dir / "data/nuscenes_mini"
    config, path = checkpoint_of("bev_gemini-map_r18_1xb1-overfit_nus-3d", tmp_path / "a.pth")
    model = init_model(Config.fromfile(config), path, device="cpu")
    (points,), (infos,) = folder.glob("*.pcd.bin"), folder.glob("*.pkl")
    files = str(points), str(folder), str(infos)
    found, _ = inference_multi_modality_detector(model, *files, cam_type="all")
    assert found.pred_instances_3d.scores_3d.isfinite().all()
