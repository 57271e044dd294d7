"""Named settings of the synthetic KITTI: what the scenes hold and what the sensors can see."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from gemini_det3d.worlds.guises import LIVERIES
from gemini_det3d.worlds.lidar import Scanner
from gemini_det3d.worlds.street import Street

# Size of KITTI's colour images, pixels; the calibration below is made for it.
KITTI_WIDTH = 1242


@dataclass(frozen=True)
class KittiWorld:
    """Everything but the seed that decides what the files hold.

    Attributes:
        street: What scenes are like.
        scanner: The LiDAR.
        image_width: Pixels. KITTI has 1242; P2 is scaled along.
        image_height: Pixels. The principal point stays where KITTI has it, from the top.
        supersample: Rays per pixel and axis of the image.
        image_noise: Standard deviation, shares of full white.
        min_height_px: 2D boxes lower than this at KITTI's width become ``DontCare``; 25 px is
            the least that KITTI's moderate difficulty counts.
    """

    street: Street = field(default_factory=Street)
    scanner: Scanner = field(default_factory=Scanner)
    image_width: int = 624
    image_height: int = 192
    supersample: int = 2
    image_noise: float = 0.008
    min_height_px: float = 25.0

    def __post_init__(self) -> None:
        """Refuse images that cannot be."""
        for name in ("image_width", "image_height", "supersample"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 1 or more")
        if not 0 <= self.image_noise < math.inf:  # NaN is neither
            raise ValueError(f"image_noise={self.image_noise} must be 0 or more")

    @property
    def image_scale(self) -> float:
        """Size of the image relative to KITTI's."""
        return self.image_width / KITTI_WIDTH


# Three classes that only a camera can tell apart, near by: half of KITTI's image size keeps them
# above the 25 px that its moderate difficulty asks for, half the beams keep them cheap.
_LOOK_ALIKES = KittiWorld(
    street=Street(
        num_objects=(4, 7),
        num_clutter=(1, 3),
        distance_m=(6.5, 18.0),
        field_deg=70.0,
        shares=tuple((name, 1.0) for name in LIVERIES),
        decoy_share=0.0,
        look_alikes=True,
    ),
    scanner=Scanner(num_beams=32, num_azimuths=200, range_m=24.0),
    image_width=621,
    image_height=188,
    supersample=1,
)
PRESETS: dict[str, KittiWorld] = {
    # KITTI's image size, so that its difficulties (25 px and more) mean what they mean there, one
    # ray a pixel; the front quarter of a sweep, up to 50 m: cheap, and rich enough to learn.
    "toy": KittiWorld(image_width=1242, image_height=375, supersample=1),
    "look-alikes": _LOOK_ALIKES,
    # The same, harder: two reds and a pattern, twice as far, small in an image of KITTI's size.
    "look-alikes-hard": replace(
        _LOOK_ALIKES,
        street=replace(
            _LOOK_ALIKES.street,
            num_objects=(5, 9),
            num_clutter=(2, 5),
            distance_m=(8.0, 38.0),
            close_paints=True,
        ),
        scanner=Scanner(num_beams=64, num_azimuths=400, range_m=44.0),
        image_width=1242,
        image_height=375,
    ),
    # KITTI's image size, whole sweeps, KITTI's range.
    "kitti": KittiWorld(
        street=replace(
            Street(), num_objects=(10, 18), num_clutter=(14, 26), distance_m=(6.0, 62.0)
        ),
        scanner=Scanner(num_azimuths=2083, field_deg=360.0, range_m=100.0),
        image_width=1242,
        image_height=375,
    ),
}


def get_preset(name: str) -> KittiWorld:
    """Look up a preset.

    Raises:
        ValueError: There is no such preset; the message names those that exist.
    """
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
