"""What `prepare kitti` is made of: check, canonical files, splits, conversion, report."""

__all__: list = []
