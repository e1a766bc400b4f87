"""How a review looks: the contact sheet, the curves and the page. Pictures in, pictures and text out; opens no file.

All pictures here are H×W×3 float32 in [0, 1], display-referred (through the OpenColorIO view), ready for an 8-bit file.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bodydouble.reviews.measuring import FrameReview
    from bodydouble.reviews.reviewpictures import ReviewPictures

Picture = NDArray[np.float32]

CELL_PX = 300
_GAP_PX, _SIDE_PX, _HEAD_PX, _LABEL_PX = 6, 34, 64, 26
_GROUND, _EMPTY, _INK, _DIM, _ALARM = "#202020", "#2c2c2c", "#e6e6e6", "#a0a0a0", "#ff7b54"
_LINES = ("#7cc4ff", "#ffcf70")
_DPI = 100
_JPEG_QUALITY = 90
_PLOT_WIDTH_PX, _PLOT_LEFT, _PLOT_RIGHT = 1180, 0.06, 0.985
DIFFERENCE_GAIN = 8
_ROWS = ("plate", "result", f"difference ×{DIFFERENCE_GAIN}", "plate, face", "result, face")


@dataclass(frozen=True)
class FramePictures:
    """One frame of the sheet at cell size; a picture that does not exist is None and is drawn as an empty cell."""

    frame: int
    plate: Picture | None
    result: Picture | None
    difference: Picture | None
    face_plate: Picture | None
    face_result: Picture | None
    note: str = ""

    @property
    def rows(self) -> tuple[Picture | None, ...]:
        """In the order of the sheet's rows."""
        return (self.plate, self.result, self.difference, self.face_plate, self.face_result)


@dataclass(frozen=True)
class Curve:
    """One panel of the plots: named values by frame (nan leaves a gap), all in `unit`."""

    title: str
    unit: str
    series: Mapping[str, Sequence[float]]


def shrink(picture: Picture, width: int) -> Picture:
    """A picture, in any encoding, averaged down to `width` px; one that is not wider stays as it is.

    By a triangle filter, which has no negative lobes and so rings around no highlight.
    """
    h, w = picture.shape[:2]
    if w <= width:
        return picture
    nchw = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    size = (max(1, round(h * width / w)), width)
    small = torch.nn.functional.interpolate(nchw, size=size, mode="bilinear", antialias=True)[0]
    return small.permute(1, 2, 0).numpy()


def fit(picture: Picture, width: int, height: int) -> Picture:
    """The whole picture resampled into width × height px, its shape kept, centred on the ground colour."""
    h, w = picture.shape[:2]
    scale = min(width / w, height / h)
    new_w, new_h = max(1, round(w * scale)), max(1, round(h * scale))
    nchw = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(nchw, size=(new_h, new_w), mode="bicubic", antialias=True)[0]
    cell = np.full((height, width, 3), int(_GROUND[1:3], 16) / 255, np.float32)
    x, y = (width - new_w) // 2, (height - new_h) // 2
    cell[y : y + new_h, x : x + new_w] = small.permute(1, 2, 0).clamp(0, 1).numpy()
    return cell


def difference(result: Picture, plate: Picture) -> Picture:
    """|result − plate| × 8 of two display pictures, clipped."""
    return np.clip(np.abs(result - plate) * np.float32(DIFFERENCE_GAIN), 0, 1)


def _figure(width: int, height: int) -> Figure:
    return Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_GROUND)


def contact_sheet(columns: Sequence[FramePictures], row_heights: Sequence[int], title: str, subtitle: str) -> Picture:
    """Frames as columns; plate, result, difference and the two close-ups as rows, labelled.

    Pictures must be CELL_PX wide and as high as their entry of `row_heights`. The picture is drawn pixel for pixel.
    """
    width = _SIDE_PX + len(columns) * (CELL_PX + _GAP_PX) + _GAP_PX
    top = _HEAD_PX + _LABEL_PX
    height = top + sum(row_heights) + _GAP_PX * len(row_heights)
    canvas = np.full((height, width, 3), int(_GROUND[1:3], 16), np.uint8)
    empty: list[tuple[float, float]] = []
    for index, column in enumerate(columns):
        x, y = _SIDE_PX + index * (CELL_PX + _GAP_PX), top
        for picture, row_height in zip(column.rows, row_heights, strict=True):
            cell = canvas[y : y + row_height, x : x + CELL_PX]
            if picture is None:
                cell[:] = int(_EMPTY[1:3], 16)
                empty.append((x + CELL_PX / 2, y + row_height / 2))
            else:
                cell[:] = np.round(np.clip(picture, 0, 1) * 255)
            y += row_height + _GAP_PX
    return _lettered(canvas, columns, row_heights, empty, title, subtitle)


