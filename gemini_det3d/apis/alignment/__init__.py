"""Whether augmented points, images and boxes agree; `gemini-det3d check-alignment`."""

__all__: list = []
