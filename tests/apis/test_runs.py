"""Runs: what is finished stays, several at once share the cores, failures wait for the others."""

from __future__ import annotations

import json
import platform
import textwrap

import pytest
from mmengine.config import Config

from gemini_det3d.apis import machine
from gemini_det3d.apis import runs as module
from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.runs import Run, Scripts, declare, run_all, run_or_fail
from gemini_det3d.apis.work_dir import last_checkpoint, read_losses, read_metrics
from gemini_det3d.formats.locks import alone

# A stand-in for mmdet3d's scripts: same arguments, logs and files. It notes when it ran.
SCRIPT = """
    import json, os, pathlib, sys, time
    config, work = sys.argv[1], pathlib.Path(sys.argv[sys.argv.index("--work-dir") + 1])
    work.mkdir(parents=True, exist_ok=True)
    name = pathlib.Path(config).parent.name
    with open(pathlib.Path(config).parent.parent / "calls", "a") as file:
        file.write(f"{name} {work.name} {os.environ['OMP_NUM_THREADS']}\\n")
    (work.parent / f"{work.name}.json").write_text(json.dumps(sys.argv[1:]))
    if name == "broken":
        sys.exit("RuntimeError: it broke")
    if name in ("left", "right"):  # ends only when the other one is under way
        (work.parent.parent / name / "here").touch()
        other = work.parent.parent / {"left": "right", "right": "left"}[name] / "here"
        until = time.monotonic() + 20
        while not other.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
    (work / "epoch_2.pth").touch()
    (work / "last_checkpoint").write_text(str(work / "epoch_2.pth"))
    (work / "1").mkdir(exist_ok=True)
    (work / "1" / "1.json").write_text(json.dumps({"mAP": 0.5, "note": "x"}))
"""


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    monkeypatch.setattr(Scripts, "of_mmdet3d", classmethod(lambda cls: cls(path, path)))


def a_run(tmp_path, name, **changes):
    with_test = changes.pop("with_test", True)
    config = Config(dict(train_cfg=dict(max_epochs=2), **changes))
    return declare(name, config, tmp_path / name, with_test)


def calls(tmp_path):
    return (tmp_path / "calls").read_text().splitlines()


def test_finished_run_holds_its_metrics_and_is_not_run_again(scripts, tmp_path):
    run = a_run(tmp_path, "one")
    (found,) = run_or_fail([run])
    assert found["metrics"] == {"mAP": 0.5} and found["checkpoint"] == str(run.checkpoint)
    assert run_or_fail([a_run(tmp_path, "one")]) == [found]
    assert [line.split()[1] for line in calls(tmp_path)] == ["train", "test"]


def test_minutes_of_a_training_that_went_on_are_not_those_of_its_last_part(scripts, tmp_path):
    whole, cut = a_run(tmp_path, "whole"), a_run(tmp_path, "cut")
    (cut.folder / "train").mkdir()
    (cut.folder / "train" / "last_checkpoint").write_text("epoch_1.pth")
    (cut.folder / "fingerprint").write_text(cut.fingerprint)
    minutes = [found["train_minutes"] for found in run_or_fail([whole, cut])]
    assert minutes[0] >= 0 and minutes[1] is None


def test_a_training_resumes_only_what_is_there_and_is_validated_by_its_test_alone(
    scripts, tmp_path
):
    new, cut = a_run(tmp_path, "new", load_from="x.pth"), a_run(tmp_path, "cut")
    (cut.folder / "train").mkdir()
    (cut.folder / "train" / "last_checkpoint").write_text("epoch_1.pth")
    (cut.folder / "fingerprint").write_text(cut.fingerprint)
    run_or_fail([new, cut])
    begun, resumed = (json.loads((run.folder / "train.json").read_text()) for run in (new, cut))
    assert "--resume" not in begun  # mmdet3d's script would forget load_from
    assert resumed[resumed.index("--resume") + 1] == "auto"
    unset = {"val_cfg=None", "val_dataloader=None", "val_evaluator=None"}
    assert unset <= set(begun) and unset <= set(resumed)


def test_a_run_that_another_process_is_at_is_left_to_it(scripts, tmp_path):
    run = a_run(tmp_path, "one")
    with alone(run.folder, "training"):
        line = run_all([run])[run.folder]
    assert f"one: another training is at work there ({platform.node()}, process " in line
    assert not (tmp_path / "calls").exists()
    assert run_or_fail([run])[0]["metrics"] == {"mAP": 0.5}


def test_a_run_that_another_process_has_finished_meanwhile_is_only_read(
    scripts, tmp_path, monkeypatch
):
    run = a_run(tmp_path, "one")
    (found,) = run_or_fail([run])
    results = iter([None])  # as when the first look came before the other's end
    result = Run.result
    monkeypatch.setattr(Run, "result", lambda self: next(results, result(self)))
    assert run_or_fail([run]) == [found]
    assert [line.split()[1] for line in calls(tmp_path)] == ["train", "test"]


