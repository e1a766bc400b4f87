"""`bodydouble info`: what is this file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import ocio_option, open_colour, part_option, view_option
from bodydouble_cli.progress import show_facts


@click.command(short_help="What a plate, sidecar, faceset, model or finished frame is.", epilog=EXIT_CODES)
@click.argument("path", metavar="PATH")
@part_option
@view_option
@ocio_option
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document on standard output.")
def info(path: str, part: str | None, view: str | None, ocio: Path | None, as_json: bool) -> None:
    """Say what a plate, shot faces, faceset, model or finished frame is.

    A model lists its personas and their rights, a finished frame who appears in it and by which model, a plate its
    frames, windows, channels and colour space.

    \b
    Examples:
      bodydouble info cast.comb
      bodydouble info plates/sh010.####.exr --json
    """
    from bodydouble.inspecting import inspect

    facts = inspect(path, open_colour(ocio), part, view).as_dict()
    show_facts(facts, facts_text(facts), as_json)


def facts_text(facts: Mapping[str, Any], indent: str = "") -> str:
    """Nested facts as indented lines, one per name."""
    lines = []
    for name, value in facts.items():
        label = f"{indent}{str(name).replace('_', ' ')}:"
        if isinstance(value, Mapping):
            lines += [label, facts_text(value, indent + "  ")] if value else [f"{label} none"]
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            lines.append(label)
            for item in value:
                nested = facts_text(item, indent + "    ") if isinstance(item, Mapping) else f"{indent}    {item}"
                lines.append(f"{indent}  -{nested[len(indent) + 3 :]}")
        elif isinstance(value, list | tuple):
            lines.append(f"{label} {', '.join(map(str, value)) or 'none'}")
        else:
            lines.append(f"{label} {'none' if value is None else value}")
    return "\n".join(lines)
