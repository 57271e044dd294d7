"""What a camera sees, in Taskonomy's domains: colour, depth, normals, light, curvature, edges.

All are read off the same hits, so they agree pixel by pixel. Shape shorthand: H x W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gemini_det3d.formats.taskonomy import EDGE_SCALES, depth_to_raw
from gemini_det3d.worlds.camera import Camera, render_image, render_surfaces
from gemini_det3d.worlds.scene import Scene

VIEW_DOMAINS = (
    "rgb", "normal", "reshading", "depth_euclidean", "depth_zbuffer", "principal_curvature",
    "edge_occlusion", "edge_texture",
)  # fmt: skip
SMALLEST_PX = 8
# Curvature of a ball of this radius is drawn at three quarters of the range.
_RADIUS_M = 0.3
# Brightness step between neighbours that counts as the strongest edge.
_STRONGEST_STEP = 0.25


@dataclass(frozen=True)
class Viewpoint:
    """Where the camera stands and looks: a person's view.

    Attributes:
        size_px: Pixels of both sides.
        field_deg: Angle between the left and the right edge.
        height_m: Lowest and highest place of the camera.
        yaw_deg: Largest turn to either side.
        pitch_deg: Largest turn up and down.
        supersample: Rays per pixel and axis where the colour image has edges.
        noise: Standard deviation of the colour image's noise, shares of full white.
    """

    size_px: int = 256
    field_deg: float = 70.0
    height_m: tuple[float, float] = (1.3, 2.2)
    yaw_deg: float = 35.0
    pitch_deg: float = 8.0
    supersample: int = 2
    noise: float = 0.004

    def __post_init__(self) -> None:
        """Refuse views that cannot be."""
        if self.size_px < SMALLEST_PX or not 5 <= self.field_deg <= 150:
            raise ValueError(f"size_px={self.size_px} must be {SMALLEST_PX} or more, field_deg="
                             f"{self.field_deg} 5 to 150")  # fmt: skip
        if not 0 <= self.noise < math.inf:  # NaN is neither
            raise ValueError(f"noise={self.noise} must be 0 or more")


def sample_camera(
    rng: np.random.Generator, view: Viewpoint, facing_deg: float = 0.0, down_deg: float = 0.0
) -> Camera:
    """Draw a camera over the world's origin.

    Args:
        rng: Decides height and directions.
        view: What to draw from.
        facing_deg: Where turns to either side are counted from, from +x towards +y.
        down_deg: Where turns up and down are counted from.
    """
    yaw = np.radians(facing_deg + rng.uniform(-view.yaw_deg, view.yaw_deg))
    pitch = np.radians(down_deg + rng.uniform(-view.pitch_deg, view.pitch_deg))
    front = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(front, right)
    focal = view.size_px / 2 / np.tan(np.radians(view.field_deg) / 2)
    middle = (view.size_px - 1) / 2
    inner = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
    matrix = inner @ np.stack([right, down, front])
    place = np.array([0.0, 0.0, rng.uniform(*view.height_m)])
    return Camera(
        world2img=np.column_stack([matrix, -matrix @ place]),
        width=view.size_px,
        height=view.size_px,
        supersample=view.supersample,
        noise=view.noise,
    )


def render_view(scene: Scene, camera: Camera, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """All domains of one view, as Taskonomy stores them.

    Returns:
        Arrays by domain: depths and edges ``(H, W)`` uint16, the others ``(H, W, 3)`` uint8.
        Normals are right, up and towards the camera in red, green and blue; the sky has none and
        is grey.
    """
    surfaces = render_surfaces(scene, camera)
    size = (camera.height, camera.width)
    rays = camera.rays(camera.pixel_grid()).reshape(*size, 3)
    lengths = np.linalg.norm(rays, axis=-1)
    rgb = render_image(scene, camera, rng)
    seen = np.isfinite(surfaces.depth)
    facing = -np.einsum("hwi,hwi->hw", surfaces.normal, rays / lengths[..., None])
    points = camera.center + np.where(seen, surfaces.depth, 0.0)[..., None] * rays
    return {
        "rgb": rgb,
        "normal": _signed_bytes(surfaces.normal @ _camera_turn(camera).T),
        "reshading": _grey(np.clip(facing, 0, 1)),
        "depth_euclidean": depth_to_raw(surfaces.depth * lengths),
        "depth_zbuffer": depth_to_raw(surfaces.depth),
        "principal_curvature": _curvature_picture(points, surfaces.normal, seen),
        "edge_occlusion": _raw_edge(occlusion_edges(surfaces.depth), "edge_occlusion"),
        "edge_texture": _raw_edge(texture_edges(rgb), "edge_texture"),
    }


def occlusion_edges(depth: np.ndarray) -> np.ndarray:
    """How much the depth jumps at each pixel.

    Inverse depth is linear over a plane in the image, however slanted the plane is, so its second
    difference, as a share of the largest inverse depth around, is 0 on planes, small at creases and
    close to 1 where something near ends before something far.

    Args:
        depth: ``(H, W)`` along the optical axis; infinity is the sky.

    Returns:
        ``(H, W)``, 0 to 1.
    """
    near = np.where(np.isfinite(depth), 1.0 / np.maximum(depth, 1e-6), 0.0)
    strength = np.zeros_like(near)
    for axis in (0, 1):
        here = np.moveaxis(near, axis, 0)
        before, after = here[:-2], here[2:]
        most = np.maximum(np.maximum(before, after), here[1:-1])
        bend = np.abs(before - 2 * here[1:-1] + after) / np.maximum(most, 1e-9)
        inner = np.moveaxis(strength, axis, 0)[1:-1]
        np.maximum(inner, np.minimum(bend, 1.0), out=inner)
    return strength


def texture_edges(rgb: np.ndarray) -> np.ndarray:
    """Steps of brightness, after a slight blur.

    Args:
        rgb: ``(H, W, 3)`` uint8.

    Returns:
        ``(H, W)``, 0 to 1.
    """
    grey = np.pad(rgb.mean(axis=2) / 255.0, 2, mode="edge")
    grey = (grey[:-2] + 2 * grey[1:-1] + grey[2:]) / 4
    grey = (grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]) / 4
    across, down = grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1]
    return np.minimum(np.hypot(across, down) / 2 / _STRONGEST_STEP, 1.0)


def principal_curvatures(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Largest and smallest curvature of the surface that each pixel sees, from its neighbours.

    Eigenvalues of the shape operator ``I^-1 II`` of the two fundamental forms, with differences
    between the pixels beside and below.

    Args:
        points: ``(H, W, 3)`` metres.
        normals: ``(H, W, 3)`` outward, unit length.

    Returns:
        ``(H, W, 2)`` in 1/m, the larger first; a ball of radius r seen from outside has 1/r twice.
    """
    du, dv = np.gradient(points, axis=1), np.gradient(points, axis=0)
    nu, nv = np.gradient(normals, axis=1), np.gradient(normals, axis=0)

    def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("hwi,hwi->hw", a, b)

    e, f, g = dot(du, du), dot(du, dv), dot(dv, dv)
    ll, nn = dot(nu, du), dot(nv, dv)
    mm = (dot(nu, dv) + dot(nv, du)) / 2
    area = np.maximum(e * g - f * f, 1e-12)
    mean = (e * nn - 2 * f * mm + g * ll) / (2 * area)
    gauss = (ll * nn - mm * mm) / area
    spread = np.sqrt(np.maximum(mean * mean - gauss, 0.0))
    return np.stack([mean + spread, mean - spread], axis=-1)


