"""`bodydouble verify`: do finished frames still say the truth of themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bodydouble.errors import FramesFailedError
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.info import facts_text
from bodydouble_cli.options import chosen_frames, frames_option

if TYPE_CHECKING:
    from bodydouble.plates.frames import FrameRange
    from bodydouble.swap.verifying import Verdict

SCHEMA, VERSION = "bodydouble.verify", 1
LONG_FACTS = {"pixels", "stamp", "settings", "job", "earlier"}


@click.command(short_help="Check what finished frames say of themselves.", epilog=EXIT_CODES)
@click.argument("finished", metavar="FRAMES")
@frames_option
@click.option("--plate", metavar="PLATE", help="Also check that they were made from this plate.")
@click.option("--model", type=click.Path(path_type=Path), help="Also check that this NAME.comb folder made them.")
@click.option("--trust", type=click.Path(path_type=Path), help="Roots (PEM) that may have signed pictures and movies.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document on standard output.")
def verify(
    finished: str, frames: FrameRange | None, plate: str | None, model: Path | None, trust: Path | None, as_json: bool
) -> None:
    """Check what finished frames say of themselves, and list it.

    Every frame of a swap carries a stamp: persona, model, settings, plate and rights by name and digest, and a digest
    of each channel's pixels, which a lossless rewrite by another program keeps. A frame that was changed, altered,
    stripped of its stamp or is missing is listed, and makes the exit code 4.

    Of a PNG, JPEG, MP4 or QuickTime, or a folder of them, the Content Credentials (C2PA) are checked. Needs the extra
    c2pa.

    \b
    Example:
      bodydouble verify swap/sh010.####.exr --plate plates/sh010.####.exr --model cast.comb
    """
    from bodydouble.network.checkpoint import read_card
    from bodydouble.plates.reading import find_plate
    from bodydouble.swap.verifying import is_media, media_of, verify_frames, verify_media

    if is_media(Path(finished)):
        verdicts = [verify_media(file, trust) for file in media_of(Path(finished))]
    else:
        sequence = find_plate(finished)
        source = find_plate(plate) if plate else None
        card = read_card(model) if model else None
        verdicts = list(verify_frames(sequence, chosen_frames(sequence, frames), source, card))
    click.echo(_document(finished, verdicts) if as_json else _text(verdicts))
    bad = [verdict for verdict in verdicts if verdict.status != "intact"]
    if bad:
        raise FramesFailedError(f"{len(bad)} of {len(verdicts)} are not as they were stamped.")


def _document(finished: str, verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.status for verdict in verdicts)
    frames = [asdict(verdict) for verdict in verdicts]
    return json.dumps(
        {"schema": SCHEMA, "version": VERSION, "finished": finished, "counts": dict(counts), "frames": frames},
        indent=1,
    )


def _text(verdicts: Sequence[Verdict]) -> str:
    """What the frames have in common, once; then each frame that has something to say."""
    stamped = [verdict.facts for verdict in verdicts if verdict.facts]
    shared: dict[str, Any] = {}
    if stamped:
        common = set.intersection(*({(name, str(value)) for name, value in facts.items()} for facts in stamped))
        names = {name for name, _ in common} - LONG_FACTS
        shared = {name: value for name, value in sorted(stamped[0].items()) if name in names}
    lines = ["stamp:", facts_text(shared, "  ")] if shared else []
    counts = Counter(verdict.status for verdict in verdicts)
    lines.append("found: " + ", ".join(f"{count} {status}" for status, count in counts.most_common()))
    lines += [
        f"  {verdict.path if verdict.frame is None else verdict.frame} {verdict.status}"
        + (f": {verdict.message}" if verdict.message else "")
        for verdict in verdicts
        if verdict.status != "intact" or verdict.message
    ]
    return "\n".join(lines)
