"""Muon: momentum made orthogonal before it moves a convolution's weights; Adam for everything else.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); step size matched to Adam's
after Liu et al., "Muon is Scalable for LLM Training" (2025); the iteration on the small matrix X·Xᵀ after Zhang et al.,
"Gram Newton-Schulz" (2026). A kernel out×in×k×k is taken as the matrix out×(k·k·in).
A comb is deep and has no normalisation: its gradients point along few directions, which Adam follows slowly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_LINE = (2.0469, -1.5159)
_POLES = ((0.00677995, 1.27403e-5), (0.0781459, 0.00290302))
_GRAM_ROWS = 128
_INVERSE_ROWS = 256
_ADAM_RMS = 0.2
_SMALLEST = 4
"""Matrices with fewer rows or channels (to and from RGB) are Adam's."""


def orthogonal(matrix: Tensor) -> Tensor:
    """About U·Vᵀ of the matrix U·S·Vᵀ, for singular values down to a thousandth of the largest; float32.

    That is a function of the symmetric matrix X·Xᵀ, times X. The function is found on that matrix of M×M, for M rows
    and N ≥ M columns, and X itself is multiplied once: a kernel has nine times as many columns as rows.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    gram = _gram(x)
    largest = gram.norm() + 1e-14  # no singular value of X is above its root
    gram = gram / largest
    # Factorising takes a third of the products' time on a processor; on a GPU it is a chain of small steps.
    root = _root_by_inverses(gram) if gram.device.type == "cpu" else _root_by_products(gram)
    root = root / largest.sqrt()
    # The result is good to a fifth anyway, so this one product may be rounded; but not its diagonal, which is by far
    # the largest part where nearly all of X points one way.
    diagonal = root.diagonal().clone()[:, None]
    root.diagonal().zero_()
    x = (root.bfloat16() @ x.bfloat16()).float().addcmul_(x, diagonal)
    return x.mT if tall else x


def _gram(x: Tensor) -> Tensor:
    """X·Xᵀ; on a CPU what lies below the diagonal is taken from above it."""
    if x.device.type != "cpu":
        return x @ x.mT
    gram = x.new_empty(len(x), len(x))
    for start in range(0, len(x), _GRAM_ROWS):
        end = min(start + _GRAM_ROWS, len(x))
        gram[start:end, start:] = x[start:end] @ x[start:].mT
        gram[end:, start:end] = gram[start:end, end:].mT
    return gram


def _root_by_products(gram: Tensor) -> Tensor:
    """About G^(−½), by Muon's five Newton–Schulz steps.

    A step is X ← (a + b·G + c·G²)·X. In float32: rounded to bfloat16 the smallest eigenvalues of G turn negative, and
    the steps blow them up.
    """
    a, b, c = _COEFFICIENTS
    factor: Tensor | None = None
    for left in reversed(range(_STEPS)):
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal().add_(a)
        factor = step if factor is None else step @ factor
        if left:
            gram = step @ (step @ gram)
    assert factor is not None
    return factor


def _root_by_inverses(gram: Tensor) -> Tensor:
    """The same function, fitted: a + b·G + Σ w·(G + c)⁻¹.

    The polynomial of the five steps swings by a fifth about 0.9; this goes through its middle, singular values of
    3·10⁻⁵ to 1 counting alike by their logarithm, and keeps its slope for smaller ones, which stay small.
    """
    constant, slope = _LINE
    root = gram * slope
    root.diagonal().add_(constant)
    for weight, shift in _POLES:
        shifted = gram.clone()
        shifted.diagonal().add_(shift)
        _add_inverse(root, shifted, weight)
    return root


def _add_inverse(total: Tensor, matrix: Tensor, weight: float) -> None:
    """total += weight·matrix⁻¹, for a symmetric positive definite matrix.

    A large one by halves, as LAPACK reaches a third of a product's speed:

        [A Bᵀ]⁻¹   [A⁻¹ + Wᵀ·Z  −Zᵀ]
        [B D ]   = [−Z          S⁻¹]   with A = L·Lᵀ, C = B·L⁻ᵀ, S = D − C·Cᵀ, W = C·L⁻¹, Z = S⁻¹·W

    S must come from Cholesky's C: from A⁻¹ (as B·A⁻¹·Bᵀ) it loses its small eigenvalues where A is nearly singular.
    """
    half = len(matrix) // 2
    if len(matrix) <= _INVERSE_ROWS:
        # LAPACK's result lies by columns; being symmetric, it is its transpose, which lies as `total` does.
        total.add_(torch.cholesky_inverse(_factor(matrix)).mT, alpha=weight)
        return
    below = matrix[half:, :half]
    factor = _factor(matrix[:half, :half])
    panel = torch.linalg.solve_triangular(factor.mT, below, upper=True, left=False)
    rest = torch.cholesky_inverse(_factor(torch.addmm(matrix[half:, half:], panel, panel.mT, alpha=-1))).mT
    panel = torch.linalg.solve_triangular(factor, panel, upper=False, left=False)
    cross = rest @ panel
    total[:half, :half].add_(torch.cholesky_inverse(factor).mT, alpha=weight).addmm_(panel.mT, cross, alpha=weight)
    total[half:, half:].add_(rest, alpha=weight)
    total[half:, :half].sub_(cross, alpha=weight)
    total[:half, half:].sub_(cross.mT, alpha=weight)


def _factor(matrix: Tensor) -> Tensor:
    return torch.linalg.cholesky_ex(matrix).L


def as_matrix(kernel: Tensor) -> Tensor:
    """A kernel out×in×k×k as out×(k·k·in): a view of one that lies channels last."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


def is_hidden(weight: Tensor) -> bool:
    """Whether Muon moves this weight: a convolution's kernel between hidden features."""
    return weight.dim() == 4 and min(weight.shape[:2]) >= _SMALLEST


class Muon(torch.optim.Adam):
    """Muon for hidden kernels, Adam for the rest, at one learning rate.

    The state of a hidden kernel is ``momentum``, of any other weight Adam's ``step``, ``exp_avg``, ``exp_avg_sq``.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(weights, lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None or not is_hidden(weight):
                    continue
                gradient, weight.grad = weight.grad, None  # Adam passes over weights without one
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
                ahead = as_matrix(gradient.lerp_(momentum, MOMENTUM))
                scale = _ADAM_RMS * max(ahead.shape) ** 0.5
                height, width = weight.shape[2:]
                moved = orthogonal(ahead).unflatten(1, (height, width, -1)).permute(0, 3, 1, 2)
                weight.add_(moved, alpha=-group["lr"] * scale)
        super().step(closure)
