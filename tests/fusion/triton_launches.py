"""What the fused form launches, and what PyTorch sees of it: its compiler, autograd, opcheck.

Run by test_triton.py in a process of its own: Triton reads TRITON_INTERPRET when imported.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from typing import ClassVar

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from triton_common import DEVICE, build, draw, error, run

from gemini_det3d.fusion import GeminiFusion
from gemini_det3d.fusion.kernels import fused, fused_launches, fused_problem, triton_parts
from gemini_det3d.fusion.kernels.library import unpack

ALLOCATIONS = ("empty", "new_empty", "empty_like", "view", "_unsafe_view", "reshape", "alias",
               "detach", "unbind", "select", "slice", "as_strided", "transpose", "t", "split",
               "expand", "permute", "lift_fresh", "_reshape_alias", "unsqueeze")  # fmt: skip


class Census(TorchDispatchMode):
    """Counts what would be launched: kernels of Triton, and ATen calls that compute.

    Args:
        is_dry: Launch no kernel: results hold anything.
    """

    def __init__(self, is_dry: bool = False) -> None:
        super().__init__()
        self.is_dry = is_dry
        self.kernels: list[str] = []
        self.aten: list[str] = []
        self.plain = triton_parts.launch

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function._schema.name
        namespace, short = name.split("::")
        if namespace == "aten" and short not in ALLOCATIONS:
            self.aten.append(short)
        return function(*arguments, **(options or {}))

    def __enter__(self):
        def launch(known, function, *arguments, **constants):
            self.kernels.append(function.fn.__name__)
            if not self.is_dry:
                self.plain(known, function, *arguments, **constants)

        triton_parts.launch = launch
        return super().__enter__()

    def __exit__(self, *reason):
        triton_parts.launch = self.plain
        return super().__exit__(*reason)

    @property
    def launches(self) -> int:
        return len(self.kernels) + len(self.aten)


def launches_are_few() -> None:
    lowered = (torch.float32, torch.bfloat16)
    for channels, stream_dtype, dtype, valid in (
        (16, torch.float32, torch.float32, None),
        (24, torch.float32, torch.float32, None),
        (80, torch.float32, torch.float32, None),
        (24, torch.bfloat16, torch.bfloat16, torch.arange(21) > 2),
        (80, torch.bfloat16, torch.bfloat16, torch.arange(21) > 2),
        (80, *lowered, None),
    ):
        operator = build(channels, 8, stream_dtype)
        streams = [draw(21, channels, dtype=stream_dtype) for _ in "ab"]
        with torch.autocast(DEVICE, dtype=dtype, enabled=stream_dtype != dtype):
            with Census(is_dry=True) as inference, torch.no_grad():
                operator(*streams, valid)
            with Census(is_dry=True) as training:
                fused_streams = operator(*streams, valid)
                ups = [torch.ones_like(f) for f in fused_streams]
                before = len(training.aten)
                inputs = [*streams, *operator.parameters()]
                torch.autograd.grad(fused_streams, inputs, ups)
        made = training.aten[:before].count("ones_like") + training.aten[:before].count("fill_")
        case = (channels, dtype, inference.aten, training.aten)
        most_alone = 16 if dtype == torch.float32 else 64  # channels of the single kernel
        assert inference.launches <= (1 if channels <= most_alone else 4), case
        assert training.launches - made <= 16, case
        assert len(training.kernels) == 11, training.kernels


def recomputing_takes_one_launch_more_or_two_less() -> None:
    for channels, dtype, forward in (
        (16, torch.float32, 1),
        (24, torch.bfloat16, 1),
        (24, torch.float32, 4),
        (80, torch.bfloat16, 4),
    ):
        operator = build(channels, 8, dtype, with_recompute=True)
        streams = [draw(9, channels, dtype=dtype) for _ in "ab"]
        with Census(is_dry=True) as seen:
            fused_streams = operator(*streams)
            assert seen.launches == forward, seen.kernels
            ups = [torch.empty_like(stream) for stream in fused_streams]
            torch.autograd.grad(fused_streams, [*streams, *operator.parameters()], ups)
        assert seen.launches == forward + 8, (seen.kernels, seen.aten)


def operators_pass_opcheck() -> None:
    operator = build(6, 3)
    streams = [draw(5, 6) for _ in "ab"]
    rest = (*operator.parameters(), 3, torch.float32, True, 0, True)
    mask = torch.tensor([True, False, True, True, False], device=DEVICE)
    for valid in (None, mask):
        checked = torch.library.opcheck(fused.fuse_gpu, (*streams, valid, *rest))
        assert set(checked.values()) == {"SUCCESS"}
    tape = fused.fuse_gpu(*streams, None, *rest)[2].detach()
    upstream = [draw(5, 6) for _ in "ab"]
    arguments = (*streams, None, tape, *upstream, *rest)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    checked = torch.library.opcheck(fused.fuse_gpu_backward, arguments, test_utils=tests)
    assert set(checked.values()) == {"SUCCESS"}
    assert unpack(rest)[1].num_heads == 3


def eager_calls_give_the_bits_of_the_operators() -> None:
    mask = torch.arange(9) > 2
    for dtype, with_recompute, valid in (
        (torch.float32, False, None),
        (torch.bfloat16, True, mask.to(DEVICE)),
    ):
        operator = build(24, 3, dtype, with_recompute=with_recompute)
        streams = [draw(9, 24, dtype=dtype) for _ in "ab"]
        inputs = [*streams, *operator.parameters()]
        ups = [draw(9, 24, dtype=dtype).detach(), None]
        results = []
        for watch in (contextlib.nullcontext(), Census()):
            with watch:
                both = operator(*streams, valid)
                results.append((*both, *torch.autograd.grad(both[0], inputs, ups[0])))
        assert results[0][0].grad_fn.name().startswith("_Eager")
        assert all(torch.equal(a, b) for a, b in zip(*results))


def eager_gradients_have_gradients_and_come_in_batches() -> None:
    operator, streams = build(16, 4), [draw(7, 16) for _ in "ab"]
    plain = GeminiFusion.from_released(operator.to_released(), 4, backend="plain")
    ups = [torch.randn(3, 7, 16, device=DEVICE) for _ in "ab"]
    second, third, batched = [], [], []
    for each in (operator, plain):
        both = each(*streams)
        first = torch.autograd.grad(both, streams, [u[0] for u in ups], create_graph=True)
        penalty = sum(g.square().sum() for g in first)
        second.append(torch.autograd.grad(penalty, streams, create_graph=True))
        penalty = sum(g.square().sum() for g in second[-1])
        third.append(torch.autograd.grad(penalty, streams))
        options = {"is_grads_batched": True, "materialize_grads": True}
        batched.append(torch.autograd.grad(each(*streams), streams, ups, **options))
    for found, wanted in (second, third, batched):
        assert max(error(f, w.double()) for f, w in zip(found, wanted)) < 1e-5


def compiler_sees_one_node_each_way() -> None:
    operator = build(80, 8)
    compiled = torch.compile(operator, backend="aot_eager", fullgraph=True)
    streams = [draw(13, 80) for _ in "ab"]
    inputs = [*streams, *operator.parameters()]
    results = []
    for call in (operator, compiled):
        fused_streams = call(*streams)
        loss = sum(f.square().sum() for f in fused_streams)
        results.append((*fused_streams, *torch.autograd.grad(loss, inputs)))
    assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)


def a_gpu_without_a_compiler_takes_another_form_with_one_warning() -> None:
    plain = triton_parts.launch

    def launch(*_, **__):
        raise RuntimeError("Failed to find C compiler.")

    fused._FOUND_OUT.clear()
    triton_parts.launch = launch
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert not fused.runs_on(0, torch.float16) and not fused.runs_on(0, torch.float16)
    assert ["Failed to find C compiler" in str(w.message) for w in said] == [True]
    with capturing():
        assert not fused.runs_on(0, torch.float16)  # what is known holds there, too
        assert fused.runs_on(0, torch.bfloat16)
    triton_parts.launch = plain
    fused._FOUND_OUT.clear()
    assert fused.runs_on(0, torch.float16)
    assert fused_launches.is_narrow(64) and not fused_launches.is_narrow(65)
    assert not fused_launches.is_narrow(17, is_exact=True)  # which would spill registers


@contextlib.contextmanager
def capturing():
    """As if a CUDA graph were captured."""
    asked = torch.cuda.is_available, torch.cuda.is_current_stream_capturing
    torch.cuda.is_available = torch.cuda.is_current_stream_capturing = lambda: True
    yield
    torch.cuda.is_available, torch.cuda.is_current_stream_capturing = asked


def a_trial_that_fails_for_a_reason_that_passes_is_made_again() -> None:
    plain = triton_parts.launch

    def launch(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")

    fused._FOUND_OUT.clear()
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fused.runs_on(0, torch.float16)
    triton_parts.launch = launch
    with contextlib.suppress(torch.cuda.OutOfMemoryError):
        fused.runs_on(0, torch.bfloat16)
        raise AssertionError("memory did not run out")
    triton_parts.launch = plain
    assert fused.runs_on(0, torch.bfloat16)


class Remembering:
    """A kernel as a GPU knows it: what was None when it was compiled is None for ever."""

    launched: ClassVar[list[str]] = []

    def __init__(self, kernel, compiled_for=None) -> None:
        self.kernel, self.compiled_for = kernel, compiled_for
        self.fn, self.arg_names = kernel.fn, kernel.arg_names

    def __getitem__(self, grid):
        def launch(*arguments, **constants):
            if self.compiled_for is None:
                self.kernel[grid](*arguments, **constants)
                return Remembering(self.kernel, [each is None for each in arguments])
            self.launched.append(self.fn.__name__)
            rest = arguments[len(self.compiled_for) :]
            pairs = zip(self.compiled_for, arguments)
            given = [None if is_missing else each for is_missing, each in pairs]
            return self.kernel[grid[:1]](*given, *rest)

        return launch


def remembered_kernels_are_those_of_the_call() -> None:
    kernels: dict = {}
    plain, is_common = triton_parts.launch, fused_problem._is_common

    def launch(known, function, *arguments, **constants):
        kernel = kernels.setdefault(function, Remembering(function))
        plain(known, kernel, *arguments, **constants)

    triton_parts.launch = launch
    fused_problem._is_common = lambda *_: True
    operator = build(24, 3, reliability=True).eval()
    torch.nn.init.uniform_(operator.reliability_weight, -0.1, 0.1)
    torch.nn.init.uniform_(operator.reliability_worth, 0.05, 0.3)
    exact = copy.deepcopy(operator)
    exact.backend = "plain"
    streams, mask = [draw(9, 24) for _ in "ab"], torch.arange(9, device=DEVICE) > 2
    for valid in (None, mask):
        for is_learned in (False, True, False):
            gradients = []
            for each in (operator, exact):
                each.reliability_worth.requires_grad_(is_learned)
                leaves = [*streams, *(p for p in each.parameters() if p.requires_grad)]
                loss = sum(f.square().sum() for f in each(*streams, valid))
                gradients.append(torch.autograd.grad(loss, leaves, allow_unused=True))
            for found, wanted in zip(*gradients):
                assert (found is None) == (wanted is None)
                assert found is None or error(found, wanted.double()) < 1e-5
    launched = Remembering.launched
    assert launched.count("attention_kernel") == 2, launched
    triton_parts.launch, fused_problem._is_common = plain, is_common


if __name__ == "__main__":
    run(globals())
