"""The blend alone, fed with a perfect swap, beside OpenCV's `seamlessClone` and a feathered alpha.

The *true* render of the persona is laid in place of what a network would return, so only the blend is measured: against
the perfect composite inside the true face (PSNR, flicker), at its outline (seam, colour step), in light (brightness of
the face over time: how it follows the plate's, and how much it pumps beyond the truth), in local contrast (beside the
plate's), and in CPU seconds. Every method gets the render as fine as the plate is; with --network every method gets it
only as fine as a network of that size could show it. With --model a decoder's picture takes its place; with --looks
more of the look's settings are measured. Needs `$BODYDOUBLE_SHARED` and the package
`opencv-python-headless` (extra `bench`). See benchmarks/README.md and docs/blend.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bodydouble.alignment.geometry import apply, crop_from_unit, similarity_scale
from bodydouble.alignment.shotfaces import Face
from bodydouble.plates.colour import Colour, Converter
from bodydouble.plates.frames import FrameRange
from bodydouble.plates.images import read_plate
from bodydouble.plates.modelspace import ModelSpace, from_model, to_model
from bodydouble.plates.plate import Plate, Region
from bodydouble.reviews import quality
from bodydouble.reviews.quality import display_channel, display_code
from bodydouble.reviews.scoring import CROP_PX
from bodydouble.settings import SwapSettings
from bodydouble.swap.bands import extend
from bodydouble.swap.guides import FrameGuides
from bodydouble.swap.matte import polygon_matte
from bodydouble.swap.swapframe import SwapModel, load_swap_model
from bodydouble.swap.swapstages import (
    PlateRegion,
    blend_crop,
    blend_size,
    clear_crop,
    composite,
    decode,
    encode,
    face_matte,
    face_region,
    plate_matte,
    plate_to_model_space,
    unit_outline,
    warp_to_crop,
)
from bodydouble.swap.warp import warp
from synth import SynthShot, load_shot, synth_folder

SPACE = ModelSpace()
Picture = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame as every method gets it, over the region of the face's crop; R, G, B are scene-linear Rec.709.

    `swap`: 1×3×s×s in model space, the true render as a decoder would return it. `persona`: it as the other methods get
    it, H×W×3, no finer than the swap. `outline`: coverage of the face's
    outline where the render knows the face, the mask of the other methods. `clear`: 1×1×s×s, 0 where a whole head's own
    hair hangs before its face; None where the render wears the performer's hair. `known`: 1×1×H×W over the region,
    where the render shows its face, not the hair and what else is in front of it.
    """

    face: Face
    piece: PlateRegion
    swap: torch.Tensor
    plate: Picture
    persona: Picture
    truth: Picture
    true_matte: Picture
    outline: Picture
    clear: torch.Tensor | None
    known: torch.Tensor
    side: int
    from_working: Converter


Method = Callable[[Moment, SwapSettings], Picture]


def load_moment(
    shot: SynthShot, frame: int, persona: str, version: str, colour: Colour, network: int | None = None
) -> Moment:
    """Everything about one frame.

    `version`: the render that stands for the swap, the full one or the composite. `network`: pixels along the swap's
    side that it has at most; None for as many as the plate has.
    """
    plate, donor = read_plate(shot.plate.path(frame)), read_plate(shot.sequence(version).path(frame))
    truth = shot.truth(frame, shot.personas[persona])
    points = shot.landmarks_px(frame, shot.performer)
    face = Face(np.array([*points.min(0), *points.max(0)]), points, None, 1.0)
    region = face_region(plate, face)
    to_working = colour.converter("lin_rec709_scene", SPACE.primaries)
    piece = plate_to_model_space(plate, region, to_working, SPACE)
    known = _cut(display_channel(donor, "matte.face"), region)
    shown = torch.from_numpy(known)[None, None]
    plate_px = 1 / similarity_scale(face.unit_from_plate)
    # The power of two that holds the plate's crop, or the network's size where that is smaller.
    side = blend_size(plate_px, network or math.ceil(plate_px))
    clear = clear_crop(piece, face, side, shown)
    donor_rgb = _own_tone(shot, version, donor, plate, region)
    from_working = colour.converter(SPACE.primaries, "lin_rec709_scene")
    linear = torch.from_numpy(to_working(donor_rgb)).permute(2, 0, 1)[None]
    render = PlateRegion(to_model(linear, SPACE), piece.usable, region)
    swap = _perfect_swap(render, clear, piece, face, side)
    outline = np.asarray(_outline(piece, face)) * known
    if side < plate_px:
        donor_rgb = _seen_through(warp_to_crop(render, face, side), render, face, from_working)
    return Moment(
        face,
        piece,
        swap,
        plate.rgb(region),
        donor_rgb,
        _cut(truth.rgb, region),
        _cut(truth.matte, region),
        outline,
        None if version in shot.gains else clear,
        shown,
        side,
        from_working,
    )


