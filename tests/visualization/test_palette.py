"""Colours of classes stay apart, for readers without red or green cones, too."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from gemini_det3d.datasets.segmentation_sets import NYUDV2_CLASSES, SUNRGBD_CLASSES
from gemini_det3d.visualization import class_color, class_palette
from gemini_det3d.visualization.palette import BACKGROUND, TRUTH_COLOR, class_colors

KITTI = "Car Pedestrian Cyclist Van Truck Person_sitting Tram Misc DontCare"
NUSCENES = (
    "car truck trailer bus construction_vehicle bicycle motorcycle pedestrian traffic_cone barrier"
)
ROOMS = "bed table sofa chair toilet desk dresser night_stand bookshelf bathtub"
OWN = "forklift pallet crate worker shelf door lamp cart robot drum"
# On linear RGB (Machado, Oliveira and Fernandes, IEEE TVCG 2009, severity 1).
SIGHTS = {
    "full": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}


def rgb(colors) -> np.ndarray:
    return np.array([list(bytes.fromhex(color[1:])) for color in colors]) / 255


def linear(colors: np.ndarray) -> np.ndarray:
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def least_distance(colors: np.ndarray, sight: str) -> float:
    """CIEDE2000 of the two most alike, as that sight has them."""
    seen = np.clip(linear(colors) @ np.transpose(SIGHTS[sight]), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen[None])[0]
    first, second = np.triu_indices(len(lab), 1)
    return float(deltaE_ciede2000(lab[first], lab[second]).min())


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("names", [KITTI, NUSCENES, ROOMS, OWN])
def test_ten_classes_and_the_truth_s_white_are_told_apart(names, sight):
    colors = [*class_colors(names.split()).values(), TRUTH_COLOR]
    assert least_distance(rgb(colors), sight) > 15


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("names", [NYUDV2_CLASSES, SUNRGBD_CLASSES])
def test_forty_labels_are_told_apart(names, sight):
    assert least_distance(class_palette(names)[: len(names)] / 255, sight) > 7.5


def test_every_colour_stands_out_from_the_dark_ground_three_to_one():
    weights = [0.2126, 0.7152, 0.0722]
    colors = linear(rgb(class_colors(OWN.split()).values())) @ weights
    assert ((colors + 0.05) / (linear(rgb([BACKGROUND])) @ weights + 0.05)).min() >= 3


def test_class_alone_has_the_colour_it_has_among_those_that_are_known():
    assert class_colors(["Car", "forklift"])["Car"] == class_color("Car")
    assert class_colors(["forklift"])["forklift"] == class_color("forklift")


def test_more_classes_than_colours_share_them():
    assert len(set(class_colors([f"class {n}" for n in range(23)]).values())) == 10