def _lettered(
    canvas: NDArray[np.uint8],
    columns: Sequence[FramePictures],
    row_heights: Sequence[int],
    empty: Sequence[tuple[float, float]],
    title: str,
    subtitle: str,
) -> Picture:
    height, width = canvas.shape[:2]
    figure = _figure(width, height)
    figure.figimage(canvas, 0, 0, origin="upper")

    def write(x: float, y: float, text: str, size: float, colour: str, **placing: Any) -> None:
        figure.text(x / width, 1 - y / height, text, fontsize=size, color=colour, va="center", **placing)

    write(_SIDE_PX, 22, title, 15, _INK, weight="bold")
    write(_SIDE_PX, 48, subtitle, 10, _DIM)
    for index, column in enumerate(columns):
        x = _SIDE_PX + index * (CELL_PX + _GAP_PX)
        write(x + 2, _HEAD_PX + _LABEL_PX / 2, str(column.frame), 11, _INK, weight="bold")
        colour = _ALARM if column.result is None else _DIM
        write(x + CELL_PX - 2, _HEAD_PX + _LABEL_PX / 2, column.note, 9, colour, ha="right")
    y = _HEAD_PX + _LABEL_PX
    for name, row_height in zip(_ROWS, row_heights, strict=True):
        write(_SIDE_PX / 2, y + row_height / 2, name, 10, _DIM, ha="center", rotation=90)
        y += row_height + _GAP_PX
    for x_centre, y_centre in empty:
        write(x_centre, y_centre, "missing", 11, _ALARM, ha="center")
    return _rendered(figure)


def side_by_side(pictures: Sequence[Picture | None], width: int) -> Picture:
    """Pictures next to each other at equal height, `width` px over all; missing ones are left out."""
    shown = [picture for picture in pictures if picture is not None]
    aspect = sum(picture.shape[1] / picture.shape[0] for picture in shown)
    height = round((width - _GAP_PX * (len(shown) - 1)) / aspect)
    gap = np.full((height, _GAP_PX, 3), int(_GROUND[1:3], 16) / 255, np.float32)
    row: list[Picture] = []
    for picture in shown:
        row += [fit(picture, round(height * picture.shape[1] / picture.shape[0]), height), gap]
    return np.concatenate(row[:-1], axis=1)


def _rendered(figure: Figure) -> Picture:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return (np.asarray(canvas.buffer_rgba())[..., :3] / np.float32(255)).astype(np.float32)


def curves_svg(frames: Sequence[int], gaps: Sequence[int], panels: Sequence[Curve]) -> bytes:
    """The curves over the frames as SVG, one panel below the other; frames without a result are marked."""
    figure = _figure(_PLOT_WIDTH_PX, 60 + 135 * len(panels))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, frames, gaps, panel)
    axes[-1].set_xlabel("frame", color=_DIM, fontsize=9)
    figure.subplots_adjust(left=_PLOT_LEFT, right=_PLOT_RIGHT, top=0.98, bottom=0.045, hspace=0.5)
    buffer = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def _draw_panel(axis: Any, frames: Sequence[int], gaps: Sequence[int], panel: Curve) -> None:
    axis.set_facecolor(_EMPTY)
    for gap in gaps:
        axis.axvspan(gap - 0.5, gap + 0.5, color=_ALARM, alpha=0.35, linewidth=0)
    top = 0.0
    for (name, values), colour in zip(panel.series.items(), _LINES, strict=False):
        axis.plot(frames, values, color=colour, marker=".", markersize=4, linewidth=1.2, label=name)
        top = max([top, *(value for value in values if math.isfinite(value))])
    axis.set_title(f"{panel.title}  ({panel.unit})", color=_INK, fontsize=9, loc="left", pad=4)
    axis.set_xlim(min(frames) - 0.5, max(frames) + 0.5)
    axis.set_ylim(0, 1.08 * top if top > 0 else 1)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.tick_params(colors=_DIM, labelsize=8)
    axis.grid(color="#3a3a3a", linewidth=0.6)
    axis.spines[:].set_color("#3a3a3a")
    if len(panel.series) > 1:
        axis.legend(fontsize=7, facecolor=_GROUND, edgecolor="#3a3a3a", labelcolor=_INK, loc="upper right", ncols=2)


def jpeg(picture: Picture) -> bytes:
    """A picture as a JPEG file's bytes: 4:4:4, at a quality that shows the swap's faults and not its own."""
    buffer = io.BytesIO()
    options = {"quality": _JPEG_QUALITY, "subsampling": 0}
    imsave(buffer, np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8), format="jpeg", pil_kwargs=options)
    return buffer.getvalue()


def data_uri(content: bytes, mime: str) -> str:
    """The bytes as a `data:` address, so that a page needs no other file."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def page(
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    summary: Mapping[str, str],
    sheet: str,
    curves: str,
    pictures: ReviewPictures,
    movie: str | None,
    frames: Sequence[FrameReview],
) -> str:
    """The page as HTML text: self-contained, nothing fetched, by its own security policy.

    Pictures are given as `data:` addresses, a movie too, or as the name of the file beside the page.
    """
    environment = Environment(
        loader=PackageLoader("bodydouble", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["number"] = _number
    numbers = [found.frame for found in frames]
    return environment.get_template("review.html").render(
        title=title,
        subtitle=subtitle,
        facts=facts,
        summary=summary,
        sheet=sheet,
        curves=curves,
        wipe=[asdict(shown) for shown in pictures.wipe],
        worst=pictures.worst,
        difference_gain=DIFFERENCE_GAIN,
        movie=movie,
        frames=frames,
        plot={"first": min(numbers) - 0.5, "last": max(numbers) + 0.5, "left": _PLOT_LEFT, "right": _PLOT_RIGHT},
    )