def _own_tone(shot: SynthShot, version: str, donor: Plate, plate: Plate, region: Region) -> Picture:
    """The render in the persona's own skin tone: a composite's secret gain is taken out again."""
    inside = donor.inside(region)[..., None]
    rgb = donor.rgb(region) / np.asarray(shot.gains.get(version, (1, 1, 1)), np.float32)
    return np.where(inside, rgb, plate.rgb(region)).astype(np.float32)


def _perfect_swap(render: PlateRegion, matte: torch.Tensor, piece: PlateRegion, face: Face, side: int) -> torch.Tensor:
    """The persona's render as a decoder would return it: true in its matte, nothing but a carried-on tone outside."""
    crop, swap = warp_to_crop(piece, face, side), warp_to_crop(render, face, side)
    return crop + extend(swap - crop, matte)


def _seen_through(crop: torch.Tensor, render: PlateRegion, face: Face, from_working: Converter) -> Picture:
    """A crop that is coarser than the plate, back in the plate's pixels, R, G, B over the region."""
    crop_from_region = crop_from_unit(crop.shape[-1]) @ render.unit_from_region(face)
    back = warp(crop, np.linalg.inv(crop_from_region), render.size)
    return from_working(np.ascontiguousarray(from_model(back, SPACE)[0].permute(1, 2, 0).numpy()))


def _cut(picture: Picture, region: Region) -> Picture:
    return np.ascontiguousarray(picture[region[1] : region[3], region[0] : region[2]])


def _outline(piece: PlateRegion, face: Face) -> torch.Tensor:
    polygon = apply(np.linalg.inv(piece.unit_from_region(face)), unit_outline(face, SwapSettings().forehead))
    return polygon_matte(polygon, piece.size)


def ours(moment: Moment, settings: SwapSettings) -> Picture:
    """The product's own stages: warp, matte, blend, composite."""
    crop = warp_to_crop(moment.piece, moment.face, settings.blend_size or moment.side)
    return _blended(moment, moment.swap, crop, moment.clear, settings)


def masked(moment: Moment, settings: SwapSettings) -> Picture:
    """Ours with the mask that the other methods are given, as `--matte-in`."""
    crop = warp_to_crop(moment.piece, moment.face, settings.blend_size or moment.side)
    return _blended(moment, moment.swap, crop, moment.clear, settings, FrameGuides(shown=moment.known))


def own_face(moment: Moment, settings: SwapSettings) -> Picture:
    """The performer's own face in another tone as the swap: what it does to the light is the blend's, no persona's."""
    crop = warp_to_crop(moment.piece, moment.face, settings.blend_size or moment.side)
    gain = torch.tensor(OTHER_TONE)[None, :, None, None]
    return _blended(moment, to_model(from_model(crop, SPACE) * gain, SPACE), crop, None, settings)


def _blended(
    moment: Moment,
    swap: torch.Tensor,
    crop: torch.Tensor,
    clear: torch.Tensor | None,
    settings: SwapSettings,
    guides: FrameGuides | None = None,
) -> Picture:
    blended = blend_crop(swap, crop, face_matte(moment.face, crop.shape[-1], settings.forehead), settings, clear)
    picture, matte = composite(blended, moment.piece, moment.face, settings, guides)
    linear = from_model(picture, SPACE)[0].permute(1, 2, 0).numpy()
    return np.where(matte[..., None] > 0, moment.from_working(np.ascontiguousarray(linear)), moment.plate)


