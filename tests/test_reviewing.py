from __future__ import annotations

import dataclasses
import html.parser
import json
import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import browser
from bodydouble.alignment.geometry import CANONICAL_LANDMARKS
from bodydouble.alignment.shotfaces import Face, ShotFaces
from bodydouble.errors import InputError, UnknownColourSpaceError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_image, read_plate, write_image, write_plate
from bodydouble.plates.movies import read_movie, read_movie_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews import quality
from bodydouble.reviews.measuring import FrameReview, Material, matte_of, read_frame
from bodydouble.reviews.reviewfigures import worst_frames
from bodydouble.reviews.reviewing import ReviewReport, review

WIDTH, HEIGHT = 128, 96
FRAMES = tuple(range(1001, 1012))
MISSING, DAMAGED, UNTOUCHED, POPPED = 1003, 1005, 1008, 1011
COLOUR = "lin_rec709_scene"


def disc() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(x - 64, y - 48) < 24


def picture(frame: int) -> np.ndarray:
    """A moving ramp with a highlight, a NaN, an Inf and a negative value: scene-linear."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    rgb = np.stack([0.1 + 0.002 * x, 0.1 + 0.002 * y, 0.2 + 0.0005 * (frame - 1000) * np.ones_like(x)], axis=2)
    rgb[48, 64], rgb[0, 0], rgb[1, 1], rgb[2, 2] = 4.0, np.nan, np.inf, -0.5
    return rgb.astype(np.float32)


@pytest.fixture(scope="module")
def shot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate of eleven frames and a result that is brighter in a disc, with one frame of each kind of trouble."""
    folder = tmp_path_factory.mktemp("shot")
    whole = (0, 0, WIDTH, HEIGHT)
    for frame in FRAMES:
        source = folder / "plate" / f"p.{frame}.exr"
        write_image(source, picture(frame), channel_names=("R", "G", "B"))
        if frame == MISSING:
            continue
        plate = read_plate(source)
        gain = {UNTOUCHED: 1.0, POPPED: 1.6}.get(frame, 1.1)
        result = plate.with_rgb(whole, plate.rgb() * np.float32(gain), disc())
        result = result.with_attributes({"bodydouble/persona": "ann", "bodydouble/confidence": 0.9})
        write_plate(folder / "result" / f"p.{frame}.exr", result)
    (folder / "result" / f"p.{DAMAGED}.exr").write_bytes(b"not an EXR at all")
    return folder


@pytest.fixture(scope="module")
def sequences(shot_folder: Path) -> tuple[PlateSequence, PlateSequence]:
    return (
        PlateSequence(str(shot_folder / "result" / "p.####.exr"), FRAMES),
        PlateSequence(str(shot_folder / "plate" / "p.####.exr"), FRAMES),
    )


@pytest.fixture(scope="module")
def shot() -> ShotFaces:
    face = Face(
        box_px=np.array([40.0, 24, 88, 72]),
        landmarks_px=CANONICAL_LANDMARKS * 60 + [34, 18],
        score=1.0,
        confidence=0.5,
    )
    return ShotFaces("p.####.exr", WIDTH, HEIGHT, {frame: (face,) for frame in FRAMES})


@pytest.fixture(scope="module")
def report(
    sequences: tuple[PlateSequence, PlateSequence], shot: ShotFaces, tmp_path_factory: pytest.TempPathFactory
) -> ReviewReport:
    result, plate = sequences
    out = tmp_path_factory.mktemp("review") / "made" / "if missing"
    return review(result, plate, out, shot=shot, frames=FRAMES, colour=Colour(), colorspace=COLOUR)


def by_frame(report: ReviewReport) -> dict[int, FrameReview]:
    return {frame.frame: frame for frame in report.frames}


# ---------------------------------------------------------------- figures


def test_every_frame_is_told_of_in_its_state(report: ReviewReport):
    states = {frame.frame: frame.status for frame in report.frames}
    trouble = {MISSING: "missing", DAMAGED: "unreadable", UNTOUCHED: "untouched"}
    assert states == {frame: trouble.get(frame, "done") for frame in FRAMES}


