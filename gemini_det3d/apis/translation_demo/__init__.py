"""Parts of the translation demo: its trainings, and what it shows of them."""

__all__: list = []
