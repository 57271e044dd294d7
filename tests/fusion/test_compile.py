"""Compiling and exporting: one graph, dynamic numbers of tokens, ONNX."""

from __future__ import annotations

from importlib.util import find_spec
from shutil import which

import pytest
import torch
from counting import count_saved_bytes
from older_torch import needs_all_forms, needs_custom_operators, needs_told_exports
from reference import random_released
from torch.testing import assert_close

from gemini_det3d.fusion import GeminiFusion

pytestmark = needs_custom_operators
DIM, HEADS = 16, 4
TRACED = pytest.param("traced", marks=needs_all_forms)
BACKENDS = ("auto", "plain", "compact", TRACED, "blockwise")


@pytest.fixture
def operator() -> GeminiFusion:
    return GeminiFusion.from_released(random_released(DIM), HEADS).float()


@pytest.fixture
def streams(make):
    def draw(*shape: int, grad: bool = False):
        return [make(*shape, DIM, dtype=torch.float32, grad=grad) for _ in range(2)]

    return draw


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()


class CountGraphs:
    """A compiler that only counts and runs what it is given, and remembers what it calls."""

    def __init__(self) -> None:
        self.graphs = 0
        self.called: list[str] = []

    def __call__(self, module, inputs):
        self.graphs += 1
        for graph in module.modules():
            self.called += [
                str(node.target) for node in getattr(graph, "graph", module.graph).nodes
            ]
        return module.forward

    @property
    def form(self) -> str:
        """Which form the compiler was given, by what only this form calls."""
        if any("gemini_det3d.fuse" in name for name in self.called):
            return "blockwise"
        return "compact" if any("bmm" in name for name in self.called) else "traced"


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiler_sees_no_graph_break(operator, streams, backend):
    operator.backend = backend
    valid = torch.tensor([True, False, True, True, True])
    compiled = torch.compile(operator, backend=CountGraphs(), fullgraph=True)
    inputs = (*streams(5), valid)
    assert_close(compiled(*inputs), operator(*inputs))


@needs_all_forms
def test_any_number_of_tokens_needs_two_graphs_at_most(operator, streams):
    counter = CountGraphs()
    compiled = torch.compile(operator, backend=counter, fullgraph=True)
    for num_tokens in (7, 31, 400, 9001, 12):
        inputs = streams(num_tokens)
        assert_close(compiled(*inputs), operator(*inputs))
    assert counter.graphs <= 2


@needs_all_forms
@pytest.mark.parametrize(
    ("tokens", "training", "form"),
    [
        (7, False, "compact"),
        (256, True, "compact"),
        (257, False, "traced"),
        (300_000, False, "blockwise"),
        (300_000, True, "traced"),
    ],
)
def test_compiler_gets_the_form_that_suits_the_tokens(operator, streams, tokens, training, form):
    compiler = CountGraphs()
    compiled = torch.compile(operator, backend=compiler, fullgraph=True)
    with torch.set_grad_enabled(training):
        compiled(*streams(tokens))
    assert compiler.form == form


@needs_all_forms
@pytest.mark.parametrize("bound", [{"block_tokens": 64}, {"with_recompute": True}])
def test_compiler_gets_blocks_where_memory_is_bounded(operator, streams, bound):
    for name, value in bound.items():
        setattr(operator, name, value)
    compiler = CountGraphs()
    torch.compile(operator, backend=compiler, fullgraph=True)(*streams(300))
    assert compiler.form == "blockwise"


@needs_all_forms
def test_compiled_training_in_half_precision_keeps_no_full_precision(operator, streams):
    compiler = CountGraphs()
    half = operator.bfloat16()
    torch.compile(half, backend=compiler, fullgraph=True)(*(s.bfloat16() for s in streams(300)))
    assert compiler.form == "blockwise"


@needs_all_forms
def test_compiled_backward_keeps_a_fraction_of_what_the_plain_form_keeps(streams):
    inputs = streams(3000, grad=True)
    plain, operator = GeminiFusion(DIM, HEADS, backend="plain"), GeminiFusion(DIM, HEADS)
    compiled = torch.compile(operator, backend="aot_eager_decomp_partition", fullgraph=True)
    assert count_saved_bytes(compiled, inputs) <= 0.45 * count_saved_bytes(plain, inputs)


@pytest.mark.skipif(which("g++") is None, reason="no C++ compiler for TorchInductor")
@pytest.mark.parametrize("tokens", [pytest.param(7, marks=pytest.mark.slow), 300])
def test_compiled_code_gives_the_same_values_and_gradients(operator, streams, tokens):
    valid = torch.arange(tokens) != 3
    compiled = torch.compile(operator, fullgraph=True)
    inputs = streams(tokens, grad=True)
    tensors = [*inputs, *operator.parameters()]
    wanted, found = operator(*inputs, valid), compiled(*inputs, valid)
    assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    gradients = [
        torch.autograd.grad(sum(f.square().sum() for f in fused), tensors)
        for fused in (found, wanted)
    ]
    assert_close(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["auto", "compact", TRACED, "blockwise"])
