"""How far apart two sets of images are, told from their features alone.

The Fréchet distance (Heusel et al., NeurIPS 2017) compares means and covariances, the kernel
distance (Binkowski et al., ICLR 2018) all moments that its kernel sees. What the features are is
the caller's choice; with the 2048 features of the FID Inception they are called FID and KID.
Shape shorthand: N images of one set, M of the other, D features.
"""

from __future__ import annotations

import numpy as np

# Degree of the polynomial kernel of KID.
_DEGREE = 3


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance of the normal distributions that fit two sets of features.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` with the unbiased covariances. The root is not
    taken: with ``C = A^T A`` its trace is the sum of the singular values of ``A1 A2^T``, which is
    exact for any rank, so fewer images than features need no correction.

    Args:
        first: ``(N, D)``.
        second: ``(M, D)``.

    Returns:
        0 or more, in squared units of the features.

    Raises:
        ValueError: Fewer than two images in a set, other shapes, or values that are not finite.
    """
    first, second = _checked(first, second)
    gap = first.mean(axis=0) - second.mean(axis=0)
    roots = [_covariance_factor(first), _covariance_factor(second)]
    spread = sum(float((root**2).sum()) for root in roots)
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + spread - 2 * shared))


def kernel_distance(
    first: np.ndarray,
    second: np.ndarray,
    num_subsets: int = 0,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x . y / D + 1)^3``.

    Args:
        first: ``(N, D)``.
        second: ``(M, D)``.
        num_subsets: 0 takes all images at once. Otherwise so many subsets are drawn from each set,
            as in the published procedure (100 of 1000).
        subset_size: Images per subset, no more than there are.
        seed: Draws the subsets.

    Returns:
        Mean and standard deviation over the subsets. The mean may be negative: it is unbiased, and
        0 for sets from one distribution. Without subsets the deviation is 0.

    Raises:
        ValueError: Fewer than two images in a set or a subset, other shapes, or values that are
            not finite.
    """
    first, second = _checked(first, second)
    if num_subsets < 0 or subset_size < 2:
        raise ValueError(f"num_subsets={num_subsets} must be 0 or more, subset_size={subset_size} "
                         "2 or more")  # fmt: skip
    if num_subsets == 0:
        return _discrepancy(first, second), 0.0
    size = min(subset_size, len(first), len(second))
    rng = np.random.default_rng(seed)
    values = [
        _discrepancy(*(x[rng.choice(len(x), size, replace=False)] for x in (first, second)))
        for _ in range(num_subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    """A point is not compared with itself, which makes the estimate unbiased."""
    within = sum(_mean_off_diagonal(_kernel(x, x)) for x in (first, second))
    return float(within - 2 * _kernel(first, second).mean())


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1.0) ** _DEGREE


def _mean_off_diagonal(square: np.ndarray) -> float:
    count = len(square)
    return float((square.sum() - np.trace(square)) / (count * (count - 1)))


def _covariance_factor(features: np.ndarray) -> np.ndarray:
    """``A`` of at most D rows with ``A^T A`` the unbiased covariance."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.linalg.qr(centred, mode="r") if len(centred) > centred.shape[1] else centred


def _checked(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features must be (N, D) and (M, D), got {first.shape}, {second.shape}")
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"a distance between sets needs 2 images in each, got {len(first)} and {len(second)}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("features hold NaN or infinite values")
    return first, second
