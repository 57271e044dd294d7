"""What the project measures itself with; `gemini-det3d benchmark`, from a checkout."""

__all__ = ["BENCHMARKS"]

# Name -> (module of this package, help). Each has add_arguments and run, as a command.
BENCHMARKS = {
    "fusion": ("fusion.command", "the operator against its released form and its rivals"),
    "segmentation": ("segmentation", "a whole two-stream segmentor with and without fusion"),
    "launches": (
        "launches",
        "operator calls and waits of a config's training step, counted without a GPU",
    ),
    "detectors": ("detectors", "MVX-Net of mmdet3d and ours on the same real frames, in turns"),
    "data": ("data", "loading samples, step by step beside stock mmdet3d, and by workers"),
    "kitti-eval": ("kitti_eval", "KITTI evaluation of 3,769 frames"),
}
