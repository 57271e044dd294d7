"""Colours that stay apart for colour-blind readers, on a photograph and on a dark ground.

The hues are those of Okabe and Ito ("Color Universal Design", 2008); the two darkest are
lightened because thin lines of them vanish on asphalt.
"""

from __future__ import annotations

_CLASS_COLORS = {
    "Car": "#56B4E9",
    "Pedestrian": "#F5A300",
    "Cyclist": "#2FD6A3",
    "Van": "#4F8CF0",
    "Truck": "#E58AC0",
    "Person_sitting": "#F7C56B",
    "Tram": "#F0E442",
    "Misc": "#FF7B39",
    "DontCare": "#8A949E",
    "bed": "#E58AC0",
    "table": "#F5A300",
    "sofa": "#F0E442",
    "chair": "#2FD6A3",
    "toilet": "#8A949E",
    "desk": "#56B4E9",
    "dresser": "#4F8CF0",
    "night_stand": "#FF7B39",
    "bookshelf": "#F7C56B",
    "bathtub": "#A9C0D2",
}
_OTHER_COLORS = ("#E58AC0", "#F0E442", "#FF7B39", "#4F8CF0", "#2FD6A3", "#F5A300", "#56B4E9")

TRUTH_COLOR = "#FFFFFF"
BACKGROUND = "#12161C"
GRID_COLOR = "#39434F"
TEXT_COLOR = "#C9D3DC"
# Points in the view from above, from low to high: they stay behind the boxes.
HEIGHT_RAMP = ("#37475A", "#5F7A94", "#A9C0D2", "#F2F6F9")

# Lines of charts: the same hues at three times the ground's luminance or more, on either ground.
SERIES_ON_DARK = ("#56B4E9", "#F5A300", "#2FD6A3", "#E58AC0", "#F0E442", "#FF7B39", "#A9C0D2")
SERIES_ON_LIGHT = ("#0072B2", "#B36B00", "#007A5A", "#B0508A", "#807300", "#C44A00", "#5F7A94")


def class_color(name: str) -> str:
    """The colour of a class, the same in every picture and process.

    Args:
        name: Class name; one that is not KITTI's gets one of seven colours by its letters.

    Returns:
        ``#RRGGBB``.
    """
    if name in _CLASS_COLORS:
        return _CLASS_COLORS[name]
    return _OTHER_COLORS[sum(name.encode("utf-8")) % len(_OTHER_COLORS)]
