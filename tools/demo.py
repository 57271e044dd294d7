"""The whole pass on a synthetic world; see ``gemini-det3d demo --help``."""

import sys

from gemini_det3d.cli import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
