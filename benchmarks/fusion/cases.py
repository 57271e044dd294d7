"""What is measured: the places where the operator is used, and a grid of shapes around them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "Case",
    "Site",
    "gpu_cases",
    "growth_cases",
    "headline_cases",
    "mit_b3_sites",
    "shape_grid",
]

_MOST_PRODUCTS = 2**31  # B N C^2 of a case in the grid: half a second for the released form
_MOST_PRODUCTS_QUICK = 2**27
_INFERENCE, _BOTH = ("inference",), ("inference", "training")


class Site(NamedTuple):
    """One call of the operator: B images of N tokens with C channels."""

    batch: int
    tokens: int
    channels: int


class Case(NamedTuple):
    """Sites that run one after another, and who else runs them.

    Attributes:
        name: Short, for the table.
        sites: Each with parameters of its own.
        opponents: Names of `OPPONENTS`.
        modes: Of "inference" and "training", in float32.
        bfloat16_modes: The same, in bfloat16.
        tf32_modes: The same, in float32 whose products are tf32's.
    """

    name: str
    sites: tuple[Site, ...]
    opponents: tuple[str, ...]
    modes: tuple[str, ...] = _BOTH
    bfloat16_modes: tuple[str, ...] = ()
    tf32_modes: tuple[str, ...] = ()


def mit_b3_sites(batch: int = 2) -> tuple[Site, ...]:
    """The 28 fusion sites of MiT-B3 at 480x640: 3, 4, 18, 3 blocks at strides 4, 8, 16, 32."""
    stages = ((3, 19200, 64), (4, 4800, 128), (18, 1200, 320), (3, 300, 512))
    return tuple(
        Site(batch, tokens, channels) for blocks, tokens, channels in stages for _ in range(blocks)
    )


def headline_cases(is_quick: bool) -> list[Case]:
    """The places the operator is made for."""
    base = ("itself", "released", "products") + (() if is_quick else ("plain",))
    more = base if is_quick else (*base, "itself_compiled", "released_compiled")
    bev, image = Site(1, 32400, 256), mit_b3_sites()
    lowered = _INFERENCE if is_quick else _BOTH
    cases = [
        Case("points 20k x128", (Site(1, 20000, 128),), more, bfloat16_modes=lowered),
        Case("MiT-B3 first stage", (Site(2, 19200, 64),), more, bfloat16_modes=_INFERENCE),
        Case("tokens 4800x64", (Site(1, 4800, 64),), ("cross_attention",), _INFERENCE),
    ]
    if is_quick:
        stages = tuple(dict.fromkeys(image))
        one_each = Case("MiT-B3, one site a stage", stages, base)
        return [Case("BEV 32400x256", (bev,), base, _INFERENCE), *cases, one_each]
    return [
        Case("BEV 32400x256", (bev,), (*more, "conv_fuser"), bfloat16_modes=_INFERENCE),
        *cases,
        Case("points 100k x128", (Site(1, 100_000, 128),), more, bfloat16_modes=_INFERENCE),
        Case("MiT-B3, 28 sites", image, more, bfloat16_modes=_INFERENCE),
        Case("windows 8x49x128", (Site(8, 49, 128),), more),
    ]


def gpu_cases(with_compiled: bool = False) -> list[Case]:
    """What is measured on a GPU, in order of worth: half precision is what is trained in there.

    Args:
        with_compiled: Ours and the released form under `torch.compile`, too: minutes.
    """
    same = ("released", "products", "plain", "compact")
    same += ("itself_compiled", "released_compiled") if with_compiled else ()
    bev, image = (Site(1, 32400, 256),), mit_b3_sites()
    others = (*same, "conv_fuser", "cross_attention")
    return [
        Case("BEV 32400x256", bev, others, (), _BOTH, _INFERENCE),
        Case("points 20k x128", (Site(1, 20000, 128),), same, (), _BOTH),
        Case("MiT-B3, 28 sites", image, ("released", "compact"), (), _BOTH),
        Case("points 100k x128", (Site(1, 100_000, 128),), same, (), _BOTH),
        Case("tokens 1M x64", (Site(1, 1_000_000, 64),), ("released", "products"), (), _INFERENCE),
        Case("BEV 32400x256", bev, same, _INFERENCE),
    ]


def growth_cases(is_quick: bool) -> list[Case]:
    """Four times the tokens again and again: below 5k to above 1M pixels, C = 64."""
    counts = (4_000, 16_000, 64_000, 256_000, 1_024_000)
    return [
        Case(f"growth {tokens}x64", (Site(1, tokens, 64),), ("released",))
        for tokens in counts[: 3 if is_quick else 5]
    ]


def shape_grid(is_quick: bool) -> list[Case]:
    """At least 60 shapes, C 32 to 1024, N 1 to 1M, B 1 to 64; fewer and smaller in a hurry."""
    most = _MOST_PRODUCTS_QUICK if is_quick else _MOST_PRODUCTS
    shapes = [
        (batch, tokens, channels)
        for channels in (32, 64, 128, 256, 512, 1024)
        for batch, tokens in (
            *((1, 1), (1, 7), (64, 1), (1, 64), (8, 49), (1, 500), (64, 64), (2, 1200)),
            *((1, 4800), (1, 16384), (2, 19200), (64, 1024), (1, 262_144), (1, 1_000_000)),
        )
        if batch * tokens * channels**2 <= most
    ]
    return [
        Case(f"grid {b}x{n}x{c}", (Site(b, n, c),), ("released",))
        for b, n, c in shapes[:: 2 if is_quick else 1]
    ]
