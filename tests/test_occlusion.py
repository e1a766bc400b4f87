"""An object in front of a face, found by what the performer's decoder shows instead."""

from __future__ import annotations

import torch

from bodydouble.swap.occlusion import difference, occluder, strangeness, usual_difference
from bodydouble.swap.tone import brightness

SIZE = 96


def face_pictures(frame: int, covered: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crop, what a soft decoder shows, matte, and the truth: a grey disc that moves over brown skin with dark eyes."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    skin = torch.stack([0.5 + 0.001 * x, 0.38 + 0.0005 * y, 0.3 + 0 * x]).float()
    noise = 0.01 * torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(frame))
    eyes = (((y - 38) ** 2 < 9) & ((x - 34).abs() < 6)) | (((y - 38) ** 2 < 9) & ((x - 62).abs() < 6))
    crop = torch.where(eyes, 0.12, skin) + noise
    shown = torch.nn.functional.avg_pool2d(torch.where(eyes, 0.16, skin)[None], 7, 1, 3, count_include_pad=False)
    truth = ((x - 30 - 3 * frame) ** 2 + (y - 64) ** 2 < 11**2) & covered
    crop = torch.where(truth, 0.22 + 0.02 * noise, crop)
    matte = (((x - 48) / 32.0) ** 2 + ((y - 50) / 40.0) ** 2 < 1).float()[None, None]
    return crop[None], shown + 0.01, matte, truth[None, None].float()


def found_in(frames: list[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
    differences = [difference(crop, shown, matte) for crop, shown, matte, _ in frames]
    usual = usual_difference(differences)
    return [
        occluder(crop, strangeness(one, usual, matte), matte)
        for one, (crop, _, matte, _) in zip(differences, frames, strict=True)
    ]


def test_a_disc_that_crosses_the_face_is_found_and_the_eyes_are_not():
    frames = [face_pictures(frame, covered=2 <= frame <= 6) for frame in range(11)]
    for (_, _, matte, truth), found in zip(frames, found_in(frames), strict=True):
        inside = truth * matte
        if inside.sum() == 0:
            assert found.max() < 0.1
            continue
        assert torch.minimum(found, inside).sum() / torch.maximum(found, inside).sum() > 0.8


def test_nothing_is_found_outside_the_face_or_on_a_clear_one():
    frames = [face_pictures(frame, covered=frame == 4) for frame in range(7)]
    for index, ((_, _, matte, _), found) in enumerate(zip(frames, found_in(frames), strict=True)):
        wide = torch.nn.functional.max_pool2d(matte, 5, 1, 2)
        assert found[wide == 0].max() < 0.02
        assert index == 4 or found.max() < 0.1


def test_a_frame_gives_the_same_matte_alone_and_among_others():
    frames = [face_pictures(frame, covered=True) for frame in range(5)]
    usual = usual_difference([difference(crop, shown, matte) for crop, shown, matte, _ in frames])
    crop, shown, matte, _ = frames[3]
    alone = occluder(crop, strangeness(difference(crop, shown, matte), usual, matte), matte)
    assert torch.equal(alone, found_in(frames)[3])


def test_a_grey_thing_that_the_decoder_takes_for_a_shadow_is_found_by_its_tint():
    frames = []
    for frame in range(9):
        crop, shown, matte, truth = face_pictures(frame, covered=frame in (4, 5))
        grey = 0.1 + 0.005 * torch.randn(crop.shape, generator=torch.Generator().manual_seed(9))
        shadow = shown * 0.1 / brightness(shown)  # as dark as the thing, brown as the skin
        frames.append((torch.where(truth > 0, grey, crop), torch.where(truth > 0, shadow, shown), matte, truth))
    for (_, _, matte, truth), found in zip(frames, found_in(frames), strict=True):
        inside = truth * matte
        if inside.sum() == 0:
            assert found.max() < 0.1
        else:
            assert torch.minimum(found, inside).sum() / torch.maximum(found, inside).sum() > 0.7
