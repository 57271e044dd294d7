"""docs/guide/python.md does what it says; its studies are run by test_end_to_end.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kitti_camera import CALIBRATION, SIZE
from PIL import Image

from docs import code_blocks
from gemini_det3d import Detector, Segmentor, Translator
from gemini_det3d.formats.kitti import write_calibration, write_points

CHECKPOINTS = {
    "epoch_6.pth": (Detector, "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"),
    "segmentor.pth": (Segmentor, "segformer_gemini-pixel_mit-toy_1xb4-toy_scenes-25class"),
    "translator.pth": (Translator, "translator_gemini_mit-toy_views-shade-texture2rgb"),
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """What the page names, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    points = rng.uniform([5, -3, -1.5, 0], [30, 3, 0, 1], (499, 4)).astype(np.float32)
    write_points("000008.bin", points)
    write_calibration("000008.txt", CALIBRATION)
    sizes = {"000008": SIZE[::-1], "shade": (70, 90)}
    for name in ("000008", "rgb", "depth", "event", "lidar", "shade"):
        pixels = rng.integers(0, 255, (*sizes.get(name, (40, 56)), 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{name}.png")
    Image.fromarray(rng.integers(0, 9000, (70, 90), dtype=np.uint16)).save("texture.png")
    for name, (kind, config) in CHECKPOINTS.items():
        torch.save({"state_dict": kind(config).model.state_dict(), "meta": {}}, name)
    return tmp_path


def test_python_page_runs_from_top_to_bottom(files):
    blocks = code_blocks("guide/python.md")
    names: dict = {}
    for heading in ("The operator", "Detection", "Segmentation", "Translation"):
        assert blocks[heading]
        for block in blocks[heading]:
            exec(compile(block, f"docs/guide/python.md, {heading}", "exec"), names)
    assert names["camera"].shape == (4, 1000, 128)
    assert names["first"].boxes.shape[1] == 7
    assert names["labels"].shape == (40, 56)
    assert names["picture"].shape[2] == 3
    assert (files / "000008_found.png").is_file()
