"""Pictures from arrays, without a display: boxes and points on images, and seen from above.

Everything is drawn by matplotlib's Agg canvas into an ``(H, W, 3)`` uint8 RGB array; nothing
touches pyplot or its global state, so pictures may be drawn in workers and next to a notebook.
"""

from __future__ import annotations

from gemini_det3d.visualization.bev import draw_bev, fit_range
from gemini_det3d.visualization.canvas import save_png
from gemini_det3d.visualization.image import draw_boxes_on_image, draw_points_on_image
from gemini_det3d.visualization.image_grid import draw_image_grid
from gemini_det3d.visualization.labeled_boxes import LabeledBoxes
from gemini_det3d.visualization.palette import class_color, class_colors
from gemini_det3d.visualization.panel import draw_detection_panel, draw_surround_panel
from gemini_det3d.visualization.rooms import draw_room_panel
from gemini_det3d.visualization.segmentation import class_palette, color_labels, draw_label_panel

__all__ = [
    "LabeledBoxes",
    "class_color",
    "class_colors",
    "class_palette",
    "color_labels",
    "draw_bev",
    "draw_boxes_on_image",
    "draw_detection_panel",
    "draw_image_grid",
    "draw_label_panel",
    "draw_points_on_image",
    "draw_room_panel",
    "draw_surround_panel",
    "fit_range",
    "save_png",
]
