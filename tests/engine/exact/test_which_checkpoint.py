"""A run goes on from the newest whole checkpoint of the run that wrote last in its folder."""

from __future__ import annotations

import json

import pytest
from toy import NO_VALIDATION, newest, toy_config, train, train_and_stop

from gemini_det3d.engine.exact import checkpoint_files, newest_whole_checkpoint
from gemini_det3d.formats import FormatError


def quick(folder, seed=7, **changes):
    return toy_config(folder, ema=False, **NO_VALIDATION, **{"randomness.seed": seed, **changes})


def test_a_new_run_in_the_folder_of_a_finished_one_is_the_one_that_goes_on(tmp_path):
    train(quick(tmp_path))
    train_and_stop(quick(tmp_path, seed=99), before=9)
    assert newest_whole_checkpoint(tmp_path, pytest.fail).name == "iter_8.pth"
    (tmp_path / "last_checkpoint").unlink()  # killed before that was written
    resumed = train(quick(tmp_path, seed=99), resume=True)
    assert (resumed.iter, resumed.seed) == (18, 99)


def test_a_branch_from_an_earlier_checkpoint_is_the_one_that_goes_on(tmp_path):
    keep = {"default_hooks.checkpoint.max_keep_ckpts": -1}
    train(quick(tmp_path, **keep))
    branch = quick(tmp_path, load_from=str(tmp_path / "iter_8.pth"), **keep)
    branch.train_dataloader.dataset.size = 22
    train_and_stop(branch, before=14, resume=True)
    assert newest_whole_checkpoint(tmp_path, pytest.fail).name == "iter_12.pth"


def test_a_run_that_goes_on_stays_the_same_run(tmp_path):
    train_and_stop(quick(tmp_path), before=9)
    first = newest(tmp_path)["exact_state"]["run"]
    train_and_stop(quick(tmp_path), before=14, resume=True)
    train(quick(tmp_path, load_from=str(tmp_path / "iter_12.pth")), resume=True)
    assert newest(tmp_path)["exact_state"]["run"] == first


def test_a_damaged_checkpoint_gives_way_to_one_of_its_own_run_alone(tmp_path):
    keep = {"default_hooks.checkpoint.max_keep_ckpts": -1}
    train(quick(tmp_path, **keep))
    train_and_stop(quick(tmp_path, seed=99, **keep), before=9)
    damaged, said = tmp_path / "iter_8.pth", []
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert newest_whole_checkpoint(tmp_path, said.append).name == "iter_4.pth"
    assert len(said) == 1 and "the one before it is taken" in said[0]
    (tmp_path / "iter_4.pth").write_bytes(b"")
    with pytest.raises(FormatError, match=r"holds 2 checkpoints, none of them whole \(of the run"):
        newest_whole_checkpoint(tmp_path, said.append)


def test_a_kill_before_the_file_leaves_the_note_of_the_run_whose_file_lies_there(tmp_path):
    train(quick(tmp_path))
    backend = checkpoint_files.WholeFileBackend(iteration=18, resumable=True, run="another")
    path = tmp_path / "iter_18.pth"
    first = checkpoint_files._entry(path)
    content = path.read_bytes()
    backend.put(b"another run's", path)
    path.write_bytes(content)
    assert checkpoint_files._entry(path) == first != {}
    assert newest_whole_checkpoint(tmp_path, pytest.fail) == path


def test_older_notes_and_checkpoints_without_a_run_are_taken_by_their_iterations(tmp_path):
    train(quick(tmp_path))
    for path in tmp_path.glob("*.pth"):
        note = checkpoint_files.note_path(path)
        (entry,) = json.loads(note.read_text())["either"]
        digest = {key: entry[key] for key in ("bytes", "sha256")}
        old = {"iteration": entry["iteration"], "resumable": True, "either": [digest]}
        note.write_text(json.dumps(old))
    assert newest_whole_checkpoint(tmp_path, pytest.fail).name == "iter_18.pth"
    (tmp_path / "iter_18.pth").write_bytes(b"")
    assert newest_whole_checkpoint(tmp_path, print).name == "iter_16.pth"


@pytest.mark.parametrize("key", ["optimizer", "param_scheduler"])
def test_checkpoints_that_lack_what_training_needs_are_no_reason_to_begin_anew(tmp_path, key):
    changes = {f"default_hooks.checkpoint.save_{key}": False}
    train_and_stop(quick(tmp_path, **changes), before=9)
    with pytest.raises(FormatError, match=f"holds 2 checkpoints, none of them .*save_{key}"):
        train(quick(tmp_path, **changes), resume=True)
    named = quick(tmp_path, load_from=str(tmp_path / "iter_8.pth"), **changes)
    with pytest.raises(FormatError, match=rf"iter_8\.pth: cannot be resumed from: it has no {key}"):
        train(named, resume=True)


def test_a_run_without_schedules_needs_none_in_its_checkpoints(tmp_path):
    train_and_stop(quick(tmp_path, param_scheduler=None), before=9)
    seen = newest_whole_checkpoint(tmp_path, pytest.fail)
    assert seen.name == "iter_8.pth"
    assert train(quick(tmp_path, param_scheduler=None), resume=True).iter == 18


def test_the_best_checkpoint_is_not_to_go_on_from(tmp_path):
    train(toy_config(tmp_path))
    (best,) = tmp_path.glob("best_*.pth")
    with pytest.raises(FormatError, match="has no optimizer .*load_from starts anew"):
        train(toy_config(tmp_path, load_from=str(best)), resume=True)
    for path in tmp_path.glob("iter_*"):
        path.unlink()
    assert newest_whole_checkpoint(tmp_path, pytest.fail) is None


def test_names_of_checkpoints_may_have_a_format(tmp_path):
    name = {"default_hooks.checkpoint.filename_tmpl": "it[a]_{:04d}.pth"}
    train_and_stop(quick(tmp_path, **name), before=13)
    assert train(quick(tmp_path, **name), resume=True).iter == 18
    left = {path.name for path in tmp_path.glob("*.pth")}
    assert left == {"it[a]_0016.pth", "it[a]_0018.pth"}
