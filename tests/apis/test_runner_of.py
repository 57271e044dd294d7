"""Which configs get `ExactRunner`, and with it the checks before the first step."""

from __future__ import annotations

from gemini_det3d.apis.script_options import checked_arguments


def test_a_config_that_imports_a_part_of_the_plug_in_keeps_mmengines_runner(tmp_path):
    path = tmp_path / "part.py"
    imports = "custom_imports = dict(imports=['gemini_det3d.models'])\n"
    path.write_text("model = dict(type='A')\n" + imports)
    assert checked_arguments("train", [str(path)]) == [str(path)]  # which knows no ExactRunner
    path.write_text(path.read_text().replace("gemini_det3d.models", "gemini_det3d.plugin"))
    found = checked_arguments("train", [str(path)])
    assert found[1:] == ["--cfg-options", "runner_type=ExactRunner"]
