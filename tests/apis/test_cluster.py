"""Runs as jobs of a cluster; submitit's local executor stands for Slurm."""

from __future__ import annotations

import json
import textwrap

import pytest
from mmengine.config import Config

from gemini_det3d.apis import cluster
from gemini_det3d.apis.cluster import parse_settings, run_on_cluster
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.runs import Scripts, declare

# A stand-in for mmdet3d's scripts: same arguments and files.
SCRIPT = """
    import json, os, pathlib, sys
    config, work = sys.argv[1], pathlib.Path(sys.argv[sys.argv.index("--work-dir") + 1])
    if pathlib.Path(config).parent.name == "broken":
        sys.exit("RuntimeError: it broke")
    (work / "1").mkdir(parents=True, exist_ok=True)
    (work / "epoch_2.pth").touch()
    (work / "last_checkpoint").write_text(str(work / "epoch_2.pth"))
    (work / "1" / "1.json").write_text(json.dumps({"mAP": 0.5}))
    with open(pathlib.Path(config).parent / "calls", "a") as file:
        executor = os.environ.get("SUBMITIT_EXECUTOR")
        file.write(f"{work.name} {os.environ['OMP_NUM_THREADS']} {executor}\\n")
"""


def declared(folder, name):
    return declare(name, Config(dict(train_cfg=dict(max_epochs=2))), folder / name)


def test_each_run_is_a_job_and_a_broken_one_does_not_end_the_others(tmp_path):
    pytest.importorskip("submitit")
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    runs = [declared(tmp_path, name) for name in ("one", "broken", "two")]
    settings = {"timeout_min": 5, "gpus_per_node": 0, "cpus_per_task": 3}
    call = (runs, "submitit", tmp_path / "jobs", settings, Scripts(path, path))
    found = run_on_cluster(*call)
    assert found[runs[0].folder]["metrics"] == found[runs[2].folder]["metrics"] == {"mAP": 0.5}
    assert "it broke" in found[runs[1].folder]
    assert json.loads(runs[2].result_file.read_text()) == found[runs[2].folder]
    calls = (runs[0].folder / "calls").read_text().splitlines()
    assert calls == ["train 3 local", "test 3 local"]
    assert run_on_cluster(*call)[runs[0].folder] == found[runs[0].folder]
    assert (runs[0].folder / "calls").read_text().splitlines() == calls  # only read this time


def test_missing_submitit_and_unknown_settings_are_said_in_one_line(tmp_path, monkeypatch):
    run = declared(tmp_path, "one")
    scripts = Scripts(tmp_path, tmp_path)
    if cluster.importlib.util.find_spec("submitit"):
        with pytest.raises(ConfigError, match="partitoin"):
            run_on_cluster([run], "submitit", tmp_path, {"slurm_partitoin": "gpu"}, scripts)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(cluster.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match="pip install submitit"):
        run_on_cluster([run], "slurm", tmp_path, {}, scripts)


def test_settings_are_words_and_whole_numbers():
    found = parse_settings(["slurm_partition=gpu", "timeout_min=60"])
    assert found == {"slurm_partition": "gpu", "timeout_min": 60}
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_settings(["gpu"])
