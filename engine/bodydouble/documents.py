"""Reading the JSON documents that outlive a run: sidecars, settings, corrections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bodydouble.errors import InputError


def read_document(path: str | Path, error: type[InputError], advice: str = "") -> Any:
    """What a JSON file holds.

    Args:
        path: the file.
        error: what is raised where it is missing or no JSON; it names the file.
        advice: added where it is missing: how it comes about.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(" ".join(filter(None, (f"{path}: no such file.", advice)))) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise error(f"{path}: not a readable JSON file ({problem}).") from problem
