"""One frame of the synthetic KITTI: drawn, seen, scanned, labelled, and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemini_det3d.formats.kitti import (
    Calibration,
    Objects,
    write_calibration,
    write_objects,
    write_points,
)
from gemini_det3d.formats.taskonomy import write_png
from gemini_det3d.worlds.annotation import Rules, annotate
from gemini_det3d.worlds.camera import render_image
from gemini_det3d.worlds.lidar import scan
from gemini_det3d.worlds.presets import KittiWorld
from gemini_det3d.worlds.rig import make_calibration, make_camera
from gemini_det3d.worlds.scene import Scene
from gemini_det3d.worlds.street import sample_street

# Splits draw from seeds that have nothing in common.
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Frame:
    """What KITTI stores of one moment, and the scene it came from.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        points: ``(N, 4)`` float32, LiDAR frame, metres, and intensity.
        calibration: Between the two.
        objects: Labels.
        scene: The scene.
    """

    image: np.ndarray
    points: np.ndarray
    calibration: Calibration
    objects: Objects
    scene: Scene


def make_frame(world: KittiWorld, seed: int, split: str, index: int) -> Frame:
    """Draw one frame, the index-th of its split; the same arguments give the same frame."""
    sequence = np.random.SeedSequence([seed, SPLITS.index(split), index])
    # One source each, so that a change of one sensor leaves scene and other sensor as they were.
    scene_rng, lidar_rng, camera_rng = map(np.random.default_rng, sequence.spawn(3))
    scene = sample_street(scene_rng, world.street)
    calibration = make_calibration(world)
    camera = make_camera(world, calibration)
    rules = Rules(min_height_px=world.min_height_px * world.image_scale)
    return Frame(
        image=render_image(scene, camera, camera_rng),
        points=scan(scene, world.scanner, lidar_rng).points,
        calibration=calibration,
        objects=annotate(scene, camera, calibration, world.scanner.height_m, rules),
        scene=scene,
    )


def frame_files(folder: Path, split: str, number: int) -> dict[str, Path]:
    """Where a frame's files lie in KITTI's raw layout."""
    stem = f"{number:06d}"
    root = folder / ("testing" if split == "test" else "training")
    files = {
        "image": root / "image_2" / f"{stem}.png",
        "points": root / "velodyne" / f"{stem}.bin",
        "calibration": root / "calib" / f"{stem}.txt",
    }
    if split != "test":
        files["objects"] = root / "label_2" / f"{stem}.txt"
    return files


def write_frame(files: dict[str, Path], frame: Frame) -> None:
    """Write a frame; an interrupted write leaves no file that looks finished."""
    writers: dict[str, Callable[[Path], None]] = {
        # The sensor's noise does not compress; `write_png` does not try hard.
        "image": lambda path: write_png(path, frame.image),
        "points": lambda path: write_points(path, frame.points),
        "calibration": lambda path: write_calibration(path, frame.calibration),
        "objects": lambda path: write_objects(path, frame.objects),
    }
    for kind, path in files.items():
        writers[kind](path)
