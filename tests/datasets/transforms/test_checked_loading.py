"""Loaders that name a bad file in one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.kitti import read_image, read_image_size, write_points

pytest.importorskip("mmdet3d", exc_type=ImportError)

from mmdet3d.registry import TRANSFORMS  # noqa: E402

from gemini_det3d.datasets.transforms import checked_loading  # noqa: E402

POINTS = dict(type="LoadPointsFromFileChecked", coord_type="LIDAR", load_dim=4, use_dim=4)
IMAGE = dict(type="LoadImageFromFileChecked")


def _load_points(path, **options):
    return TRANSFORMS.build({**POINTS, **options})({"lidar_points": {"lidar_path": str(path)}})


def _load_image(path, **options):
    return TRANSFORMS.build({**IMAGE, **options})({"img_path": str(path)})


@pytest.fixture
def cloud(tmp_path):
    points = np.random.default_rng(0).normal(size=(13, 4)).astype(np.float32)
    write_points(tmp_path / "000003.bin", points)
    return tmp_path / "000003.bin", points


@pytest.fixture(params=[".png", ".jpg"])
def picture(tmp_path, request):
    pixels = np.random.default_rng(0).integers(0, 255, (31, 37, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"000003{request.param}")
    return tmp_path / f"000003{request.param}"


def test_good_points_are_those_of_mmdet3d(cloud):
    path, _ = cloud
    plain = {**POINTS, "type": "LoadPointsFromFile"}
    theirs = TRANSFORMS.build(plain)({"lidar_points": {"lidar_path": str(path)}})["points"]
    ours = _load_points(path)["points"]
    assert type(ours) is type(theirs)
    np.testing.assert_array_equal(ours.tensor.numpy(), theirs.tensor.numpy())


def test_good_image_is_that_of_mmcv(picture):
    theirs = TRANSFORMS.build(dict(type="LoadImageFromFile"))({"img_path": str(picture)})
    ours = _load_image(picture)
    assert ours.keys() == theirs.keys()
    np.testing.assert_array_equal(ours["img"], theirs["img"])
    assert (ours["img_shape"], ours["ori_shape"]) == ((31, 37), (31, 37))
    assert _load_image(picture, to_float32=True)["img"].dtype == np.float32


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("depth", [8, 16])
def test_model_picture_size_and_surround_views_see_one_image(tmp_path, orientation, depth):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2**depth, (31, 37), dtype=np.uint8 if depth == 8 else np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "000003.png"
    Image.fromarray(pixels).save(path, exif=exif)
    camera = dict(img_path=str(path), cam2img=np.eye(3), lidar2cam=np.eye(4))
    loader = TRANSFORMS.build(dict(type="LoadMultiViewImages"))
    views = loader({"images": {"CAM2": camera}})["img"]
    picture = read_image(path)
    upright = np.rot90(pixels, -1) if orientation == 6 else pixels[::-1, ::-1]
    np.testing.assert_array_equal(picture[..., 1], upright >> (depth - 8))
    np.testing.assert_array_equal(_load_image(path)["img"][..., ::-1], picture)
    np.testing.assert_array_equal(views[0][..., ::-1], picture)
    assert read_image_size(path) == picture.shape[1::-1]


@pytest.mark.parametrize("color_type", ["grayscale", "unchanged", "color_ignore_orientation"])
def test_what_this_loader_does_not_read_is_refused_when_built(color_type):
    with pytest.raises(ValueError, match=f"color_type='{color_type}'"):
        TRANSFORMS.build({**IMAGE, "color_type": color_type})


@pytest.mark.parametrize("size", [15, 17, 206])
def test_cut_off_cloud_is_named(cloud, size):
    path, _ = cloud
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FormatError, match=f"^{path}: {size} bytes are no whole number of points"):
        _load_points(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_points_that_are_not_finite_are_refused_by_default(cloud, bad):
    path, points = cloud
    points[[2, 7], 1] = bad
    write_points(path, points)
    with pytest.raises(FormatError, match=f"^{path}: 2 of 13 points are NaN or infinite"):
        _load_points(path)


def test_points_that_are_not_finite_are_dropped_and_counted_on_request(cloud, monkeypatch):
    path, points = cloud
    points[[2, 7], 3] = np.nan
    write_points(path, points)
    said = []
    monkeypatch.setattr(checked_loading, "print_log", lambda text, **_: said.append(text))
    loaded = _load_points(path, on_non_finite="drop")["points"].tensor.numpy()
    np.testing.assert_array_equal(loaded, np.delete(points, [2, 7], axis=0))
    assert said == [f"{path}: 2 of 13 points are NaN or infinite; dropped"]


def test_unknown_way_to_treat_bad_points_is_refused_when_built():
    with pytest.raises(ValueError, match="on_non_finite='ignore'"):
        TRANSFORMS.build({**POINTS, "on_non_finite": "ignore"})


def test_empty_cloud_is_a_cloud_of_no_points(tmp_path):
    (tmp_path / "p.bin").write_bytes(b"")
    assert _load_points(tmp_path / "p.bin")["points"].tensor.shape == (0, 4)


@pytest.mark.parametrize("load", [_load_points, _load_image])
def test_missing_file_is_named(tmp_path, load):
    with pytest.raises(FormatError, match=f"^{tmp_path}/nowhere: no such file$"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_image_that_is_cut_off_is_named(picture, share):
    data = picture.read_bytes()
    picture.write_bytes(data[: int(share * len(data))])
    with pytest.raises(FormatError, match=f"^{picture}: is not a readable image"):
        _load_image(picture)
    assert _load_image(picture, ignore_empty=True) is None


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_file_that_is_no_image_is_named(picture, backend):
    picture.write_bytes(b"no image at all")
    with pytest.raises(FormatError, match=f"^{picture}: is not a readable image"):
        _load_image(picture, imdecode_backend=backend)


class _OneBadFrame:
    """A dataset whose only frame cannot be read."""

    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return _load_points(self.path)


def test_error_in_a_loader_worker_is_still_one_line(cloud):
    from torch.utils.data import DataLoader

    path, _ = cloud
    path.write_bytes(b"abc")
    with pytest.raises(FormatError) as error:
        next(iter(DataLoader(_OneBadFrame(path), num_workers=1)))
    assert str(error.value).startswith(f"{path}: 3 bytes are no whole number of points")
    assert error.value.path == str(path)


def test_a_room_without_points_is_refused_where_points_are_needed(tmp_path):
    write_points(tmp_path / "000003.bin", np.zeros((0, 4), np.float32))
    assert len(_load_points(tmp_path / "000003.bin")["points"]) == 0
    with pytest.raises(FormatError, match=r"000003\.bin: holds 0 points, needs at least 1"):
        _load_points(tmp_path / "000003.bin", min_points=1)
