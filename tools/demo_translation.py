"""Translation on the synthetic world; see ``gemini-det3d demo-translation --help``."""

import sys

from gemini_det3d.cli import main

if __name__ == "__main__":
    sys.exit(main(["demo-translation", *sys.argv[1:]]))
