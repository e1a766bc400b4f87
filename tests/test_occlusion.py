"""An object in front of a face, found by what the performer's decoder shows instead."""

from __future__ import annotations

import torch

from bodydouble.swap.occlusion import (
    REACH,
    colours,
    difference,
    occluder,
    pooled,
    roughly,
    strangeness,
    usual_difference,
)
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


def found_in(frames: list[tuple[torch.Tensor, ...]], first: int = 0, last: int | None = None) -> list[torch.Tensor]:
    """The occluder in frames `first` up to `last`, from those alone but for what is usual."""
    differences = [difference(crop, shown, matte) for crop, shown, matte, _ in frames]
    usual = usual_difference(differences)
    seen = {}
    for number in range(first, len(frames) if last is None else last):
        crop, _, matte, _ = frames[number]
        rough = roughly(crop, strangeness(differences[number], usual, matte), matte)
        seen[number] = (crop, rough, matte)
    known = {number: colours(*one) for number, one in seen.items()}
    return [occluder(*one, pooled(known, number)) for number, one in seen.items()]


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


def test_a_frame_gives_the_same_matte_among_all_and_among_its_nearest():
    frames = [face_pictures(frame, covered=True) for frame in range(13)]
    among_all = found_in(frames)
    assert torch.equal(found_in(frames, 6 - REACH, 7 + REACH)[REACH], among_all[6])


def test_what_is_strange_in_one_frame_alone_is_not_believed():
    flash = torch.zeros(1, 1, SIZE, SIZE)
    flash[..., 60:69, 40:49] = 1

    def most_found(flashes: tuple[int, ...]) -> float:
        frames = [face_pictures(frame, covered=False) for frame in range(13)]
        for index in flashes:
            crop, *others = frames[index]
            frames[index] = (torch.where(flash > 0, 0.9, crop), *others)
        return max(float((found * flash).sum() / flash.sum()) for found in found_in(frames))

    assert most_found((6,)) < 0.1
    assert most_found((4, 5, 6, 7)) > 0.7


def test_an_error_of_the_decoder_in_one_frame_does_not_join_a_thing_that_the_frames_around_it_know():
    frames = [face_pictures(frame, covered=frame > 2) for frame in range(11)]
    crop, shown, matte, truth = frames[5]
    cheek = torch.zeros_like(matte)
    cheek[..., 48:68, 66:76] = 1
    frames[5] = (crop, torch.where(cheek > 0, shown + 0.3, shown), matte, truth)
    alone, among = found_in(frames, 5, 6)[0], found_in(frames)[5]
    assert (alone * cheek).sum() > 0.3 * cheek.sum()
    assert (among * cheek).sum() < 0.05 * cheek.sum()
    assert (among * truth * matte).sum() > 0.9 * (truth * matte).sum()


def test_a_thing_that_moves_leaves_no_trail():
    frames = [face_pictures(frame, covered=True) for frame in range(11)]
    for frame, found in enumerate(found_in(frames)):
        truth, matte = frames[frame][3], frames[frame][2]
        beside = matte * (1 - torch.nn.functional.max_pool2d(truth, 5, 1, 2))
        assert (found * beside).sum() < 0.02 * (truth * matte).sum()


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
