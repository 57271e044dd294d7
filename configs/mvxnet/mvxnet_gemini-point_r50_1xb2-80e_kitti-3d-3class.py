# The same on one GPU. The batch shrinks from 16 to 2 and auto_scale_lr takes the learning rate with
# it, 0.003 -> 0.000375; unscaled, MVX-Net's loss becomes NaN on one GPU. The warm-up counts
# iterations, so it is eight times as many.
_base_ = ["mvxnet_gemini-point_r50_8xb2-80e_kitti-3d-3class.py"]

param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 8 * param_scheduler[0].end
