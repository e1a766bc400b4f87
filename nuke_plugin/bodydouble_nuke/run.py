"""One run of a node: plate frames rendered, jobs given to the worker, results shown as they land.

In the GUI it lives on a thread of its own and touches nodes through the main thread only, in small pieces; without a
GUI it is done where it was begun.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nuke

from bodydouble_nuke import node as nodes
from bodydouble_nuke.engine import EngineError
from bodydouble_nuke.mainthread import answer, later
from bodydouble_nuke.shot import Shot, ShotError, cancel_job, drop_drafts, frame_range
from bodydouble_nuke.steps import Purpose, Step, confidences
from bodydouble_nuke.worker import Worker

SHOW_SECONDS = 0.2
"""How often the node is brought up to date: a fast worker must not fill the main thread with updates."""
_POLL_SECONDS = 0.1


class Run:
    """What a press of a button set going."""

    def __init__(
        self,
        node: nuke.Gizmo,
        worker: Worker,
        shot: Shot,
        steps: Sequence[Step],
        render: Sequence[tuple[int, int]],
        render_one: Callable[[nuke.Gizmo, int, int], None],
        purpose: Purpose,
    ) -> None:
        self.landed: set[int] = set()
        self.problem = ""
        self._node = node
        self._worker = worker
        self._shot = shot
        self._steps = steps
        self._render = render
        self._render_one = render_one
        self._purpose = purpose
        with_bar = nuke.GUI and purpose not in ("look", "render")
        self._progress = nuke.ProgressTask(f"Bodydouble: {node.name()}") if with_bar else None
        self._confidence: dict[int, float] = {}
        self._failed: list[int] = []
        self._faceless: list[int] = []
        self._step = ""
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self._after: list[Callable[[], None]] = []
        self._shown_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return not self._done.is_set()

    def begin(self) -> None:
        """Go; returns at once in the GUI."""
        if nuke.GUI:
            threading.Thread(target=self._work, name="bodydouble run", daemon=True).start()
        else:
            self._work()

    def cancel(self) -> None:
        """Ask it to end; what is finished stays."""
        self._cancelled.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; not on the main thread of a GUI, which the run needs."""
        return self._done.wait(seconds)

    def when_done(self, function: Callable[[], None]) -> None:
        """Call a function on the main thread after the end."""
        self._after.append(function)

    def _work(self) -> None:
        try:
            self._render_plate()
            for step in self._steps:
                if not self._stopped():
                    self._do(step)
        except (ShotError, EngineError) as error:
            self.problem = str(error)
        except Exception as error:
            # Whatever it was, the node must not look as if it were still at work.
            self.problem = f"{type(error).__name__}: {error}"
        self._done.set()
        later(self._finish, time.monotonic())

    def _render_plate(self) -> None:
        for count, (index, frame) in enumerate(self._render):
            if self._stopped():
                return
            self._tell(f"rendering {frame}", count, len(self._render))
            # One frame a call: between two, Nuke draws, and hears a cancel.
            answer(self._render_one, self._node, index, frame)

    def _do(self, step: Step) -> None:
        events: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._step = step.name
        self._confidence, self._faceless = {}, []
        self._worker.submit(step.job, events.put)
        self._tell(f"{step.name}: the engine starts", 0, 0)
        total, done, asked = 0, 0, False
        while True:
            if self._stopped() and not asked:
                asked = True
                self._worker.cancel(cancel_job(str(step.job["id"])))
            try:
                event = events.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            kind = event.get("event")
            if kind == "run_started":
                total = int(event.get("frames") or 0)
            elif kind in ("frame_done", "frame_skipped", "frame_failed"):
                done += 1
                self._count(step, event)
                self._tell(f"{step.name} {event['frame']}", min(done, total), total)
            elif kind == "progress":
                self._tell(f"{event['stage']} the plate", int(event["done"]), int(event["total"]))
            elif kind == "run_done":
                self._judge(step, event)
                return

    def _count(self, step: Step, event: Mapping[str, Any]) -> None:
        frame = int(event["frame"])
        if event["event"] == "frame_failed":
            (self._failed if step.name == "swap" else self._faceless).append(frame)
            return
        if step.name == "swap":
            self.landed.add(frame)
            if event.get("shows") == "plate":
                self._faceless.append(frame)
        if event.get("confidence") is not None:
            self._confidence[frame] = float(event["confidence"])
        if time.monotonic() - self._shown_at > SHOW_SECONDS:
            self._shown_at = time.monotonic()
            later(self._show)

    def _judge(self, step: Step, event: Mapping[str, Any]) -> None:
        """Frames that failed are told and no reason to stop; anything else that went wrong is."""
        code = int(event.get("exit_code") or 0)
        if self._cancelled.is_set():
            return
        if step.name == "align" and code in (0, 4):
            # What the frames said was each one's own; the whole shot has told more since.
            self._confidence = confidences(self._shot.faces, self._shot.person)
            return
        if code == 0:
            return
        raise ShotError(str(event.get("message") or f"{step.name} ended with code {code}."))

    def _stopped(self) -> bool:
        if self._progress is not None and self._progress.isCancelled():
            self._cancelled.set()
        return self._cancelled.is_set()

    def _tell(self, text: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress.setMessage(text)
            self._progress.setProgress(round(100 * done / total) if total else 0)

    def _show(self) -> None:
        """Main thread: the frames that landed so far."""
        if not nodes.is_attached(self._node):
            self._cancelled.set()
            return
        if self._purpose == "look":
            nodes.show_results(self._node, drafted=self.landed)
        elif self.landed:
            drop_drafts(nodes.folder_of(self._node), self.landed)
            # A render has begun with all frames shown, and Nuke refuses buttons while it goes on.
            if self._purpose != "render":
                nodes.show_results(self._node, self.landed)
        nodes.show_status(self._node, self._text())

    def _finish(self, _ended: float) -> None:
        """Main thread: the last of it."""
        self._progress = None  # Nuke closes the bar when the task is gone.
        try:
            self._show()
        except ShotError as error:
            self.problem = self.problem or str(error)
        for function in self._after:
            function()

    def _text(self) -> str:
        if self.problem:
            return self.problem
        words = []
        if self.landed:
            words.append(f"{'draft of' if self._purpose == 'look' else 'swapped'} {frame_range(self.landed)}")
        elif self.is_running:
            words.append({"align": "aligning", "measure": "measuring"}.get(self._step, "at work"))
        elif not self._cancelled.is_set():
            words.append("measured" if self._purpose == "measure" else "aligned")
        words += confidence_words(dict(self._confidence))
        if self._failed:
            words.append(f"failed {frame_range(self._failed)}")
        if self._faceless:
            words.append(f"no face in {frame_range(self._faceless)}{', the plate stays' if self.landed else ''}")
        if self.landed and self._shot.needs_own_measures and not self._shot.is_measured:
            words.append("without grain and blur, the plate is not measured")
        if self._cancelled.is_set() and not self.is_running:
            words.append("cancelled")
        return "; ".join(words)


def confidence_words(found: Mapping[int, float]) -> list[str]:
    """What the status line says of frames' confidence; nothing where none is known."""
    if not found:
        return []
    worst = min(found, key=lambda frame: (found[frame], frame))
    low, high = f"{found[worst]:.2f}", f"{max(found.values()):.2f}"
    return [f"confidence {low}" if low == high else f"confidence {low} to {high}, lowest at {worst}"]
