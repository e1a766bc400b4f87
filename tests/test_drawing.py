"""Faces drawn over a picture."""

from __future__ import annotations

import numpy as np

from bodydouble.alignment.drawing import FILLED, SURE, UNSURE, draw_face, draw_lines, draw_text
from bodydouble.alignment.geometry import CANONICAL_LANDMARKS
from bodydouble.alignment.shotfaces import Face

MARKS = CANONICAL_LANDMARKS * 300


def drawn(confidence: float, interpolated: bool = False, shift: float = 20.0) -> np.ndarray:
    picture = np.zeros((340, 340, 3), np.float32)
    draw_face(picture, Face(np.array([60.0, 60.0, 270.0, 270.0]), MARKS + shift, 1.0, confidence, 0, interpolated))
    return picture


def at(picture: np.ndarray, mark: int) -> np.ndarray:
    x, y = np.rint(MARKS[mark] + 20).astype(int)
    return picture[y, x]


def test_landmarks_are_where_they_are_and_show_how_sure_they_are() -> None:
    for picture, colour in ((drawn(1.0), SURE), (drawn(0.0), UNSURE), (drawn(0.5, True), FILLED)):
        for mark in (30, 36, 45, 54):
            np.testing.assert_allclose(at(picture, mark), colour, atol=0.02)


def test_drawing_stays_within_the_picture_and_within_0_and_1() -> None:
    for shift in (-250.0, 250.0, 2000.0):
        picture = drawn(0.3, shift=shift)
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert not drawn(0.3, shift=2000.0)[:20].any()


def test_a_line_is_as_wide_as_it_should_be() -> None:
    picture = np.zeros((40, 40, 3), np.float32)
    draw_lines(picture, np.array([(5.0, 20.0), (35.0, 20.0)]), (1.0, 1.0, 1.0), 1.5)
    assert picture[:, 20, 0].sum() == np.float32(3.0)
    assert np.isclose(picture[:, 20, 0] @ np.arange(40), 3 * 20.0)


def test_text_is_written_upwards_from_its_place() -> None:
    picture = np.zeros((40, 60, 3), np.float32)
    draw_text(picture, "#1 0.5", np.array([2.0, 30.0]), (1.0, 1.0, 1.0), 2)
    assert picture[16:26].any()
    assert not picture[30:].any()
