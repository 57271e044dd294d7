from __future__ import annotations

import numpy as np

from gemini_det3d.datasets.segmentation_sets import DELIVER_CLASSES, NYUDV2_CLASSES
from gemini_det3d.visualization import class_palette, color_labels, draw_label_panel


def test_classes_have_different_colours_and_unlabelled_is_black():
    for classes in (DELIVER_CLASSES, NYUDV2_CLASSES):
        palette = class_palette(classes)
        assert len({tuple(color) for color in palette[: len(classes)]}) == len(classes)
        assert palette[255].tolist() == [0, 0, 0]


def test_panel_holds_every_picture_at_its_place():
    palette = class_palette(DELIVER_CLASSES)
    row = {name: color_labels(np.full((5, 7), k), palette) for k, name in enumerate("abc")}
    panel = draw_label_panel([row, row], scale=2)
    assert panel.shape == (16 + 2 * 10 + 2, 3 * 14 + 2 * 2, 3)
    assert (panel[16:26, 16:30] == palette[1]).all()
    assert (panel[28:, 32:] == palette[2]).all()
