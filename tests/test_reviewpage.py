"""The review page of the demo, as a supervisor sees it: in a real Chromium."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import browser

LABEL_PX = 60  # at the bottom of the wipe, beside its line
RIM_PX = 4  # the focus ring
LINE_PX = 3
WINDOW_PX = 1016  # the wipe is then as wide as its pictures, and the browser resamples nothing
ONE_CODE = 1.1 / 255


@pytest.fixture(scope="module")
def page(demo_out: Path) -> Iterator[tuple[Any, list[str]]]:
    with browser.opened(demo_out / "review" / "review.html", width=WINDOW_PX) as opened:
        yield opened


def drag_to(window: Any, share: float) -> np.ndarray:
    """Drag the wipe's line with the mouse to a share of its width; the picture that the wipe then shows, H×W×3."""
    wipe = window.locator("#wipe")
    wipe.scroll_into_view_if_needed()
    box = wipe.bounding_box()
    window.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    window.mouse.down()
    window.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 3, steps=4)
    window.mouse.up()
    shown = np.asarray(imread(io.BytesIO(wipe.screenshot()), format="png"))
    return shown[RIM_PX:-LABEL_PX, RIM_PX:-RIM_PX, :3]


def frame_of(window: Any) -> int:
    return int(window.locator("#frame-name").inner_text())


def test_the_page_of_the_demo_opens_without_a_word_on_the_console(page: tuple[Any, list[str]]):
    window, complaints = page
    assert window.title() == "A on sh010_B.####.exr"
    broken = window.evaluate("[...document.images].filter(i => i.src && !i.hidden && !i.naturalWidth).map(i => i.id)")
    assert broken == []
    assert complaints == []


def test_dragging_the_wipe_shows_the_plate_left_of_the_line_and_the_result_right_of_it(page: tuple[Any, list[str]]):
    window, complaints = page
    plate, result = drag_to(window, 1.0), drag_to(window, 0.0)
    assert np.abs(plate - result).max() > 0.05, "plate and result show the same"
    for share in (0.3, 0.45, 0.6):
        shown = drag_to(window, share)
        line = round(share * (shown.shape[1] + 2 * RIM_PX)) - RIM_PX
        for side, expected in ((np.s_[:, : line - LINE_PX], plate), (np.s_[:, line + LINE_PX :], result)):
            np.testing.assert_allclose(shown[side], expected[side], rtol=0, atol=ONE_CODE)
    assert complaints == []


def test_moving_the_mouse_without_pressing_it_leaves_the_wipe_where_it_is(page: tuple[Any, list[str]]):
    window, _ = page
    drag_to(window, 0.5)
    box = window.locator("#wipe").bounding_box()
    window.mouse.move(box["x"] + 10, box["y"] + 10, steps=3)
    assert window.locator("#wipe").get_attribute("aria-valuenow") == "50"


def test_keys_slider_buttons_and_plots_choose_the_frame(page: tuple[Any, list[str]]):
    window, complaints = page
    slider, wipe = window.locator("#frame"), window.locator("#wipe")
    slider.fill("3")
    assert frame_of(window) == 1018
    wipe.focus()
    wipe.press("ArrowRight")
    assert frame_of(window) == 1019
    window.locator("#earlier").click()
    assert frame_of(window) == 1018
    plots = window.locator("#plots")
    box = plots.bounding_box()
    plots.click(position={"x": 0.98 * box["width"], "y": 60})
    assert frame_of(window) == 1038
    worst = window.locator(".worst .jump").first
    worst.click()
    assert frame_of(window) == int(worst.inner_text())
    assert complaints == []


def test_the_face_button_shows_the_close_up(page: tuple[Any, list[str]]):
    window, _ = page
    size = "(i => [i.naturalWidth, i.naturalHeight])(document.getElementById('wipe-result'))"
    wide = window.evaluate(size)
    window.locator("#close-up").click()
    window.wait_for_function(f"{size}[0] === {size}[1]")
    window.locator("#close-up").click()
    window.wait_for_function(f"{size}[0] === {wide[0]}")
