"""The parts of ``gemini-det3d prepare segmentation``: checking a frame, and a report on the set."""

__all__: list = []
