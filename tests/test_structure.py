"""SSIM's contrast and structure term: the library's values, the gradient of automatic differentiation, weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim, gaussian_filter
from torch import Tensor

from bodydouble.training import structure
from bodydouble.training.structure import WINDOW, Box, contrast, halved, shares, window_line, windowed

SHAPES = [(2, 3, 64, 64), (1, 3, 32, 48), (3, 1, 21, 11), (1, 4, 13, 40)]


def pictures(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """A picture with texture and one somewhat like it."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(shape, generator=generator, dtype=dtype)
    return (truth * 0.7 + 0.2 * torch.rand(shape, generator=generator, dtype=dtype)), truth


def library(result: Tensor, truth: Tensor, span: float) -> Tensor:
    window = _fspecial_gauss_1d(11, 1.5).to(result).repeat(result.shape[1], 1, 1, 1)
    found: Tensor = _ssim(result, truth, data_range=span, win=window)[1]
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("span", [1.0, 0.3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_term_and_gradient_are_those_of_the_library(shape, span, layout):
    result, truth = (one.contiguous(memory_format=layout) for one in pictures(shape))
    result.requires_grad_()
    ours, theirs = contrast(result, truth, span), library(result, truth, span)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)
    outer = torch.rand_like(ours)
    torch.testing.assert_close(
        *(torch.autograd.grad(one, result, outer)[0] for one in (ours, theirs)), rtol=1e-3, atol=2e-6
    )


def test_the_gradient_is_the_slope_of_the_term():
    result, truth = pictures((1, 2, 11, 12), torch.float64)
    weight = torch.rand(1, 1, 11, 12, dtype=torch.float64)
    result.requires_grad_()
    assert torch.autograd.gradcheck(lambda picture: contrast(picture, truth, 0.3, weight), (result,))


def test_windows_count_by_the_weight_at_their_centre():
    result, truth = pictures((1, 3, 24, 24))
    dot = torch.zeros(1, 1, 24, 24)
    dot[..., 9, 12] = 5.0
    around = (..., slice(9 - 5, 9 + 6), slice(12 - 5, 12 + 6))
    torch.testing.assert_close(contrast(result, truth, 1.0, dot), contrast(result[around], truth[around], 1.0))
    even = torch.full((1, 1, 24, 24), 0.3)
    torch.testing.assert_close(contrast(result, truth, 1.0, even), contrast(result, truth, 1.0))
    assert float(shares(dot, result).sum()) == pytest.approx(1)


def test_filters_are_those_of_the_library():
    picture = pictures((2, 3, 40, 33))[0]
    window = _fspecial_gauss_1d(WINDOW, 1.5).repeat(3, 1, 1, 1)
    torch.testing.assert_close(windowed(picture), gaussian_filter(picture, window), rtol=0, atol=1e-6)
    torch.testing.assert_close(halved(picture[..., :32]), F.avg_pool2d(picture[..., :32], 2), rtol=0, atol=1e-7)


def test_a_pass_without_gradient_keeps_nothing_and_gives_the_same():
    result, truth = pictures((1, 3, 32, 32))
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        without = contrast(result, truth, 0.3)
        assert not kept
        with_it = contrast(result.requires_grad_(), truth, 0.3)
        assert [one.shape for one in kept] == [result.shape]
    assert torch.equal(without, with_it)


BOXES = [Box(20, 33, 40, 41), Box(0, 3, 0, 64), Box(50, 64, 17, 64), Box(0, 64, 0, 64), Box(0, 0, 0, 0)]


@pytest.mark.parametrize("weighted", [False, True])
def test_black_surroundings_are_passed_over_with_the_same_term_and_gradient(weighted):
    result, truth = pictures((len(BOXES), 3, 64, 64))
    inside = torch.zeros(len(BOXES), 1, 64, 64)
    for one, box in zip(inside, BOXES, strict=True):
        one[:, box.top : box.bottom, box.left : box.right] = 1
    result, truth = (result * inside).requires_grad_(), truth * inside
    weight = 1 + torch.rand(inside.shape, generator=torch.Generator().manual_seed(1)) if weighted else None
    everywhere, boxed = (contrast(result, truth, 0.3, weight, boxes) for boxes in (None, BOXES))
    torch.testing.assert_close(boxed, everywhere, rtol=0, atol=1e-6)
    assert torch.equal(boxed[-1], torch.ones(3))
    outer = torch.rand_like(boxed)
    slopes = [torch.autograd.grad(one, result, outer)[0] for one in (boxed, everywhere)]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-7)


def test_less_is_computed_for_a_small_box(monkeypatch):
    walked: list[int] = []
    walk = structure._fields

    def fields(result: Tensor, truth: Tensor) -> Tensor:
        walked.append(result.shape[2] * result.shape[3])
        return walk(result, truth)

    monkeypatch.setattr(structure, "_fields", fields)
    black = torch.zeros(2, 3, 256, 256)
    contrast(black, black, 0.3, None, [Box(100, 110, 100, 110), Box(0, 0, 0, 0)])
    assert walked == [30 * 48]


def test_a_box_at_half_the_size_holds_every_pixel_that_the_box_goes_into():
    assert Box(3, 7, 4, 5).halved() == Box(1, 4, 2, 3)


def test_the_window_is_the_librarys_in_any_precision():
    for dtype in (torch.float32, torch.float64):
        window = _fspecial_gauss_1d(11, 1.5).view(-1).to(dtype)
        torch.testing.assert_close(window_line(dtype, torch.device("cpu")), window, rtol=0, atol=1e-7)
