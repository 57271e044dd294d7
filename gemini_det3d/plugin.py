"""The one import that a config names; it registers everything, once or again.

``custom_imports = dict(imports=["gemini_det3d.plugin"], allow_failed_imports=False)``
"""

import gemini_det3d.datasets.segmentation
import gemini_det3d.datasets.taskonomy
import gemini_det3d.datasets.transforms
import gemini_det3d.engine.freeze_norm
import gemini_det3d.engine.module_optimizers
import gemini_det3d.engine.pretrained_streams
import gemini_det3d.engine.sample_pictures
import gemini_det3d.engine.staged
import gemini_det3d.evaluation.extractors
import gemini_det3d.evaluation.metrics
import gemini_det3d.models  # noqa: F401

__all__: list = []
