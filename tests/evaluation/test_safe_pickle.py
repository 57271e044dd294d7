"""The pickle reader takes mmdet3d's info files and runs nobody's code."""

from __future__ import annotations

import os
import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from gemini_det3d.formats.errors import FormatError
from gemini_det3d.formats.safe_pickle import load_plain_pickle, parse_plain_pickle

PLAIN = {
    "metainfo": {"categories": {"Car": 2, "DontCare": -1}, "info_version": "1.1"},
    "data_list": [{"bbox": [1.5, -2.0, 3.0, 4.0], "index": 7, "flag": True, "plane": None}],
    "others": ((1, 2), {3, 5}, frozenset({7}), b"\x00\xff", bytearray(b"ab"), 2 + 3j, 10**40),
    "ordered": OrderedDict(a=1, b=2),
}


class Calls:
    """Pickles as a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class Arrays:
    """Pickles as an array whose state is given by hand."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        return np.core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_come_back_as_they_were(protocol):
    assert parse_plain_pickle(pickle.dumps(PLAIN, protocol), "infos.pkl") == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        np.array([1.5, np.nan], dtype=">f4"),
        np.array(["Car", "Pedestrian"]),
        np.array([True, False]),
        np.zeros((0, 7)),
        np.array(3.5),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_come_back_with_type_shape_and_values(protocol, array):
    loaded = parse_plain_pickle(pickle.dumps({"x": [array, (array,)]}, protocol), "infos.pkl")["x"]
    for found in (loaded[0], loaded[1][0]):
        assert found.dtype == array.dtype and found.shape == array.shape
        np.testing.assert_array_equal(found, array)
        assert found.flags.writeable


@pytest.mark.parametrize("value", [np.float64(1.25), np.int32(-7), np.bool_(True), np.str_("ab")])
def test_numpy_scalars_come_back_with_type_and_value(value):
    loaded = parse_plain_pickle(pickle.dumps([value]), "infos.pkl")[0]
    assert type(loaded) is type(value) and loaded == value


def test_shared_lists_stay_shared():
    row = [np.arange(3)]
    first, second = parse_plain_pickle(pickle.dumps([row, row]), "infos.pkl")
    assert first is second
    assert isinstance(first[0], np.ndarray)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_call_of_the_system_is_refused_and_not_made(tmp_path, protocol):
    witness = tmp_path / "witness"
    bomb = {"metainfo": {}, "data_list": [Calls(os.system, f"touch {witness}")]}
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(bomb, protocol))
    with pytest.raises(FormatError, match=r"infos\.pkl: names \w+\.system, but only plain"):
        load_plain_pickle(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "call",
    [
        Calls(eval, "1"),
        Calls(getattr, "x", "upper"),
        Calls(np.load, "x.npy"),
        Calls(Path, "x"),
        Calls(np.dtype, "O"),
        Calls(np.dtype, "V8"),
        Calls(np.array, [[1, 2], None]),
        np.array([{"a": 1}], dtype=object),
        np.zeros(2, dtype=[("a", "f8")]),
    ],
    ids=["eval", "getattr", "load", "path", "object", "void", "array", "objects", "record"],
)
def test_anything_else_is_refused_in_one_line_that_names_the_file(call):
    with pytest.raises(FormatError) as error:
        parse_plain_pickle(pickle.dumps([call]), "infos.pkl")
    assert str(error.value).startswith("infos.pkl: names ")
    assert "\n" not in str(error.value)


def test_what_is_admitted_cannot_be_changed_by_a_pickle():
    # c: name it; }( ... u: a dict; b: set the dict as its state.
    tampering = b"ccollections\nOrderedDict\n}(S'_function'\nI1\nub."
    pickletools.dis(tampering, out=open(os.devnull, "w"))
    with pytest.raises(FormatError, match="names a change of a built-in"):
        parse_plain_pickle(tampering, "infos.pkl")
    assert parse_plain_pickle(pickle.dumps(OrderedDict(a=1)), "x.pkl") == OrderedDict(a=1)


def test_bytes_that_do_not_fill_the_shape_are_refused():
    state = (1, (1000, 1000), np.dtype("f8"), False, b"\x00" * 16)
    with pytest.raises(FormatError, match="cannot reshape array of size 2"):
        parse_plain_pickle(pickle.dumps(Arrays(*state)), "infos.pkl")


def test_a_number_is_no_size_of_bytes_to_make():
    call = pickle.dumps([Calls(bytearray, 10**15)])
    with pytest.raises(FormatError, match="is no readable pickle"):
        parse_plain_pickle(call, "infos.pkl")


def test_text_cannot_be_encoded_by_other_codecs():
    with pytest.raises(FormatError, match="names the encoding 'idna'"):
        parse_plain_pickle(b"c_codecs\nencode\n(S'a'\nS'idna'\ntR.", "infos.pkl")


@pytest.mark.parametrize(
    "data", [b"", b"Car 0 0 0", pickle.dumps(PLAIN)[:-5], b"\x80\x04N", b"(" * 9, b"\x80\xff."]
)
def test_what_is_no_pickle_is_one_line_that_names_the_file(tmp_path, data):
    path = tmp_path / "infos.pkl"
    path.write_bytes(data)
    with pytest.raises(FormatError) as error:
        load_plain_pickle(path)
    assert str(error.value).startswith(f"{path}: is no readable pickle (")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FormatError, match="none.pkl: no such file"):
        load_plain_pickle(tmp_path / "none.pkl")
