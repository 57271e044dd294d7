"""Image-to-image translation: generator, discriminator, and the model that trains both."""

from .discriminator import MiTPatchDiscriminator
from .generator import MiTGenerator
from .preprocessor import TranslationPreprocessor
from .translator import GeminiTranslator

__all__ = [
    "GeminiTranslator",
    "MiTGenerator",
    "MiTPatchDiscriminator",
    "TranslationPreprocessor",
]
