"""One frame of the four-modality world, and its files in each segmentation set's layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gemini_det3d.formats.segmentation import DELIVER_FOLDERS, IGNORED, deliver_path, write_image
from gemini_det3d.worlds.camera import Camera, Surfaces, render_image, render_surfaces
from gemini_det3d.worlds.frames import SPLITS
from gemini_det3d.worlds.lidar import scan
from gemini_det3d.worlds.modalities import (
    depth_image,
    event_image,
    hha_image,
    lidar_image,
    measure_depth,
)
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.rig import make_calibration, make_camera
from gemini_det3d.worlds.scene import Scene
from gemini_det3d.worlds.street import sample_street
from gemini_det3d.worlds.weather import WEATHERS, under_weather

LAYOUTS = ("deliver", "nyudv2", "sunrgbd")
CLASSES = (
    "Building", "Fence", "Pedestrian", "Pole", "Road", "SideWalk", "Vegetation", "Cars", "Sky",
    "Static", "Terrain", "TwoWheeler", "Truck",
)  # fmt: skip
"""The classes of DeLiVER that occur in street scenes."""
_DELIVER_LABELS = dict(zip(CLASSES, (1, 2, 4, 5, 7, 8, 9, 10, 13, 19, 22, 23, 25)))
_CLASS_OF_LABEL = {
    "building": "Building", "fence": "Fence", "person": "Pedestrian", "pole": "Pole",
    "road": "Road", "sidewalk": "SideWalk", "vegetation": "Vegetation", "car": "Cars",
    "clutter": "Static", "terrain": "Terrain", "van": "Truck",
}  # fmt: skip


@dataclass(frozen=True)
class SegWorld:
    """Everything but the seed that decides what the files hold.

    Attributes:
        rig: Streets, LiDAR, and size and sampling of the images.
        weathers: They come in turn.
        depth_range_m: Of the depth camera.
        depth_noise_m: Its standard deviation at the end of the range.
        event_step_m: How far the car moves between the two moments that events compare.
        event_threshold: See `event_image`.
    """

    rig: KittiWorld = field(
        default_factory=lambda: KittiWorld(image_width=256, image_height=96, supersample=2)
    )
    weathers: tuple[str, ...] = tuple(WEATHERS)
    depth_range_m: float = 60.0
    depth_noise_m: float = 2.0
    event_step_m: float = 0.4
    event_threshold: float = 0.15

    def __post_init__(self) -> None:
        """Refuse weathers that there are not, and streets whose classes no set has."""
        unknown = [name for name in self.weathers if name not in WEATHERS]
        if unknown or not self.weathers:
            raise ValueError(f"weathers={self.weathers}, known are {list(WEATHERS)}")
        if self.rig.street.look_alikes:
            raise ValueError("look-alikes are for detection: segmentation sets have no class Tram")


@dataclass(frozen=True)
class SegSample:
    """One moment.

    Attributes:
        images: For ``rgb``, ``depth`` (grey), ``hha``, ``event``, ``lidar``: ``(H, W, 3)`` uint8.
        labels: ``(H, W)`` uint8 index into `CLASSES`, 255 where there is none.
        weather: Its name.
    """

    images: Mapping[str, np.ndarray]
    labels: np.ndarray
    weather: str


def make_seg_frame(world: SegWorld, seed: int, split: str, index: int) -> SegSample:
    """Draw one frame, the index-th of its split; the same arguments give the same frame."""
    sequence = np.random.SeedSequence([seed, SPLITS.index(split), index, len("seg")])
    streams = map(np.random.default_rng, sequence.spawn(5))
    scene_rng, weather_rng, camera_rng, depth_rng, lidar_rng = streams
    scene = sample_street(scene_rng, world.rig.street)
    name = world.weathers[index % len(world.weathers)]
    lit = under_weather(scene, WEATHERS[name], weather_rng)
    calibration = make_calibration(world.rig)
    camera = make_camera(world.rig, calibration)
    surfaces = render_surfaces(scene, camera)
    depth = measure_depth(surfaces, world.depth_range_m, world.depth_noise_m, depth_rng)
    sweep = scan(scene, world.rig.scanner, lidar_rng)
    range_m = world.rig.scanner.range_m
    images = {
        "rgb": render_image(lit, replace(camera, noise=WEATHERS[name].noise), camera_rng),
        "depth": depth_image(depth, world.depth_range_m),
        "hha": hha_image(depth, surfaces, camera),
        "event": _events(world, scene, camera),
        "lidar": lidar_image(sweep.points, calibration.lidar2img, camera, range_m),
    }
    return SegSample(images, label_map(scene, surfaces), name)


def label_map(scene: Scene, surfaces: Surfaces) -> np.ndarray:
    """``(H, W)`` uint8 index into `CLASSES`; riders are one with what they ride."""
    table = np.array([*map(CLASSES.index, _CLASS_OF_LABEL.values()), IGNORED])
    labels = table[scene.label_of(surfaces.solid, list(_CLASS_OF_LABEL), missing=-1)]
    labels[surfaces.solid < 0] = CLASSES.index("Sky")
    is_rider = np.array([name == "Cyclist" for name in scene.names] + [False])
    is_person = labels == CLASSES.index("Pedestrian")
    labels[is_rider[surfaces.instance] & is_person] = CLASSES.index("TwoWheeler")
    return labels.astype(np.uint8)


def seg_frame_files(folder: Path, layout: str, world: SegWorld, split: str, index: int) -> dict:
    """Where a frame's files lie in a layout; the key of each is its modality, or ``labels``."""
    number = f"{index:06d}"
    if layout == "deliver":
        weather = world.weathers[index % len(world.weathers)]
        place, name = f"{weather}/{split}/street", f"{number}_{{}}_front"
        keys = (*DELIVER_FOLDERS, "labels")
        return {key: deliver_path(folder, key, place, name) for key in keys}
    stem = f"{split}_{number}"
    folders = {"rgb": ("RGB", ".jpg"), "labels": ("labels", ".png"), "depth": ("Depth", ".png")}
    if layout == "nyudv2":
        folders = {key: (key, ".png") for key in ("rgb", "masks", "depth")}
        folders["labels"] = folders.pop("masks")
    return {key: folder / place / f"{stem}{end}" for key, (place, end) in folders.items()}


def write_seg_frame(files: Mapping[str, Path], sample: SegSample, layout: str) -> None:
    """Write a frame; its labels are numbered as the layout's set numbers them."""
    for key, path in files.items():
        if key == "labels":
            write_image(path, _numbered(sample.labels, layout))
        else:
            write_image(
                path, sample.images["hha" if (key, layout) == ("depth", "deliver") else key]
            )


def _numbered(labels: np.ndarray, layout: str) -> np.ndarray:
    first = {"nyudv2": 0, "sunrgbd": 1}
    numbers = [
        _DELIVER_LABELS[name] if layout == "deliver" else k + first[layout]
        for k, name in enumerate(CLASSES)
    ]
    table = np.full(256, IGNORED if layout == "nyudv2" else 0, dtype=np.uint8)
    table[: len(numbers)] = numbers
    return table[labels]


def _events(world: SegWorld, scene: Scene, camera: Camera) -> np.ndarray:
    """Events of a forward step; their sensor sees in any light, so it is the scene's own."""
    moved = np.eye(4)
    moved[0, 3] = -world.event_step_m
    quiet = replace(camera, noise=0.0, supersample=1)
    later = replace(quiet, world2img=camera.world2img @ moved)
    none = np.random.default_rng(0)
    return event_image(
        render_image(scene, quiet, none), render_image(scene, later, none), world.event_threshold
    )
