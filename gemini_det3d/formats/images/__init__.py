"""One decoder of image files, which is told what is wanted: a colour image, a sensor, labels.

What a file holds is never guessed from an array's shape: every kind of file (Pillow calls it the
mode) is handled or refused by name. All answers are upright: EXIF orientation is applied, so size,
crop, model and picture agree.
"""

from __future__ import annotations

from gemini_det3d.formats.images.labels import decode_labels
from gemini_det3d.formats.images.pixels import (
    ON_NON_FINITE,
    check_max_values,
    decode_color,
    decode_grey16,
    decode_sensor,
    read_image,
)
from gemini_det3d.formats.images.upright import (
    check_image_bytes,
    read_image_size,
    read_orientation,
)

__all__ = [
    "ON_NON_FINITE",
    "check_image_bytes",
    "check_max_values",
    "decode_color",
    "decode_grey16",
    "decode_labels",
    "decode_sensor",
    "read_image",
    "read_image_size",
    "read_orientation",
]
