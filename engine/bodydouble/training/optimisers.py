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
_ADAM_RMS = 0.2
_SMALLEST = 4
"""Matrices with fewer rows or channels (to and from RGB) are Adam's."""


def orthogonal(matrix: Tensor) -> Tensor:
    """About U·Vᵀ of the matrix U·S·Vᵀ, by five Newton–Schulz steps; float32.

    A step is X ← (a + b·X·Xᵀ + c·(X·Xᵀ)²)·X: a polynomial of one symmetric matrix, times X. All steps are done on that
    matrix of M×M, for M rows and N ≥ M columns, and X itself is multiplied once: a kernel has nine times as many
    columns as rows. In float32: rounded to bfloat16 the smallest eigenvalues turn negative, and the steps blow them up.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    gram = x @ x.mT
    largest = gram.norm() + 1e-14  # no singular value of X is above its root
    gram = gram / largest
    factor: Tensor | None = None
    for left in reversed(range(_STEPS)):
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal().add_(a)
        factor = step if factor is None else step @ factor
        if left:
            gram = step @ (step @ gram)
    assert factor is not None
    # The result is good to a fifth anyway, so this one product may be rounded.
    x = ((factor / largest.sqrt()).bfloat16() @ x.bfloat16()).float()
    return x.mT if tall else x


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
