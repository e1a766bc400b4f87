"""Nuke's main thread: the only one that may touch nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import nuke


def is_main() -> bool:
    """Whether this is Nuke's main thread."""
    return threading.current_thread() is threading.main_thread()


def later(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function on the main thread soon; at once if this is it."""
    if is_main():
        function(*arguments)
    else:
        nuke.executeInMainThread(function, args=arguments)


def answer(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function on the main thread and wait for what it returns."""
    if is_main():
        return function(*arguments)
    return nuke.executeInMainThreadWithResult(function, args=arguments)


class unrecorded:
    """What is done inside cannot be undone: progress and results are no work of the artist's."""

    def __enter__(self) -> None:
        nuke.Undo.disable()

    def __exit__(self, *_: object) -> None:
        nuke.Undo.enable()
