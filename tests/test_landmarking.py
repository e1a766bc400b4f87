"""The nine-fold average, over a landmarker whose answers are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bodydouble.alignment.chips import BOX_WIDTH, unit_from_box
from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, apply, similarity_matrix
from bodydouble.alignment.landmarking import NINE, THREES, Prediction, landmarks_in_box, refined_landmarks

IMAGE = np.zeros((8, 8, 3), np.uint8)
PLACE = similarity_matrix(0.004, 0.3, (210.0, 140.0))
TRUE = apply(np.linalg.inv(PLACE), CANONICAL_LANDMARKS)


class Shifted:
    """Answers the true landmarks, drawn along by a share of every shift; remembers where it was asked to look."""

    def __init__(self, drawn: float, extras: bool = False) -> None:
        self.drawn, self.extras, self.asked = drawn, extras, []

    def first(self, image_u8: np.ndarray, unit_from_plate: np.ndarray) -> np.ndarray:
        self.asked.append(unit_from_plate)
        return TRUE

    def predict(self, image_u8: np.ndarray, unit_from_plate: np.ndarray, shifts: np.ndarray) -> Prediction:
        self.asked.append(unit_from_plate)
        self.shifts = shifts
        moved = TRUE + self.drawn * (shifts[:, None] @ np.linalg.inv(unit_from_plate)[:2, :2].T)
        if not self.extras:
            return Prediction(moved)
        return Prediction(moved, moved[:, :2], moved[:, :36], np.linspace(0.1, 0.9, len(shifts)))


def test_the_nine_shifts_are_a_square_of_beta_box_widths_and_cancel() -> None:
    landmarker = Shifted(0.5)
    found = refined_landmarks(landmarker, IMAGE, PLACE, beta=0.1)
    assert len(landmarker.shifts) == len({tuple(shift) for shift in landmarker.shifts}) == 9
    assert np.abs(landmarker.shifts).max() == pytest.approx(0.1 * BOX_WIDTH)
    np.testing.assert_allclose(found.points_px, TRUE)


def test_the_spread_is_in_widths_of_the_box_whatever_the_size_of_the_face() -> None:
    # Eight of nine predictions move by beta, the diagonal ones by its square root of two: mean square 12 / 9.
    expected = 0.5 * 0.05 * np.sqrt(12 / 9)
    for place in (PLACE, similarity_matrix(0.4, 0.0, (3.0, 5.0))):
        assert refined_landmarks(Shifted(0.5), IMAGE, place, 0.05).spread == pytest.approx(expected)
    assert refined_landmarks(Shifted(0.0), IMAGE, PLACE).spread == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("three", THREES)
def test_three_predictions_cancel_and_spread_as_the_nine_do(three: np.ndarray) -> None:
    assert len(three) == 3
    np.testing.assert_allclose(three.sum(axis=0), 0)
    found = refined_landmarks(Shifted(0.5), IMAGE, PLACE, 0.05, three)
    np.testing.assert_allclose(found.points_px, TRUE)
    # They lie as far off as the nine; of fewer the mean lies nearer to each, which is made up for.
    assert (three**2).sum(axis=1).mean() == pytest.approx((NINE**2).sum(axis=1).mean())
    nine = refined_landmarks(Shifted(0.5), IMAGE, PLACE, 0.05)
    assert found.spread == pytest.approx(nine.spread * np.sqrt(8 / 9 * 3 / 2))


def test_the_threes_take_every_side_in_turn() -> None:
    looked_at = np.concatenate(THREES)
    assert {tuple(look) for look in looked_at} == {tuple(look) for look in NINE if look.any()}
    for one, other in pairwise(THREES):
        assert {(-y, x) for x, y in one.tolist()} == {tuple(look) for look in other.tolist()}


def test_in_a_box_the_nine_look_where_the_first_prediction_lies() -> None:
    landmarker = Shifted(0.0)
    box = (100.0, 50.0, 300.0, 250.0)
    found = landmarks_in_box(landmarker, IMAGE, box)
    np.testing.assert_array_equal(landmarker.asked[0], unit_from_box(box))
    np.testing.assert_allclose(landmarker.asked[1], PLACE, atol=1e-9)
    np.testing.assert_allclose(found.points_px, TRUE)


def test_irises_oval_and_presence_are_averaged_where_there_are_any() -> None:
    plain = refined_landmarks(Shifted(0.5), IMAGE, PLACE)
    assert (plain.irises_px, plain.oval_px, plain.presence) == (None, None, None)
    full = refined_landmarks(Shifted(0.5, extras=True), IMAGE, PLACE)
    np.testing.assert_allclose(full.irises_px, TRUE[:2])
    np.testing.assert_allclose(full.oval_px, TRUE[:36])
    assert full.presence == pytest.approx(0.5)