def test_compiled_training_gives_the_same_gradients(operator, streams, backend):
    operator.backend = backend
    compiled = torch.compile(operator, backend="aot_eager", fullgraph=True)
    inputs = streams(37, grad=True)
    tensors = [*inputs, *operator.parameters()]
    wanted = torch.autograd.grad(sum(f.square().sum() for f in operator(*inputs)), tensors)
    found = torch.autograd.grad(sum(f.square().sum() for f in compiled(*inputs)), tensors)
    assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@needs_told_exports
def test_exported_program_runs_without_this_package(operator, streams):
    tokens = torch.export.Dim("tokens")
    dynamic = {"first": {0: tokens}, "second": {0: tokens}, "valid": {0: tokens}}
    valid = torch.arange(9) > 2
    program = torch.export.export(operator, (*streams(9), valid), dynamic_shapes=dynamic)
    assert not any("gemini_det3d" in str(node.target) for node in program.graph.nodes)
    inputs = (*streams(23), torch.arange(23) % 3 > 0)
    assert_close(program.module()(*inputs), operator(*inputs))


def test_custom_operator_itself_can_be_exported(operator, streams):
    operator.backend = "blockwise"
    tokens = torch.export.Dim("tokens")
    dynamic = {"first": {0: tokens}, "second": {0: tokens}}
    program = torch.export.export(operator, tuple(streams(9)), dynamic_shapes=dynamic)
    assert any("gemini_det3d.fuse" in str(node.target) for node in program.graph.nodes)
    inputs = streams(23)
    assert_close(program.module()(*inputs), operator(*inputs))


needs_onnx = pytest.mark.skipif(
    find_spec("onnxruntime") is None or find_spec("onnxscript") is None,
    reason="onnxruntime or onnxscript is not installed",
)


class OnMaps(torch.nn.Module):
    """The operator on maps (B, C, H, W)."""

    def __init__(self, operator: GeminiFusion) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, first, second):
        fused = self.operator(first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1))
        return tuple(stream.permute(0, 3, 1, 2) for stream in fused)


@needs_onnx
@pytest.mark.parametrize("backend", ["auto", "blockwise"])
def test_onnx_gives_the_same_numbers(operator, make, tmp_path, backend):
    operator.backend = backend
    inputs = tuple(make(2, 7, DIM, dtype=torch.float32) for _ in range(2))
    run = export_onnx(operator, inputs, tmp_path)
    found = run([tensor.numpy() for tensor in inputs])
    assert_close(tensors(found), tensors(operator(*inputs)), rtol=0, atol=1e-5)


@needs_onnx
@needs_told_exports
@pytest.mark.parametrize("is_map", [False, True])
def test_onnx_takes_any_number_of_images_and_tokens(operator, make, tmp_path, is_map):
    batch = torch.export.Dim("batch")
    if is_map:
        module, axes = OnMaps(operator), {0: batch, 2: torch.export.Dim("height")}
        shapes = [(2, DIM, 3, 5), (1, DIM, 4, 5), (3, DIM, 11, 5)]
    else:
        module, axes = operator, {0: batch, 1: torch.export.Dim("tokens")}
        shapes = [(2, 7, DIM), (1, 2, DIM), (3, 300, DIM), (2, 0, DIM)]
    cases = [tuple(make(*shape, dtype=torch.float32) for _ in range(2)) for shape in shapes]
    run = export_onnx(module, cases[0], tmp_path, (axes, axes))
    for inputs in cases:
        found = run([tensor.numpy() for tensor in inputs])
        assert_close(tensors(found), tensors(module(*inputs)), rtol=0, atol=1e-5)


def export_onnx(module, inputs, folder, axes=None):
    """The module as onnxruntime runs it: arrays in, arrays out."""
    import onnxruntime

    path = folder / "fusion.onnx"
    torch.onnx.export(module.eval(), inputs, path, dynamo=True, verbose=False, dynamic_shapes=axes)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays)))


def tensors(outputs):
    """Arrays or tensors, as tensors without gradients."""
    return [torch.as_tensor(each).detach() for each in outputs]


@needs_onnx
@needs_told_exports
def test_onnx_takes_no_tokens(operator, streams, tmp_path):
    operator.backend = "auto"
    axes = {0: torch.export.Dim("tokens")}
    run = export_onnx(operator, tuple(streams(5)), tmp_path, (axes, axes))
    found = run([torch.ones(0, DIM).numpy() for _ in range(2)])
    assert [array.shape for array in found] == [(0, DIM)] * 2
