"""The look of a shot: swap settings with key frames, and their file `*.settings.json`.

::

    {
      "schema": "bodydouble.settings", "version": 1,
      "settings": {"forehead": 0.5},
      "keys": {"edge": {"1001": 3.0, "1010": 6.0}}
    }

Numbers with a fraction run straight from key to key; whole numbers, choices and switches hold a key's value until the
next one. Before the first key its value holds, after the last one the last. What no line names has its default.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bodydouble.documents import read_document
from bodydouble.errors import BodydoubleError, InputError, UsageError, near_names
from bodydouble.settings import SwapSettings
from bodydouble.writing import atomic_path

SCHEMA = "bodydouble.settings"
VERSION = 1


SHOT_WIDE = ("blend_size", "layers", "likeness", "performer", "precision")
"""Settings that must be the same in all frames of a shot: they cannot have keys."""

_DEFAULTS: Mapping[str, Any] = {item.name: item.default for item in fields(SwapSettings)}


@dataclass(frozen=True)
class ShotLook:
    """Swap settings of a whole shot.

    Attributes:
        settings: what holds wherever no key says otherwise.
        keys: setting → frame → value.
    """

    settings: SwapSettings = field(default_factory=SwapSettings)
    keys: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, keys in self.keys.items():
            _known(name)
            if name in SHOT_WIDE:
                raise UsageError(f"{name} is one for the whole shot; it cannot have key frames.")
            if not keys:
                raise UsageError(f"the keys of {name} are empty.")
            for frame, value in keys.items():
                try:
                    replace(self.settings, **{name: _typed(name, value)})
                except UsageError as error:
                    raise UsageError(f"key of {name} at frame {frame}: {error}") from None

    def at(self, frame: int) -> SwapSettings:
        """The settings of a frame."""
        values = {name: _between(keys, frame, _runs(name)) for name, keys in self.keys.items()}
        return replace(self.settings, **{name: _typed(name, value) for name, value in values.items()})

    def with_settings(self, **changed: Any) -> ShotLook:
        """The look with some settings fixed for the whole shot; keys of these are dropped."""
        keys = {name: frames for name, frames in self.keys.items() if name not in changed}
        return ShotLook(replace(self.settings, **changed), keys)


def shot_look(settings: SwapSettings | ShotLook) -> ShotLook:
    """A look from settings that hold for all frames; a look stays what it is."""
    return settings if isinstance(settings, ShotLook) else ShotLook(settings)


def read_look(path: str | Path) -> ShotLook:
    """Read a `*.settings.json`.

    Raises:
        InputError: the file is missing or is no settings file of a version that is known.
        UsageError: a setting is unknown or out of its range; the message names the file and the setting.
    """
    data = read_document(path, InputError)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"{path}: no settings (its `schema` is not {SCHEMA}).")
    if data.get("version") != VERSION:
        raise InputError(f"{path}: `version` is {data.get('version')!r}, and this Bodydouble reads {VERSION}.")
    try:
        return look_from_document(data)
    except BodydoubleError as error:
        raise type(error)(f"{path}: {error}") from None


def write_look(path: str | Path, look: ShotLook) -> None:
    """Write a settings file as a whole or not at all. Raises OutputError."""
    text = json.dumps(look_to_document(look), indent=2) + "\n"
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def look_to_document(look: ShotLook) -> dict[str, Any]:
    """For JSON: every setting that is not at its default, and all keys."""
    changed = {name: getattr(look.settings, name) for name in _DEFAULTS}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "settings": {name: value for name, value in changed.items() if value != _DEFAULTS[name]},
        "keys": {name: {str(frame): keys[frame] for frame in sorted(keys)} for name, keys in sorted(look.keys.items())},
    }


def look_from_document(document: Mapping[str, Any]) -> ShotLook:
    """Inverse of `look_to_document`; `settings` and `keys` may be left out. Raises InputError, UsageError."""
    unknown = document.keys() - {"schema", "version", "settings", "keys"}
    if unknown:
        raise InputError(f"does not know {', '.join(sorted(unknown))}; a settings file has `settings` and `keys`.")
    settings, keys = document.get("settings", {}), document.get("keys", {})
    if not isinstance(settings, dict) or not isinstance(keys, dict):
        raise InputError("`settings` and `keys` must be objects.")
    typed = {name: _typed(_known(name), value) for name, value in settings.items()}
    return ShotLook(SwapSettings(**typed), {_known(name): _frames(name, frames) for name, frames in keys.items()})


def _frames(name: str, keys: Any) -> dict[int, Any]:
    try:
        return {int(frame): _typed(name, value) for frame, value in sorted(keys.items(), key=lambda item: int(item[0]))}
    except (AttributeError, ValueError):
        raise InputError(f'the keys of {name} must be an object of frames and values: {{"1001": …}}.') from None


def _known(name: str) -> str:
    if name not in _DEFAULTS:
        raise UsageError(f"there is no setting {name!r}. {near_names(name, _DEFAULTS)}")
    return name


def _runs(name: str) -> bool:
    """Whether a setting runs between its keys: those whose default has a fraction do."""
    return isinstance(_DEFAULTS[name], float)


def _typed(name: str, value: Any) -> Any:
    """The value as its setting's type: a JSON 3 is 3.0 for a length, and no number is text or a switch."""
    default = _DEFAULTS[name]
    if name in ("blend_size", "performer") and value is None:
        return None
    wanted = type(default) if default is not None else {"blend_size": int}.get(name, str)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is float and number and abs(value) < float("inf"):
        return float(value)
    if wanted is int and number and value % 1 == 0:
        return int(value)
    if wanted in (bool, str) and isinstance(value, wanted):
        return wanted(value)
    kind = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}[wanted]
    raise UsageError(f"{name} must be {kind}, not {value!r}")


def _between(keys: Mapping[int, Any], frame: int, runs: bool) -> Any:
    """The value of a keyed setting at a frame."""
    frames = sorted(keys)
    after = bisect_right(frames, frame)
    if after == 0:
        return keys[frames[0]]
    low = frames[after - 1]
    if after == len(frames) or not runs or low == frame:
        return keys[low]
    high = frames[after]
    start, end = float(keys[low] or 0), float(keys[high] or 0)
    return start + (end - start) * (frame - low) / (high - low)
