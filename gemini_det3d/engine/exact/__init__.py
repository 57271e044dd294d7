"""Trainings that can be killed at any instant and go on exactly; one word in a config.

``runner_type = "ExactRunner"``: importing this package registers the runner and its parts.
"""

from gemini_det3d.engine.exact.bad_samples import BadSampleHook
from gemini_det3d.engine.exact.batches import ExactBatchSampler
from gemini_det3d.engine.exact.checkpoint_files import newest_whole_checkpoint
from gemini_det3d.engine.exact.checkpoint_hook import WholeCheckpointHook
from gemini_det3d.engine.exact.dataset import SeededDataset
from gemini_det3d.engine.exact.loops import ExactEpochLoop, ExactIterLoop
from gemini_det3d.engine.exact.runner import ExactRunner
from gemini_det3d.engine.exact.seeding import SampleKey, seed_process
from gemini_det3d.engine.exact.state_hook import ExactStateHook

__all__ = [
    "BadSampleHook",
    "ExactBatchSampler",
    "ExactEpochLoop",
    "ExactIterLoop",
    "ExactRunner",
    "ExactStateHook",
    "SampleKey",
    "SeededDataset",
    "WholeCheckpointHook",
    "newest_whole_checkpoint",
    "seed_process",
]
