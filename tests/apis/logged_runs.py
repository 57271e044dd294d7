"""Work directories as mmengine leaves them, with what a test wants in the log."""

from __future__ import annotations

import json

LOG = """2026/01/01 00:00:00 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    Python: 3.11.7 (main)
    PyTorch: 2.13.0+cpu
Runtime environment:
    seed: 41
    GPU number: 2
------------------------------------------------------------
2026/01/01 00:00:00 - mmengine - INFO - Config:
    Python: of the config
"""


def train_line(step, loss, per_epoch=2, **more) -> dict:
    times = {"lr": 0.01, "data_time": 0.1, "time": 0.5, "grad_norm": 3.0, "memory": 70}
    return {**times, "loss": loss, "loss_cls": loss / 2, "epoch": 1 + (step - 1) // per_epoch,
            "iter": step, "step": step, **more}  # fmt: skip


def make_run(folder, lines, stamp="20260101_000000", test=None, config="", tail=""):
    data = folder / stamp / "vis_data"
    data.mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (data / "scalars.json").write_text(text + tail)
    config = config or "train_cfg = dict(max_epochs=2)\ntrain_dataloader = dict(batch_size=4)\n"
    (data / "config.py").write_text(config)
    (folder / stamp / f"{stamp}.log").write_text(LOG)
    if test is not None:
        (folder / stamp / f"{stamp}.json").write_text(json.dumps(test))
    return folder


LINES = [train_line(1, 4.0), train_line(2, 3.0), {"mAP": 10.0, "time": 1.0, "step": 1},
         train_line(3, 2.0), train_line(4, 1.0), {"mAP": 30.0, "time": 1.0, "step": 2}]  # fmt: skip
