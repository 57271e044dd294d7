"""Images of several cameras: each is moved as its matrix says, and a dead one is a mask."""

from __future__ import annotations

import numpy as np
import pytest
from mmdet3d.registry import TRANSFORMS

import gemini_det3d.plugin  # noqa: F401
from gemini_det3d.datasets.transforms import multi_view
from gemini_det3d.datasets.transforms.multi_view import homogeneous, warp
from gemini_det3d.formats.errors import FormatError
from gemini_det3d.geometry import image_matrix
from gemini_det3d.models.metas import view_geometries

SIZE = (97, 61)  # width, height of the images below


def smooth_image() -> np.ndarray:
    """Colours that say where a pixel is: blue its column, green its row."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return np.stack([columns + 80, rows + 80, 0 * rows + 200], axis=-1).astype(np.uint8)


def write_cameras(folder, names=("front", "left", "back")):
    import cv2

    cameras = {}
    for i, name in enumerate(names):
        path = folder / f"{name}.png"
        cv2.imwrite(str(path), smooth_image())
        pose = np.eye(4)
        pose[0, 3] = i
        cameras[name] = dict(
            img_path=str(path), cam2img=[[10.0, 0, 40], [0, 10, 30], [0, 0, 1]], lidar2cam=pose
        )
    return dict(images=cameras)


def load(results, **options):
    return TRANSFORMS.build(dict(type="LoadMultiViewImages", **options))(results)


def test_load_gives_images_projections_and_no_augmentation(tmp_path):
    results = load(write_cameras(tmp_path))
    assert len(results["img"]) == results["num_views"] == 3
    assert results["img_shape"] == results["ori_shape"] == (61, 97)
    assert np.array_equal(results["img_aug_matrix"], np.stack([np.eye(4)] * 3))
    # The third camera stands 2 m aside: point (0, 0, 5) is at u = 10 * 2 / 5 + 40.
    assert (results["lidar2img"][2] @ [0, 0, 5, 1]).tolist() == [220, 150, 5, 1]


def test_load_names_a_missing_image(tmp_path):
    results = write_cameras(tmp_path)
    (tmp_path / "left.png").unlink()
    with pytest.raises(FormatError, match="left.png"):
        load(results)


def test_load_masks_a_missing_image_on_request(tmp_path):
    results = write_cameras(tmp_path)
    (tmp_path / "left.png").unlink()
    results = load(results, missing="mask")
    assert results["sensor_mask"] == {"camera": [True, False, True]}
    assert not results["img"][1].any()


def test_load_names_a_broken_image_and_one_of_another_size(tmp_path):
    import cv2

    results = write_cameras(tmp_path)
    cv2.imwrite(str(tmp_path / "back.png"), smooth_image()[:50])
    with pytest.raises(FormatError, match=r"back.png.*97 x 50.*one_size=False.*MultiViewImageAug"):
        load(results)
    (tmp_path / "back.png").write_bytes((tmp_path / "front.png").read_bytes()[:100])
    with pytest.raises(FormatError, match="back.png"):
        load(results, missing="mask")


def augment(results, **options):
    return TRANSFORMS.build(dict(type="MultiViewImageAug", **options))(results)


OPTIONS = {
    "smaller": dict(size=(53, 31)),
    "larger": dict(size=(199, 101)),
    "crop": dict(size=(53, 31), resize=(1.4, 1.4), crop_x=(0.2, 0.2), crop_y=(0.7, 0.7)),
    "outside": dict(size=(53, 31), resize=(0.7, 0.7), crop_x=(0.4, 0.4), crop_y=(0.1, 0.1)),
    "flip": dict(size=(53, 31), flip=1.0),
    "rotate": dict(size=(53, 31), rotate_deg=(17, 17)),
    "all": dict(size=(53, 31), resize=(1.1, 1.6), crop_x=(0, 1), crop_y=(0, 1), flip=0.5,
                rotate_deg=(-20, 20)),
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_augmented_pixels_show_what_the_matrix_says(tmp_path, options):
    np.random.seed(5)
    results = augment(load(write_cameras(tmp_path)), **options)
    width, height = options["size"]
    assert results["img_shape"] == (height, width)
    for image, matrix in zip(results["img"], results["img_aug_matrix"]):
        assert image.shape == (height, width, 3)
        seen = np.argwhere(image[..., 2] == 200)  # not the black outside, nor its border
        assert len(seen) > 0.25 * width * height
        undo = np.linalg.inv(matrix)
        old = (seen[:, ::-1] + 0.5) @ undo[:2, :2].T + undo[:2, 3]
        shown = image[seen[:, 0], seen[:, 1], :2].astype(float) - 80 + 0.5
        inner = (old > 2).all(1) & (old < np.array(SIZE) - 2).all(1)
        assert np.abs(old - shown)[inner].max() < 1.3  # rounding of colours and averaged pixels


def test_each_image_is_moved_on_its_own(tmp_path):
    results = augment(load(write_cameras(tmp_path)), **OPTIONS["all"])
    first, second, third = results["img_aug_matrix"]
    assert not np.allclose(first, second) and not np.allclose(second, third)


def test_augmentations_add_up(tmp_path):
    results = augment(load(write_cameras(tmp_path)), size=(53, 31), flip=1.0)
    once = results["img_aug_matrix"][0].copy()
    again = augment(results, size=(53, 31), flip=1.0)["img_aug_matrix"][0]
    assert not np.allclose(once, again)
    assert np.allclose(again[0], [53 / 97, 0, 0, 0])  # mirrored back


def test_warp_without_motion_keeps_the_image():
    assert np.array_equal(warp(smooth_image(), np.eye(3), SIZE), smooth_image())


def test_homogeneous_has_the_shift_in_the_last_column():
    matrix = image_matrix((2, 3), (7, 5)).numpy()
    assert (homogeneous(matrix) @ [36, 32, 0, 1])[:2].tolist() == [65, 91]


@pytest.mark.parametrize(
    "options, fault",
    [
        (dict(size=(5, 5), resize=(2, 1)), "resize"),
        (dict(size=(5, 5), resize=(0, 1)), "positive"),
        (dict(size=(5, 5), flip=2), "flip"),
        (dict(size=(5, 5), rotate_deg=(3,)), "rotate_deg"),
    ],
)
def test_options_that_cannot_be_are_refused(options, fault):
    with pytest.raises(ValueError, match=fault):
        TRANSFORMS.build(dict(type="MultiViewImageAug", **options))


def test_load_refuses_an_unknown_word():
    with pytest.raises(ValueError, match="missing"):
        TRANSFORMS.build(dict(type="LoadMultiViewImages", missing="zeros"))


CAMERA_TO_LIDAR = np.array([[0.0, 0, 1, 1], [-1, 0, 0, 0], [0, -1, 0, 2], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("lidar2cam", None, r"left\.png: cam2img or lidar2cam has another form .*KeyError"),
        ("cam2img", None, r"left\.png: cam2img or lidar2cam has another form .*KeyError"),
        ("lidar2cam", np.eye(3), r"left\.png: cam2img or lidar2cam has another form"),
        ("lidar2cam", CAMERA_TO_LIDAR, r"left\.png: .*it looks like camera-to-LiDAR"),
        ("lidar2cam", np.linalg.inv(CAMERA_TO_LIDAR).T, r"left\.png: .*it looks transposed"),
        ("lidar2cam", np.diag([1.0, 1, -1, 1]), r"left\.png: lidar2cam mirrors"),
    ],
)
def test_load_names_the_camera_whose_matrices_cannot_be_right(tmp_path, key, value, said):
    results = write_cameras(tmp_path)
    results["images"]["left"][key] = value
    if value is None:
        del results["images"]["left"][key]
    with pytest.raises(FormatError, match=said):
        load(results)


def test_load_names_a_sample_without_cameras():
    with pytest.raises(FormatError, match=r"a\.bin: no camera of this sample"):
        load(dict(images={}, lidar_path="a.bin"))


@pytest.mark.parametrize("factor, is_told", [(1, False), (2, True)])
def test_images_of_another_size_than_their_matrices_are_told_once(
    tmp_path, monkeypatch, factor, is_told
):
    said = []
    monkeypatch.setattr(multi_view, "print_log", lambda text, **options: said.append(text))
    loader = TRANSFORMS.build(dict(type="LoadMultiViewImages"))
    for _ in range(2):
        results = write_cameras(tmp_path)
        for camera in results["images"].values():
            camera["cam2img"] = np.diag([factor, factor, 1]) @ camera["cam2img"]
        loader(results)
    assert len(said) == is_told
    assert not said or "front.png: cam2img: its centre (80, 60) is not in the middle" in said[0]


def swapped(results: dict, *names: str) -> dict:
    """The samples' cameras with two of their files exchanged."""
    first, second = (results["images"][name] for name in names)
    first["img_path"], second["img_path"] = second["img_path"], first["img_path"]
    return results


