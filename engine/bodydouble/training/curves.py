"""The curves of a training: one JSON object per line in ``training/curves.jsonl``, and TensorBoard's files if wanted.

A line that a kill tore is dropped when the file is read; going on from an earlier state drops the lines after it, so
that the curve runs on without a fold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from bodydouble.errors import UsageError
from bodydouble.writing import atomic_path

FILE = "curves.jsonl"


@dataclass(frozen=True)
class CurvePoint:
    """Where training stood.

    Attributes:
        iteration, level, alpha, learning_rate: of the schedule.
        images, seconds: so far, all runs together.
        losses, validation: mean of each persona since the point before; of its held-out crops, where it was looked at.
        event: what happened, such as "rolled back"; else empty.
    """

    iteration: int
    level: int
    alpha: float
    learning_rate: float
    images: int
    seconds: float
    losses: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    event: str = ""


class Curves:
    """Adds points to the curves of the training in `folder`; a context manager."""

    def __init__(self, folder: Path, iteration: int, tensorboard: bool) -> None:
        self._path = folder / FILE
        self.rewind(iteration)
        self._board = _board(folder / "tensorboard", iteration) if tensorboard else None

    def rewind(self, iteration: int) -> None:
        """Drop the points after `iteration`."""
        points = read_curve(self._path.parent)
        if self._path.exists():
            with atomic_path(self._path) as temporary:
                kept = [_line(point) for point in points if point.iteration <= iteration]
                temporary.write_text("".join(kept), encoding="utf-8")

    def add(self, point: CurvePoint) -> None:
        """Append a point."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(_line(point))
        if self._board is None:
            return
        for kind, values in (("loss", point.losses), ("validation", point.validation)):
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, point.iteration)
        for name in ("level", "alpha", "learning_rate"):
            self._board.add_scalar(f"schedule/{name}", getattr(point, name), point.iteration)
        self._board.flush()

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()


def read_curve(folder: Path) -> list[CurvePoint]:
    """The points so far, in order; empty where there is no curve yet."""
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    points = []
    for line in lines:
        try:
            points.append(CurvePoint(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return points


def _line(point: CurvePoint) -> str:
    document: dict[str, Any] = asdict(point)
    for kind in ("losses", "validation"):
        document[kind] = {name: value for name, value in document[kind].items() if math.isfinite(value)}
    return json.dumps(document) + "\n"


def _board(folder: Path, iteration: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "TensorBoard is not installed; get it with 'pip install -c requirements/constraints.txt tensorboard', or "
            "train without --tensorboard."
        ) from error
    return SummaryWriter(str(folder), purge_step=iteration)
