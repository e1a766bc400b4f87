"""The report of a training, beside the model: ``report.json`` for programs and ``report.md`` for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bodydouble.network.checkpoint import CombCard, write_json
from bodydouble.network.comb import level_size
from bodydouble.training.curves import CurvePoint
from bodydouble.training.validating import Reconstruction
from bodydouble.writing import atomic_path

SCHEMA, VERSION = "bodydouble.training_report", 1


@dataclass(frozen=True)
class LevelSummary:
    """What one level took, and its mean losses at its end."""

    level: int
    size: int
    iterations: int
    images: int
    seconds: float
    loss: float | None
    validation: float | None

    @property
    def images_per_s(self) -> float:
        """Crops trained per second."""
        return self.images / self.seconds if self.seconds else 0.0


def summarise(points: Sequence[CurvePoint]) -> list[LevelSummary]:
    """One summary per level that was trained, in order."""
    summaries = []
    start = (0, 0, 0.0)
    for level in sorted({point.level for point in points}):
        mine = [point for point in points if point.level == level]
        last = mine[-1]
        losses = [point.losses for point in mine if point.losses]
        checks = [point.validation for point in mine if point.validation]
        done = (last.iteration, last.images, last.seconds)
        iterations, images, seconds = (now - before for now, before in zip(done, start, strict=True))
        summaries.append(
            LevelSummary(
                level,
                level_size(level),
                int(iterations),
                int(images),
                seconds,
                _mean(losses[-1]) if losses else None,
                _mean(checks[-1]) if checks else None,
            )
        )
        start = done
    return summaries


def write_report(
    folder: Path, card: CombCard, points: Sequence[CurvePoint], figures: Mapping[str, Reconstruction]
) -> None:
    """Write both files into the model's folder.

    Args:
        card: the model; its last history entry is the run that ended.
        points: the whole curve.
        figures: of the held-out crops at the end.

    Raises:
        OutputError: they cannot be written.
    """
    levels = summarise(points)
    events = [{"iteration": point.iteration, "event": point.event} for point in points if point.event]
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "dims": asdict(card.dims),
        "personas": {one.name: one.crops for one in card.personas},
        "levels": [{**asdict(one), "images_per_s": round(one.images_per_s, 2)} for one in levels],
        "held_out": {name: asdict(one) for name, one in figures.items()},
        "events": events,
        "last_run": dict(card.history[-1]) if card.history else None,
    }
    write_json(folder / "report.json", document)
    with atomic_path(folder / "report.md") as temporary:
        temporary.write_text("\n".join(_markdown(folder.name, card, levels, figures, document)), encoding="utf-8")


def _markdown(
    name: str,
    card: CombCard,
    levels: Sequence[LevelSummary],
    figures: Mapping[str, Reconstruction],
    document: Mapping[str, Any],
) -> Iterator[str]:
    yield f"# Training of {name}\n"
    yield f"{card.dims.size} px, width {card.dims.width:g}; {len(card.personas)} personas.\n"
    yield "| level | px | iterations | crops | seconds | crops/s | loss | held out |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in levels:
        losses = " | ".join("–" if value is None else f"{value:.4f}" for value in (one.loss, one.validation))
        rate = f"{one.seconds:.0f} | {one.images_per_s:.1f}"
        yield f"| {one.level} | {one.size} | {one.iterations} | {one.images} | {rate} | {losses} |"
    yield "\nRebuilding crops that were held out, inside the matte, in model space:\n"
    yield "| persona | crops in all | held out | MS-SSIM | PSNR, dB | texture |"
    yield "|---|---|---|---|---|---|"
    for persona in card.personas:
        found = figures.get(persona.name)
        values = "0 | – | – | –"
        if found:
            texture = "–" if found.texture is None else f"{found.texture:.0%}"
            values = f"{found.crops} | {found.ms_ssim:.4f} | {found.psnr:.2f} | {texture}"
        yield f"| {persona.name} | {persona.crops} | {values} |"
    yield "\nTexture: how strong the two finest octaves are beside the true ones; far below 100 % faces look like wax."
    if document["events"]:
        yield "\nWhat happened:\n"
        yield from (f"- iteration {one['iteration']}: {one['event']}" for one in document["events"])
    yield "\nSettings of the last run:\n"
    settings = (document["last_run"] or {}).get("settings", {})
    yield from (f"- `{key}` {value}" for key, value in settings.items())
    yield ""


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)