def seamless_clone(moment: Moment, settings: SwapSettings) -> Picture:
    """Poisson blending as most tools do it: 8-bit display codes, hard mask. Returns display codes."""
    mask = np.where(moment.outline > 0.5, 255, 0).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    source, target = (_u8(display_code(picture)) for picture in (moment.persona, moment.plate))
    cloned = cv2.seamlessClone(source, target, mask, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
    return np.asarray(cloned, np.float32) / 255


def feathered_alpha(moment: Moment, settings: SwapSettings) -> Picture:
    """Alpha-over with our own matte, in display codes, as a comp without a blend would do it."""
    matte = plate_matte(moment.piece, moment.face, settings).numpy() * (moment.outline > 0)
    weight = matte[..., None]
    return np.asarray(display_code(moment.persona) * weight + display_code(moment.plate) * (1 - weight), np.float32)


def _u8(code: Picture) -> NDArray[np.uint8]:
    return np.round(np.clip(code, 0, 1) * 255).astype(np.uint8)


@dataclass
class Figures:
    """What one method scored, frame by frame."""

    psnr: list[float] = field(default_factory=list)
    seam: list[float] = field(default_factory=list)
    added_edge: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    contrast: list[float] = field(default_factory=list)
    flicker: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    level: list[float] = field(default_factory=list)
    before: tuple[int, Picture] | None = None

    def row(self) -> str:
        """PSNR, its worst frame, flicker, seam, colour step, contrast against the plate's, CPU seconds."""
        lists = (self.flicker, self.seam, self.added_edge, self.step, self.contrast)
        flicker, seam, edge, step, contrast = (np.mean(values) if values else np.nan for values in lists)
        seconds = f"{np.median(self.seconds):.3f}" if self.seconds else "–"
        return (
            f"{np.mean(self.psnr):6.2f} | {np.min(self.psnr):6.2f} | {flicker:6.1f} | {seam:6.1f} | {edge:6.1f} "
            f"| {step:6.1f} | {contrast:6.3f} | {seconds}"
        )


def measure(figures: Figures, frame: int, moment: Moment, code: Picture, seconds: float | None) -> None:
    """Add one frame. Flicker is measured on the plate's pixels: the crop's region moves with the face."""
    truth, plate = display_code(moment.truth), display_code(moment.plate)
    figures.psnr.append(quality.psnr(code, truth, moment.true_matte))
    outline = (moment.outline > 0.5).astype(np.float32)
    figures.seam.append(quality.seam(code, truth, outline).added)
    figures.added_edge.append(quality.seam(code, plate, outline).added)
    figures.step.append(quality.colour_step(code, plate, outline))
    figures.contrast.append(quality.contrast(*(aligned(moment, seen) for seen in (code, plate, moment.true_matte))))
    figures.level.append(float((code.mean(axis=2) * moment.true_matte).sum() / moment.true_matte.sum()))
    if seconds is not None:
        figures.seconds.append(seconds)
    x0, y0, _, _ = moment.piece.region
    whole = _laid((code - truth) * (moment.true_matte[..., None] > 0), x0, y0)
    if figures.before is not None and figures.before[0] == frame - 1:
        both = np.minimum(figures.before[1][..., 3], _laid(moment.true_matte[..., None], x0, y0)[..., 0])
        change = np.abs(whole - figures.before[1][..., :3]).mean(axis=2)
        figures.flicker.append(float(quality.MILLI * (change * both).sum() / both.sum()))
    figures.before = (frame, np.concatenate([whole, _laid(moment.true_matte[..., None], x0, y0)], axis=2))


def aligned(moment: Moment, picture: Picture) -> Picture:
    """A picture of the region in the aligned crop that `evaluate` measures contrast in."""
    stack = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(picture).transpose(2, 0, 1)))[None]
    crop_from_region = crop_from_unit(CROP_PX) @ moment.piece.unit_from_region(moment.face)
    crop = warp(stack, crop_from_region, (CROP_PX, CROP_PX))[0].numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(crop[..., 0] if picture.ndim == 2 else crop)


def light(figures: Mapping[str, Figures], name: str) -> str:
    """How the face's brightness follows the plate's, and its changes from frame to frame beyond plate's and truth's."""
    own, plate, truth = (np.array(figures[key].level) for key in (name, "plate", "truth"))
    change, of_plate, of_truth = (np.diff(level / level.mean()) for level in (own, plate, truth))
    still = np.abs(of_plate) < STILL
    correlation = np.corrcoef(own, plate)[0, 1] if len(own) > 2 else np.nan
    apart = [(change - known)[still] for known in (of_truth, of_plate)]
    beyond = [100 * np.sqrt(np.mean(steps**2)) if len(steps) else np.nan for steps in apart]
    return (
        f"{name}: correlation {correlation:.4f}, pumping in the {still.sum()} steps where the light is still: "
        f"{beyond[0]:.2f} % beyond the truth's changes, {beyond[1]:.2f} % beyond the plate's"
    )


