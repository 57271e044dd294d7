"""Package gemini_det3d: pure Python, with its configs inside the wheel."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
# Read by Python at every start: lets mmcv without its compiled module find ours. A package that
# is broken or gone must not disturb anyone's Python, hence the try.
PTH_NAME = "gemini_det3d_mmcv_ext.pth"
PTH = (
    "import sys; exec('try:\\n from gemini_det3d import mmcv_finder\\n"
    " mmcv_finder.install()\\nexcept Exception: pass')\n"
)
# mmdet3d 1.4 with what it leaves open; without these pip goes back to releases that do not build.
HOST = [
    "mmengine>=0.10.7,<0.11",
    "mmdet==3.3.0",
    "mmdet3d==1.4.0",
    "setuptools<81",  # mmengine imports pkg_resources, which later ones lack
    # 1.2 admits a current matplotlib, but no numpy 2; Python 3.13 has no numpy 1, and 1.1.10 and
    # 1.1.11 hold matplotlib at releases of 2022
    'nuscenes-devkit>=1.2; python_version < "3.13"',
    'nuscenes-devkit==1.1.9; python_version >= "3.13"',
    'opencv-python<4.12; python_version < "3.13"',  # later ones need numpy 2
    'opencv-python-headless<4.12; python_version < "3.13"',
    "matplotlib>=3.8",
    "numba",
]
# All of mmcv but its compiled module, which gemini_det3d.mmcv_finder answers for. mmdet3d refuses
# 2.2. Where a compiled mmcv is installed, take the extra "mmdet3d" instead of "all".
MMCV = "mmcv-lite==2.1.0"
SPCONV_WHEELS = (
    'python_version < "3.14" and (platform_system == "Windows" or '
    '(platform_system == "Linux" and platform_machine == "x86_64"))'
)
# Of what follows, the last that is for Python 3.10, too, is another.
ONNX = [
    "onnx==1.23.2",
    'onnxruntime==1.31.1; python_version >= "3.11"',
    'onnxruntime==1.23.2; python_version < "3.11"',
    "onnxscript==0.7.2",
    "ml_dtypes==0.5.4",
]
HYPOTHESIS = [
    'hypothesis==6.170.15; python_version >= "3.11"',
    'hypothesis==6.168.5; python_version < "3.11"',
]
IMPORT_LINTER = [
    'import-linter==2.16; python_version >= "3.11"',
    'import-linter==2.15; python_version < "3.11"',
]

FAST = ["isal>=1.6", "pyspng>=0.1.2"]  # decoders of PNG files, see formats/plain_png.py
LAS = ["laspy==2.7.0", "lazrs==0.8.2"]
SLURM = ["submitit==1.5.4"]


class BuildWithConfigs(build_py):
    """Lay configs/ into the package, so that a wheel needs no checkout, and the .pth beside it."""

    def run(self) -> None:
        """Build the modules, then add what is not one."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "gemini_det3d" / "configs"
            shutil.copytree(ROOT / "configs", target, dirs_exist_ok=True)
            (Path(self.build_lib) / PTH_NAME).write_text(PTH)


class EditableWithPth(editable_wheel):
    """An editable install gets the .pth, too; what it installs is this throw-away wheel."""

    def _run_build_commands(self, dist_name, unpacked_wheel, build_lib, tmp_dir):
        (Path(unpacked_wheel) / PTH_NAME).write_text(PTH)
        return super()._run_build_commands(dist_name, unpacked_wheel, build_lib, tmp_dir)


def _version() -> str:
    text = (ROOT / "gemini_det3d" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r"""__version__ = ["'](.+)["']""", text).group(1)


setup(
    name="gemini_det3d",
    version=_version(),
    description="GeminiFusion as a plug-in for mmdetection3d: pixel-wise fusion of two modalities",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["gemini_det3d", "gemini_det3d.*"]),
    include_package_data=False,
    package_data={
        "gemini_det3d.visualization": ["document.html"],
        "gemini_det3d.visualization.page": ["*.html", "*.css", "*.js", "vendor/*"],
        "gemini_det3d.visualization.report": ["report.*"],
    },
    cmdclass={"build_py": BuildWithConfigs, "editable_wheel": EditableWithPth},
    # mmcv, mmdet, mmdet3d, mmengine and spconv are the host's: `gemini-det3d doctor` checks them.
    install_requires=["torch>=2.1", "numpy", "matplotlib", "tqdm", "safetensors"],
    extras_require={
        "all": [*HOST, MMCV, f"spconv==2.3.8; {SPCONV_WHEELS}"],
        "cuda": [*HOST, MMCV, f"spconv-cu126==2.3.8; {SPCONV_WHEELS}"],
        "mmdet3d": HOST,
        "spconv": ["spconv==2.3.8"],  # until 0.2: "all" has it
        "fast": FAST,
        "triton": ["triton>=3.2"],  # not pinned: a CUDA build of torch brings the one it needs
        "onnx": ONNX,
        # `view --rrd`; the latest want numpy 2
        "rerun": ["rerun-sdk==0.23.1", "pyarrow==20.0.0"],
        "las": LAS,
        "slurm": SLURM,
        # FID and KID with the standard features; brings torchvision
        "fid": ["torch-fidelity==0.4.0"],
        "test": ["pytest==9.2.0", "pytest-xdist==3.8.0", *HYPOTHESIS, *ONNX, *FAST, *LAS, *SLURM],
        "coverage": ["coverage==7.17.5"],
        "mutate": ["cosmic-ray==8.7.0"],
        "lint": ["ruff==0.17.6", "pyright==1.1.414", *IMPORT_LINTER],
        "docs": ["mkdocs-material==9.8.2", "mkdocstrings-python==2.0.11", "ruff==0.17.6"],
    },
    entry_points={"console_scripts": ["gemini-det3d=gemini_det3d.cli:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
