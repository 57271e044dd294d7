"""One self-contained HTML page: clouds, images and boxes of frames, linked, without a server."""

from __future__ import annotations

from gemini_det3d.visualization.page.frame import Camera, ViewFrame
from gemini_det3d.visualization.page.frame_data import MAX_BOXES, frame_data
from gemini_det3d.visualization.page.html import render, render_page
from gemini_det3d.visualization.page.pictures import (
    Picture,
    PictureFrame,
    picture_data,
    render_pictures,
)
from gemini_det3d.visualization.page.quantize import Quantized, dequantize, quantize

__all__ = [
    "MAX_BOXES",
    "Camera",
    "Picture",
    "PictureFrame",
    "Quantized",
    "ViewFrame",
    "dequantize",
    "frame_data",
    "picture_data",
    "quantize",
    "render",
    "render_page",
    "render_pictures",
]
