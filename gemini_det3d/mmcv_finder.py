"""Where mmcv came without its compiled module, imports of ``mmcv._ext`` find ours.

``mmcv.ops`` needs one compiled module, ``mmcv._ext``; mmcv-lite and source builds without ops lack
it. mmdet3d imports ``mmcv.ops`` before it reads a config, too early for ``custom_imports``, so a
``.pth`` file beside the installed package calls :func:`install` when Python starts. The finder goes
last in line: a compiled module is found before anyone asks here.

This file is read at every start of Python: it imports nothing that Python has not imported itself
(``typing`` alone would be 9 ms).
"""

import os
import sys

ANSWERS_FOR = "mmcv._ext"
# Majors of mmcv whose ops make the calls that ours answer; also the ones mmdet3d 1.4 accepts.
_MAJORS = ("2",)


class MmcvExtFinder:
    """Knows one module, and only for an mmcv that would otherwise have none."""

    answers_for = ANSWERS_FOR

    def find_spec(self, name: str, path: object = None, target: object = None):
        """The import system's question; None for every other module."""
        del path, target
        if name != ANSWERS_FOR:
            return None
        version = getattr(sys.modules.get("mmcv"), "__version__", "")
        file = os.path.join(os.path.dirname(__file__), "ops", "mmcv_ext", "_ext.py")
        if version.split(".")[0] not in _MAJORS or not os.path.isfile(file):
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, file)


def install() -> None:
    """Put the finder last in line, once a process however often it is called."""
    if not is_installed():
        sys.meta_path.append(MmcvExtFinder())


def is_installed() -> bool:
    """Whether this process asks the finder."""
    return any(getattr(finder, "answers_for", None) == ANSWERS_FOR for finder in sys.meta_path)
