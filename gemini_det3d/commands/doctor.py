"""What works on this machine, found out by running it, and how to mend what does not."""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from dataclasses import asdict

from gemini_det3d import __version__
from gemini_det3d.apis.doctor import diagnose

EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to report."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace | None = None) -> int:
    """Print the report; exit code 1 when a row failed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, about their own futures
        rows = list(diagnose())
    failed = sum(row.ok is False for row in rows)
    if args is not None and args.json:
        facts = {"gemini_det3d": __version__, "python": platform.python_version(),
                 "machine": f"{platform.machine()} {platform.system()}"}  # fmt: skip
        print(json.dumps({**facts, "failed": failed, "rows": [asdict(r) for r in rows]}, indent=1))
        return int(failed > 0)
    print(f"Python {platform.python_version()} on {platform.machine()} {platform.system()}\n")
    for row in rows:
        mark = {True: "ok    ", False: "FAILED", None: "-     "}[row.ok]
        print(f"{mark}  {row.name:<34} {row.detail}")
        if row.ok is False and row.fix:
            print(f"        fix: {row.fix}")
    print(f"\n{'Everything works.' if not failed else f'{failed} of {len(rows)} rows failed.'}")
    return int(failed > 0)
