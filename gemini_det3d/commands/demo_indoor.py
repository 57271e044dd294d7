"""The whole pass in synthetic rooms: points alone against points and colour.

Tables and desks, and dressers and night stands, share their shapes and differ in colour, so the
image is worth what it adds there. Training and testing are mmdet3d's own scripts; the two
detectors train side by side, each on half of the cores. Each step that is done is left alone when
the demo is started again, and training goes on where it was cut off.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.demo_pass import (
    NUM_PICTURES,
    SHOWN,
    DemoPass,
    add_size_arguments,
    load_config,
)
from gemini_det3d.apis.machine import num_cores
from gemini_det3d.apis.reports.detection import room_precision
from gemini_det3d.apis.runs import Run, declare, run_or_fail
from gemini_det3d.formats.tables import markdown_table, text_table
from gemini_det3d.visualization.report import Pictures, Table

CONFIGS = {
    "points": "votenet_1xb4-toy_rooms-6class",
    "points + image": "votenet_gemini-point_r18_1xb4-toy_rooms-6class",
}
FUSED = "points + image"
CLASSES = ("bed", "chair", "table", "desk", "dresser", "night_stand")
_FREEZE_AT = 5 / 6  # share of the epochs after which statistics are frozen, as in the configs
EPILOG = """\
Writes summary.json (metrics, seconds, versions, seed), table.md, pictures, the detections as
text files and report.html, a page of all of it, into --work-dir."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    add_size_arguments(parser, "rooms", "work_dirs/demo_indoor", train=200, val=50, epochs=24)


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the table."""
    demo = DemoPass(args)
    runs = declare_runs(args, demo.work_dir)  # first: a wrong option is told before any work
    demo.step("rooms", make_data, args)
    demo.step("training and test", run_or_fail, runs)
    evaluations = evaluate(args.data, demo.work_dir)
    drawn = demo.step("pictures", draw, args.data, demo.work_dir)
    figures = {name: e.result.as_dict() for name, e in evaluations.items()}
    sections = [Table("Average precision", *cells(figures)),
                room_precision(evaluations), Pictures("Pictures", drawn)]  # fmt: skip
    base = next(iter(CONFIGS.values()))
    return demo.finish(figures, table(figures, markdown=True), table(figures), sections, base)


def make_data(args: argparse.Namespace) -> None:
    """Write the rooms and mmdet3d's info files; what exists is kept.

    Raises:
        ConfigError: The check found faults; they are printed before.
    """
    from gemini_det3d.apis.sunrgbd.prepare import RoomOptions, prepare_sunrgbd
    from gemini_det3d.worlds import make_rooms

    workers = num_cores()
    make_rooms(args.data, args.train, args.val, args.seed, preset="toy", workers=workers)
    if prepare_sunrgbd(RoomOptions(root=args.data, workers=workers)):
        raise ConfigError(f"{args.data}: the rooms have errors; they are listed above")


def folder_of(work_dir: Path, name: str) -> Path:
    """Where one detector's files go."""
    return work_dir / name.replace(" + ", "_")


def declare_runs(args: argparse.Namespace, work_dir: Path) -> list[Run]:
    """Both detectors on the demo's rooms."""
    runs = []
    for name, base in CONFIGS.items():
        folder = folder_of(work_dir, name)
        config = load_config(base, args.data, args.seed, args.epochs)
        for evaluator in (config.val_evaluator, config.test_evaluator):
            evaluator.txt_dir = str(folder / "detections")
        config.default_hooks.freeze_norm.begin = int(config.train_cfg.max_epochs * _FREEZE_AT)
        runs.append(declare(name, config, folder))
    return runs


def evaluate(data: Path, work_dir: Path) -> dict[str, Any]:
    """The figures of the written result files, as ``gemini-det3d eval-sunrgbd`` computes them."""
    from gemini_det3d.apis.sunrgbd.evaluate import evaluate_room_files

    truth = data / "sunrgbd_infos_val.pkl"
    return {
        name: evaluate_room_files(folder_of(work_dir, name) / "detections", truth, CLASSES)
        for name in CONFIGS
    }


def table(figures: Mapping[str, Mapping[str, float]], markdown: bool = False) -> str:
    """AP by class, detector beside detector, and the means."""
    head, rows = cells(figures)
    return markdown_table(head, rows) if markdown else text_table(head, rows)


def cells(figures: Mapping[str, Mapping[str, float]]) -> tuple[list[str], list[list[str]]]:
    """Names and rows of that table."""
    columns = [(name, overlap) for overlap in ("0.25", "0.50") for name in figures]
    head = ["AP", *(f"{name} @{overlap}" for name, overlap in columns)]
    rows = []
    for label in (*CLASSES, "mean"):
        keys = {o: f"mAP_{o}" if label == "mean" else f"{label}_AP_{o}" for _, o in columns}
        rows.append([label, *(f"{figures[name][keys[o]]:.1f}" for name, o in columns)])
    return head, rows


def draw(data: Path, work_dir: Path) -> list[Path]:
    """Pictures of a few test rooms with truth and the fused detector's boxes."""
    import numpy as np

    from gemini_det3d.formats.kitti import read_image, read_points
    from gemini_det3d.formats.sunrgbd import SunInfos, read_results
    from gemini_det3d.visualization import draw_room_panel, save_png

    infos, drawn = SunInfos(data / "sunrgbd_infos_val.pkl"), []
    for frame in infos.frames[:NUM_PICTURES]:
        found = read_results(folder_of(work_dir, FUSED) / "detections" / f"{frame}.txt")
        shown = np.ones(len(found)) if found.scores is None else found.scores
        panel = draw_room_panel(
            read_image(data / "sunrgbd_trainval" / "image" / infos.image_name(frame)),
            read_points(data / "points" / f"{frame}.bin", num_features=6),
            infos.depth2img(frame),
            found.select(shown >= SHOWN),
            infos.objects(frame),
        )
        drawn.append(work_dir / "pictures" / f"{frame}.png")
        save_png(drawn[-1], panel)
    return drawn
