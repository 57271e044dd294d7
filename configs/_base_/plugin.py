# What every config of this plug-in needs: its registration, processes that also start without CUDA
# (torchrun on CPU), and checkpoints that load without running code. The wrapper leaves the choice
# of the device to the model.
custom_imports = dict(
    imports=[
        "gemini_det3d.plugin",
        "gemini_det3d.engine.process_group",
        "gemini_det3d.engine.safe_globals",
    ],
    allow_failed_imports=False,
)
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)
