"""An artist's mattes and the shot's measures, through the frame's straight line and through a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import InputError, NoFaceError, SidecarError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_image
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.grain import ShotGrain
from bodydouble.swap.guides import FrameGuides, Guides, MatteFiles
from bodydouble.swap.platemeasures import measure_plate, measured_frames, read_measures, write_measures
from bodydouble.swap.spread import FrameSpread, ShotSpread
from bodydouble.swap.swapframe import (
    finish_frame,
    load_swap_model,
    prepare_frame,
    read_guides,
    swap_faces,
    swap_frame,
)
from bodydouble.swap.swapping import swap_sequence
from bodydouble.swap.swapstages import PlateRegion, composite, plate_matte, warp_to_crop
from tiny import face_at, tiny_comb

SIZE, FRAMES = (80, 96), (1, 2, 3, 4)
FACE = face_at(48, 40, 60)


def write(path: Path, pixels: np.ndarray, channels: tuple[str, ...]) -> None:
    write_image(path, pixels.astype(np.float32), channel_names=channels, format="float", compression="zip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static plate with grain of 0.02, a holdout that covers the left half, a matte in a channel of its own."""
    folder = tmp_path_factory.mktemp("guides")
    random = np.random.default_rng(4)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    still = np.stack([0.3 + x / 400, 0.25 + y / 400, 0.2 + x / 800], axis=2)
    half = np.clip((48 - x) / 4 + 0.5, 0, 1)[..., None]
    for frame in FRAMES:
        write(folder / f"plate.{frame:04d}.exr", still + random.normal(0, 0.02, still.shape), ("R", "G", "B"))
        write(folder / f"hold.{frame:04d}.exr", np.concatenate([0 * still, half], 2), ("R", "G", "B", "A"))
        write(folder / f"mat.{frame:04d}.exr", np.concatenate([0 * half, 1 - half], 2), ("R", "face.in"))
    tiny_comb(folder / "cast.comb")
    return folder


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour(None)


def matte(folder: Path, name: str, channel: str | None = None) -> MatteFiles:
    return MatteFiles(PlateSequence.find(folder / f"{name}.####.exr"), channel)


def shot(folder: Path) -> ShotFaces:
    return ShotFaces(str(folder / "plate.####.exr"), SIZE[1], SIZE[0], {frame: (FACE,) for frame in FRAMES})


@pytest.mark.parametrize("given", ["hold", "mat"])
def test_no_pixel_under_the_artists_matte_changes(folder: Path, colour: Colour, given: str):
    model, plate = load_swap_model(folder / "cast.comb", "anna", "cpu"), read_plate(folder / "plate.0002.exr")
    guides = Guides(holdout=matte(folder, "hold")) if given == "hold" else Guides(matte(folder, "mat", "face.in"))
    swapped = swap_frame(plate, FACE, model, colour, "ACEScg", SwapSettings(), guides, 2)
    changed = (swapped.plate.rgb() != plate.rgb()).any(axis=2)
    covered = np.arange(SIZE[1]) < 46
    assert not changed[:, covered].any()
    assert changed[32:50, 52:62].mean() > 0.95
    soft = swapped.matte[40, 44:54]
    assert ((soft > 0) & (soft < 0.9)).any()  # the matte's own soft edge is kept


def test_what_is_in_front_of_the_face_gives_it_no_colour(folder: Path, colour: Colour):
    """A black bar over half the face: with the holdout the visible half is as it is without the bar."""
    model, plate = load_swap_model(folder / "cast.comb", "anna", "cpu"), read_plate(folder / "plate.0002.exr")
    hold = Guides(holdout=matte(folder, "hold"))
    clean = prepare_frame(plate, FACE, model, colour, "ACEScg")
    (swap,), _ = swap_faces([clean], model, SwapSettings())
    held = read_guides(hold, 2, clean)
    assert held.clear is not None
    barred = clean.piece.picture * held.clear
    piece = replace(clean.piece, picture=barred)
    dark = replace(clean, piece=piece, crop=warp_to_crop(piece, FACE, clean.crop.shape[-1]))
    seen = (slice(25, 55), slice(56, 70))
    results = {}
    for name, frame in (("clean", clean), ("dark", dark)):
        for guided, guides in (("held", held), ("free", None)):
            done = finish_frame(frame, swap, {}, model, colour, SwapSettings(), guides)
            results[name, guided] = done.plate.rgb()[seen]
    with_holdout = np.abs(results["dark", "held"] - results["clean", "held"]).mean()
    without = np.abs(results["dark", "free"] - results["clean", "free"]).mean()
    assert with_holdout < 0.25 * without


