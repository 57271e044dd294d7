"""The parts of ``gemini-det3d prepare sunrgbd``: where frames come from, and checking one."""

__all__: list = []
