"""Quality figures of a swap: pure functions on numpy arrays.

Pictures are H×W×3 and, unless said otherwise, in *display code values*: linear Rec.709 clipped to [0, 1] and encoded
with the sRGB curve (`display_code`). Mattes and weights are H×W in [0, 1]. Figures "in milli-codes" are display code
values × 1000 (an 8-bit step is 3.9). Identity and landmarks are in `likeness`.

Figures that need the true picture: `psnr`, `ssim`, `tone_error`, `flicker`. Without one: `seam`, `colour_step`,
`contrast`, `wobble`, `highlights`, `outside_differences`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bodydouble.plates.plate import Part, Plate

MILLI = 1000.0
_SSIM_K1, _SSIM_K2, _SSIM_SIGMA, _SSIM_RADIUS = 0.01, 0.03, 1.5, 5
_RING_SECTORS = 16
_TONE_BLOCKS = 8
_REC709_FROM_ACESCG = np.array(
    [
        [1.70505099, -0.62179212, -0.08325887],
        [-0.13025642, 1.14080474, -0.01054832],
        [-0.02400336, -0.12896898, 1.15297233],
    ],
    np.float32,
)


def rec709_from_acescg(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scene-linear Rec.709 (D65) of scene-linear ACEScg (D60), H×W×3, white on white by the Bradford transform.

    Written out, so that the figures are the same under every OpenColorIO config. NaN counts as black, Inf as white, so
    that one broken pixel does not spoil a figure.
    """
    finite = np.nan_to_num(rgb, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(finite @ _REC709_FROM_ACESCG.T, np.float32)


def display_code(rgb_linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Display code values in [0, 1] of scene-linear Rec.709: clipped to [0, 1], sRGB curve (IEC 61966-2-1).

    NaN counts as black and +Inf as white, so that one broken pixel does not spoil a figure.
    """
    linear = np.clip(np.nan_to_num(rgb_linear, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0).astype(np.float32)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def _weighted_mean(values: NDArray, weight: NDArray) -> float:
    """Mean of `values` (H×W or H×W×C, C averaged) under an H×W weight; nan where the weight is empty."""
    total = float(weight.sum(dtype=np.float64))
    if total <= 0:
        return float("nan")
    if values.ndim == 3:
        values = values.mean(axis=2)
    return float((values * weight).sum(dtype=np.float64) / total)


def _bounds(weight: NDArray, margin: int) -> tuple[slice, slice]:
    """The slices of the rectangle that holds every weight > 0, grown by `margin` and cut to the picture."""
    rows, columns = np.flatnonzero(weight.any(axis=1)), np.flatnonzero(weight.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(0, rows[0] - margin), rows[-1] + 1 + margin),
        slice(max(0, columns[0] - margin), columns[-1] + 1 + margin),
    )


def _gaussian(picture: NDArray, sigma_px: float, radius_px: int) -> NDArray[np.float64]:
    """Separable Gaussian over the first two axes, edges mirrored; float64."""
    offsets = np.arange(-radius_px, radius_px + 1)
    kernel = np.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel /= kernel.sum()
    blurred = picture.astype(np.float64)
    for axis in (0, 1):
        pad = [(radius_px, radius_px) if a == axis else (0, 0) for a in range(blurred.ndim)]
        padded = np.pad(blurred, pad, mode="symmetric")
        size = blurred.shape[axis]
        blurred = sum(
            weight * np.take(padded, np.arange(start, start + size), axis=axis) for start, weight in enumerate(kernel)
        )
    return blurred


# ---------------------------------------------------------------- against the true picture


def psnr(result: NDArray, truth: NDArray, weight: NDArray) -> float:
    """Peak signal-to-noise ratio in dB of display code values under a weight; higher is better, +inf when equal."""
    mse = _weighted_mean((result.astype(np.float64) - truth) ** 2, weight)
    return float("inf") if mse == 0 else float(-10 * np.log10(mse))


def ssim(result: NDArray, truth: NDArray, weight: NDArray) -> float:
    """Structural similarity in [-1, 1] of display code values, averaged under a weight; higher is better.

    Wang et al. 2004: Gaussian window (σ 1.5 px, 11×11), K1 0.01, K2 0.03, dynamic range 1, per channel. The map is
    made on the whole neighbourhood and then weighted, so the matte's edge itself is never read as structure.
    """
    area = _bounds(weight, _SSIM_RADIUS)
    if not weight[area].size:
        return float("nan")
    x, y = result[area].astype(np.float64), truth[area].astype(np.float64)
    # one blur of the stacked channels is cheaper than five
    stack = _gaussian(np.concatenate([x, y, x * x, y * y, x * y], axis=2), _SSIM_SIGMA, _SSIM_RADIUS)
    mean_x, mean_y, xx, yy, xy = np.split(stack, 5, axis=2)
    c1, c2 = _SSIM_K1**2, _SSIM_K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return _weighted_mean(luminance * structure, weight[area])


def tone_error(result: NDArray, truth: NDArray, weight: NDArray) -> float:
    """How far the face's mean colour is from the truth's, in milli-codes as a length; lower is better.

    The mean over blocks of about an eighth of the weight's extent, so that a light side and a dark side do not cancel:
    light and tone, without the features.
    """
    area = _bounds(weight, 0)
    if not weight[area].size:
        return float("nan")
    apart = (result[area].astype(np.float64) - truth[area]) * weight[area][..., None]
    y, x = (np.arange(count) * _TONE_BLOCKS // count for count in weight[area].shape)
    block = (y[:, None] * _TONE_BLOCKS + x).ravel()
    shares = np.bincount(block, weight[area].ravel().astype(np.float64), _TONE_BLOCKS**2)
    sums = np.stack([np.bincount(block, apart[..., c].ravel(), _TONE_BLOCKS**2) for c in range(3)], axis=1)
    lengths = np.linalg.norm(sums / np.maximum(shares, 1e-9)[:, None], axis=1)
    return float(MILLI * np.average(lengths, weights=shares))


def flicker(results: Iterable[NDArray], truths: Iterable[NDArray], weights: Iterable[NDArray]) -> float:
    """Mean |Δ(result) − Δ(truth)| in milli-codes, Δ from frame to frame, under both frames' weights; lower is better.

    0 means that the result changes exactly as the truth does. Frames are taken as they come: pass consecutive ones.
    """
    total = weighed = 0.0
    before: tuple[NDArray, NDArray] | None = None
    for result, truth, weight in zip(results, truths, weights, strict=True):
        error = result.astype(np.float32) - truth
        if before is not None:
            both = np.minimum(weight, before[1])
            total += float((np.abs(error - before[0]).mean(axis=2) * both).sum(dtype=np.float64))
            weighed += float(both.sum(dtype=np.float64))
        before = error, weight
    return MILLI * total / weighed if weighed > 0 else float("nan")


# ---------------------------------------------------------------- without the true picture


@dataclass(frozen=True)
class Outside:
    """What changed where nothing may change. `pixels`: pixels with any differing bit; `channels`: names that differ."""

    pixels: int
    channels: tuple[str, ...]


def changed_pixels(result: NDArray, plate: NDArray) -> NDArray[np.bool_]:
    """Where two equal-shaped arrays differ in any bit (NaN equals the same NaN, −0.0 differs from 0.0)."""
    if result.dtype != plate.dtype or result.shape != plate.shape:
        raise ValueError(f"expected equal arrays, got {result.shape} {result.dtype} and {plate.shape} {plate.dtype}")
    bits = np.dtype(f"u{plate.dtype.itemsize}")
    return np.ascontiguousarray(result).view(bits) != np.ascontiguousarray(plate).view(bits)


def display_channel(plate: Plate, name: str) -> NDArray[np.float32]:
    """A channel of a plate's main part over the display window, H×W float32, 0 where the file has no data."""
    x0, y0, x1, y1 = plate.main.data_region
    shown = np.zeros((plate.height, plate.width), np.float32)
    inner = np.s_[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    rows, columns = shown[inner].shape
    top, left = max(0, -y0), max(0, -x0)
    shown[inner] = plate.main.channel(name)[top : top + rows, left : left + columns]
    return shown


def outside_differences(result: Plate, plate: Plate, matte: NDArray) -> Outside:
    """Pixels and channels of the plate that changed in any bit where the matte (H×W, display window) is 0.

    Every part and channel of the plate counts, whatever lies outside the display window too; channels that only the
    result has do not; a part, channel, window or type that the result has not kept counts as changed everywhere. 0 is
    the promise.
    """
    pixels = 0
    channels: list[str] = []
    x0, y0, _, _ = plate.main.data_region
    for index, before in enumerate(plate.parts):
        after = result.parts[index] if index < len(result.parts) else None
        changed = np.zeros((before.spec.height, before.spec.width), bool)
        free = np.ones_like(changed)
        if index == plate.main_index:
            y, x = np.ogrid[y0 : y0 + free.shape[0], x0 : x0 + free.shape[1]]
            shown = (y >= 0) & (y < plate.height) & (x >= 0) & (x < plate.width)
            free = ~shown | (matte[np.clip(y, 0, plate.height - 1), np.clip(x, 0, plate.width - 1)] == 0)
        for name in before.channels:
            different = _changed_channel(after, before, name) & free
            changed |= different
            channels += [name] if different.any() else []
        pixels += int(changed.sum())
    return Outside(pixels, tuple(dict.fromkeys(channels)))


def _changed_channel(after: Part | None, before: Part, name: str) -> NDArray[np.bool_]:
    pixels = before.channel(name)
    if after is None or name not in after.channels or after.data_window != before.data_window:
        return np.ones(pixels.shape, np.bool_)
    kept = after.channel(name)
    return changed_pixels(kept, pixels) if kept.dtype == pixels.dtype else np.ones(pixels.shape, np.bool_)


@dataclass(frozen=True)
class Highlights:
    """Light above scene-linear 1.0 inside a matte, plate against result.

    `plate_pixels`, `result_pixels`: pixels whose brightest channel is above 1.0; `plate_light`, `result_light`: the
    sum of what is above. `kept` is result_light / plate_light (1 is the performer's own, nan when the plate has
    none).
    """

    plate_pixels: int
    result_pixels: int
    plate_light: float
    result_light: float

    @property
    def kept(self) -> float:
        return self.result_light / self.plate_light if self.plate_light > 0 else float("nan")


def highlights(result_linear: NDArray, plate_linear: NDArray, matte: NDArray) -> Highlights:
    """Highlights inside the matte of two scene-linear H×W×3 pictures in the same primaries; NaN and Inf are none."""

    def above(picture: NDArray) -> NDArray:
        brightest = np.nan_to_num(picture, nan=0.0, posinf=1.0, neginf=0.0).max(axis=2)
        return np.where(matte > 0, np.maximum(brightest - 1.0, 0.0), 0.0)

    result, plate = above(result_linear), above(plate_linear)
    return Highlights(
        int((plate > 0).sum()),
        int((result > 0).sum()),
        float(plate.sum(dtype=np.float64)),
        float(result.sum(dtype=np.float64)),
    )


@dataclass(frozen=True)
class Seam:
    """The edge that a swap adds along its outline, in milli-codes per pixel; lower is better.

    `added`: mean |normal derivative of (result − plate)|; `plate`: mean |normal derivative of the plate| on the same
    pixels, the edge strength that the picture carries there anyway.
    """

    added: float
    plate: float


def _outline_band(matte: NDArray, reach_px: int) -> tuple[NDArray[np.bool_], NDArray, NDArray]:
    """The pixels within about `reach_px` of where the matte begins, and the unit normal (y, x) there."""
    soft = _gaussian((matte > 0).astype(np.float64), reach_px, 3 * reach_px)
    normal_y, normal_x = np.gradient(soft)
    length = np.hypot(normal_y, normal_x)
    band = (soft > 0.16) & (soft < 0.84) & (length > 1e-6)  # ± one σ about the edge
    scale = np.where(band, 1 / np.maximum(length, 1e-6), 0)
    return band, normal_y * scale, normal_x * scale


def seam(result: NDArray, plate: NDArray, matte: NDArray, reach_px: int = 2) -> Seam:
    """The edge added along the outline of the matte, where it first rises above 0 (display code values, H×W×3)."""
    area = _bounds(matte, 4 * reach_px)
    if not matte[area].size:
        return Seam(float("nan"), float("nan"))
    band, normal_y, normal_x = _outline_band(matte[area], reach_px)

    def across(picture: NDArray) -> float:
        along_y, along_x = np.gradient(picture.astype(np.float64), axis=(0, 1))
        return MILLI * _weighted_mean(np.abs(along_y * normal_y[..., None] + along_x * normal_x[..., None]), band)

    return Seam(across(result[area].astype(np.float64) - plate[area]), across(plate[area]))


def colour_step(result: NDArray, plate: NDArray, matte: NDArray, width_px: int = 6) -> float:
    """Tone step between the ring just inside the matte and the plate around it, in milli-codes; lower is better.

    Per sector of the ring (sixteen around its centre, so that a light side and a dark side do not cancel), the mean
    RGB of the result less that of the plate on the same pixels, as a Euclidean length; the mean over sectors.
    Measured against the plate's own ring, so the picture's own change across the outline is no step.
    """
    area = _bounds(matte, 3 * width_px)
    inside = matte[area] > 0
    if not inside.any():
        return float("nan")
    soft = _gaussian(inside.astype(np.float64), width_px, 3 * width_px)
    y, x = np.nonzero(inside & (soft < 0.84))
    if not len(y):
        return float("nan")
    angle = np.arctan2(y - y.mean(), x - x.mean())
    sector = np.minimum(((angle / (2 * np.pi) + 0.5) * _RING_SECTORS).astype(int), _RING_SECTORS - 1)
    count = np.bincount(sector, minlength=_RING_SECTORS)
    difference = (result[area].astype(np.float64) - plate[area])[y, x]
    sums = np.stack([np.bincount(sector, difference[:, c], _RING_SECTORS) for c in range(3)], axis=1)
    steps = np.linalg.norm(sums / np.maximum(count, 1)[:, None], axis=1)
    return float(MILLI * np.average(steps, weights=count))


def contrast(result: NDArray, plate: NDArray, weight: NDArray) -> float:
    """Local contrast of the face as a factor of the plate's: 1 is the performer's own, below it is flatter.

    Local contrast is that of `--contrast`: how far brightness deviates from its mean nearby, without grain and light
    (see `bodydouble.swap.tone.local_contrast`). The factor's mean over the face, so a flat cheek and a harsh eye do not
    cancel into one deviation.

    Args:
        result, plate: display code values, H×W×3, of an aligned crop: what is near is a share of its side.
        weight: H×W, the face.
    """
    import torch  # only this figure needs it

    from bodydouble.swap.tone import local_contrast

    face = torch.from_numpy(np.ascontiguousarray(weight, np.float32))[None, None]
    own, theirs = (
        local_contrast(torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32))[None], face)
        for picture in (result, plate)
    )
    return _weighted_mean((own / theirs)[0, 0].numpy(), weight)


def wobble(before: NDArray, now: NDArray, after: NDArray, weight: NDArray) -> float:
    """Mean |second difference in time| in milli-codes of three consecutive pictures (result − plate); lower is better.

    Steady change cancels; boiling, popping and shaking remain. Give the differences in crop pixels (aligned to the
    face), or the performer's own motion counts too.
    """
    second = before.astype(np.float32) - 2 * now + after
    return MILLI * _weighted_mean(np.abs(second), weight)
