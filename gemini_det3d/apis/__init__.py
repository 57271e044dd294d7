"""What the commands and notebooks call; each module is imported on its own."""

__all__: list = []