def test_the_log_of_a_training_that_goes_on_keeps_its_first_part(scripts, tmp_path):
    run = a_run(tmp_path, "one")
    (run.folder / "train").mkdir()
    (run.folder / "train" / "last_checkpoint").write_text("epoch_1.pth")
    (run.folder / "fingerprint").write_text(run.fingerprint)
    (run.folder / "train.log").write_text("epoch 1\n")
    run_or_fail([run])
    assert (run.folder / "train.log").read_text().startswith("epoch 1\n")


@pytest.mark.parametrize("old_is_there", [False, True], ids=["moved", "copied"])
def test_a_training_whose_folder_was_moved_has_its_own_checkpoint(tmp_path, old_is_there):
    old, new = tmp_path / "old" / "epoch_2.pth", tmp_path / "new" / "epoch_2.pth"
    for path in [new, *([old] if old_is_there else [])]:
        path.parent.mkdir()
        path.touch()
    (new.parent / "last_checkpoint").write_text(f"{old}\n")
    assert last_checkpoint(new.parent) == new


def test_a_checkpoint_that_has_gone_is_named(tmp_path):
    (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_2.pth")
    with pytest.raises(ConfigError, match=r"epoch_2\.pth has gone"):
        last_checkpoint(tmp_path)


def test_run_without_test_is_trained_only(scripts, tmp_path):
    (found,) = run_or_fail([a_run(tmp_path, "start", with_test=False)])
    assert found["metrics"] == {}
    assert [line.split()[1] for line in calls(tmp_path)] == ["train"]


def test_runs_go_side_by_side_and_share_the_cores(scripts, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "num_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_or_fail([a_run(tmp_path, name, with_test=False) for name in ("left", "right")], jobs=2)
    assert {line.split()[2] for line in calls(tmp_path)} == {"3"}


def test_threads_that_the_user_asked_for_stay_and_busy_cores_are_told(
    scripts, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(machine, "num_cores", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(module, "busy_line", lambda threads: f"SLOW with {threads}")
    monkeypatch.setattr(module, "visible_gpus", list)
    run_all([a_run(tmp_path, "one", with_test=False)], jobs=1)
    assert {line.split()[2] for line in calls(tmp_path)} == {"2"}
    assert "runs of 2 threads: SLOW with 2" in capsys.readouterr().out


def test_one_job_takes_one_after_the_other_in_the_order_given(scripts, tmp_path):
    names = ["b", "a", "c"]
    run_or_fail([a_run(tmp_path, name, with_test=False) for name in names], jobs=1)
    assert [line.split()[0] for line in calls(tmp_path)] == names


def test_run_that_fails_is_an_error_after_all_have_ended(scripts, tmp_path):
    runs = [a_run(tmp_path, name) for name in ("broken", "whole")]
    found = run_all(runs, jobs=1)
    assert "RuntimeError: it broke" in found[runs[0].folder]
    assert runs[1].result()["metrics"] == {"mAP": 0.5}
    with pytest.raises(ConfigError, match=r"broken: .*it broke .*train\.log"):
        run_or_fail(runs)


@pytest.mark.parametrize("is_done", [True, False])
def test_folder_of_other_settings_is_refused(scripts, tmp_path, is_done):
    run = a_run(tmp_path, "one", lr=1)
    run_or_fail([run])
    if not is_done:  # cut off after a checkpoint
        run.result_file.unlink()
    assert (run.result() is not None) == is_done
    with pytest.raises(ConfigError, match="other settings"):
        a_run(tmp_path, "one", lr=2)


def test_settings_of_a_run_that_left_nothing_may_change(scripts, tmp_path):
    run_all([a_run(tmp_path, "broken", lr=1)])
    assert a_run(tmp_path, "broken", lr=2).result() is None


def test_metrics_are_those_of_the_latest_test(tmp_path):
    for name, value in (("20260101_000000", 0.1), ("20260103_000000", 0.3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.json").write_text(json.dumps({"MAE": value}))
    assert read_metrics(tmp_path) == {"MAE": 0.3}


def test_training_without_a_test_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no metrics"):
        read_metrics(tmp_path)


def test_losses_are_means_of_epochs_and_an_epoch_begun_twice_counts_as_ended(tmp_path):
    for name, lines in (
        ("20260101_000000", [(1, 1, 4.0), (1, 2, 2.0), (2, 3, 9.0)]),
        ("20260102_000000", [(2, 3, 1.0), (2, 4, 2.0), (4, 7, 0.5)]),
    ):
        folder = tmp_path / name / "vis_data"
        folder.mkdir(parents=True)
        logged = [
            {"loss": v, "loss_cls": v / 2, "epoch": e, "step": s, "lr": 1.0} for e, s, v in lines
        ]
        text = "".join(json.dumps(line) + "\n" for line in [*logged, {"mAP": 1.0, "step": 2}])
        (folder / "scalars.json").write_text(text)
    losses = read_losses(tmp_path)
    assert losses == {"loss": [3.0, 1.5, None, 0.5], "loss_cls": [1.5, 0.75, None, 0.25]}
