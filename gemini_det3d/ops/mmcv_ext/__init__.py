"""What mmcv compiles into ``mmcv._ext``, in torch and numba: nothing to build, CPU and CUDA.

A file an op family, with the very names and calls that ``mmcv/ops/*.py`` makes. CPU tensors take
numba kernels where loops are the natural form, CUDA tensors torch operations. The module
itself is ``_ext.py``, which :mod:`gemini_det3d.mmcv_finder` hands to Python.
"""
