"""Pictures of a faceset to look at: a contact sheet of its crops, and where its poses, exposures and sharpness lie.

Crops go through the OpenColorIO config's default view, as `align --overlay` and the review show the plate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bodydouble.plates.colour import Colour, Converter
from bodydouble.plates.images import write_image
from bodydouble.training.cropfigures import CropFigures
from bodydouble.training.facesets import Faceset

Picture = NDArray[np.float32]

CONTACT_SHEET, POSES = "contact_sheet.png", "poses.png"
MOST_CROPS = 120
"""Crops on the sheet; of more, so many evenly spread over them."""
YAW_EDGES = np.arange(-65, 66, 10)
PITCH_EDGES = np.arange(-45, 46, 10)
"""Degrees; what lies beyond counts into the outermost bin."""

_CELL_PX, _LABEL_PX, _GAP_PX, _HEAD_PX, _DPI = 144, 34, 6, 64, 100
_COLUMNS = 12
_GROUND, _PANEL, _GRID, _INK, _DIM = "#202020", "#2c2c2c", "#3a3a3a", "#e6e6e6", "#a0a0a0"
_OUTLINE = np.array([1.0, 0.85, 0.2], np.float32)
_BAR = "#7cc4ff"


def draw_faceset(folder: Path, colour: Colour) -> tuple[Path, Path]:
    """Write the contact sheet and the histograms of a faceset into its folder; returns their paths.

    Errors: FacesetError, OutputError.
    """
    faceset = Faceset.load(folder)
    sheet, poses = faceset.folder / CONTACT_SHEET, faceset.folder / POSES
    write_image(sheet, contact_sheet(faceset, colour))
    write_image(poses, pose_chart(faceset))
    return sheet, poses


def contact_sheet(faceset: Faceset, colour: Colour) -> Picture:
    """H×W×3 in [0, 1]: up to `MOST_CROPS` crops in the order of the index, with the matte's outline and the figures."""
    picks = np.unique(np.round(np.linspace(0, len(faceset.crops) - 1, MOST_CROPS)).astype(int))
    columns = min(_COLUMNS, len(picks))
    rows = -(-len(picks) // columns)
    cell_height = _CELL_PX + _LABEL_PX
    width = max(columns * (_CELL_PX + _GAP_PX) + _GAP_PX, 640)
    height = _HEAD_PX + rows * (cell_height + _GAP_PX)
    figure, canvas = _figure(width, height), np.full((height, width, 3), int(_GROUND[1:3], 16) / 255, np.float32)
    view = colour.display(faceset.primaries)
    for place, index in enumerate(picks):
        x = _GAP_PX + place % columns * (_CELL_PX + _GAP_PX)
        y = _HEAD_PX + place // columns * (cell_height + _GAP_PX)
        canvas[y : y + _CELL_PX, x : x + _CELL_PX] = _cell(faceset, int(index), view)
        _write(figure, x, y + _CELL_PX + 9, faceset.crops[index].stem[-22:], 7, _INK)
        _write(figure, x, y + _CELL_PX + 23, _note(faceset.figures[index]), 7, _DIM)
    _heading(figure, faceset, f"{len(picks)} of {len(faceset.crops)} crops; yaw, pitch / exposure in stops / sharpness")
    figure.figimage((canvas * 255).round().astype(np.uint8), 0, 0, origin="upper")
    return _rendered(figure)


def pose_chart(faceset: Faceset) -> Picture:
    """H×W×3 in [0, 1]: how many crops look where (yaw × pitch), and how exposure and sharpness are spread."""
    figures = [one for one in faceset.figures if one is not None]
    figure = _figure(1180, 600)
    unknown = len(faceset.figures) - len(figures)
    told = f"{len(figures)} crops" + (f"; {unknown} older ones have no figures" if unknown else "")
    _heading(figure, faceset, f"{told}; empty cells are poses that no crop teaches")
    axes = figure.subplot_mosaic(
        [["yaw", ".", "stops"], ["poses", "pitch", "stops"], ["poses", "pitch", "."], ["poses", "pitch", "sharp"]],
        width_ratios=(6, 1.1, 3.4),
        height_ratios=(1.1, 1.3, 0.45, 2.6),
        gridspec_kw={"left": 0.06, "right": 0.985, "top": 0.86, "bottom": 0.09, "wspace": 0.16, "hspace": 0.12},
    )
    _draw_poses(axes["poses"], axes["yaw"], axes["pitch"], figures)
    _draw_spread(
        axes["stops"], [one.exposure_stops for one in figures], "exposure of the face, stops over middle grey", 0.5
    )
    _draw_spread(axes["sharp"], [one.sharpness for one in figures], "sharpness", 0.02)
    return _rendered(figure)


# ---------------------------------------------------------------- the sheet


def _cell(faceset: Faceset, index: int, view: Converter) -> Picture:
    """One crop as a screen shows it, a thin line around its matte."""
    crop = torch.from_numpy(faceset.pixels(faceset.crops[index])).permute(2, 0, 1)[None]
    # In light, before the view, and by a filter without negative lobes: nothing rings around highlights.
    small = F.interpolate(crop, size=(_CELL_PX, _CELL_PX), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    shown = np.clip(np.nan_to_num(view(np.ascontiguousarray(small[..., :3]))), 0, 1)
    slope = np.hypot(*np.gradient(small[..., 3]))[..., None]
    return np.asarray(shown + np.clip(1.4 * slope, 0, 0.6) * (_OUTLINE - shown), np.float32)


def _note(figures: CropFigures | None) -> str:
    if figures is None:
        return ""
    angles = f"{figures.yaw_deg:+.0f}° {figures.pitch_deg:+.0f}°"
    return f"{angles} / {figures.exposure_stops:+.1f} / {figures.sharpness:.2f}".replace("-", "−")


# ---------------------------------------------------------------- the chart


def _draw_poses(axis: Any, above: Any, beside: Any, figures: Sequence[CropFigures]) -> None:
    """The histogram of yaw × pitch, its sums above and beside it; the chart's up is the head's."""
    yaw = np.clip([one.yaw_deg for one in figures], YAW_EDGES[0], YAW_EDGES[-1])
    pitch = np.clip([one.pitch_deg for one in figures], PITCH_EDGES[0], PITCH_EDGES[-1])
    counts, _, _ = np.histogram2d(pitch, yaw, (PITCH_EDGES, YAW_EDGES))
    axis.pcolormesh(YAW_EDGES, PITCH_EDGES, np.ma.masked_equal(np.log1p(counts), 0), cmap="viridis", vmin=-0.5)
    for row, column in np.argwhere(counts > 0):
        share = np.log1p(counts[row, column]) / np.log1p(counts.max())
        centre = YAW_EDGES[column] + 5, PITCH_EDGES[row] + 5
        axis.text(
            *centre,
            int(counts[row, column]),
            ha="center",
            va="center",
            fontsize=8,
            color=_INK if share < 0.75 else _GROUND,
        )
    _style(axis)
    for line in (axis.axvline, axis.axhline):
        line(0, color=_GRID, linewidth=0.8, zorder=0)
    axis.set_xlabel("yaw, degrees: image left  ←   → image right", color=_DIM, fontsize=9)
    axis.set_ylabel("pitch, degrees: down  ←   → up", color=_DIM, fontsize=9)
    axis.set_xlim(YAW_EDGES[0], YAW_EDGES[-1])
    axis.set_ylim(PITCH_EDGES[0], PITCH_EDGES[-1])
    above.bar(YAW_EDGES[:-1] + 5, counts.sum(axis=0), 9, color=_BAR)
    above.set_xlim(axis.get_xlim())
    beside.barh(PITCH_EDGES[:-1] + 5, counts.sum(axis=1), 9, color=_BAR)
    beside.set_ylim(axis.get_ylim())
    for side in (above, beside):
        _style(side)
        side.tick_params(labelbottom=side is beside, labelleft=side is above)


def _draw_spread(axis: Any, values: Sequence[float], title: str, bin_width: float) -> None:
    """A histogram in bins at multiples of a width."""
    if values:
        first, last = np.floor(min(values) / bin_width), np.ceil(max(values) / bin_width)
        axis.hist(values, np.arange(first, max(last, first + 1) + 1) * bin_width, color=_BAR, rwidth=0.9)
    _style(axis)
    axis.set_title(title, color=_INK, fontsize=9, loc="left", pad=5)


def _style(axis: Any) -> None:
    axis.set_facecolor(_PANEL)
    axis.tick_params(colors=_DIM, labelsize=8)
    axis.spines[:].set_color(_GRID)
    axis.set_axisbelow(True)


# ---------------------------------------------------------------- drawing


def _figure(width: int, height: int) -> Figure:
    return Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_GROUND)


def _heading(figure: Figure, faceset: Faceset, second: str) -> None:
    _write(figure, 12, 22, f"Faceset of {faceset.persona}", 14, _INK, weight="bold")
    _write(figure, 12, 46, second, 9, _DIM)


def _write(figure: Figure, x: float, y: float, text: str, size: float, colour: str, **placing: Any) -> None:
    """Text at pixels from the top left, centred on the line."""
    width, height = figure.get_size_inches() * _DPI
    figure.text(x / width, 1 - y / height, text, fontsize=size, color=colour, va="center", **placing)


def _rendered(figure: Figure) -> Picture:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return (np.asarray(canvas.buffer_rgba())[..., :3] / np.float32(255)).astype(np.float32)
