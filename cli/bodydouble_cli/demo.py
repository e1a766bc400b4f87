"""`bodydouble demo`: the main job on what comes with Bodydouble."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble.events import Progress
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import device_option, json_option
from bodydouble_cli.progress import open_run


@click.command(short_help="Run the main job on the bundled shot and model.", epilog=EXIT_CODES)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="demo_out", show_default=True, help="Where to write."
)
@device_option
@json_option
def demo(out: Path, device: str, as_json: bool) -> None:
    """Align, swap and review the bundled shot with the bundled model; needs no network and no data.

    \b
    Example:
      bodydouble demo -o demo_out
    """
    from bodydouble.demo import demo as run_demo

    with open_run("demo", as_json=as_json) as run:
        for event in run_demo(out, device=device):
            run.emit(Progress(event.stage, event.done, event.total, message=event.message))
        run.output("frames", out / "swap")
        run.output("contact sheet", out / "review" / "contact_sheet.png")
        run.output("page", out / "review" / "review.html")
