"""docs/farm.md says what the command does: flags, exit codes, events and files, held against the code."""

from __future__ import annotations

import re
import typing
from dataclasses import fields
from pathlib import Path

import click
import pytest

from bodydouble import events
from bodydouble.farm import jobs
from bodydouble.swap.resuming import Shows
from bodydouble.writing import STALE_AFTER_S, TEMPORARY, atomic_path
from bodydouble_cli.displays import FORMATS
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.look import _OPTIONS as LOOK
from bodydouble_cli.main import cli
from bodydouble_cli.runrecord import SCHEMA, VERSION
from bodydouble_cli.signals import PATIENCE_S

PAGE = (Path(__file__).parents[1] / "docs" / "farm.md").read_text(encoding="utf-8")
SWAP = {option.opts[-1]: option for option in cli.commands["swap"].params if isinstance(option, click.Option)}


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's first table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def look_options() -> set[str]:
    @click.command()
    def nothing() -> None: ...

    for option in LOOK:
        nothing = option(nothing)
    return {param.opts[-1] for param in nothing.params}


def test_every_flag_of_swap_is_on_the_page_and_every_flag_on_the_page_is_one_of_swap():
    named = {flag for row in rows("Flags") for flag in re.findall(r"`(--[a-z-]+)`", row[0])}
    assert named <= SWAP.keys()
    assert SWAP.keys() - named <= look_options()


@pytest.mark.parametrize("flag", ["--on-missing", "--on-no-face", "--on-error", "--progress"])
def test_every_choice_of_a_rule_is_named(flag):
    (row,) = (row for row in rows("Flags") if f"`{flag}`" in row[0].split(", "))
    kind = SWAP[flag].type
    assert isinstance(kind, click.Choice)
    assert {f"`{choice}`" for choice in kind.choices} <= set(re.findall(r"`[a-z]+`", row[1]))


def test_the_exit_codes_are_those_of_every_help_text():
    found = re.findall(r"(?m)^  (\d+) ", EXIT_CODES) + re.findall(r", (\d+) terminated", EXIT_CODES)
    assert {row[0] for row in rows("Exit codes")} == set(found)


def test_the_events_and_their_fields_are_those_of_the_code():
    told = {row[0].strip("`"): row[1].split(", ") for row in rows("Events")}
    made = {kind.kind: [item.name for item in fields(kind)] for kind in typing.get_args(events.Event)}
    assert told == made
    assert f'"{events.SCHEMA}"' in section("Events")


def test_what_a_frame_may_show_and_the_formats_of_progress_are_named():
    done = next(row[2] for row in rows("Events") if row[0] == "`frame_done`")
    assert set(re.findall(r"`(\w+)`", done)) == set(typing.get_args(Shows))
    shown = set(re.findall(r"(?m)^(\w+) ", section("Events").split("```text\n")[1]))
    assert shown == set(FORMATS) - {"plain", "json", "none"}


def test_the_files_are_as_the_page_says(tmp_path):
    with atomic_path(tmp_path / "frame.1001.exr") as temporary:
        temporary.touch()
        assert TEMPORARY.fullmatch(temporary.name)
        assert re.fullmatch(r"\.frame\.1001\.exr\.\d+-[0-9a-f]{8}\.tmp", temporary.name)
    assert "`.NAME.PID-XXXXXXXX.tmp`" in section("Files")
    assert f"`{SCHEMA}`, version {VERSION}" in section("Files")


def test_the_times_are_as_the_page_says():
    assert STALE_AFTER_S == 3600
    assert "an hour old" in PAGE
    assert PATIENCE_S < 30
    assert "within 30\nseconds" in PAGE


def test_the_commands_of_a_worker_are_named():
    assert {f"`{command}`" for command in jobs.COMMANDS} <= set(re.findall(r"`\w+`", section("A worker")))
