"""Following a program: its log, its progress, its end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from gemini_det3d.apis.config import ConfigError
from gemini_det3d.apis.process import Programs
from gemini_det3d.apis.runs import TEST, TRAINING

LINE = (
    "11/22 04:02:37 - mmengine - INFO - Epoch(train)  [6][ 70/100]  lr: 4.9406e-04  eta: 0:02:45"
    "  time: 0.9017  data_time: 0.0069  grad_norm: 7.5086  loss: 0.6598  loss_cls: 0.1777"
)
TEST_LINE = "11/22 04:02:37 - mmengine - INFO - Epoch(test) [ 5/10]    eta: 0:00:03  time: 0.6"


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return path


def follow(tmp_path, text, *arguments, **options):
    return Programs().follow([program(tmp_path, text)], tmp_path / "log", *arguments, **options)


def test_progress_follows_the_lines_that_mmengine_prints(tmp_path):
    shown = []
    text = f"print({LINE!r})\nprint({TEST_LINE!r})\n"
    follow(tmp_path, text, TRAINING, lambda *groups: shown.append(groups))
    follow(tmp_path, text, TEST, lambda *groups: shown.append(groups))
    assert shown == [("6", "70", "100", "0.6598"), ("5", "10")]
    assert (tmp_path / "log").read_text() == f"{LINE}\n{TEST_LINE}\n"


def test_counters_that_overwrite_their_line_are_seen_one_by_one(tmp_path):
    shown = []
    text = r"print('\r[>  ] 1/3, 9 s\r[>> ] 2/3, 9 s\r[>>>] 3/3, 9 s')"
    follow(tmp_path, text, r"\] (\d)/", lambda done: shown.append(done))
    assert shown == ["1", "2", "3"]


def test_program_that_fails_is_one_line_with_its_log(tmp_path):
    text = f"import sys\nprint('no such data', {LINE!r}, sep=chr(10), flush=True)\nsys.exit(1)\n"
    with pytest.raises(ConfigError, match=r"program\.py failed: no such data .*log") as error:
        follow(tmp_path, text, TRAINING, lambda *groups: None)  # progress is no reason
    assert "\n" not in str(error.value)


def test_program_that_is_killed_says_the_signal(tmp_path):
    text = "import os\nos.kill(os.getpid(), 9)\n"
    with pytest.raises(ConfigError, match="it failed: ended by signal 9"):
        follow(tmp_path, text, name="it")


def test_threads_and_variables_reach_the_program(tmp_path):
    path = program(tmp_path, "import os\nprint(os.environ['OMP_NUM_THREADS'], os.environ['MORE'])")
    Programs(threads=3).follow([path], tmp_path / "log", MORE="yes")
    assert (tmp_path / "log").read_text() == "3 yes\n"


def test_torchrun_of_this_process_is_not_the_programs(tmp_path, monkeypatch):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
             "GROUP_RANK", "ROLE_NAME", "TORCHELASTIC_RUN_ID")  # fmt: skip
    for name in (*names, "RANKING"):
        monkeypatch.setenv(name, "1")
    path = program(tmp_path, f"import os\nprint({{*{names!r}, 'RANKING'}} & os.environ.keys())")
    Programs().follow([path], tmp_path / "log")
    assert (tmp_path / "log").read_text() == "{'RANKING'}\n"


def test_log_of_a_program_that_goes_on_keeps_its_first_part(tmp_path):
    for goes_on in (False, True):
        follow(tmp_path, "print('line')", goes_on=goes_on)
    assert (tmp_path / "log").read_text() == "line\nline\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such thing")
def test_programs_end_when_the_process_that_follows_them_is_killed(tmp_path):
    beats = tmp_path / "beats"
    path = program(
        tmp_path,
        f"""
import time
while True:
    with open({str(beats)!r}, "a") as file:
        file.write("x")
    time.sleep(0.05)
""",
    )
    text = "import pathlib, sys\nfrom gemini_det3d.apis.process import Programs\n"
    text += "Programs().follow([sys.argv[1]], pathlib.Path(sys.argv[2]))\n"
    parent = subprocess.Popen([sys.executable, "-c", text, str(path), str(tmp_path / "log")])
    until = time.monotonic() + 60
    while not beats.exists() and time.monotonic() < until:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    time.sleep(0.5)
    beaten = beats.stat().st_size
    time.sleep(0.5)
    assert 0 < beaten == beats.stat().st_size


def test_stop_ends_what_runs_and_starts_nothing_more(tmp_path):
    programs, log = Programs(), tmp_path / "log"
    path = program(tmp_path, "import time\nprint('on', flush=True)\ntime.sleep(60)\n")
    started = time.monotonic()
    threading.Timer(1.0, programs.stop).start()
    with pytest.raises(ConfigError, match="signal 15"):
        programs.follow([path], log)
    with pytest.raises(ConfigError, match="interrupted"):
        programs.follow([path], log)
    assert time.monotonic() - started < 30


def test_error_in_the_display_ends_the_program(tmp_path):
    text = "import pathlib, time\nprint('1/2', flush=True)\ntime.sleep(2)\n"
    text += f"pathlib.Path({str(tmp_path / 'late')!r}).touch()\n"
    with pytest.raises(ZeroDivisionError):
        follow(tmp_path, text, r"(\d)/2", lambda done: 1 / 0)
    time.sleep(2.5)
    assert not (tmp_path / "late").exists()
