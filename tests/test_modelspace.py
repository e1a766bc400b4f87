"""The curve of model space: for numpy and torch alike, smooth, invertible far above white, safe with NaN and Inf."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bodydouble.plates.modelspace import ModelSpace, from_model, to_model

SPACE = ModelSpace()
OTHER = ModelSpace(gamma=2.0, offset=0.1, white=0.5, shoulder=0.12)
LINEAR = np.unique(np.concatenate([np.linspace(0, 16, 200_001), np.geomspace(1e-8, 16, 200_001)]).astype(np.float32))
SPECIAL = [np.nan, np.inf, -np.inf, -1.0, 0.0, 0.5]


def kinds(values: np.ndarray) -> list[Any]:
    """The same numbers as a numpy array and as a tensor."""
    return [values, torch.from_numpy(values)]


def slope(space: ModelSpace, at: float, step: float) -> float:
    """One-sided derivative in float64, on the side `step` points to; Richardson's extrapolation."""
    points = to_model(np.array([at, at + step, at + step / 2]), space)
    return float(2 * (points[2] - points[0]) / (step / 2) - (points[1] - points[0]) / step)


@pytest.mark.parametrize("function", [to_model, from_model])
def test_numpy_and_torch_agree_and_return_what_they_were_given(function):
    for dtype, tolerance in ((np.float32, 4e-7), (np.float64, 1e-15)):
        values = np.linspace(-0.5, 1.0 if function is from_model else 16.0, 10_001).astype(dtype).reshape(73, 137)
        array, tensor = function(values, SPACE), function(torch.from_numpy(values), SPACE)
        assert isinstance(array, np.ndarray) and isinstance(tensor, torch.Tensor)
        assert array.dtype == dtype and tensor.numpy().dtype == dtype and array.shape == tensor.shape == values.shape
        np.testing.assert_allclose(tensor.numpy(), array, rtol=tolerance, atol=1e-7 if dtype == np.float32 else 0)


@pytest.mark.parametrize("space", [SPACE, OTHER], ids=["default", "other"])
def test_a_float32_round_trip_is_exact_to_one_millionth_from_0_to_16(space):
    for linear in kinds(LINEAR):
        back = np.asarray(from_model(to_model(linear, space), space), np.float64)
        assert np.max(np.abs(back - LINEAR) / np.maximum(LINEAR, 1e-30)) <= 1e-6


def test_every_half_float_comes_back_as_the_same_half_float():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    for linear in kinds(halves.astype(np.float32)):
        back = np.asarray(from_model(to_model(linear, SPACE), SPACE)).astype(np.float16)
        np.testing.assert_array_equal(back, halves)


def test_negative_values_and_values_above_16_are_invertible():
    for linear in (-np.geomspace(1e-6, 65504, 1001), np.geomspace(16, 65504, 1001)):
        for given in kinds(linear.astype(np.float32)):
            back = np.asarray(from_model(to_model(given, SPACE), SPACE))
            np.testing.assert_allclose(back, np.asarray(given), rtol=2.5e-6)


def test_the_curve_never_falls():
    everywhere = np.unique(np.concatenate([-LINEAR, LINEAR, np.geomspace(16, 1e6, 1001)])).astype(np.float64)
    assert np.all(np.diff(to_model(everywhere, SPACE)) > 0)
    assert np.all(np.diff(from_model(to_model(everywhere, SPACE), SPACE)) > 0)


def test_between_neighbouring_floats_at_the_joins_the_curve_falls_by_no_more_than_the_last_bits():
    for join in (SPACE.cut, 1.0):
        bits = np.float32(join).view(np.int32) + np.arange(-2000, 2001, dtype=np.int32)
        assert np.all(np.diff(to_model(bits.view(np.float32), SPACE)) >= -1.2e-7)


@pytest.mark.parametrize("space", [SPACE, OTHER], ids=["default", "other"])
def test_value_and_slope_are_continuous_at_both_joins(space):
    for join, expected in ((space.cut, space.toe_slope), (1.0, space.white_slope)):
        below, at, above = to_model(join + np.array([-1e-12, 0.0, 1e-12]), space)
        assert abs(at - below) < 1e-10 and abs(above - at) < 1e-10
        step = 1e-4 * join
        assert slope(space, join, -step) == pytest.approx(expected, rel=1e-6)
        assert slope(space, join, step) == pytest.approx(expected, rel=1e-6)


def test_black_is_0_white_is_where_it_is_said_and_16_lies_inside_the_unit_range():
    black, white, bright = to_model(np.array([0.0, 1.0, 16.0]), SPACE)
    assert black == 0.0 and white == pytest.approx(SPACE.white, abs=1e-12) and 0.99 < bright <= 1.0
    assert from_model(np.array([1.0]), SPACE)[0] >= 16.0


def test_mid_grey_has_display_like_contrast():
    # A tenth of a stop about 18 % grey is what SSIM's constants see. sRGB gives 0.0149, a pure log of 0..16 0.0078.
    low, high = to_model(0.18 * 2.0 ** np.array([-0.05, 0.05]), SPACE)
    assert 0.010 < high - low < 0.015


@pytest.mark.parametrize("function", [to_model, from_model])
def test_nan_and_inf_stay_where_they_are_and_do_not_spread(function):
    for values in kinds(np.array(SPECIAL, np.float32)):
        result = np.asarray(function(values, SPACE))
        assert np.isnan(result[0]) and result[1] == np.inf and result[2] == -np.inf
        np.testing.assert_array_equal(result[3:], np.asarray(function(values[3:], SPACE)))


def test_the_input_is_left_as_it_was():
    for values in kinds(np.array(SPECIAL, np.float32)):
        kept = np.asarray(values).copy()
        to_model(values, SPACE)
        from_model(values, SPACE)
        np.testing.assert_array_equal(np.asarray(values), kept)


def test_torch_gradients_are_finite_everywhere_inside_the_curve():
    linear = torch.tensor([-1.0, 0.0, SPACE.cut, 0.18, 1.0, 2.0, 16.0, 1000.0], requires_grad=True)
    to_model(linear, SPACE).sum().backward()
    assert linear.grad is not None and torch.isfinite(linear.grad).all() and (linear.grad > 0).all()


def test_a_space_survives_json():
    assert ModelSpace(**json.loads(json.dumps(OTHER.as_dict()))) == OTHER


@pytest.mark.parametrize(
    "wrong", [{"gamma": 1.0}, {"offset": 0.0}, {"offset": 1.0}, {"white": 0.0}, {"white": 1.0}, {"shoulder": 0.0}]
)
def test_constants_that_give_no_curve_are_refused(wrong):
    with pytest.raises(ValueError, match="not a model space"):
        replace(SPACE, **wrong)
    with pytest.raises(ValueError, match="not a model space"):
        replace(SPACE, **dict.fromkeys(wrong, float("nan")))
