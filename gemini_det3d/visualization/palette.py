"""Colours that stay apart for colour-blind readers, on a photograph and on a dark ground.

The first hues are those of Okabe and Ito ("Color Universal Design", 2008), lightened because thin
lines of the darkest vanish on asphalt. The others are the colours farthest from these, from each
other and from the truth's white (CIEDE2000) as seen with full vision and without red or green cones
(Machado et al., 2009), at three times the ground's luminance or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_SKY, _ORANGE, _GREEN, _BLUE, _YELLOW = "#56B4E9", "#F5A300", "#2FD6A3", "#2E74FF", "#FFFF8B"
_ROSE, _TAN, _MOSS, _VIOLET, _SLATE = "#8B5D5D", "#A28B5D", "#2E7400", "#745D8B", "#748B8B"
_COLORS = (_ROSE, _YELLOW, _MOSS, _BLUE, _GREEN, _ORANGE, _SKY, _TAN, _VIOLET, _SLATE)
_CLASS_COLORS = {
    # KITTI
    "Car": _SKY, "Pedestrian": _ORANGE, "Cyclist": _GREEN, "Van": _BLUE, "Truck": _ROSE,
    "Person_sitting": _TAN, "Tram": _YELLOW, "Misc": _VIOLET, "DontCare": _SLATE,
    # nuScenes
    "car": _SKY, "pedestrian": _ORANGE, "bicycle": _GREEN, "trailer": _BLUE, "truck": _ROSE,
    "construction_vehicle": _TAN, "bus": _YELLOW, "motorcycle": _MOSS, "traffic_cone": _VIOLET,
    "barrier": _SLATE,
    # SUN RGB-D
    "desk": _SKY, "table": _ORANGE, "chair": _GREEN, "dresser": _BLUE, "bed": _ROSE,
    "bookshelf": _TAN, "sofa": _YELLOW, "night_stand": _MOSS, "toilet": _VIOLET,
    "bathtub": _SLATE,
}  # fmt: skip
# Of areas, by label: found as those above, without a ground; each beginning is far apart.
LABEL_COLORS = (
    "#46D1FF", "#740000", "#FFFF17", "#0000B9", "#00A274", "#B9E8D1", "#7474B9", "#5D5D5D",
    "#E81700", "#74A2A2", "#5D172E", "#2E2E5D", "#A2B974", "#4600FF", "#74B900", "#D1E8FF",
    "#74B9A2", "#5D745D", "#74A2FF", "#2E748B", "#A2FF8B", "#748B46", "#5D465D", "#E8D12E",
    "#E8FFD1", "#FFFFFF", "#A25DFF", "#D1D1A2", "#B9D1D1", "#2E5DD1", "#742E8B", "#2E8B8B",
    "#A2B9D1", "#A28BB9", "#D18B8B", "#742E2E", "#747417", "#A24646", "#8B2E00", "#E8008B",
)  # fmt: skip

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
        name: Class name; one of no data set known here gets one of ten colours by its letters.

    Returns:
        ``#RRGGBB``.
    """
    return class_colors([name])[name]


def class_colors(names: Iterable[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Colours of classes that are shown together: up to ten of them are never alike.

    Args:
        names: Class names; those of no data set known here take what the others leave.
        given: Colours of classes that have theirs, as of a model's: these stay, and other names
            take what they leave.

    Returns:
        Of the names, name to ``#RRGGBB``, in alphabetical order.
    """
    names, colors = sorted(set(names)), dict(given or {})
    for name in sorted(names, key=lambda name: (name not in _CLASS_COLORS, name)):
        if name not in colors:
            free = [color for color in _COLORS if color not in colors.values()] or _COLORS
            own = _CLASS_COLORS.get(name)
            colors[name] = own if own in free else free[sum(name.encode("utf-8")) % len(free)]
    return {name: colors[name] for name in names}
