"""What a detector loses without its camera or LiDAR, and how much one reads of the other."""

__all__: list = []
