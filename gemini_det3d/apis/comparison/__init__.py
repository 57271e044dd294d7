"""Variants of a config, trained and tested alike, in one table; `gemini-det3d compare`."""

__all__: list = []
