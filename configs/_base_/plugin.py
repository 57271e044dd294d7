# What every config of this plug-in needs. The wrapper leaves the choice of the device to the model,
# so that several processes also train on a CPU.
custom_imports = dict(imports=["gemini_det3d.plugin"], allow_failed_imports=False)
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)
# Interrupted trainings go on with --resume, on a CPU bit by bit: docs/guide/training.md.
runner_type = "ExactRunner"
