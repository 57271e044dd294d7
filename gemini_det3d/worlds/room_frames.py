"""One frame of the synthetic SUN RGB-D: drawn, seen in colour and depth, labelled, and written."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gemini_det3d.formats.files import write_whole
from gemini_det3d.formats.sunrgbd import (
    FROM_ZERO,
    RoomCalibration,
    RoomObjects,
    write_calibration,
    write_depth_points,
    write_labels,
)
from gemini_det3d.geometry.boxes import project_box_outlines
from gemini_det3d.worlds.annotation import visible_share
from gemini_det3d.worlds.camera import (
    Camera,
    Surfaces,
    render_image,
    render_surfaces,
)
from gemini_det3d.worlds.frames import SPLITS
from gemini_det3d.worlds.rooms import RoomStyle, sample_room
from gemini_det3d.worlds.scene import Scene

# Focal length of a Kinect for an image as wide as SUN RGB-D's largest share has it.
_FOCAL_PX, _WIDTH_PX = 529.5, 730.0
_JPEG_QUALITY = 95
# Objects that show less are not labelled.
_MIN_SHARE, _MIN_AREA = 0.25, 0.0015


@dataclass(frozen=True)
class RoomWorld:
    """Everything but the seed that decides what the files hold.

    Attributes:
        room: What rooms are like.
        image_width: Pixels; the focal length is scaled along.
        image_height: Pixels.
        supersample: Rays per pixel and axis of the image where it has edges.
        image_noise: Standard deviation, shares of full white.
        depth_noise: Standard deviation of the depth at 1 m, metres; it grows with the square.
        camera_height_m: Lowest and highest camera.
        pitch_deg: Least and most that the camera looks down.
        roll_deg: Standard deviation of the camera's roll.
    """

    room: RoomStyle = field(default_factory=RoomStyle)
    image_width: int = 256
    image_height: int = 192
    supersample: int = 1
    image_noise: float = 0.01
    depth_noise: float = 0.0015
    camera_height_m: tuple[float, float] = (1.2, 1.6)
    pitch_deg: tuple[float, float] = (12.0, 24.0)
    roll_deg: float = 1.5

    def __post_init__(self) -> None:
        """Refuse images that cannot be."""
        for name in ("image_width", "image_height", "supersample"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 1 or more")
        for name in ("image_noise", "depth_noise"):
            if not 0 <= getattr(self, name) < math.inf:  # NaN is neither
                raise ValueError(f"{name}={getattr(self, name)} must be 0 or more")


ROOM_PRESETS: dict[str, RoomWorld] = {
    # Small images, one ray a pixel: a second for several rooms, and rich enough to learn.
    "toy": RoomWorld(),
    # The image size of SUN RGB-D's Kinect v2 share.
    "sunrgbd": RoomWorld(image_width=730, image_height=530, supersample=2),
}


@dataclass(frozen=True)
class RoomFrame:
    """What SUN RGB-D stores of one view, and the scene it came from.

    Attributes:
        jpeg: The image file.
        points: ``(N, 6)`` float32 x, y, z (metres, depth frame) and the image's RGB (0 to 1).
        calibration: Between the two.
        objects: Labels.
        scene: The scene; its origin is under the camera, on the floor.
        camera_height_m: Height of the depth frame's origin over the floor.
    """

    jpeg: bytes
    points: np.ndarray
    calibration: RoomCalibration
    objects: RoomObjects
    scene: Scene
    camera_height_m: float


def make_room_frame(world: RoomWorld, seed: int, split: str, index: int) -> RoomFrame:
    """Draw one frame, the index-th of its split; the same arguments give the same frame."""
    sequence = np.random.SeedSequence([seed, SPLITS.index(split), index])
    scene_rng, pose_rng, image_rng, depth_rng = map(np.random.default_rng, sequence.spawn(4))
    scene = sample_room(scene_rng, world.room)
    height_m = float(pose_rng.uniform(*world.camera_height_m))
    calibration = draw_calibration(world, pose_rng)
    camera = room_camera(world, calibration, height_m)
    surfaces = render_surfaces(scene, camera)
    jpeg, image = _through_jpeg(render_image(scene, camera, image_rng))
    return RoomFrame(
        jpeg=jpeg,
        points=depth_points(world, calibration, surfaces.depth, image, depth_rng),
        calibration=calibration,
        objects=_annotate(scene, camera, surfaces, height_m),
        scene=scene,
        camera_height_m=height_m,
    )


def draw_calibration(world: RoomWorld, rng: np.random.Generator) -> RoomCalibration:
    """A Kinect's matrix, and a camera that looks down and is not quite level."""
    pitch = np.radians(rng.uniform(*world.pitch_deg))
    roll = np.radians(rng.normal(0, world.roll_deg))
    focal = _FOCAL_PX * world.image_width / _WIDTH_PX
    middle = (world.image_width + 1) / 2, (world.image_height + 1) / 2  # pixels count from 1
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)],
                        [0, -np.sin(pitch), np.cos(pitch)]])  # fmt: skip
    about_y = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0],
                        [-np.sin(roll), 0, np.cos(roll)]])  # fmt: skip
    return RoomCalibration(
        intrinsics=np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]]),
        tilt=about_x @ about_y,
    )


