"""The fusion benchmark's times of a GPU: what is measured, planned and told. No GPU is needed."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

from benchmarks.fusion import Site, gpu, measure
from benchmarks.fusion import command as benchmark_fusion
from benchmarks.fusion.gpu_report import gpu_goal_lines, gpu_table_lines
from gemini_det3d.cli import main

MS_A_CYCLE = 1e-6


class Queue:
    """A GPU that works off what is queued, beside a host that takes its time to queue it."""

    def __init__(self) -> None:
        self.now_ms = self.busy_until_ms = 0.0

    def queue(self, host_ms: float, gpu_ms: float) -> None:
        self.now_ms += host_ms
        self.busy_until_ms = max(self.busy_until_ms, self.now_ms) + gpu_ms

    def _sleep(self, cycles: int) -> None:
        self.queue(0.0, cycles * MS_A_CYCLE)

    def synchronize(self) -> None:
        self.now_ms = max(self.now_ms, self.busy_until_ms)

    def Event(self, enable_timing: bool):  # noqa: N802 -- torch's name
        assert enable_timing
        return Event(self)


class Event:
    def __init__(self, queue: Queue) -> None:
        self.device = queue

    def record(self) -> None:
        self.at_ms = max(self.device.busy_until_ms, self.device.now_ms)

    def query(self) -> bool:
        return self.device.now_ms >= self.at_ms

    def elapsed_time(self, later: Event) -> float:
        return later.at_ms - self.at_ms


@pytest.mark.parametrize("launches", [3, 100])  # the second outlasts the first sleep of 4 ms
def test_time_of_the_gpu_has_no_time_of_the_host_in_it(launches):
    device = Queue()

    def call() -> None:
        for _ in range(launches):
            device.queue(host_ms=0.5, gpu_ms=0.25)

    assert gpu.queued_ms(call, cuda=device) == pytest.approx(0.25 * launches)


def test_a_host_that_no_sleep_outlasts_gives_no_time_of_the_gpu():
    device = Queue()
    assert gpu.queued_ms(lambda: device.queue(host_ms=5e3, gpu_ms=1.0), cuda=device) is None


def test_floors_are_bytes_and_products_over_what_the_gpu_does():
    ceilings = gpu.Ceilings(bytes_per_s=4e12, flops_per_s=800e12)
    sites = (Site(1, 32400, 256),)
    memory, products = gpu.floors_ms(sites, "inference", torch.bfloat16, ceilings)
    assert memory == pytest.approx(1e3 * 4 * 32400 * 256 * 2 / 4e12)
    assert products == pytest.approx(1e3 * 28 * 32400 * 256**2 / 800e12)
    training = gpu.floors_ms(sites * 2, "training", torch.float32, ceilings)
    assert training == pytest.approx((2 * 2.5 * 2 * memory, 2 * 3 * products))


def test_tf32_is_let_on_for_as_long_as_it_is_measured():
    before = torch.backends.cuda.matmul.allow_tf32
    with gpu.products_in("tf32"):
        assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before
    assert gpu.torch_dtype("tf32") is torch.float32


def row(**changed) -> dict:
    times = {f"{who}_{kind}": 1.0 for who in ("ours", "other") for kind in ("gpu_ms", "graph_ms")}
    return {
        **dict(case="BEV 32400x256", shape="1x32400x256", dtype="bfloat16", mode="inference"),
        **dict(opponent="released", ours_ms=2.0, other_ms=9.0, ratio=4.5, err_ours=1e-3),
        **dict(err_other=1e-3, peak_bytes_ours=2**20, peak_bytes_other=2**21),
        **dict(floor_memory_ms=0.016, floor_products_ms=0.076), **times, **changed,
    }  # fmt: skip


def test_wall_gpu_and_graph_stand_apart_beside_the_floors():
    lines = gpu_table_lines([row(other_gpu_ms=None), row(opponent="plain", err_other=None)])
    assert [[cell.strip() for cell in line.split("|")[4:-1]] for line in lines[2:]] == [
        ["ours", "2.000", "1.000", "1.000", "0.016", "0.076", "1.0e-03", "1"],
        ["released", "9.000", "", "1.000", "0.016", "0.076", "1.0e-03", "2"],
        ["plain", "9.000", "1.000", "1.000", "0.016", "0.076", "another function", "2"],
    ]


def test_goals_of_the_gpu_are_by_its_own_time():
    assert gpu_goal_lines([row(other_gpu_ms=7.5)])[-1].endswith("| >= 7.26 | 7.50 | | yes |")
    assert len(gpu_goal_lines([row(other_gpu_ms=None)])) == 2  # unknown: no line


def test_an_opponent_that_fails_is_named_and_left_out(capsys):
    case = benchmark_fusion.gpu_cases()[1]._replace(sites=(Site(1, 7, 16),))
    runners = measure._build(case, "inference", torch.float32, "cpu")

    def broken(*streams):
        raise RuntimeError("no such kernel\nand a trace")

    runners["plain"].modules[0].forward = broken
    inputs = measure.Inputs(case.sites)
    inputs.refresh()
    left = measure._that_run(case, runners, inputs, "inference")
    assert set(left) == set(runners) - {"plain"} and "compact" in left
    said = "points 20k x128, inference: plain fails: RuntimeError: no such kernel"
    assert capsys.readouterr().out.splitlines() == [said]


def test_cases_come_in_order_of_worth_until_the_time_is_over(tmp_path, monkeypatch, capsys):
    seen = []

    def compare(case, mode, dtype, *_):
        seen.append((case.name, dtype, mode))
        return [row(case=case.name, dtype=dtype, mode=mode)]

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(measure, "compare", compare)
    clock = iter(range(1000))
    monkeypatch.setattr(benchmark_fusion, "perf_counter", lambda: float(next(clock)))
    parser = argparse.ArgumentParser()
    benchmark_fusion.add_arguments(parser)
    files = [f"--{kind}={tmp_path / kind}.png" for kind in ("json", "markdown", "plot")]
    arguments = ["--device=cuda", "--seconds=6", *files]
    assert benchmark_fusion.run(parser.parse_args(arguments)) == 0
    assert seen[0] == ("BEV 32400x256", "bfloat16", "inference") and len(seen) == 3
    text = (tmp_path / "markdown.png").read_text()
    assert "not begun after 6 s: points 20k x128, bfloat16, inference; " in text
    assert text in capsys.readouterr().out
    assert len(json.loads((tmp_path / "json.png").read_text())) == 3
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_compiled_forms_are_measured_where_asked_for():
    def opponents(with_compiled: bool) -> set[str]:
        return {
            name for case in benchmark_fusion.gpu_cases(with_compiled) for name in case.opponents
        }

    assert opponents(True) - opponents(False) == {"itself_compiled", "released_compiled"}
    assert {"released", "plain", "compact", "products", "conv_fuser"} <= opponents(False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_one_line_says_so(capsys):
    assert main(["benchmark", "fusion", "--device=cuda"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "gemini-det3d benchmark: --device cuda: torch sees 0 CUDA devices"
    ]
