"""One self-contained HTML page: clouds, images and boxes of frames, linked, without a server."""

from __future__ import annotations

from gemini_det3d.visualization.page.frame_data import ViewFrame, frame_data
from gemini_det3d.visualization.page.html import embed_json, render_page
from gemini_det3d.visualization.page.quantize import Quantized, dequantize, quantize

__all__ = [
    "Quantized",
    "ViewFrame",
    "dequantize",
    "embed_json",
    "frame_data",
    "quantize",
    "render_page",
]
