"""The one import that a config names; harmless the second time.

``custom_imports = dict(imports=["gemini_det3d.plugin"], allow_failed_imports=False)``

It registers everything, admits OpenMMLab's checkpoints to ``torch.load(weights_only=True)``, gives
mmengine readers of checkpoints, pickles and YAML that run no code, lets processes that torchrun
started without CUDA find each other, and mmdet3d's own sparse encoders train without CUDA.
"""

# ruff: noqa: E402
from gemini_det3d import stack
from gemini_det3d.ops.mmcv_ext import health

stack.require()
health.require()  # before mmdet3d imports mmcv's ops
stack.require_loading()

import gemini_det3d.datasets.detection
import gemini_det3d.datasets.segmentation
import gemini_det3d.datasets.taskonomy
import gemini_det3d.datasets.transforms
import gemini_det3d.engine.checkpoint_loading
import gemini_det3d.engine.exact
import gemini_det3d.engine.finite_loss
import gemini_det3d.engine.first_batch
import gemini_det3d.engine.flat_decay
import gemini_det3d.engine.freeze_norm
import gemini_det3d.engine.module_optimizers
import gemini_det3d.engine.pretrained_streams
import gemini_det3d.engine.robust_training
import gemini_det3d.engine.run_checks
import gemini_det3d.engine.sample_pictures
import gemini_det3d.engine.seed_by_name
import gemini_det3d.engine.staged
import gemini_det3d.engine.tf32
import gemini_det3d.evaluation.extractors
import gemini_det3d.evaluation.metrics
import gemini_det3d.models  # noqa: F401
from gemini_det3d.engine.checkpoint_loading import use_our_reader
from gemini_det3d.engine.plain_files import use_plain_files
from gemini_det3d.engine.process_group import join_cpu_group
from gemini_det3d.engine.safe_globals import admit_openmmlab_checkpoints
from gemini_det3d.ops import enable_spconv_on_cpu

__all__: list = []

admit_openmmlab_checkpoints()
use_our_reader()
use_plain_files()
join_cpu_group()
enable_spconv_on_cpu()
