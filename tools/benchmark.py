"""Benchmarks; see ``gemini-det3d benchmark --help``."""

import sys

from gemini_det3d.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
