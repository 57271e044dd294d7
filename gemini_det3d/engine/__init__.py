"""What surrounds training: hooks and processes. Importing this package starts nothing."""

__all__: list = []