def room_camera(world: RoomWorld, calibration: RoomCalibration, height_m: float) -> Camera:
    """The camera of a calibration, over the world's origin.

    Args:
        world: Decides size, samples and noise.
        calibration: Counts pixels from 1; the camera counts them from 0.
        height_m: Height over the floor.
    """
    from_zero = FROM_ZERO @ calibration.depth2img
    return Camera(
        world2img=np.column_stack([from_zero, -from_zero @ [0.0, 0.0, height_m]]),
        width=world.image_width,
        height=world.image_height,
        supersample=world.supersample,
        noise=world.image_noise,
    )


def depth_points(
    world: RoomWorld,
    calibration: RoomCalibration,
    depth: np.ndarray,
    image: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Coloured points of all pixels that have a depth, as SUN RGB-D's toolbox makes them.

    Args:
        world: Decides the noise.
        calibration: The camera's.
        depth: ``(H, W)`` metres along the optical axis; infinite where nothing was hit.
        image: ``(H, W, 3)`` uint8 RGB.
        rng: Draws the noise, as many values whatever was hit.

    Returns:
        ``(N, 6)`` float32, row of pixels by row.
    """
    noise = rng.standard_normal(depth.shape)
    v, u = np.nonzero(np.isfinite(depth))
    exact = depth[v, u]
    measured = exact + world.depth_noise * exact**2 * noise[v, u]
    pixels = np.column_stack([u + 1.0, v + 1.0, np.ones(len(u))])
    xyz = (pixels * measured[:, None]) @ np.linalg.inv(calibration.depth2img).T
    return np.column_stack([xyz, image[v, u] / 255.0]).astype(np.float32)


def room_files(folder: Path, number: int) -> dict[str, Path]:
    """Where a frame's files lie under ``sunrgbd_trainval``."""
    root, stem = folder / "sunrgbd_trainval", f"{number:06d}"
    return {
        "image": root / "image" / f"{stem}.jpg",
        "points": root / "depth" / f"{stem}.mat",
        "calibration": root / "calib" / f"{stem}.txt",
        "objects": root / "label" / f"{stem}.txt",
    }


def write_room_frame(files: dict[str, Path], frame: RoomFrame) -> None:
    """Write a frame; an interrupted write leaves no file that looks finished."""
    writers: dict[str, Callable[[Path], object]] = {
        "image": lambda path: write_whole(path, frame.jpeg),
        "points": lambda path: write_depth_points(path, frame.points),
        "calibration": lambda path: write_calibration(path, frame.calibration),
        "objects": lambda path: write_labels(path, frame.objects),
    }
    for kind, path in files.items():
        writers[kind](path)


def _annotate(scene: Scene, camera: Camera, surfaces: Surfaces, height_m: float) -> RoomObjects:
    """Label what shows enough of itself; boxes are whole, whatever hides them."""
    size = (camera.width, camera.height)
    low = scene.boxes - [0, 0, height_m, 0, 0, 0, 0]
    centered = low + np.outer(low[:, 5], [0, 0, 0.5, 0, 0, 0, 0])
    bbox = project_box_outlines(scene.boxes, camera.world2img, size)
    objects = RoomObjects(scene.names, centered, bbox=bbox + 1)  # labels count pixels from 1
    area = np.bincount(surfaces.instance[surfaces.instance >= 0], minlength=len(low))
    is_seen = area >= _MIN_AREA * camera.width * camera.height
    for index in np.flatnonzero(is_seen):
        share = visible_share(scene, camera, int(index), bbox[index])
        is_seen[index] = share >= _MIN_SHARE
    return objects.select(is_seen)


def _through_jpeg(image: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The image file, and the image as a reader of that file sees it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    with Image.open(io.BytesIO(buffer.getvalue())) as stored:
        return buffer.getvalue(), np.array(stored.convert("RGB"))