def test_the_matte_is_what_differs_from_the_plate(report: ReviewReport):
    expected = 100 * disc().sum() / (WIDTH * HEIGHT)
    assert by_frame(report)[1001].matte_percent == pytest.approx(expected)


def test_the_matte_channel_of_the_result_is_believed(sequences: tuple[PlateSequence, PlateSequence]):
    result, plate = (read_plate(sequence.path(1001)) for sequence in sequences)
    half = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    layered = result.with_channels({"bodydouble.matte": half})
    np.testing.assert_array_equal(matte_of(layered, layered.rgb(), plate.rgb()), half)


def test_confidence_comes_from_the_frame_before_the_shot_faces(report: ReviewReport):
    assert by_frame(report)[1001].confidence == pytest.approx(0.9)


def test_flicker_needs_a_frame_before_and_wobble_two(report: ReviewReport):
    frames = by_frame(report)
    assert frames[1001].flicker is None and frames[1002].flicker is not None
    assert frames[1004].flicker is None, "the frame before is missing"
    assert frames[1002].wobble is None and frames[POPPED].wobble is not None


def test_a_pop_in_brightness_is_the_first_of_the_worst_after_frames_without_a_result(report: ReviewReport):
    order = [frame.frame for frame, _ in worst_frames(report.frames, 4)]
    assert order == [MISSING, DAMAGED, UNTOUCHED, POPPED]


def test_a_steady_shot_has_no_worst_frames():
    steady = [FrameReview(frame, "done", confidence=0.9, seam=3.0) for frame in FRAMES]
    assert worst_frames(steady, 4) == []


def test_highlights_are_compared_as_light_above_one(report: ReviewReport):
    frame = by_frame(report)[1001]
    assert frame.plate_highlights == pytest.approx(3.0, rel=1e-2)
    assert frame.result_highlights == pytest.approx(3.4, rel=1e-2)


def test_figures_without_shot_faces_are_those_with_them_but_for_change_over_time(
    sequences: tuple[PlateSequence, PlateSequence], shot: ShotFaces, report: ReviewReport, tmp_path: Path
):
    result, plate = sequences
    plain = review(result, plate, tmp_path, shot=None, frames=(1001, 1002), colour=Colour(), colorspace=COLOUR)
    with_faces = by_frame(report)[1001]
    assert plain.frames[0].seam == pytest.approx(with_faces.seam)
    assert plain.frames[0].colour_step == pytest.approx(with_faces.colour_step)
    assert plain.frames[1].flicker is not None


def test_a_lossy_result_is_said_to_be_changed_everywhere(
    sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path
):
    _, plate = sequences
    brighter = read_plate(plate.path(1001))
    brighter = brighter.with_rgb((0, 0, WIDTH, HEIGHT), brighter.rgb() * 1.5, np.ones((HEIGHT, WIDTH), bool))
    write_plate(tmp_path / "p.1001.exr", brighter)
    lossy = PlateSequence(str(tmp_path / "p.####.exr"), (1001,))
    made = review(lossy, plate, tmp_path / "out", shot=None, frames=(1001,), colour=Colour(), colorspace=COLOUR)
    assert "lossy" in made.frames[0].message


def test_a_changed_pixel_outside_the_matte_channel_is_counted(
    sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path
):
    _, plate = sequences
    before = read_plate(plate.path(1001))
    where = disc()
    where[5, 7] = True
    after = before.with_rgb((0, 0, WIDTH, HEIGHT), before.rgb() + np.float32(0.25), where)
    after = after.with_channels({"bodydouble.matte": disc().astype(np.float32)})
    write_plate(tmp_path / "p.1001.exr", after)
    layered = PlateSequence(str(tmp_path / "p.####.exr"), (1001,))
    made = review(layered, plate, tmp_path / "out", shot=None, frames=(1001,), colour=Colour(), colorspace=COLOUR)
    assert made.frames[0].outside_pixels == 1
    assert made.numbers["summary"]["outside_pixels"] == 1