def test_a_matte_that_does_not_fit_is_refused_by_name(folder: Path, tmp_path: Path):
    region, size = (0, 0, SIZE[1], SIZE[0]), (SIZE[1], SIZE[0])
    with pytest.raises(InputError, match=r"hold\.0009\.exr does not exist"):
        matte(folder, "hold").read(9, region, size)
    with pytest.raises(InputError, match="96×80, the plate 100×80"):
        matte(folder, "hold").read(1, region, (100, 80))
    with pytest.raises(UsageError, match=r"no channel face\.inn.*face\.in"):
        matte(folder, "mat", "face.inn").read(1, region, size)


def test_a_run_is_another_job_when_its_matte_changes(folder: Path, colour: Colour, tmp_path: Path):
    plate = PlateSequence.find(folder / "plate.####.exr")
    out = PlateSequence.output(tmp_path / "out", like=plate)

    def statuses(guides: Guides | None) -> list[str]:
        found = swap_sequence(
            plate,
            out,
            folder / "cast.comb",
            "anna",
            shot(folder),
            (1,),
            colour,
            "ACEScg",
            SwapSettings(),
            guides=guides,
        )
        return [result.status for result in found]

    assert statuses(Guides(holdout=matte(folder, "hold"))) == ["done"]
    assert statuses(Guides(holdout=matte(folder, "hold"))) == ["skipped"]
    assert statuses(None) == ["failed"]  # made otherwise


def test_measures_are_those_of_the_shot_and_survive_their_file(folder: Path, colour: Colour, tmp_path: Path):
    plate = PlateSequence.find(folder / "plate.####.exr")
    measures = measure_plate(plate, shot(folder), colour, "ACEScg")
    assert measures.frames == FRAMES
    assert measures.grain is not None
    write_measures(tmp_path / "x.measures.json", measures)
    again = read_measures(tmp_path / "x.measures.json")
    assert again.grain is not None
    np.testing.assert_allclose(again.grain.sigma, measures.grain.sigma, rtol=1e-5)
    assert (again.plate, again.space, again.frames) == (measures.plate, measures.space, measures.frames)
    assert again.spread is None
    (tmp_path / "y.measures.json").write_text('{"schema": "bodydouble.measures", "version": 1, "frames": []}')
    with pytest.raises(SidecarError, match=r"y\.measures\.json.*grain"):
        read_measures(tmp_path / "y.measures.json")


def test_the_blur_that_was_measured_softens_the_new_face_and_nothing_else(folder: Path, colour: Colour, tmp_path: Path):
    measures = measure_plate(PlateSequence.find(folder / "plate.####.exr"), shot(folder), colour, "ACEScg")
    spread = ShotSpread(0.5, {1: FrameSpread(2.0, (6.0, 0.0)), 2: FrameSpread(0.0, (0.0, 0.0))})
    write_measures(tmp_path / "x.measures.json", replace(measures, spread=spread))
    guides = Guides(spread=read_measures(tmp_path / "x.measures.json").spread)
    assert guides.spread == spread
    assert [guides.content(frame) for frame in (1, 3)] == [{"spread": [2.0, 6.0, 0.0]}, {}]
    plate, model = read_plate(folder / "plate.0001.exr"), load_swap_model(folder / "cast.comb", "anna", "cpu")
    prepared = prepare_frame(plate, FACE, model, colour, "ACEScg")
    stripes = (torch.arange(32) % 8 < 4).float().expand(1, 3, 32, 32) * 0.2 + 0.4  # a swap with detail to lose

    def detail(settings: SwapSettings, given: Guides | None) -> float:
        guided = None if given is None else read_guides(given, 1, prepared)
        done = finish_frame(prepared, stripes, {}, model, colour, settings, guided)
        changed = (done.plate.rgb() != plate.rgb()).any(axis=2)
        assert not changed[done.matte == 0].any()
        return float(np.abs(np.diff(done.plate.rgb()[30:50, 35:60], axis=1)).mean())

    sharp, soft = (detail(SwapSettings(blend_size=64), given) for given in (None, guides))
    off = detail(SwapSettings(blend_size=64, defocus=0.0, motion_blur=0.0), guides)
    only_motion = detail(SwapSettings(blend_size=64, defocus=0.0), guides)
    assert soft < only_motion < sharp
    assert off == sharp


