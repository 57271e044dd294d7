"""Three frames in KITTI's layout, their info file, and the metric on them."""

from __future__ import annotations

import pickle

import numpy as np
import torch
from mmdet3d.registry import METRICS
from mmdet3d.structures import LiDARInstance3DBoxes
from PIL import Image

import gemini_det3d.evaluation.metrics  # noqa: F401
from gemini_det3d.formats.kitti import (
    Calibration,
    from_lidar_boxes,
    read_calibration,
    read_image_size,
    read_objects,
    to_lidar_boxes,
    write_calibration,
    write_objects,
)

FRAMES = (0, 1, 2)
CLASSES = ("Pedestrian", "Cyclist", "Car", "Truck", "Misc")
CATEGORIES = {"Pedestrian": 0, "Cyclist": 1, "Car": 2, "Truck": 4, "Misc": 7, "DontCare": -1}
SIZES = {
    "Pedestrian": (0.5, 0.6, 1.8),
    "Cyclist": (1.8, 0.6, 1.7),
    "Car": (4.0, 1.7, 1.5),
    "Truck": (9.0, 2.6, 3.1),
    "Misc": (2.4, 1.5, 1.6),
}
# Frame by frame: class, metres ahead, metres to the left, yaw. The far ones are below 25 px.
SCENES = (
    [("Pedestrian", 9.0, -2.0, 0.4)],
    [("Truck", 45.0, 3.0, -0.1), ("Car", 60.0, 9.0, 2.0), ("Cyclist", 70.0, -4.0, 1.0)],
    [("Misc", 12.0, 2.5, 0.2), ("Car", 25.0, -1.0, 3.0)],
)


def write_scenes(root) -> None:
    """Three frames in KITTI's layout, with a DontCare region."""
    calibration = Calibration(
        p2=np.array([[700.0, 0, 600, 42], [0, 700, 180, 0.7], [0, 0, 1, 0.003]]),
        r0_rect=np.eye(3),
        tr_velo_to_cam=np.array([[0, -1.0, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]]),
    )
    for frame, scene in enumerate(SCENES):
        names = [name for name, *_ in scene]
        boxes = np.array([[x, y, -1.7, *SIZES[name], yaw] for name, x, y, yaw in scene])
        objects = from_lidar_boxes(boxes, names, None, calibration, (1242, 375))
        objects.truncated[:], objects.occluded[:] = 0.0, 0
        write_calibration(root / "calib" / f"{frame:06d}.txt", calibration)
        write_objects(root / "label_2" / f"{frame:06d}.txt", objects)
        (root / "image_2").mkdir(exist_ok=True)
        Image.new("RGB", (1242, 375)).save(root / "image_2" / f"{frame:06d}.png")
    with open(root / "label_2" / "000001.txt", "a") as file:
        file.write("DontCare -1 -1 -10 503 169 590 190 -1 -1 -1 -1000 -1000 -1000 -10\n")


def make_infos(root) -> dict:
    """What mmdet3d's converter writes about the real frames, as far as a metric reads it."""
    data_list = []
    for frame in FRAMES:
        calibration = read_calibration(root / "calib" / f"{frame:06d}.txt")
        width, height = read_image_size(root / "image_2" / f"{frame:06d}.png")
        objects = read_objects(root / "label_2" / f"{frame:06d}.txt")
        camera = {
            "cam2img": calibration.cam2img.tolist(),
            "lidar2cam": calibration.lidar2cam.astype(np.float32).tolist(),
            "width": width,
            "height": height,
        }
        instances = [
            {
                "bbox": objects.bbox[i].tolist(),
                "bbox_label": CATEGORIES[objects.name[i]],
                "bbox_3d": [
                    *objects.location[i].tolist(),
                    *objects.dimensions[i][[2, 0, 1]].tolist(),
                    float(objects.rotation_y[i]),
                ],
                "truncated": float(objects.truncated[i]),
                "occluded": int(objects.occluded[i]),
                "alpha": float(objects.alpha[i]),
            }
            for i in range(len(objects))
        ]
        data_list.append({"sample_idx": frame, "images": {"CAM2": camera}, "instances": instances})
    return {"metainfo": {"categories": CATEGORIES}, "data_list": data_list}


def make_truth_samples(root) -> list[dict]:
    """Ground truth as a model's predictions."""
    samples = []
    for frame in FRAMES:
        objects = read_objects(root / "label_2" / f"{frame:06d}.txt")
        objects = objects.select(objects.name != "DontCare")
        calibration = read_calibration(root / "calib" / f"{frame:06d}.txt")
        boxes = torch.tensor(to_lidar_boxes(objects, calibration), dtype=torch.float32)
        samples.append(sample(frame, LiDARInstance3DBoxes(boxes), objects.name))
    return samples


def sample(frame, boxes, names) -> dict:
    return {
        "sample_idx": frame,
        "pred_instances_3d": {
            "bboxes_3d": boxes,
            "scores_3d": torch.linspace(0.9, 0.5, len(names)),
            "labels_3d": torch.tensor([CLASSES.index(n) for n in names], dtype=torch.long),
        },
    }


def build(tmp_path, infos, **options):
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(infos))
    metric = METRICS.build(dict(type="KittiDetectionMetric", ann_file=str(path), **options))
    metric.dataset_meta = {"classes": CLASSES}
    return metric


def run(metric, samples) -> dict:
    for one in samples:
        metric.process(None, [one])
    return metric.evaluate(len(samples))