def _curvature_picture(points: np.ndarray, normals: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Both curvatures in red and green; the sky and its border are flat."""
    curvature = principal_curvatures(points, normals)
    whole = seen.copy()
    whole[1:] &= seen[:-1]
    whole[:-1] &= seen[1:]
    whole[:, 1:] &= seen[:, :-1]
    whole[:, :-1] &= seen[:, 1:]
    curvature[~whole] = 0.0
    flat = np.zeros((*seen.shape, 1))
    return _signed_bytes(np.concatenate([np.tanh(curvature * _RADIUS_M), flat], axis=-1))


def _camera_turn(camera: Camera) -> np.ndarray:
    """``(3, 3)`` world -> right, up, towards the camera."""
    rows = camera.world2img[:, :3]
    front = rows[2] / np.linalg.norm(rows[2])
    right = rows[0] - (rows[0] @ front) * front
    right /= np.linalg.norm(right)
    return np.stack([right, -np.cross(front, right), -front])


def _signed_bytes(values: np.ndarray) -> np.ndarray:
    """-1 to 1 -> 0 to 255."""
    return np.round((np.clip(values, -1, 1) + 1) * 127.5).astype(np.uint8)


def _grey(values: np.ndarray) -> np.ndarray:
    """0 to 1 -> grey picture."""
    return np.repeat(np.round(values * 255).astype(np.uint8)[..., None], 3, axis=2)


def _raw_edge(strength: np.ndarray, domain: str) -> np.ndarray:
    return np.round(strength * EDGE_SCALES[domain]).astype(np.uint16)
