"""A list that is made while it is pickled gives the bytes of one that is there."""

from __future__ import annotations

import io
import pickle
import tracemalloc

import numpy as np
import pytest

from gemini_det3d.apis.kitti import long_pickle
from gemini_det3d.apis.kitti.long_pickle import LongList, dump


def frame(number: int) -> dict:
    matrix = [[number / 7, 0.0, 1.5], [1.0, -2.0, number * 1.0]]
    return {
        "sample_idx": number,
        "images": {"CAM2": {"path": f"{number:06d}.png", "cam2img": matrix, "again": matrix}},
        "size": (np.int32(370 + number), np.float64(number)),
        "raw": bytes([number % 256, 200]),
        "instances": [{"bbox": [float(i)], "label": -1, "shown": True} for i in range(number % 4)],
    }


class Nowhere(io.RawIOBase):
    """Takes bytes and keeps none."""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        return len(data)


def write(length: int, file: io.IOBase) -> None:
    items = LongList((frame(i) for i in range(length)), length)
    dump({"metainfo": {"categories": {"Car": 2}}, "data_list": items, "end": "Car"}, file)


@pytest.mark.parametrize("length", [0, 1, 2, 999, 1000, 1001, 2001])
def test_bytes_are_those_of_pickle(length: int) -> None:
    items = [frame(i) for i in range(length)]
    content = {"metainfo": {"categories": {"Car": 2}}, "data_list": items, "end": "Car"}
    write(length, file := io.BytesIO())
    assert file.getvalue() == pickle.dumps(content, protocol=2)


def peak_bytes(length: int) -> int:
    tracemalloc.start()
    write(length, Nowhere())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_of_an_item_that_was_written_only_strings_are_kept(monkeypatch) -> None:
    forgets = (peak_bytes(1500) - peak_bytes(300)) / 1200
    monkeypatch.setattr(long_pickle, "_FORGOTTEN", ())
    keeps = (peak_bytes(1500) - peak_bytes(300)) / 1200
    assert forgets < 1500 and forgets < keeps / 2
