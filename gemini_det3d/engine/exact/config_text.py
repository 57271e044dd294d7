"""A config whose text is laid out once, not at the start, for each writer and each checkpoint."""

from __future__ import annotations

from mmengine.config import Config


class OnceFormattedConfig(Config):
    """mmengine's config; its text is made again only when what it holds has changed.

    Laying it out takes yapf about a second of processor time for a detector's config; mmengine asks
    for it four times at the start of a training, and again for every checkpoint.
    """

    @classmethod
    def of(cls, config: Config) -> OnceFormattedConfig:
        """The same config; what it holds is shared."""
        same = cls.__new__(cls)
        same.__dict__.update(config.__dict__)
        return same

    @property
    def pretty_text(self) -> str:
        """As mmengine's."""
        held = repr(self.to_dict())
        before, text = self.__dict__.get("_formatted", (None, ""))
        if held != before:
            text = super().pretty_text
            self.__dict__["_formatted"] = (held, text)
        return text
