"""What a report says of the machine."""

from importlib import metadata

import pytest

from gemini_det3d.apis import machine


def test_mmcv_without_its_compiled_module_is_named(monkeypatch):
    def version(name):
        if name == "mmcv":
            raise metadata.PackageNotFoundError(name)
        return "2.1.0"

    monkeypatch.setattr(machine.metadata, "version", version)
    assert machine.facts()["versions"]["mmcv"] == "2.1.0 (mmcv-lite)"


@pytest.mark.parametrize(
    ("wanted", "jobs", "each"),
    [(None, 1, 8), (None, 3, 2), (None, 9, 1), ("1", 1, 1), ("3", 2, 3), ("6", 2, 4), ("0", 2, 4)],
)
def test_threads_are_a_share_of_the_cores_or_what_the_user_wants(monkeypatch, wanted, jobs, each):
    monkeypatch.setattr(machine, "num_cores", lambda: 8)
    if wanted is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert machine.num_threads(jobs) == each
