"""Partners that are looked for: the formula, the start, masks, and that a shifted twin is found."""

from __future__ import annotations

import pytest
import torch

from gemini_det3d.fusion import WindowedTwin
from gemini_det3d.fusion.window import windows


def drawn(dim: int = 4, size: int = 3, rank: int = 2, amount: float = 0.7) -> WindowedTwin:
    """One whose every parameter counts."""
    torch.manual_seed(0)
    twin = WindowedTwin(dim, size, rank).double()
    with torch.no_grad():
        for weight in (twin.query.weight, twin.key.weight, twin.place_bias):
            weight.normal_()
        twin.amount.fill_(amount)
    return twin


def by_hand(twin, own, other, own_exists, other_exists):
    """Cell after cell, place after place."""
    partner = other.clone()
    reach, (_, height, width, _) = twin.size // 2, other.shape
    for b, h, w in torch.cartesian_prod(*map(torch.arange, other.shape[:3])).tolist():
        if not own_exists[b, h, w]:
            continue
        logits, values = [], []
        for place in range(twin.size**2):
            y, x = h + place // twin.size - reach, w + place % twin.size - reach
            in_map = 0 <= y < height and 0 <= x < width
            if (y, x) != (h, w) and not (in_map and other_exists[b, y, x]):
                continue
            query, key = twin.query(own[b, h, w]), twin.key(other[b, y, x])
            logits.append(query @ key / twin.rank**0.5 + twin.place_bias[place])
            values.append(other[b, y, x])
        found = torch.stack(logits).softmax(0) @ torch.stack(values)
        partner[b, h, w] = other[b, h, w] + twin.amount * (found - other[b, h, w])
    return partner


@pytest.mark.parametrize("size", [3, 5])
def test_partner_is_the_formula_s_cell_after_cell(size):
    twin = drawn(size=size)
    own, other = torch.randn(2, 2, 4, 3, 4, dtype=torch.float64)
    everywhere = torch.ones(2, 4, 3, dtype=torch.bool)
    expected = by_hand(twin, own, other, everywhere, everywhere)
    torch.testing.assert_close(twin(own, other), expected, rtol=0, atol=1e-12)
    own_there, other_there = torch.rand(2, 2, 4, 3) > 0.4
    hidden = torch.where(other_there[..., None], other, 0)
    expected = by_hand(twin, own, hidden, own_there, other_there)
    torch.testing.assert_close(
        twin(own, other, own_there, other_there), expected, rtol=0, atol=1e-12
    )


def test_at_the_start_the_partner_is_what_lies_at_the_same_place_bit_by_bit():
    twin = WindowedTwin(6)
    own, other = torch.randn(2, 1, 5, 4, 6)
    assert torch.equal(twin(own, other), other)
    twin(own, other).square().sum().backward()
    assert twin.amount.grad != 0  # and may leave from there


def test_what_is_not_real_is_read_by_none_nan_included():
    twin = drawn()
    own, other = torch.randn(2, 1, 5, 5, 4, dtype=torch.float64)
    own_there, other_there = torch.rand(2, 1, 5, 5) > 0.5
    spoiled = torch.where(other_there[..., None], other, torch.nan).requires_grad_()
    blind = torch.where(own_there[..., None], own, torch.nan).requires_grad_()
    partner = twin(blind, spoiled, own_there, other_there)
    assert torch.equal(partner, twin(own, other, own_there, other_there))
    partner.sum().backward()
    for gradient in (spoiled.grad, blind.grad, *(p.grad for p in twin.parameters())):
        assert gradient.isfinite().all()
    assert (spoiled.grad[~other_there] == 0).all()
    assert torch.equal(partner[~own_there & other_there], other[~own_there & other_there])


@pytest.mark.parametrize(("size", "shift"), [(3, (1, 0)), (3, (-1, 1)), (5, (2, -2))])
def test_twin_that_is_shifted_is_found(size, shift):
    torch.manual_seed(0)
    twin = WindowedTwin(16, size, rank=16)
    with torch.no_grad():
        twin.query.weight.copy_(200 * torch.eye(16))
        twin.key.weight.copy_(torch.eye(16))
        twin.amount.fill_(1.0)
    own = torch.nn.functional.normalize(torch.randn(1, 12, 12, 16), dim=-1)
    partner = twin(own, own.roll(shift, dims=(1, 2)))
    inner = slice(2, -2)  # no window leaves the map there
    torch.testing.assert_close(partner[:, inner, inner], own[:, inner, inner], rtol=0, atol=1e-3)


def test_gradients_are_those_of_finite_differences():
    twin = drawn(dim=3)
    own, other = torch.randn(2, 1, 3, 3, 3, dtype=torch.float64)
    own.requires_grad_()
    other.requires_grad_()
    there = torch.rand(1, 3, 3) > 0.3
    assert torch.autograd.gradcheck(lambda a, b: twin(a, b, None, there), (own, other))


def test_windows_are_views_row_by_row():
    cells = torch.arange(6.0).reshape(1, 2, 3)
    around = windows(cells, 3, fill=-1)
    assert [place[0, 0, 0].item() for place in around] == [-1, -1, -1, -1, 0, 1, -1, 3, 4]
    assert len({place.untyped_storage().data_ptr() for place in around}) == 1


def test_half_precision_keeps_its_dtype_and_weighs_in_float32():
    twin = drawn(dim=8).to(torch.bfloat16)
    own, other = torch.randn(2, 1, 4, 4, 8, dtype=torch.bfloat16)
    partner = twin(own, other)
    assert partner.dtype == torch.bfloat16
    exact = twin.double()(own.double(), other.double())
    torch.testing.assert_close(partner.double(), exact, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("size", [1, 2, 4, -3, True])
def test_windows_of_no_odd_size_are_refused(size):
    with pytest.raises(ValueError, match=r"size=.* must be 3, 5, \.\.\. cells a side"):
        WindowedTwin(8, size)


def test_rank_that_is_none_is_refused():
    with pytest.raises(ValueError, match="rank=0 must be at least 1"):
        WindowedTwin(8, 3, rank=0)


def test_maps_that_are_no_tensors_are_named():
    with pytest.raises(TypeError, match="WindowedTwin: other must be a torch.Tensor"):
        WindowedTwin(8)(torch.zeros(1, 2, 2, 8), None)


def test_compiled_without_a_break_it_gives_the_same():
    twin = drawn(amount=0.5).float()
    own, other = torch.randn(2, 1, 4, 4, 4)
    there = torch.rand(1, 4, 4) > 0.3
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(own, other, None, there), twin(own, other, None, there))
