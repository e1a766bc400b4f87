"""The picture of the review page that README shows, taken of a page in a real Chromium.

    make demo && python benchmarks/review_picture.py demo_out/review/review.html -o docs/images/review.jpg

To be taken again when the bundled model or the page changes. Needs Playwright (extra `dev`) and a Chromium; look at it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
WINDOW = (1016, 900)
"""The wipe is then as wide as its pictures, and the browser resamples nothing."""


def take(page: Path, frame: int, share: float, picture: Path) -> None:
    """Choose a frame, drag the wipe to a share of its width, and save it with the buttons above it."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit(f"none of {', '.join(PROGRAMS)} is installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        window = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        window.goto(page.resolve().as_uri())
        while int(window.locator("#frame-name").inner_text()) < frame:
            window.locator("#later").click()
        wipe = window.locator("#wipe")
        wipe.scroll_into_view_if_needed()
        box = wipe.bounding_box()
        window.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
        window.mouse.down()
        window.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 3, steps=4)
        window.mouse.up()
        window.evaluate("document.activeElement.blur()")
        top = window.locator(".controls").bounding_box()["y"]
        box = wipe.bounding_box()
        clip = {"x": box["x"], "y": top, "width": box["width"], "height": box["y"] + box["height"] - top}
        window.screenshot(path=picture, type="jpeg", quality=88, clip=clip)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="review.html of the demo")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frame", type=int, default=1020)
    parser.add_argument("--share", type=float, default=0.5, help="where the line of the wipe stands, 0 to 1")
    arguments = parser.parse_args()
    take(arguments.page, arguments.frame, arguments.share, arguments.out)


if __name__ == "__main__":
    main()
