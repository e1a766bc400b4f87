"""The look of a run: a settings file below, the flags that were given above."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bodydouble.settings import SwapSettings
from bodydouble.swap.lookfile import ShotLook, write_look
from bodydouble_cli.look import chosen_look, look_options


@pytest.fixture
def look():
    """The look that a command line asks for."""

    def call(*arguments: str) -> ShotLook:
        found: list[ShotLook] = []

        @click.command()
        @look_options
        def command(settings_file: Path | None, **flags: object) -> None:
            found.append(chosen_look(settings_file, flags))

        CliRunner().invoke(command, arguments, catch_exceptions=False, standalone_mode=False)
        return found[0]

    return call


def test_without_anything_the_look_is_the_default(look):
    assert look() == ShotLook(SwapSettings())


def test_flags_go_before_the_file_and_drop_its_keys(look, tmp_path: Path):
    path = tmp_path / "shot.settings.json"
    write_look(path, ShotLook(SwapSettings(forehead=0.2, plate_levels=4), {"edge": {1: 1.0, 9: 9.0}}))
    assert look("--settings", str(path)).at(9).edge == 9.0
    chosen = look("--settings", str(path), "--edge", "3.0", "--plate-levels", "2")
    assert chosen.at(9) == SwapSettings(forehead=0.2, plate_levels=2, edge=3.0)
