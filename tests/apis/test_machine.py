"""What a report says of the machine."""

from importlib import metadata

from gemini_det3d.apis import machine


def test_mmcv_without_its_compiled_module_is_named(monkeypatch):
    def version(name):
        if name == "mmcv":
            raise metadata.PackageNotFoundError(name)
        return "2.1.0"

    monkeypatch.setattr(machine.metadata, "version", version)
    assert machine.facts()["versions"]["mmcv"] == "2.1.0 (mmcv-lite)"
