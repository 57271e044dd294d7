"""One region for all blocks: each is computed once, by any thread, and to the same bits."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import torch
from torch import Tensor

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.functional import FusionParameters
from gemini_det3d.fusion.kernels import division, parallel
from gemini_det3d.fusion.kernels.choice import run
from gemini_det3d.fusion.kernels.division import divide
from gemini_det3d.fusion.kernels.parallel import for_each, num_workers

ENOUGH = 12_000  # tokens of 64 channels that two threads divide


@pytest.fixture
def two_threads():
    """PyTorch on two threads, which can open a region."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    if num_workers() != 2:
        pytest.skip("PyTorch here is linked with another runtime than GNU OpenMP")
    yield
    torch.set_num_threads(before)


def fuse_and_differentiate(fuse: GeminiFusion, *streams: Tensor, **options: Tensor) -> list[Tensor]:
    """Both fused streams and all gradients, of the bias, too, where there is one."""
    leaves = [tensor.detach().requires_grad_() for tensor in (*streams, *fuse.fusion_parameters())]
    if "bias" in options:
        leaves.append(options["bias"].detach().requires_grad_())
        options = {**options, "bias": leaves[-1]}
    parameters = FusionParameters(*leaves[2:14])
    fused = run("blockwise", *leaves[:2], parameters, fuse.num_heads, **options)
    weights = torch.linspace(0.5, 1.5, fused[0].numel()).view_as(fused[0])
    total = (fused[0] * weights).sum() - (fused[1].square() * weights).sum()
    return [tensor.detach() for tensor in (*fused, *torch.autograd.grad(total, leaves))]


def test_each_item_is_done_once_by_either_thread(two_threads):
    done, threads, meeting = Counter(), set(), threading.Barrier(2, timeout=60)

    def begin():
        threads.add(threading.get_ident())
        meeting.wait()  # or one thread might be done before the other has begun
        return lambda item: done.update([item])

    for_each(range(100), begin, 2)
    assert done == Counter(range(100)) and len(threads) == 2


def test_an_error_in_either_thread_reaches_the_caller_and_ends_the_work(two_threads):
    meeting = threading.Barrier(2, timeout=60)
    for is_in_callers_thread in (True, False):
        done, caller = [], threading.get_ident()

        def begin(is_in_callers_thread=is_in_callers_thread, done=done, caller=caller):
            meeting.wait()
            is_here = threading.get_ident() == caller

            def do(item):
                if is_here == is_in_callers_thread:
                    raise ValueError("a block that cannot be computed")
                done.append(item)

            return do

        with pytest.raises(ValueError, match="a block that cannot be computed"):
            for_each(range(10_000_000), begin, 2)
        assert len(done) < 10_000_000


@pytest.mark.parametrize("is_inference", [True, False])
def test_both_threads_compute_in_the_callers_mode(two_threads, is_inference):
    seen, meeting = [], threading.Barrier(2, timeout=60)

    def begin():
        meeting.wait()
        seen.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
        return lambda item: None

    with torch.inference_mode(is_inference):
        for_each([0, 1], begin, 2)
    assert seen == [(is_inference, False)] * 2


@pytest.mark.parametrize("options", [{}, {"valid": True}, {"bias": True}], ids=str)
def test_two_threads_give_what_one_gives(two_threads, monkeypatch, options):
    torch.manual_seed(0)
    fuse = GeminiFusion(64, num_heads=4, backend="blockwise")
    streams = torch.randn(2, ENOUGH, 64)
    given = {}
    if "valid" in options:
        given["valid"] = torch.rand(ENOUGH) < 0.5
    if "bias" in options:
        given["bias"] = torch.randn(ENOUGH)
    assert divide(ENOUGH, 64, 0).workers == 2
    together = fuse_and_differentiate(fuse, *streams, **given)
    monkeypatch.setattr(division, "num_workers", lambda: 1)
    assert divide(ENOUGH, 64, 0).workers == 1
    for ours, theirs in zip(together, fuse_and_differentiate(fuse, *streams, **given)):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5 * float(theirs.abs().max()))


def test_five_trainings_on_two_threads_are_equal_to_the_last_bit(two_threads):
    torch.manual_seed(0)
    fuse = GeminiFusion(64, num_heads=4, backend="blockwise")
    streams = torch.randn(2, ENOUGH, 64)
    first, *others = [fuse_and_differentiate(fuse, *streams) for _ in range(5)]
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other))


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("valid", [None, torch.arange(ENOUGH) % 3 > 0], ids=["all", "masked"])
def test_gradients_hold_when_the_number_of_threads_changes(two_threads, before, after, valid):
    fuse = GeminiFusion(64, num_heads=4, backend="blockwise")
    streams = [torch.randn(ENOUGH, 64, requires_grad=True) for _ in range(2)]
    leaves, weights = [*streams, *fuse.parameters()], torch.randn(ENOUGH, 64)

    def differentiate(threads: int) -> tuple[Tensor, ...]:
        torch.set_num_threads(before)
        total = sum((fused * weights).sum() for fused in fuse(*streams, valid))
        torch.set_num_threads(threads)
        return torch.autograd.grad(total, leaves)

    for found, wanted in zip(differentiate(after), differentiate(before)):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_blocks_of_a_known_size_are_the_same_for_any_number_of_threads(monkeypatch, workers):
    wanted = divide(20_000, 64, 0)
    monkeypatch.setattr(division, "num_workers", lambda: workers)
    found = divide(20_000, 64, 0, wanted.size)
    assert found.blocks == wanted.blocks and found.workers == workers
    assert [block for run in found.runs for block in run] == wanted.blocks


def test_inference_tensors_are_fused_by_two_threads(two_threads):
    fuse = GeminiFusion(64, num_heads=4, backend="blockwise").eval()
    with torch.inference_mode():
        streams = torch.randn(2, ENOUGH, 64)
        inside = fuse(*streams)
    with torch.no_grad():
        outside = fuse(*streams.clone())
    assert inside[0].is_inference() and torch.equal(inside[0], outside[0])


def test_without_the_runtimes_entry_the_caller_works_alone(monkeypatch):
    monkeypatch.setattr(parallel, "_open_region", lambda: None)
    assert num_workers() == 1
    done = []
    for_each([1, 2, 3], lambda: done.append, 2)
    assert done == [1, 2, 3]


@pytest.mark.parametrize("num_tokens", [0, 1, 15, 4096, 8191, 20_000, 100_001])
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("block_tokens", [0, 100])
def test_blocks_cover_all_tokens_in_order_and_runs_all_blocks(
    monkeypatch, num_tokens, workers, block_tokens
):
    monkeypatch.setattr(division, "num_workers", lambda: workers)
    blocks, used, runs, _ = divide(num_tokens, 64, block_tokens)
    ends = [0, *(block.stop for block in blocks)]
    assert [block.start for block in blocks] == ends[:-1] and ends[-1] == num_tokens
    assert [block for run in runs for block in run] == blocks and len(runs) <= used <= workers
    assert used == (workers if num_tokens >= workers * 2048 else 1)
