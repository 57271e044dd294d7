"""mmdet3d's tools/test.py with a config of this plug-in: python tools/test.py CONFIG [...]."""

import sys

from gemini_det3d.apis.launch import run_script

if __name__ == "__main__":
    sys.exit(run_script("test", sys.argv[1:]))
