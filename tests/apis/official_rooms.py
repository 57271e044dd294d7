"""Synthetic rooms as the official download of SUN RGB-D stores them."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from mat_files import structs
from PIL import Image
from scipy.io import savemat

from gemini_det3d.worlds import RoomWorld, make_room_frame

WORLD = RoomWorld(image_width=61, image_height=47)


def official_depth(frame) -> bytes:
    """A frame's points as a PNG file of millimetres, rotated by three bits."""
    depth = frame.points[:, :3] @ frame.calibration.depth2img[2]
    pixel = frame.points[:, :3] @ frame.calibration.depth2img.T
    column, row = np.round(pixel[:, :2] / pixel[:, 2:]).astype(int).T - 1
    stored = np.zeros((WORLD.image_height, WORLD.image_width), np.uint16)
    stored[row, column] = np.round(depth * 1000).astype(np.uint16)
    png = io.BytesIO()
    Image.fromarray((stored << 3) | (stored >> 13)).save(png, format="PNG")
    return png.getvalue()


def official_entries(frame, rgb, depth) -> tuple[dict, dict]:
    """A frame's rows of SUNRGBDMeta3DBB_v2 and SUNRGBDMeta2DBB_v2."""
    boxes = frame.objects
    solid = structs(
        dict(
            centroid=box[None, :3],
            coeffs=box[None, [4, 3, 5]] / 2,
            orientation=np.array([[np.cos(box[6]), np.sin(box[6]), 0.0]]),
            classname=name,
        )
        for name, box in zip(boxes.names.tolist(), boxes.boxes)
    )
    entry = dict(
        sequenceName=rgb.rsplit("/", 2)[0],
        rgbpath=f"/n/fs/sun3d/data/{rgb}",
        depthpath=f"/n/fs/sun3d/data/{depth}",
        Rtilt=frame.calibration.tilt,
        K=frame.calibration.intrinsics,
        groundtruth3DBB=solid,
    )
    rows = np.column_stack([boxes.bbox[:, :2], boxes.bbox[:, 2:] - boxes.bbox[:, :2]])
    flat = dict(groundtruth2DBB=structs(dict(gtBb2D=r[None], classname="x") for r in rows))
    return entry, flat


def write_official(folder, as_zip, with_2d=True):
    """The same rooms as the official download stores them; frames 1 to 3 train, 4 and 5 test."""
    files, entries, flat = {}, [], []
    for index in range(5):
        split = ("train", index) if index < 3 else ("val", index - 3)
        frame = make_room_frame(WORLD, 0, *split)
        sequence = f"SUNRGBD/kv2/room{index}"
        rgb, depth = f"{sequence}/image/{index}.jpg", f"{sequence}/depth_bfx/{index}.png"
        files.update({rgb: frame.jpeg, depth: official_depth(frame)})
        entry, row = official_entries(frame, rgb, depth)
        entries.append(entry)
        flat.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "SUNRGBDMeta3DBB_v2.mat", {"SUNRGBDMeta": structs(entries)})
    if with_2d:
        savemat(folder / "SUNRGBDMeta2DBB_v2.mat", {"SUNRGBDMeta2DBB": structs(flat)})
    cells = lambda numbers: np.array(  # noqa: E731
        [f"/n/fs/sun3d/data/SUNRGBD/kv2/room{n}" for n in numbers], dtype=object
    )
    split = folder / "SUNRGBDtoolbox" / "traintestSUNRGBD" / "allsplit.mat"
    split.parent.mkdir(parents=True)
    savemat(split, {"alltrain": cells(range(3)), "alltest": cells((3, 4))})
    if as_zip:
        with zipfile.ZipFile(folder / "SUNRGBD.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
