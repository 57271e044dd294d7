"""Runs as jobs of a cluster; submitit's local executor stands for Slurm."""

from __future__ import annotations

import json
import textwrap
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from gemini_det3d.apis import cluster
from gemini_det3d.apis.cluster import parse_settings, run_on_cluster
from gemini_det3d.apis.comparison import compare as comparing
from gemini_det3d.apis.comparison.compare import compare
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
        file.write(f"{work.name} {os.environ['OMP_NUM_THREADS']} {executor} "
                   f"{os.environ['CUDA_VISIBLE_DEVICES']}\\n")
"""


def declared(folder, name):
    return declare(name, Config(dict(train_cfg=dict(max_epochs=2))), folder / name)


def test_each_run_is_a_job_and_a_broken_one_does_not_end_the_others(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    monkeypatch.setattr(cluster, "visible_gpus", lambda: ["3"])
    runs = [declared(tmp_path, name) for name in ("one", "broken", "two")]
    settings = {"timeout_min": 5, "cpus_per_task": 3}
    call = (runs, "submitit", tmp_path / "jobs", settings, Scripts(path, path))
    found = run_on_cluster(*call)
    assert found[runs[0].folder]["metrics"] == found[runs[2].folder]["metrics"] == {"mAP": 0.5}
    assert "it broke" in found[runs[1].folder]
    assert json.loads(runs[2].result_file.read_text()) == found[runs[2].folder]
    calls = (runs[0].folder / "calls").read_text().splitlines()
    assert calls == ["train 3 local 3", "test 3 local 3"]
    assert run_on_cluster(*call)[runs[0].folder] == found[runs[0].folder]
    assert (runs[0].folder / "calls").read_text().splitlines() == calls  # only read this time


class Job:
    """A job that ends when it is asked for the second time, as one of submitit's."""

    def __init__(self, run, *call):
        self.run, self.call, self.asked, self.is_cancelled = run, call, 0, False

    def done(self):
        self.asked += 1
        return self.asked > 1

    def result(self):
        return {"metrics": {}}

    def cancel(self):
        self.is_cancelled = True


@pytest.fixture
def submitted(monkeypatch):
    """The jobs that were submitted to a submitit that refuses the run 'refused'."""
    jobs = []

    class Executor:
        def __init__(self, **_):
            pass

        def update_parameters(self, **_):
            pass

        def submit(self, function, run, *call):
            if run.name == "refused":
                raise RuntimeError("sbatch: error: invalid partition\nspecified")
            under_way = sum(job.asked < 2 for job in jobs)
            jobs.append(Job(run, *call, under_way))
            return jobs[-1]

    monkeypatch.setattr(
        cluster.importlib, "import_module", lambda name: SimpleNamespace(AutoExecutor=Executor)
    )
    monkeypatch.setattr(cluster, "_PAUSE_S", 0)
    monkeypatch.setattr(cluster, "visible_gpus", lambda: ["0", "5"])
    return jobs


@pytest.mark.parametrize(
    "executor, jobs, most, gpus",
    [("submitit", None, 2, {"0", "5"}), ("submitit", 1, 1, {"0"}), ("submitit", 3, 3, {"0", "5"}),
     ("slurm", None, 4, {None}), ("slurm", 2, 2, {None})],
)  # fmt: skip
def test_so_many_jobs_run_at_a_time_each_on_a_gpu_of_its_own(
    submitted, tmp_path, executor, jobs, most, gpus
):
    runs = [declared(tmp_path, name) for name in "abcd"]
    scripts = Scripts(tmp_path, tmp_path)
    found = run_on_cluster(runs, executor, tmp_path, {"timeout_min": 5}, scripts, 3, jobs)
    assert [found[run.folder] for run in runs] == [{"metrics": {}}] * 4
    assert max(job.call[-1] for job in submitted) == most - 1
    assert {job.call[2] for job in submitted} == gpus
    assert {job.call[1] for job in submitted} == {3}


def test_jobs_end_when_a_later_one_is_refused(submitted, tmp_path):
    runs = [declared(tmp_path, name) for name in ("one", "refused")]
    with pytest.raises(ConfigError, match="--executor slurm: sbatch: error: .* partition specif"):
        run_on_cluster(runs, "slurm", tmp_path, {}, Scripts(tmp_path, tmp_path))
    assert [job.is_cancelled for job in submitted] == [True]


def test_comparison_tells_the_cluster_its_jobs_and_threads(tmp_path, monkeypatch):
    told = []

    def run(runs, executor, folder, settings, scripts, threads, jobs):
        told.append((executor, threads, jobs))
        return {each.folder: "not today" for each in runs}

    config = tmp_path / "config.py"
    config.write_text("model = dict(type='Any')\ntrain_cfg = dict(max_epochs=1)\n")
    monkeypatch.setattr(comparing, "run_on_cluster", run)
    monkeypatch.setattr(comparing, "measure_all", lambda plan, *_: {"config": "not today"})
    monkeypatch.setattr(cluster, "visible_gpus", list)
    six_cores = dict(cluster={"cpus_per_task": 6})
    calls = [("slurm", {}), ("slurm", dict(jobs=7, threads=2)), ("submitit", six_cores)]
    for executor, more in calls:
        compare([str(config)], [], tmp_path / "out", executor=executor, **more)
        written = json.loads((tmp_path / "out" / "table.json").read_text())
        assert told[-1] == (executor, written["threads"], written["jobs"])
    assert told == [("slurm", 4, None), ("slurm", 2, 7), ("submitit", 6, 1)]


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
