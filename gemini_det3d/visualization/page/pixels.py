"""Pictures as data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np

_MAX_IMAGE_PX = 1600
_JPEG_QUALITY = 82


def jpeg_uri(image: np.ndarray) -> str:
    """A photograph as a JPEG; a large one gets fewer pixels.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((_MAX_IMAGE_PX, _MAX_IMAGE_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return _uri("jpeg", buffer.getvalue())


def png_uri(image: np.ndarray) -> str:
    """A drawing, every pixel as it is: ``(H, W, 3)`` uint8 RGB."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return _uri("png", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
