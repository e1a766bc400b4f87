"""Muon: momentum made orthogonal before it moves a convolution's weights; Adam for everything else.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); step size matched to Adam's
after Liu et al., "Muon is Scalable for LLM Training" (2025). A kernel out×in×k×k is taken as the matrix out×(in·k·k).
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
    """About U·Vᵀ of the matrix U·S·Vᵀ, by five Newton–Schulz steps in bfloat16; float32."""
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.T if tall else x).float()


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
                    state["momentum"] = torch.zeros_like(gradient)
                momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
                ahead = gradient.lerp(momentum, MOMENTUM).flatten(1)
                scale = _ADAM_RMS * max(ahead.shape) ** 0.5
                weight.add_(orthogonal(ahead).view_as(weight), alpha=-group["lr"] * scale)
        super().step(closure)