def test_measuring_against_a_persona_says_what_its_swaps_lack(folder: Path, colour: Colour):
    model = load_swap_model(folder / "cast.comb", "anna", "cpu")
    plate = PlateSequence.find(folder / "plate.####.exr")
    heard: list[tuple[int, int]] = []
    found = measure_plate(
        plate, shot(folder), colour, "ACEScg", None, model, lambda done, total: heard.append((done, total))
    )
    looks = len(measured_frames(plate, shot(folder), None)) + len(plate.frames)
    assert heard == [(done, looks) for done in range(1, looks + 1)]
    assert found.space == model.card.model_space
    # An untrained decoder is all blur, and the face is at rest: nothing is lacking, or nothing can be seen.
    assert found.spread is None or {one.motion for one in found.spread.frames.values()} == {(0.0, 0.0)}


@pytest.mark.parametrize(("grow", "more"), [(-6.0, False), (6.0, True)])
def test_growing_the_matte_moves_the_outline_and_the_plate_stays_outside(
    folder: Path, colour: Colour, grow: float, more: bool
):
    plate, model = read_plate(folder / "plate.0001.exr"), load_swap_model(folder / "cast.comb", "anna", "cpu")
    usual, grown = (
        swap_frame(plate, FACE, model, colour, "ACEScg", SwapSettings(blend_size=64, grow=by)) for by in (0.0, grow)
    )
    assert (grown.matte.sum() > usual.matte.sum()) == more
    assert (grown.matte >= usual.matte - 1e-6).all() if more else (grown.matte <= usual.matte + 1e-6).all()
    changed = (grown.plate.rgb() != plate.rgb()).any(axis=2)
    assert not changed[grown.matte == 0].any()
    assert changed[(grown.matte > 0.5)].all()


def test_the_frames_measured_do_not_depend_on_the_chunk_and_are_spread_over_the_shot(folder: Path):
    plate = PlateSequence("p.####.exr", tuple(range(1001, 1101)))
    faces = ShotFaces("p", 10, 10, {frame: (FACE,) for frame in range(1001, 1101)})
    found = measured_frames(plate, faces, None)
    assert found[0] == (1001, 1002)
    assert found[-1] == (1099, 1100)
    assert len(found) == 6
    alone = PlateSequence("p.exr", (7,))
    assert measured_frames(alone, ShotFaces("p", 10, 10, {7: (FACE,)}), None) == [(7, 7)]
    with pytest.raises(NoFaceError):
        measure_plate(plate, ShotFaces("p", 10, 10, {}), Colour(None))


def test_swapped_frames_of_a_static_shot_have_the_temporal_noise_of_the_plate(folder: Path, tmp_path: Path):
    """Noise variance over time inside the matte against the ring around it, ±10 %, and the same with a still swap."""
    random = torch.Generator().manual_seed(2)
    clean = torch.full((1, 3, 200, 200), 0.4)
    face, settings = face_at(100, 100, 150), SwapSettings(edge=4.0)
    sigma = 0.02
    grain = ShotGrain(np.array([0.2, 0.6]), np.full((3, 2), sigma), np.ones((3, 16, 16)), np.eye(3))
    still = torch.full((1, 3, 128, 128), 0.45)
    frames = []
    for frame in range(40):
        noisy = clean + sigma * torch.randn(clean.shape, generator=random)
        piece = PlateRegion(noisy, np.ones((200, 200), bool), (0, 0, 200, 200))
        frames.append(composite(still, piece, face, settings, FrameGuides(grain=grain, frame=frame))[0])
    variance = torch.cat(frames).var(dim=0).mean(dim=0)
    matte = plate_matte(piece, face, settings)
    ring = variance[matte == 0].mean()
    for inside in (matte == 1, (matte > 0.2) & (matte < 0.8)):
        assert variance[inside].mean() == pytest.approx(float(ring), rel=0.1)
