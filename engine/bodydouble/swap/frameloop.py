"""The loop over the frames of a run: reading, computing and writing side by side, with bounded room between them.

Every frame goes through three pools of threads, one after the other: readers, computers, writers. At most
`Plan.in_flight` frames are on their way at once, so memory does not grow with the shot. Results come in the order of
the frames. When the consumer stops early (a signal, an error) frames that are being written are finished, the others
dropped: no partial file stays.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from threading import Event
from typing import Literal

from bodydouble.errors import OutOfMemoryError, is_out_of_memory
from bodydouble.network.devices import memory_in_use
from bodydouble.swap.framejob import Arrived, Computed, FrameJob, FrameResult
from bodydouble.swap.framesteps import compute, read, write

MEMORY_MARGIN = 0.9
"""Share of the permitted memory above which no further frame is begun."""


@dataclass(frozen=True)
class Plan:
    """How many frames are worked on at once.

    Attributes:
        readers, computers, writers: threads.
        batch: frames that go through the network together.
        together: frames that one computer takes on together, where as many wait for each: those of one look are blended
            together.
        in_flight: frames on their way, all in all.
        max_memory: bytes of the host's memory that may be in use; None for no limit.
    """

    readers: int = 1
    computers: int = 1
    writers: int = 2
    batch: int = 1
    together: int = 1
    in_flight: int = 4
    max_memory: int | None = None


def run_frames(
    job: FrameJob, frames: Sequence[int], plan: Plan, on_error: Literal["continue", "stop"] = "continue"
) -> Iterator[FrameResult]:
    """Do the frames; yields each one's result in their order. on_error "stop": none is begun after one that failed.

    Raises OutOfMemoryError when a frame does not even fit alone.
    """
    with _Pools(job, plan) as pools:
        waiting = iter(frames)
        flights: deque[_Flight] = deque()
        room = plan.in_flight
        while True:
            while len(flights) < room and not (flights and _is_tight(plan)):
                frame = next(waiting, None)
                if frame is None:
                    break
                flights.append(pools.launch(frame))
            if not flights:
                return
            flight = flights.popleft()
            if _has_run_out(flight):
                frame = flight.frame
                del flight  # what was raised holds on to the frames it was raised in
                wait([one.future for one in flights])
                gc.collect()
                room = max(1, room // 2)
                result = _alone(pools, frame, room)
            else:
                result = flight.future.result()
            yield result
            if result.failed and on_error == "stop":
                pools.stop()
                yield from (one.future.result() for one in flights if not one.was_dropped())
                return


def _alone(pools: _Pools, frame: int, room: int) -> FrameResult:
    """A frame for which memory ran out, once more with nothing beside it."""
    try:
        result = pools.launch(frame).future.result()
    except BaseException as problem:
        if not is_out_of_memory(problem):
            raise
        why = str(problem).partition("\n")[0] or type(problem).__name__
        raise OutOfMemoryError(f"frame {frame}: out of memory, with nothing beside it ({why}).") from problem
    note = f"memory ran out: from here on at most {room} frames at a time"
    return replace(result, message=f"{result.message}; {note}" if result.message else note)


def _is_tight(plan: Plan) -> bool:
    return plan.max_memory is not None and memory_in_use() > MEMORY_MARGIN * plan.max_memory


def _has_run_out(flight: _Flight) -> bool:
    """Whether the frame ended for want of memory. Waits for it."""
    problem = flight.future.exception()
    return problem is not None and is_out_of_memory(problem)


@dataclass(frozen=True, eq=False)
class _Flight:
    """A frame on its way."""

    frame: int
    future: Future[FrameResult] = field(default_factory=Future)

    def was_dropped(self) -> bool:
        """Whether it was given up before it had a result. Waits for it."""
        try:
            self.future.exception()
        except CancelledError:
            return True
        return False


class _Pools:
    """The threads of a run. What one stage is done with goes to the next; what breaks ends the frame's flight."""

    def __init__(self, job: FrameJob, plan: Plan) -> None:
        self._job = job
        self._batch, self._together, self._sharers = plan.batch, plan.together, plan.computers
        self._stopped = Event()
        self._arrived: SimpleQueue[tuple[_Flight, Arrived]] = SimpleQueue()
        self._readers = ThreadPoolExecutor(plan.readers, "read")
        self._computers = ThreadPoolExecutor(plan.computers, "compute")
        self._writers = ThreadPoolExecutor(plan.writers, "write")

    def __enter__(self) -> _Pools:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for pool in (self._readers, self._computers, self._writers):
            pool.shutdown(wait=True)

    def stop(self) -> None:
        """Begin nothing more; a file that is being written is finished."""
        self._stopped.set()

    def launch(self, frame: int) -> _Flight:
        flight = _Flight(frame)
        self._readers.submit(self._read, flight)
        return flight

    def _read(self, flight: _Flight) -> None:
        if self._drop(flight):
            return
        try:
            found = read(self._job, flight.frame)
        except BaseException as problem:
            flight.future.set_exception(problem)
            return
        if isinstance(found, FrameResult):
            flight.future.set_result(found)
        else:
            self._arrived.put((flight, found))
            self._computers.submit(self._compute)

    def _compute(self) -> None:
        """Compute what has arrived, this thread's share of it; nothing where the call before has taken it along."""
        taken: list[tuple[_Flight, Arrived]] = []
        share = min(self._together, -(-self._arrived.qsize() // self._sharers))
        while len(taken) < share:
            try:
                flight, arrived = self._arrived.get_nowait()
            except Empty:
                break
            if not self._drop(flight):
                taken.append((flight, arrived))
        if taken:
            self._compute_batch(taken)

    def _compute_batch(self, taken: list[tuple[_Flight, Arrived]]) -> None:
        try:
            done = compute(self._job, [arrived for _, arrived in taken], self._batch)
        except BaseException as problem:
            if is_out_of_memory(problem) and (self._batch > 1 or len(taken) > 1):
                self._batch, self._together = max(1, self._batch // 2), max(1, self._together // 2)
                del problem
                for one in taken:
                    self._compute_batch([one])
                return
            for flight, _ in taken:
                flight.future.set_exception(problem)
            return
        for (flight, _), computed in zip(taken, done, strict=True):
            if isinstance(computed, FrameResult):
                flight.future.set_result(computed)
            else:
                self._writers.submit(self._write, flight, computed)

    def _write(self, flight: _Flight, computed: Computed) -> None:
        if self._drop(flight):
            return
        try:
            flight.future.set_result(write(self._job, computed))
        except BaseException as problem:
            flight.future.set_exception(problem)

    def _drop(self, flight: _Flight) -> bool:
        """Whether the run has stopped, so that the frame is given up here."""
        if self._stopped.is_set():
            flight.future.cancel()
        return self._stopped.is_set()
