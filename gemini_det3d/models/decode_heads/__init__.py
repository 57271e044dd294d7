"""Heads that turn an encoder's maps into logits per pixel."""

from .mlp_head import SegFormerMLPHead

__all__ = ["SegFormerMLPHead"]
