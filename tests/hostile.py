"""Files that try to run code, to fill the memory or to reach out of their folder.

``python tests/hostile.py FOLDER`` writes them all. Each that could run code would make the file
``was_run`` in the folder.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch


class Call:
    """Pickles as ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def checkpoints(mark: Path) -> dict[str, bytes]:
    """Content of .pth and .safetensors files by name."""
    attacks = {
        "os_system": Call(os.system, f"touch {mark}"),
        "eval": Call(builtins.eval, f"open({str(mark)!r}, 'w')"),
        "exec": Call(builtins.exec, f"open({str(mark)!r}, 'w')"),
        "subprocess": Call(subprocess.call, ["touch", str(mark)]),
        "open": Call(builtins.open, str(mark), "w"),
        "getattr": Call(getattr, Call(builtins.__import__, "os"), "system"),
        "numpy_load": Call(np.load, str(mark)),
        "torch_load": Call(torch.load, str(mark)),
    }
    files = {}
    for name, attack in attacks.items():
        files[f"top_{name}.pth"] = _saved(attack)
        if name == "numpy_load":  # within a checkpoint, numpy's names are swallowed, not called
            continue
        files[f"meta_{name}.pth"] = _saved(_checkpoint(meta={"epoch": 1, "iter": 1, "x": attack}))
    attack = attacks["os_system"]
    files["state.pth"] = _saved(_checkpoint(state_dict={"w": attack}))
    files["optimizer.pth"] = _saved(_checkpoint(optimizer=attack))
    files["message_hub.pth"] = _saved(_checkpoint(message_hub={"log_scalars": attack}))
    files["plain_pickle.pth"] = pickle.dumps(attack)
    files["old_layout.pth"] = _saved(attack, new=False)
    files["tar.pth"] = _tar(attack)
    files["text_pickle.pth"] = b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."
    files["bomb.pth"] = _packed(_saved(_checkpoint(state_dict={"w": torch.zeros(1 << 22)})))
    whole = _saved(_checkpoint(state_dict={"w": torch.arange(999.0)}))
    files["cut.pth"] = whole[: len(whole) // 2]
    files["size_that_lies.pth"] = _lying(whole)
    files["size_beyond_the_storage.pth"] = _lying(whole, skip=1)
    for name, entry in {"slip": "../../was_run", "slip_to_root": str(mark)}.items():
        files[f"{name}.pth"] = _with_entry(whole, entry)
    files["nothing.pth"] = b""
    files["state_of_numbers.pth"] = _saved(_checkpoint(state_dict={"w": 5}))
    files["list.pth"] = _saved([1, 2])
    header = json.dumps({"w": dict(dtype="F32", shape=[1 << 40], data_offsets=[0, 4])}).encode()
    files["size.safetensors"] = struct.pack("<Q", len(header)) + header + bytes(4)
    files["header.safetensors"] = struct.pack("<Q", 1 << 60) + b"{}"
    header = json.dumps({"w": dict(dtype="F32", shape=[1], data_offsets=[-4, 0])}).encode()
    files["negative.safetensors"] = struct.pack("<Q", len(header)) + header + bytes(4)
    return files


def infos(mark: Path) -> dict[str, bytes]:
    """Content of info files by name."""
    attack = Call(os.system, f"touch {mark}")
    frame = {"sample_idx": 0, "lidar_points": {"lidar_path": "0.bin"}, "x": attack}
    return {
        "top.pkl": pickle.dumps(attack),
        "frame.pkl": pickle.dumps({"metainfo": {"categories": {}}, "data_list": [frame]}),
        "categories.pkl": pickle.dumps({"metainfo": {"categories": attack}, "data_list": []}),
        "object_array.pkl": pickle.dumps(
            {"metainfo": {"categories": {}}, "data_list": [np.array([attack], dtype=object)]}
        ),
        "eval.pkl": pickle.dumps(Call(builtins.eval, f"open({str(mark)!r}, 'w')")),
        "memory.pkl": pickle.dumps(Call(bytearray, 1 << 50)),
        "cut.pkl": pickle.dumps({"metainfo": {}, "data_list": [1, 2, 3]})[:-5],
        "deep.json": b"[" * 200_000,
        "no.json": b"__import__('os').system('true')",
    }


def yamls(mark: Path) -> dict[str, bytes]:
    """Content of YAML files by name."""
    return {
        "apply.yaml": f"a: !!python/object/apply:os.system ['touch {mark}']\n".encode(),
        "new.yaml": f"!!python/object/new:os.system ['touch {mark}']\n".encode(),
        "name.yaml": b"a: !!python/name:os.system ''\n",
    }


def clouds(mark: Path) -> dict[str, bytes]:
    """Content of point files by name."""
    objects = io.BytesIO()
    np.save(objects, np.array([Call(os.system, f"touch {mark}")], dtype=object), allow_pickle=True)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    return {
        "objects.npy": objects.getvalue(),
        "size.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16),
        "pickle.bin": pickle.dumps(Call(os.system, f"touch {mark}")),
    }


def all_files(mark: Path) -> dict[str, bytes]:
    """The whole corpus."""
    return {**checkpoints(mark), **infos(mark), **yamls(mark), **clouds(mark)}


def _checkpoint(**parts):
    state = {"generator.0.weight": torch.zeros(8, 4)}
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    return {**dict(state_dict=state, meta={"epoch": 1, "iter": 1}, message_hub=hub), **parts}


def _saved(content, new=True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def _tar(content) -> bytes:
    """The layout of PyTorch's first releases."""
    saved, parts = io.BytesIO(), {"storages": 0, "tensors": 0, "pickle": content}
    with tarfile.open(fileobj=saved, mode="w") as archive:
        for name, part in parts.items():
            data = pickle.dumps(part, protocol=2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return saved.getvalue()


def _packed(data: bytes) -> bytes:
    """The same archive, compressed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
    return packed.getvalue()


def _with_entry(data: bytes, name: str) -> bytes:
    """The same archive with one more file, whose name leads out of it."""
    changed = io.BytesIO(data)
    with zipfile.ZipFile(changed, "a") as target:
        target.writestr(name, b"x")
    return changed.getvalue()


def _lying(data: bytes, skip: int = 0) -> bytes:
    """The same archive, whose pickle says that the tensor is a million times as large.

    With skip=1 the first place that tells the size, the storage's, is left as it is.
    """
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                start = content.index(b"M\xe7\x03") + 3 * skip
                content = content[:start] + content[start:].replace(
                    b"M\xe7\x03", b"J\xff\xff\xff\x3f"
                )
            target.writestr(name, content)
    return changed.getvalue()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in all_files(folder / "was_run").items():
        (folder / name).write_bytes(content)
    print(f"{len(all_files(folder))} files in {folder}")
