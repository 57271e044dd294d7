"""Whether augmented points, images and boxes agree; `gemini-det3d check-alignment`."""

from .agreement import Agreement, Verdict, agreement_of, judge
from .samples import AugmentedSample, augmented_samples

__all__ = [
    "Agreement",
    "AugmentedSample",
    "Verdict",
    "agreement_of",
    "augmented_samples",
    "judge",
]