def test_a_plate_that_cannot_be_read_is_told_and_shown_black(
    shot_folder: Path, shot: ShotFaces, report: ReviewReport, tmp_path: Path
):
    for folder in ("plate", "result"):
        shutil.copytree(shot_folder / folder, tmp_path / folder)
    (tmp_path / "plate" / "p.1001.exr").write_bytes(b"not an EXR")
    (tmp_path / "plate" / f"p.{MISSING}.exr").unlink()
    result, plate = (PlateSequence(str(tmp_path / folder / "p.####.exr"), FRAMES) for folder in ("result", "plate"))
    found = by_frame(review(result, plate, tmp_path, shot=shot, frames=FRAMES, colour=Colour(), colorspace=COLOUR))
    assert found[1001].status == "unreadable" and "p.1001.exr" in found[1001].message
    assert (found[MISSING].status, found[1002].status) == ("missing", "done")
    assert read_image(tmp_path / "contact_sheet.png").shape == read_image(report.contact_sheet).shape


def test_a_result_of_another_size_is_unreadable(sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path):
    write_image(tmp_path / "p.1001.exr", picture(1001)[:50], channel_names=("R", "G", "B"))
    small = PlateSequence(str(tmp_path / "p.####.exr"), (1001,))
    found = read_frame(Material(small, sequences[1], None, Colour(), COLOUR), 1001)
    assert isinstance(found, FrameReview)
    assert (found.status, found.message) == ("unreadable", "the picture is 128×50, the plate's 128×96")


# ---------------------------------------------------------------- the promise outside the matte


def test_every_bit_outside_the_matte_counts(sequences: tuple[PlateSequence, PlateSequence]):
    result, plate = (read_plate(sequence.path(1001)) for sequence in sequences)
    matte = disc().astype(np.float32)
    assert quality.outside_differences(result, plate, matte) == quality.Outside(0, ())
    matte[48, 64] = 0
    assert quality.outside_differences(result, plate, matte) == quality.Outside(1, ("B", "G", "R")[::-1])


def test_a_channel_that_the_result_lost_counts_as_changed_everywhere(sequences: tuple[PlateSequence, PlateSequence]):
    plate = read_plate(sequences[1].path(1001))
    with_depth = plate.with_channels({"Z": np.ones((HEIGHT, WIDTH), np.float32)})
    lost = quality.outside_differences(plate, with_depth, np.zeros((HEIGHT, WIDTH), np.float32))
    assert lost == quality.Outside(WIDTH * HEIGHT, ("Z",))


# ---------------------------------------------------------------- files


class Addresses(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_but_itself(report: ReviewReport):
    page = Addresses()
    text = report.html.read_text(encoding="utf-8")
    page.feed(text)
    assert page.addresses and all(address.startswith("data:image/") for address in page.addresses)
    assert not {"link", "iframe"} & set(page.tags)
    assert not re.search(r"https?://", re.sub(r"data:[^\"]+", "", text))
    assert "Content-Security-Policy\" content=\"default-src 'none'" in text


def test_the_page_names_troubled_frames_and_the_persona(report: ReviewReport):
    text = report.html.read_text(encoding="utf-8")
    assert "ann on p.####.exr" in text
    assert all(word in text for word in ("missing: no file", "unreadable: ", "untouched: "))


def test_the_numbers_are_strict_json_with_schema_and_version(report: ReviewReport):
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    numbers = json.loads(report.json.read_text(encoding="utf-8"), parse_constant=refuse)
    assert (numbers["schema"], numbers["version"]) == ("bodydouble.review", 1)
    assert [frame["frame"] for frame in numbers["frames"]] == list(FRAMES)
    assert set(numbers["frames"][0]) == {field.name for field in dataclasses.fields(FrameReview)}
    summary = numbers["summary"]
    assert [summary[state] for state in ("done", "missing", "unreadable", "untouched")] == [8, 1, 1, 1]
    assert summary["colour_step"]["worst_frame"] == POPPED


def test_a_movie_shows_plate_beside_result_at_the_rate_asked_for_and_plays_in_the_page(
    sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path
):
    pytest.importorskip("av", reason="PyAV is the optional extra 'movie'")
    result, plate = sequences
    frames = (1001, 1002, MISSING)
    made = review(
        result,
        plate,
        tmp_path,
        shot=None,
        frames=frames,
        colour=Colour(),
        colorspace=COLOUR,
        movie="h264",
        rate=Fraction(30000, 1001),
    )
    assert made.movie == tmp_path / "review.mp4"
    movie = read_movie(made.movie)
    assert (movie.frames, movie.rate, movie.width, movie.height) == (3, Fraction(30000, 1001), 2 * WIDTH, HEIGHT)
    first, last = (read_movie_frame(made.movie, number) for number in (1, 3))
    left, right = first[30:66, 45:83], first[30:66, WIDTH + 45 : WIDTH + 83]
    assert (right - left).mean() > 0.01, "the result is brighter in its disc"
    assert last[:, WIDTH + 8 :].max() < 0.05, "a frame without a result is black"
    with browser.opened(made.html) as (window, complaints):
        if window.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.640028\"')"):
            window.wait_for_function("document.querySelector('video').readyState >= 1")
            assert window.evaluate("document.querySelector('video').videoWidth") == 2 * WIDTH
        assert complaints == []


