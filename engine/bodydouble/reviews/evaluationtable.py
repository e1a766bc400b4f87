"""The table of an evaluation: one row per result, one column per figure, as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bodydouble.reviews.evaluating import Evaluation

SCHEMA, VERSION = "bodydouble.evaluation", 1


@dataclass(frozen=True)
class Figure:
    """A column: the field of `Scores` it is the mean of, what people read, and which direction is better.

    `better` is 1 for higher, -1 for lower, 0 where the plate or the truth says what is right. `digits` behind the
    point.
    """

    field: str
    title: str
    unit: str
    better: int
    digits: int = 2


FIGURES = (
    Figure("psnr", "PSNR against the truth", "dB", 1),
    Figure("ssim", "SSIM against the truth", "", 1, 3),
    Figure("tone", "light and tone against the truth", "milli-codes", -1, 1),
    Figure("truth_flicker", "flicker against the truth", "milli-codes", -1, 1),
    Figure("truth_landmarks", "landmarks against the truth", "% of the eyes", -1),
    Figure("truth_pose", "pose against the truth", "degrees", -1),
    Figure("reads_as", "reads as the persona", "% of frames", 1, 0),
    Figure("to_persona", "distance to the persona", "", -1, 3),
    Figure("margin", "nearer than anybody else by", "", 1, 3),
    Figure("pose", "pose against the performer", "degrees", -1),
    Figure("expression", "expression against the performer", "% of the eyes", -1),
    Figure("jitter", "shaking of the features", "% of the eyes", -1),
    Figure("wobble", "boiling and popping", "milli-codes", -1, 1),
    Figure("flicker", "change that is not the plate's", "milli-codes", -1, 1),
    Figure("seam", "seam at the outline", "milli-codes/px", -1, 1),
    Figure("colour_step", "colour step at the outline", "milli-codes", -1, 1),
    Figure("contrast", "local contrast beside the plate's", "%", 0, 0),
    Figure("highlights", "light above 1.0 kept", "%", 0, 0),
    Figure("outside", "pixels changed outside its matte", "pixels", -1, 0),
    Figure("far", "pixels changed far from the face", "pixels", -1, 0),
)


@dataclass(frozen=True)
class Row:
    """One result: the mean of every figure over the frames that have it, None where none has, and its rank.

    `ranks` counts from 1 among the results with the same persona and truth; equal values share one; None where nothing
    was measured or no direction is better.
    """

    name: str
    persona: str | None
    done: int
    failed: tuple[str, ...]
    values: dict[str, float | None]
    ranks: dict[str, int | None]


def rows_of(evaluations: Sequence[Evaluation]) -> tuple[Row, ...]:
    """The rows of the table."""
    values = [_values(one) for one in evaluations]
    rows = []
    for one, own in zip(evaluations, values, strict=True):
        rivals = [
            theirs
            for other, theirs in zip(evaluations, values, strict=True)
            if (other.entry.persona, other.entry.truth) == (one.entry.persona, one.entry.truth)
        ]
        done = [scores for scores in one.frames if scores.status == "done"]
        failed = tuple(f"{s.frame} {s.status}: {s.message}" for s in one.frames if s.status != "done")
        ranks = {figure.field: _rank(figure, own, rivals) for figure in FIGURES}
        rows.append(Row(one.entry.name, one.entry.persona, len(done), failed, own, ranks))
    return tuple(rows)


def as_text(rows: Sequence[Row]) -> str:
    """For people: one line per figure, one column per result; the best of several is starred."""
    head = ["", *(row.name for row in rows), "better"]
    lines = [head, ["frames measured", *(str(row.done) for row in rows), ""]]
    compared = len(rows) > 1
    for figure in FIGURES:
        if all(row.values[figure.field] is None for row in rows):
            continue
        cells = []
        for row in rows:
            value = row.values[figure.field]
            best = compared and row.ranks[figure.field] == 1 and len(_distinct(rows, figure.field)) > 1
            cells.append("–" if value is None else f"{value:.{figure.digits}f}{'*' if best else ''}")
        title = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
        lines.append([title, *cells, {1: "higher", -1: "lower", 0: "as the truth"}[figure.better]])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    notes = [f"{row.name}: {reason}" for row in rows for reason in row.failed]
    return "\n".join([*text, *notes])


def as_csv(rows: Sequence[Row]) -> str:
    """For spreadsheets: one line per result, one column per figure and one per rank."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fields = [figure.field for figure in FIGURES]
    writer.writerow(["name", "persona", "frames", "failed", *fields, *(f"rank_{field}" for field in fields)])
    for row in rows:
        values, ranks = [row.values[field] for field in fields], [row.ranks[field] for field in fields]
        cells = [row.name, row.persona, row.done, len(row.failed), *values, *ranks]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return out.getvalue().rstrip("\n")


def as_document(evaluations: Sequence[Evaluation], rows: Sequence[Row]) -> dict[str, Any]:
    """For programs: the table, every figure of every frame, and what each figure is."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "figures": [asdict(figure) for figure in FIGURES],
        "results": [
            {
                "name": row.name,
                "frames_pattern": one.entry.frames.pattern,
                "truth": None if one.entry.truth is None else one.entry.truth.pattern,
                **asdict(row),
                "frames": [asdict(scores) for scores in one.frames],
            }
            for one, row in zip(evaluations, rows, strict=True)
        ],
    }


def _values(one: Evaluation) -> dict[str, float | None]:
    done = [scores for scores in one.frames if scores.status == "done"]
    values: dict[str, float | None] = {}
    for figure in FIGURES:
        if figure.field == "reads_as":
            known = [100.0 * (scores.nearest == one.entry.persona) for scores in done if scores.nearest is not None]
        else:
            known = [value for scores in done if (value := getattr(scores, figure.field)) is not None]
        values[figure.field] = float(np.mean(known)) if known else None
    return values


def _rank(figure: Figure, own: dict[str, float | None], rivals: Sequence[dict[str, float | None]]) -> int | None:
    mine = own[figure.field]
    if mine is None or figure.better == 0:
        return None
    others = [value for rival in rivals if (value := rival[figure.field]) is not None]
    return 1 + sum((other - mine) * figure.better > 0 for other in others)


def _distinct(rows: Sequence[Row], field: str) -> set[float]:
    return {value for row in rows if (value := row.values[field]) is not None}
