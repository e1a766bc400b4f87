"""`bodydouble doctor`: is this machine ready."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble.errors import InputError
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import ocio_option
from bodydouble_cli.progress import show_facts


@click.command(short_help="What is installed, which device, what is missing.", epilog=EXIT_CODES)
@ocio_option
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document on standard output.")
def doctor(ocio: Path | None, as_json: bool) -> None:
    """Say what is installed, which device will be used, what is missing and how to get it.

    The exit code is 3 when something is missing that Bodydouble cannot work without.

    \b
    Example:
      bodydouble doctor
    """
    from bodydouble.doctor import examine, report_document, report_text

    report = examine(str(ocio) if ocio else None)
    show_facts(report_document(report), report_text(report), as_json)
    if not report.ready:
        raise InputError("Not ready: " + ", ".join(check.name for check in report.checks if check.status == "missing"))