def test_the_page_of_a_troubled_shot_opens_and_says_so_beside_the_wipe(report: ReviewReport):
    with browser.opened(report.html) as (window, complaints):
        window.locator("#frame").fill(str(FRAMES.index(MISSING)))
        assert window.locator("#frame-note").inner_text() == "missing: no file"
        assert not window.locator("#wipe-result").is_visible()
        assert complaints == []


def test_a_wrong_view_is_told_before_any_frame_is_measured(
    sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path
):
    with pytest.raises(UnknownColourSpaceError, match="no display"):
        review(*sequences, tmp_path, shot=None, frames=(1001,), colour=Colour(), colorspace=COLOUR, display="Wall")
    assert list(tmp_path.iterdir()) == []


def test_the_display_and_view_are_those_of_the_pictures_and_no_figure_depends_on_them(
    sequences: tuple[PlateSequence, PlateSequence], report: ReviewReport, tmp_path: Path
):
    display, view = Colour().default_display()[0], "Un-tone-mapped"
    made = review(
        *sequences,
        tmp_path,
        shot=None,
        frames=(1001,),
        colour=Colour(),
        colorspace=COLOUR,
        display=display,
        view=view,
    )
    assert made.numbers["view"] == f"{view} ({display})"
    assert made.frames[0].seam == by_frame(report)[1001].seam
    shown, usual = (read_image(one.contact_sheet) for one in (made, report))
    assert not np.array_equal(shown[:, :300], usual[:, :300])


def test_the_contact_sheet_is_a_picture_of_eight_columns(report: ReviewReport):
    sheet = read_image(report.contact_sheet)
    assert sheet.shape[1] > 8 * 300 and sheet.shape[2] == 3


def test_each_frame_is_announced_as_it_is_measured(sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path):
    heard: list[int] = []
    review(
        *sequences,
        tmp_path,
        shot=None,
        frames=(1001, MISSING),
        colour=Colour(),
        colorspace=COLOUR,
        on_frame=lambda frame: heard.append(frame.frame),
    )
    assert heard == [1001, MISSING]


def test_a_result_without_any_frame_is_an_error_that_names_the_folder(
    sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path
):
    nothing = PlateSequence(str(tmp_path / "p.####.exr"), FRAMES)
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        review(nothing, sequences[1], tmp_path, shot=None, frames=FRAMES, colour=Colour(), colorspace=COLOUR)


def test_no_frames_is_a_usage_error(sequences: tuple[PlateSequence, PlateSequence], tmp_path: Path):
    with pytest.raises(UsageError):
        review(*sequences, tmp_path, shot=None, frames=(), colour=Colour(), colorspace=COLOUR)
