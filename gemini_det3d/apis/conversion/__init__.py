"""Checkpoints from elsewhere -> ours: renaming and checking."""

__all__: list = []
