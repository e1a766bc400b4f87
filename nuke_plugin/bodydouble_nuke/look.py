"""The look of a shot: the node's keyable knobs as the engine's settings file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = float | int | str | bool

SCHEMA = "bodydouble.settings"
VERSION = 1

SETTINGS: Mapping[str, type] = {
    "forehead": float,
    "grow": float,
    "edge": float,
    "sigma": float,
    "plate_levels": int,
    "colour_match": str,
    "likeness": float,
    "contrast": float,
    "grain": float,
    "defocus": float,
    "motion_blur": float,
}
"""Knob, and setting of the engine of the same name, and its type."""


SHOT_WIDE = ("colour_match", "likeness")
"""Settings that hold for the whole shot, with or without keys on their knobs."""

MEASURED = ("grain", "defocus", "motion_blur")
"""Settings that do nothing without the plate's measures."""


@dataclass(frozen=True)
class Look:
    """Values of the settings, and for those with key frames frame → value."""

    settings: Mapping[str, Value]
    keys: Mapping[str, Mapping[int, Value]] = field(default_factory=dict)

    @property
    def needs_measures(self) -> bool:
        """Whether a setting that needs the plate's measures is above 0 in some frame."""
        return any(self.settings.get(name, 0) or any(self.keys.get(name, {}).values()) for name in MEASURED)

    def document(self) -> dict[str, object]:
        """The settings file's content."""
        keys = {name: {str(frame): value for frame, value in sorted(at.items())} for name, at in self.keys.items()}
        return {"schema": SCHEMA, "version": VERSION, "settings": dict(self.settings), "keys": keys}


def write_look(path: str, look: Look) -> None:
    """Write the settings file whole or not at all, and only where its content changes."""
    text = json.dumps(look.document(), indent=1, sort_keys=True) + "\n"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as handle:
            if handle.read() == text:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.replace(temporary, path)
