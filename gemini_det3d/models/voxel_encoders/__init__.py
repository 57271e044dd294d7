"""Point-to-voxel encoders."""

from .dynamic_fusion import GeminiDynamicVFE

__all__ = ["GeminiDynamicVFE"]
