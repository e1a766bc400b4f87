"""Defocus and motion blur: found on faces that were blurred by a known amount, and given to a swap."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from bodydouble.alignment.geometry import crop_from_unit, unit_from_landmarks
from bodydouble.alignment.shotfaces import Face
from bodydouble.plates.modelspace import ModelSpace, to_model
from bodydouble.swap.matte import gaussian
from bodydouble.swap.spread import (
    MEASURED_AT,
    FrameSpread,
    SeenFrame,
    ShotSpread,
    add_spread,
    edge_spread,
    smear,
    solve_spread,
    spread_from_document,
)
from bodydouble.swap.spreadmeasures import face_motion
from bodydouble.swap.swapstages import face_matte
from bodydouble.swap.warp import warp
from tiny import face_at

UNIT = MEASURED_AT / 100  # pixels per hundredth of the crop
Crop = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def crops(portraits) -> list[Crop]:
    """Aligned crops of rendered faces in model space, and the matte of each."""
    found = []
    for picture, points in list(portraits.values())[:3]:
        code = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
        face = Face(np.array([*points.min(0), *points.max(0)]), points, None, 1.0)
        matrix = crop_from_unit(MEASURED_AT) @ unit_from_landmarks(points)
        crop = warp(to_model(code**2.2, ModelSpace()), matrix, (MEASURED_AT, MEASURED_AT))
        found.append((crop, face_matte(face, MEASURED_AT, 0.6)))
    return found


def added(crop: Crop, blurred: torch.Tensor) -> np.ndarray:
    """Spread that a blur adds to a crop, hundredths² of it."""
    before, after = edge_spread(*crop), edge_spread(blurred, crop[1])
    assert before is not None and after is not None
    return after - before


def shot_of(crop: Crop, plates: dict[int, torch.Tensor]) -> dict[int, SeenFrame]:
    """What frames show whose swap is the sharp crop."""
    own = edge_spread(*crop)
    found = {frame: edge_spread(plate, crop[1]) for frame, plate in plates.items()}
    assert own is not None
    return {frame: SeenFrame(spread, own, *crop) for frame, spread in found.items() if spread is not None}


@pytest.mark.parametrize("sigma_px", [1.5, 2.5, 5.0])
def test_a_known_defocus_is_found_to_a_tenth_and_is_no_motion(crops, sigma_px):
    for crop in crops:
        seen = shot_of(crop, {1: gaussian(crop[0], sigma_px)})
        shot = solve_spread(seen, {1: (0.5, 0.3)})
        assert shot is not None
        assert shot.frames[1].defocus * UNIT == pytest.approx(sigma_px, rel=0.1)
        assert shot.frames[1].motion == (0.0, 0.0)


@pytest.mark.parametrize(("way", "shutter"), [((4.0, 0.0), 0.5), ((2.5, 2.0), 1.0), ((0.3, 6.0), 0.7)])
def test_a_known_motion_blur_is_found_to_a_seventh(crops, way, shutter):
    for crop in crops:
        seen = shot_of(crop, {1: smear(crop[0], (shutter * way[0] * UNIT, shutter * way[1] * UNIT))})
        shot = solve_spread(seen, {1: way})
        assert shot is not None
        assert shot.shutter == pytest.approx(shutter, rel=0.15)
        assert shot.frames[1].defocus < 0.35


def test_the_direction_of_a_smear_shows_in_the_spread_of_the_edges(crops):
    angle = 0.7
    for crop in crops:
        spread = edge_spread(smear(crop[0], (18 * math.cos(angle), 18 * math.sin(angle))), crop[1])
        own = edge_spread(*crop)
        assert spread is not None and own is not None
        xx, xy, yy = spread - own
        assert abs(math.remainder(math.atan2(2 * xy, xx - yy) / 2 - angle, math.pi)) < math.radians(10)


def test_a_shots_shutter_and_defocus_are_found_together_and_the_swap_gets_the_plates_spread(crops):
    crop = crops[0]
    motion = {frame: (0.6 * frame, 0.2 * frame) for frame in range(12)}
    plates = {
        frame: smear(gaussian(crop[0], 2.0), (0.5 * x * UNIT, 0.5 * y * UNIT)) for frame, (x, y) in motion.items()
    }
    seen = shot_of(crop, plates)
    shot = solve_spread(seen, motion)
    assert shot is not None
    assert shot.shutter == pytest.approx(0.5, rel=0.15)
    assert np.mean([one.defocus for one in shot.frames.values()]) * UNIT == pytest.approx(2.0, rel=0.15)
    for frame in (0, 5, 11):
        given = add_spread(crop[0], torch.ones_like(crop[1]), shot.frames[frame], 1.0, 1.0)
        found = edge_spread(given, crop[1])
        assert found is not None
        wanted, added = seen[frame].plate - seen[frame].swap, found - seen[frame].swap
        assert added[[0, 2]].sum() == pytest.approx(wanted[[0, 2]].sum(), rel=0.2)
        assert (given - plates[frame]).abs().mean() < 0.2 * (crop[0] - plates[frame]).abs().mean()


def still(crop: Crop, variance: dict[int, float]) -> dict[int, SeenFrame]:
    """Frames of a face at rest whose plates have an excess of spread."""
    small, matte = (torch.nn.functional.avg_pool2d(picture, 4) for picture in crop)
    return {
        frame: SeenFrame(np.array([1 + excess, 0.0, 1 + excess]), np.array([1.0, 0.0, 1.0]), small, matte)
        for frame, excess in variance.items()
    }


def test_a_shot_as_sharp_as_its_swaps_or_sharper_gets_no_blur(crops):
    motion = {frame: (0.05, 0.0) for frame in range(6)}
    for excess in (0.0, -0.5):
        shot = solve_spread(still(crops[0], dict.fromkeys(motion, excess)), motion)
        assert shot == ShotSpread(0.0, {frame: FrameSpread(0.0, (0.0, 0.0)) for frame in motion})
    assert torch.equal(add_spread(*crops[0], FrameSpread(0.0, (0.0, 0.0)), 1.0, 1.0), crops[0][0])
    assert solve_spread({}, motion) is None


def test_one_frame_that_was_measured_wrongly_does_not_blur_the_shot(crops):
    variance = dict.fromkeys(range(20), 0.25)
    motion = dict.fromkeys(variance, (0.0, 0.0))
    calm, odd = (solve_spread(still(crops[0], found), motion) for found in (variance, {**variance, 9: 30.0}))
    assert calm is not None and odd is not None
    for frame in variance:
        assert odd.frames[frame].defocus == pytest.approx(calm.frames[frame].defocus, rel=0.02)


def test_frames_that_were_not_measured_get_what_lies_between(crops):
    motion = {frame: (0.0, 0.0) for frame in range(41)}
    shot = solve_spread(still(crops[0], {frame: frame / 10 for frame in range(0, 41, 10)}), motion)
    assert shot is not None
    defocus = [shot.frames[frame].defocus for frame in range(41)]
    assert defocus == sorted(defocus)
    assert max(np.diff(defocus)) < 0.15


@pytest.mark.parametrize("way", [(7.0, 0.0), (-4.0, 9.0), (0.3, 0.2)])
def test_a_smear_is_even_keeps_constants_and_spreads_as_it_says(way):
    dot = torch.zeros(1, 1, 61, 61)
    dot[..., 30, 30] = 1
    spread = smear(dot, way)[0, 0].double()
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    y, x = torch.meshgrid(torch.arange(61.0) - 30, torch.arange(61.0) - 30, indexing="ij")
    found = [float((spread * a * b).sum()) for a, b in ((x, x), (x, y), (y, y))]
    expected = np.array([way[0] ** 2, way[0] * way[1], way[1] ** 2]) / 12
    np.testing.assert_allclose(found, expected, atol=0.2)
    constant = torch.full((2, 3, 20, 30), 0.3)
    assert (smear(constant, way) - constant).abs().max() < 1e-6
    assert smear(constant, (0.0, 0.0)) is constant


def test_what_the_decoder_says_outside_its_matte_is_not_smeared_into_the_face():
    known = torch.zeros(1, 1, 100, 100)
    known[..., 20:80, 20:80] = 1
    swap = torch.where(known > 0, 0.4, 9.0).expand(1, 3, -1, -1).clone()
    blurred = add_spread(swap, known, FrameSpread(2.0, (6.0, 0.0)), 1.0, 1.0)
    assert (blurred[..., 20:80, 20:80] - 0.4).abs().max() < 1e-4
    assert torch.equal(blurred[..., :5, :], swap[..., :5, :])


def test_the_motion_of_a_face_is_that_of_its_middle_in_the_crops_axes():
    faces = {frame: face_at(50 + 3 * frame, 40, 60, angle=math.pi / 2) for frame in range(3)}
    assert face_motion(faces, 1) == pytest.approx((0.0, -5.0))  # to the right is up in a crop turned to the right
    assert face_motion(faces, 0) == pytest.approx((0.0, -5.0))
    assert face_motion({7: faces[0]}, 7) == (0.0, 0.0)


def test_spread_survives_its_document_and_nonsense_is_refused():
    shot = ShotSpread(0.5, {1001: FrameSpread(0.25, (1.5, -0.5)), 1002: FrameSpread(0.0, (0.0, 0.0))})
    document = json.loads(json.dumps(shot.to_document()))
    assert spread_from_document(document) == shot
    with pytest.raises(ValueError, match="frame 1001"):
        spread_from_document({"shutter": 0.5, "frames": {"1001": [-1.0, 0, 0]}})
