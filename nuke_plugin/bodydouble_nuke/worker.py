"""The warm worker: one `bodydouble serve` per Nuke, started when needed, started again if it dies, ended with Nuke."""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from bodydouble_nuke.engine import Engine, EngineError

OnEvent = Callable[[Mapping[str, Any]], None]

_TAIL_LINES = 30
_END_SECONDS = 3.0


class Worker:
    """A process that does jobs one after the other. Every method may be called from any thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._waiting: dict[str, OnEvent] = {}
        self._said: deque[str] = deque(maxlen=_TAIL_LINES)
        self._readers: list[threading.Thread] = []
        self.starts = 0
        # A Nuke that ends without closing its script must not leave the worker behind.
        atexit.register(self.close)

    def submit(self, job: Mapping[str, Any], on_event: OnEvent) -> None:
        """Give the worker a job. `on_event` gets its events, on a thread of the worker's own, to the last, `run_done`.

        Raises:
            EngineError: the engine cannot be started.
        """
        with self._lock:
            process = self._running()
            self._waiting[str(job["id"])] = on_event
        self._send(process, job)

    def cancel(self, job: Mapping[str, Any]) -> None:
        """Give the worker a cancelling job; nothing to do where no worker runs."""
        with self._lock:
            process = self._process
        if process is not None and process.poll() is None:
            self._send(process, job)

    @property
    def pid(self) -> int | None:
        """Of the running process, None if none runs."""
        with self._lock:
            alive = self._process is not None and self._process.poll() is None
            return self._process.pid if alive and self._process else None

    def close(self) -> None:
        """End the worker; a job that runs is given up. Another `submit` starts it again."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if self._waiting:
            process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in self._readers:
            if thread is not threading.current_thread():
                thread.join(_END_SECONDS)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        try:
            self._process = subprocess.Popen(
                self.engine.arguments("serve"),
                env=dict(self.engine.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1,
                # A console window must not pop up on the artist's screen.
                creationflags=0x08000000 if sys.platform == "win32" else 0,
            )
        except OSError as error:
            raise EngineError(f"The engine {' '.join(self.engine.command)} does not start: {error}") from error
        self.starts += 1
        self._said.clear()
        self._readers = [
            threading.Thread(target=reader, args=(self._process,), name="bodydouble", daemon=True)
            for reader in (self._read_events, self._read_words)
        ]
        for thread in self._readers:
            thread.start()
        return self._process

    def _send(self, process: subprocess.Popen[str], job: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        # If it has just died, the thread that reads its events tells everybody who waits.
        with contextlib.suppress(OSError, ValueError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()

    def _read_events(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                    identity = event["job"]
                except (ValueError, KeyError, TypeError):
                    self._said.append(line.rstrip())
                    continue
                self._deliver(str(identity), event)
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        with self._lock:
            mine = self._process is process or self._process is None
            lost = list(self._waiting) if mine else []
        for identity in lost:
            self._deliver(identity, self._last_words(process, identity))

    def _read_words(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._said.append(line.rstrip())

    def _deliver(self, identity: str, event: Mapping[str, Any]) -> None:
        with self._lock:
            done = event.get("event") == "run_done"
            on_event = self._waiting.pop(identity, None) if done else self._waiting.get(identity)
        if on_event is not None:
            on_event(event)

    def _last_words(self, process: subprocess.Popen[str], identity: str) -> Mapping[str, Any]:
        """The end of a job whose worker died."""
        said = " ".join(line for line in self._said if line)[-500:]
        message = f"The engine ended unexpectedly (code {process.returncode}). {said}".strip()
        code = process.returncode if process.returncode > 0 else 1
        return {"event": "run_done", "job": identity, "exit_code": code, "message": message, "outputs": {}}
