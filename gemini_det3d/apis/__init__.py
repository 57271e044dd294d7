"""The library behind the commands; each module is imported on its own."""

from gemini_det3d.moved import install

__all__: list = []

install()
