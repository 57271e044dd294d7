"""Table of a segmentor under failing sensors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gemini_det3d.apis.reports import facts_section, write_report
from gemini_det3d.commands import add_model_options, add_seed
from gemini_det3d.formats.text import write_json
from gemini_det3d.visualization.report import Table

EPILOG = """\
Tests with all sensors (clean), with every subset of them missing (EMM), missing at random (RMM)
and noisy at three levels (NM); mIoU of the ensemble of the streams. The names are those of
arXiv 2503.18445, whose figures do not compare with these: its EMM counts the complete set, too, its
RMM drops pixels, and nothing is announced to its models.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and outputs."""
    parser.add_argument("config", help="config, by path or name")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data-root", help="folder of the data set instead of the config's")
    add_seed(parser, "random losses and noise")
    parser.add_argument("--json", type=Path, help="write all scores here")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write report.html into this folder"
    )
    add_model_options(parser, with_changes=False)


def run(args: argparse.Namespace) -> int:
    """Test and print.

    Raises:
        ConfigError: There is no such config.
        FormatError: The checkpoint does not fit the model.
    """
    from gemini_det3d.apis.config import ConfigError, read_config
    from gemini_det3d.apis.seg_config import with_data_root
    from gemini_det3d.apis.sensor_failures import (
        evaluate_failures,
        failure_cases,
        failure_cells,
        failure_table,
        summarise_failures,
    )
    from gemini_det3d.apis.trained_model import build_for_test
    from gemini_det3d.engine.same_classes import classes_of_config
    from gemini_det3d.formats.files import make_folder

    config = read_config(args.config)
    if args.data_root:
        config = with_data_root(config, args.data_root)
    if "modalities" not in config.model:
        raise ConfigError(f"{args.config}: its model has no modalities; eval-sensors takes a "
                          "segmentor, gemini-det3d ablate a detector")  # fmt: skip
    for folder in (args.out, args.json and args.json.parent):
        if folder is not None:
            make_folder(folder)
    model = build_for_test(config, args.checkpoint, args.device, args.allow_missing).model
    cases = failure_cases(config.model.modalities, args.seed)
    found = evaluate_failures(model, config, cases)
    name = Path(args.config).stem
    print(failure_table({name: found}, cases))
    if args.json:
        scores = {
            name: {s: x.mean_iou for s, x in streams.items()} for name, streams in found.items()
        }
        summary = {"mIoU": scores, "mean": summarise_failures(found, cases)}
        write_json(args.json, summary)
    if args.out:
        head, rows = failure_cells({name: found}, cases)
        note = "mIoU of the ensemble of the streams, percent."
        table = Table("Failing sensors", head, rows, left=2, note=note)
        title = f"{name}, sensors failing"
        repeat = facts_section({"checkpoint": args.checkpoint, "seed": args.seed})
        classes = classes_of_config(config.test_dataloader.dataset)
        page = write_report(args.out, title, [table, _streams(found, classes), repeat])
        print(f"report: {page}")
    return 0


def _streams(found: dict, classes: Sequence[str]) -> Table:
    """IoU of every class and stream with all sensors and, of the ensemble, in every other case."""
    clean, *others = found
    columns = {f"{clean}: {stream}": scores for stream, scores in found[clean].items()}
    columns.update({f"{case}: ensemble": found[case]["ensemble"] for case in others})
    rows = [
        [name, *(float(scores.class_iou[k]) for scores in columns.values())]
        for k, name in enumerate(classes)
    ]
    return Table("IoU by class", ["class", *columns], rows, is_folded=True)