def _laid(picture: Picture, x0: int, y0: int, size: tuple[int, int] = (2400, 2400)) -> Picture:
    canvas = np.zeros((*size, picture.shape[2]), np.float32)
    canvas[y0 : y0 + picture.shape[0], x0 : x0 + picture.shape[1]] = picture
    return canvas


METHODS: dict[str, Method] = {
    "ours": ours,
    "ours, in the others' mask": masked,
    "seamlessClone": seamless_clone,
    "feathered alpha": feathered_alpha,
}
OWN = "ours, the performer's own face in another tone"
OTHER_TONE = (0.6, 0.75, 0.9)
LOOKS: dict[str, dict[str, Any]] = {
    "ours, contrast 1": {"contrast": 1.0},
    "ours, ring": {"colour_match": "ring"},
    "ours, none": {"colour_match": "none"},
    "ours, edge 5": {"edge": 5.0},
    "ours, sigma 2": {"sigma": 2.0},
}
STILL = 0.01
"""Change of the plate's face from frame to frame, as a share of its brightness, up to which its light is still."""


def _with(settings: SwapSettings, changed: Mapping[str, Any]) -> Method:
    return lambda moment, _: ours(moment, replace(settings, **changed))


def shown_by(model: SwapModel, moment: Moment) -> Moment:
    """The moment with what a model's decoder returns in place of the true render."""
    crop = warp_to_crop(moment.piece, moment.face, model.comb.dims.size)
    return replace(moment, swap=decode(model.comb, encode(model.comb, crop), model.persona))


def run(
    shot: SynthShot,
    persona: str,
    version: str,
    frames: Sequence[int],
    methods: Mapping[str, Method],
    model: SwapModel | None = None,
    network: int | None = None,
) -> dict[str, Figures]:
    """Figures of every method, of the plate as it is and of the truth, on the same frames."""
    colour, settings = Colour(None), SwapSettings()
    found = {name: Figures() for name in (*methods, "plate", "truth")}
    for frame in frames:
        moment = load_moment(shot, frame, persona, version, colour, network)
        if model is not None:
            moment = shown_by(model, moment)
        for name, method in methods.items():
            start = time.process_time()
            picture = method(moment, settings)
            seconds = time.process_time() - start
            code = display_code(picture) if name.startswith("ours") else picture
            measure(found[name], frame, moment, code, seconds)
        measure(found["plate"], frame, moment, display_code(moment.plate), None)
        measure(found["truth"], frame, moment, display_code(moment.truth), None)
    return found


@click.command(help=str(__doc__))
@click.option("--shot", "shot_name", default="sh010", show_default=True)
@click.option("--version", default=None, help="Render that is the swap.  [default: the full one, else the composite]")
@click.option("--frames", default="1001-1004,1013-1016,1025-1028,1037-1040", show_default=True)
@click.option("--threads", default=1, show_default=True, help="Of torch and of OpenCV.")
@click.option("--network", type=int, help="Pixels along the swap's side at most.  [default: as many as the plate has]")
@click.option("--model", type=click.Path(path_type=Path), help="Show what this model returns, not the true render.")
@click.option("--looks", is_flag=True, help="Measure more settings of the look.")
def main(
    shot_name: str,
    version: str | None,
    frames: str,
    threads: int,
    network: int | None,
    model: Path | None,
    looks: bool,
) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    shot = load_shot(shot_name, synth_folder())
    version = version or ("A" if "A" in shot.versions else shot.personas["A"])
    wanted = [frame for frame in FrameRange.parse(frames) if frame in shot.frames]
    more = {name: _with(SwapSettings(), changed) for name, changed in LOOKS.items()} if looks else {}
    more[OWN] = own_face
    loaded = None if model is None else load_swap_model(model, "A", "cpu")
    found = run(shot, "A", version, wanted, {**METHODS, **more}, loaded, network)
    click.echo(f"{shot_name}, {len(wanted)} frames, the swap is {model or f'the render {version}'}")
    heads = "face dB|worst frame|flicker|seam|edge added|colour step|contrast ÷ plate's|CPU s"
    click.echo(f"| |{heads}|\n" + "|---" * 9 + "|")
    for name, figures in found.items():
        if name != OWN:
            click.echo(f"| {name} | {figures.row()} |")
    click.echo(
        "Brightness of the face against the plate's (with another face on, the truth's own is all that is right):"
    )
    for name in found:
        click.echo(light(found, name))


if __name__ == "__main__":
    main()
