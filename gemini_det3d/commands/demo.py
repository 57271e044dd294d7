"""The whole pass on a synthetic world: scenes, conversion, training, test, table, pictures.

Every step is what a user would run by hand; training and testing are mmdet3d's own scripts. Each
step that is done is left alone when the demo is started again, and training goes on where it was
cut off.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.demo_pass import (
    NUM_PICTURES,
    SHOWN,
    DemoPass,
    add_size_arguments,
    load_config,
)
from gemini_det3d.apis.machine import num_cores
from gemini_det3d.apis.runs import Run, declare, run_or_fail
from gemini_det3d.visualization.report import Pictures, Section

CONFIG = "mvxnet_gemini-point_r18_1xb2-toy_scenes-3class"
CLASSES = ("Pedestrian", "Cyclist", "Car")
RANGE_M = (0, -20, 45, 20)  # what the pictures show from above
EPILOG = """\
Writes summary.json (metrics, seconds, versions, seed), table.md, pictures, the detections as
KITTI text files and report.html, a page of all of it, into --work-dir."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and places; the defaults are the demo."""
    parser.add_argument("--config", default=CONFIG, help="a config, by path or name")
    add_size_arguments(parser, "scenes", "work_dirs/demo", train=160, val=60)


def run(args: argparse.Namespace) -> int:
    """Run all steps and print the table."""
    demo = DemoPass(args)
    training = declare_run(args, demo.work_dir)  # first: a wrong option is told before any work
    demo.step("scenes", make_scenes, args)
    demo.step("conversion", convert, args.data)
    demo.step("training and test", run_or_fail, [training])
    evaluation = evaluate(args.data, demo.work_dir)
    pictures = demo.step("pictures", draw, args.data, demo.work_dir)
    markdown = evaluation.report(markdown=True)
    sections = [*report_sections(args.data, demo.work_dir), Pictures("Pictures", pictures)]
    figures = evaluation.result.as_dict()
    return demo.finish(figures, markdown, evaluation.report(), sections, args.config)


def make_scenes(args: argparse.Namespace) -> None:
    """Write the scenes; those that exist are kept."""
    from gemini_det3d.worlds import make_kitti_scenes

    numbers = (args.train, args.val, args.seed)
    make_kitti_scenes(args.data, *numbers, preset="toy", workers=num_cores())


def convert(data: Path) -> None:
    """Check the scenes and write mmdet3d's info files.

    Raises:
        ConfigError: The check or the converter found faults; they are printed before.
    """
    from gemini_det3d.apis.kitti.prepare import Options, prepare_kitti

    if prepare_kitti(Options(root=data, workers=num_cores())):
        raise ConfigError(f"{data}: the scenes have errors; they are listed above")


def declare_run(args: argparse.Namespace, work_dir: Path) -> Run:
    """The chosen config on the demo's scenes."""
    config = load_config(args.config, args.data, args.seed, args.epochs)
    infos = args.data.resolve() / "kitti_infos_val.pkl"
    for evaluator in (config.val_evaluator, config.test_evaluator):
        evaluator.update(ann_file=str(infos), txt_dir=str(work_dir / "detections"))
    return declare("demo", config, work_dir / "run")


def evaluate(data: Path, work_dir: Path):
    """KITTI's table from the written result files, as ``gemini-det3d eval-kitti`` computes it."""
    from gemini_det3d.apis.kitti.evaluate import evaluate_files

    return evaluate_files(
        work_dir / "detections",
        data / "training" / "label_2",
        classes=CLASSES,
        split=data / "ImageSets" / "val.txt",
    )


def report_sections(data: Path, work_dir: Path) -> list[Section]:
    """Figures that the report shows beside the training."""
    from gemini_det3d.apis.reports.detection import kitti_sections

    labels, split = data / "training" / "label_2", data / "ImageSets" / "val.txt"
    return kitti_sections(work_dir / "detections", labels, CLASSES, split)


def draw(data: Path, work_dir: Path) -> list[Path]:
    """Pictures of a few test scenes with truth and detections."""
    from gemini_det3d.formats.kitti import (
        read_calibration,
        read_image,
        read_objects,
        read_points,
        to_lidar_boxes,
    )
    from gemini_det3d.visualization import LabeledBoxes, draw_detection_panel, save_png

    frames = (data / "ImageSets" / "val.txt").read_text().split()
    folder = data / "training"
    drawn = []
    for frame in frames[:NUM_PICTURES]:
        calibration = read_calibration(folder / "calib" / f"{frame}.txt")
        truth = read_objects(folder / "label_2" / f"{frame}.txt")
        truth = truth.select(truth.name != "DontCare")
        found = read_objects(work_dir / "detections" / f"{frame}.txt")
        panel = draw_detection_panel(
            read_image(folder / "image_2" / f"{frame}.png"),
            read_points(folder / "velodyne" / f"{frame}.bin"),
            calibration.lidar2img,
            LabeledBoxes(to_lidar_boxes(found, calibration), found.name, found.score).above(SHOWN),
            LabeledBoxes(to_lidar_boxes(truth, calibration), truth.name),
            range_m=RANGE_M,
        )
        drawn.append(work_dir / "pictures" / f"{frame}.png")
        save_png(drawn[-1], panel)
    return drawn
