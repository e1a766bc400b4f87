"""What the figures of a reviewed shot say together: the frames to look at first, the summary, the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodydouble.reviews.measuring import FrameReview
from bodydouble.reviews.reviewpage import Curve

_FIGURES = (
    "confidence",
    "alignment_residual",
    "matte_percent",
    "flicker",
    "wobble",
    "colour_step",
    "seam",
    "plate_seam",
    "highlights_lost",
)
_LOW_IS_WORST = ("confidence",)
_STRANGE_WHEN_HIGH = ("alignment_residual", "flicker", "wobble", "colour_step", "seam")


def worst_frames(frames: Sequence[FrameReview], count: int) -> list[tuple[FrameReview, str]]:
    """The `count` frames to look at first, with the reason: those without a result, then those that stand out."""
    ranked = sorted(zip(frames, _strangeness(frames), strict=True), key=lambda pair: -pair[1][0])
    return [(frame, reason) for frame, (score, reason) in ranked[:count] if score > 0]


def _values(frames: Sequence[FrameReview], name: str) -> NDArray[np.float64]:
    """(N,) of one figure, nan where it was not measured."""
    return np.array([math.nan if getattr(f, name) is None else getattr(f, name) for f in frames], np.float64)


def _strangeness(frames: Sequence[FrameReview]) -> list[tuple[float, str]]:
    """Per frame how far its strangest figure lies from the shot's median, and which one that is.

    In robust standard deviations (1.4826 · MAD), of which at least a tenth of the median is taken so that a steady
    shot does not make a trifle strange. Frames without a result come before all others.
    """
    strange = [(0.0, "")] * len(frames)
    for name in (*_STRANGE_WHEN_HIGH, "confidence"):
        values = _values(frames, name)
        if np.isnan(values).all():
            continue
        median = float(np.nanmedian(values))
        spread = max(1.4826 * float(np.nanmedian(np.abs(values - median))), 0.1 * abs(median), 1e-3)
        away = (median - values if name in _LOW_IS_WORST else values - median) / spread
        for index in np.flatnonzero(away > 0):
            if away[index] > strange[index][0]:
                reason = f"{name.replace('_', ' ')} {values[index]:.3g}, the shot's median is {median:.3g}"
                strange[index] = (float(away[index]), reason)
    return [
        (score, reason) if frame.status == "done" else (math.inf, f"{frame.status}: {frame.message}")
        for frame, (score, reason) in zip(frames, strange, strict=True)
    ]


def summary(frames: Sequence[FrameReview]) -> dict[str, Any]:
    """How many frames are in which state; mean, worst value and its frame for each figure."""
    states = [frame.status for frame in frames]
    told: dict[str, Any] = {"frames": len(frames)}
    told |= {state: states.count(state) for state in ("done", "untouched", "missing", "unreadable")}
    for name in _FIGURES:
        values = _values(frames, name)
        if not np.isnan(values).all():
            worst = int(np.nanargmin(values) if name in _LOW_IS_WORST else np.nanargmax(values))
            mean = float(np.nanmean(values))
            told[name] = {"mean": mean, "worst": float(values[worst]), "worst_frame": frames[worst].frame}
    plate_light, result_light = (np.nansum(_values(frames, name)) for name in ("plate_highlights", "result_highlights"))
    if plate_light > 0:
        told["highlights_kept"] = float(result_light / plate_light)
    outside = [frame.outside_pixels for frame in frames if frame.outside_pixels is not None]
    if outside:
        told["outside_pixels"] = sum(outside)
    nearest = [min(frame.identity, key=frame.identity.__getitem__) for frame in frames if frame.identity]
    if nearest:
        told["reads_as"] = {name: nearest.count(name) / len(nearest) for name in sorted(set(nearest))}
    return told


def cards(summary: Mapping[str, Any]) -> dict[str, str]:
    """The numbers at the top of the page."""
    shown = {name: str(summary[name]) for name in ("done", "missing", "unreadable", "untouched")}
    for name in ("confidence", "flicker", "wobble", "colour_step", "seam"):
        if name in summary:
            shown[name.replace("_", " ")] = f"{summary[name]['mean']:.2f}"
    if "highlights_kept" in summary:
        shown["highlights kept"] = f"{100 * summary['highlights_kept']:.0f} %"
    if "outside_pixels" in summary:
        shown["pixels changed outside"] = str(summary["outside_pixels"])
    for name, share in summary.get("reads_as", {}).items():
        shown[f"read as {name}"] = f"{100 * share:.0f} %"
    return shown


def curves(frames: Sequence[FrameReview]) -> list[Curve]:
    """The panels of the plots, in the order of the page."""

    def panel(title: str, unit: str, **names: str) -> Curve:
        return Curve(title, unit, {label: _values(frames, name).tolist() for label, name in names.items()})

    return [
        panel("Confidence of the alignment", "0 to 1", confidence="confidence"),
        panel("Alignment residual", "% of the eyes' distance", residual="alignment_residual"),
        panel("Change over time against the plate", "milli-codes", flicker="flicker", wobble="wobble"),
        panel("Seam at the outline", "milli-codes per pixel", added="seam", plate="plate_seam"),
        panel("Colour difference to the ring around the face", "milli-codes", step="colour_step"),
        panel("Matte", "% of the picture", matte="matte_percent"),
        panel("Light above 1.0 in the face", "sum", plate="plate_highlights", result="result_highlights"),
        panel("Highlights lost", "% of that light", lost="highlights_lost"),
    ]
