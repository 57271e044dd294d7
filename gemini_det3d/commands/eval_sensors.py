"""Table of a segmentor under failing sensors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gemini_det3d.apis.checkpoint import add_allow_missing
from gemini_det3d.formats.text import write_text

EPILOG = """\
Tests with all sensors (clean), with every subset of them missing (EMM), missing at random (RMM)
and noisy at three levels (NM); mIoU of the ensemble of the streams.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and outputs."""
    parser.add_argument("config", help="config, by path or name")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data-root", help="folder of the data set instead of the config's")
    parser.add_argument("--seed", type=int, default=0, help="of random losses and noise (0)")
    parser.add_argument("--json", type=Path, help="write all scores here")
    parser.add_argument("--device", help="cpu or cuda:0 (default: CUDA where there is one)")
    add_allow_missing(parser)


def run(args: argparse.Namespace) -> int:
    """Test and print.

    Raises:
        ConfigError: There is no such config.
        FormatError: The checkpoint does not fit the model.
    """
    from gemini_det3d.apis.seg_config import with_data_root
    from gemini_det3d.apis.sensor_failures import (
        evaluate_failures,
        failure_cases,
        failure_table,
        summarise_failures,
    )
    from gemini_det3d.apis.trained_model import build_for_test, read_config

    config = read_config(args.config)
    if args.data_root:
        config = with_data_root(config, args.data_root)
    model = build_for_test(config, args.checkpoint, args.device, args.allow_missing).model
    cases = failure_cases(config.model.modalities, args.seed)
    found = evaluate_failures(model, config, cases)
    print(failure_table({Path(args.config).stem: found}, cases))
    if args.json:
        scores = {
            name: {s: x.mean_iou for s, x in streams.items()} for name, streams in found.items()
        }
        summary = {"mIoU": scores, "mean": summarise_failures(found, cases)}
        write_text(args.json, json.dumps(summary, indent=1) + "\n")
    return 0