@pytest.mark.parametrize("names", [("front", "left"), ("front", "front_left")])
def test_exchanged_files_of_two_cameras_are_told_once(tmp_path, monkeypatch, names):
    said = []
    monkeypatch.setattr(multi_view, "print_log", lambda text, **_: said.append(text))
    step = TRANSFORMS.build(dict(type="LoadMultiViewImages"))
    step(write_cameras(tmp_path, ("front", "left", "front_left")))
    assert said == []
    for _ in range(2):
        step(swapped(write_cameras(tmp_path, ("front", "left", "front_left")), *names))
    (line,) = said
    assert f"{names[1]}.png: is given for front, and by its name it is {names[1]}" in line


def upright_camera(folder) -> dict:
    """The third camera stands upright: 61 wide, 97 high, its matrix likewise."""
    import cv2

    results = write_cameras(folder)
    image = np.ascontiguousarray(smooth_image().transpose(1, 0, 2))
    cv2.imwrite(str(folder / "back.png"), image)
    results["images"]["back"]["cam2img"] = [[10.0, 0, 30], [0, 10, 40], [0, 0, 1]]
    return results


@pytest.mark.parametrize("options", [dict(), dict(resize=(1.1, 1.1), flip=1.0, rotate_deg=(9, 9))])
def test_cameras_of_different_sizes_come_to_one_each_with_its_own_matrix(tmp_path, options):
    results = load(upright_camera(tmp_path), one_size=False)
    assert results["ori_shapes"] == [(61, 97), (61, 97), (97, 61)]
    files = [image.copy() for image in results["img"]]
    results = augment(results, size=(53, 61), crop_y=(0.5, 0.5), **options)
    moved = results["img"]
    pack = TRANSFORMS.build(dict(type="PackSensorInputs", keys=["img"]))
    meta = pack(results)["data_samples"].metainfo
    meta = {**meta, "batch_input_shape": (61, 53), "transformation_3d_flow": []}
    for number, geometry in enumerate(view_geometries(meta, 3)):
        assert geometry.original_size == files[number].shape[:2]
        for column, row in ((35.5, 33.5), (28.5, 45.5), (44.5, 40.5)):  # of the file, by hand
            centre = (30, 40) if number == 2 else (40, 30)
            point = [(column - centre[0]) / 2 - number, (row - centre[1]) / 2, 5.0, 1.0]
            u, v, depth = geometry.matrix.numpy() @ point
            pixel = moved[number][int(v / depth), int(u / depth)].astype(int)
            assert np.abs(pixel - files[number][int(row), int(column)]).max() <= 3


def test_cameras_of_different_sizes_that_nothing_resizes_are_told_when_packed(tmp_path):
    results = load(upright_camera(tmp_path), one_size=False)
    pack = TRANSFORMS.build(dict(type="PackSensorInputs", keys=["img"]))
    said = r"front.png: the sample's images are 97 x 61, 97 x 61, 61 x 97; MultiViewImageAug\(size"
    with pytest.raises(FormatError, match=said):
        pack(results)
