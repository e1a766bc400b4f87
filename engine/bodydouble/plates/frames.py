"""Frame ranges as film people write them: `1001-1100x2,1120`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fileseq import FrameSet
from fileseq.exceptions import FileSeqException

from bodydouble.errors import UsageError

EXAMPLE = "1001-1100, 1001-1100x2,1120 or -5-10"
OPENJD_EXAMPLE = "1001-1100, 1001-1100:2,1120 or -5-10"
OPENJD_PIECE = re.compile(r"(?P<first>-?\d+)(?:\s*-\s*(?P<last>-?\d+)(?:\s*:\s*(?P<step>-?\d+))?)?")


class FrameRange:
    """Whole frame numbers in the order written, each once. Immutable; prints as its constructor call.

    Syntax (fileseq's): `1001`, `1001-1100`, every second frame `1001-1100x2`, the frames that this skips
    `1001-1100y2`, coarse to fine `1001-1100:4`, several with commas.
    """

    __slots__ = ("_frames", "_text")

    def __init__(self, text: str) -> None:
        """Errors: UsageError with an example of a right range."""
        try:
            frames = FrameSet("".join(text.split()))
        except (FileSeqException, ValueError) as error:
            raise UsageError(f'"{text}" is not a frame range. Write it like {EXAMPLE}.') from error
        if not len(frames) or frames.hasSubFrames():
            raise UsageError(f'"{text}" has no whole frames. Write it like {EXAMPLE}.')
        self._frames = tuple(int(frame) for frame in frames)
        self._text = str(frames)

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """The range that a text names. Errors: UsageError with an example of a right range."""
        return cls(text)

    @classmethod
    def parse_openjd(cls, text: str) -> FrameRange:
        """The range that an Open Job Description range expression names: there `1-10:2` is every second frame.

        Errors: UsageError with an example of a right range.
        """
        frames: list[int] = []
        for piece in text.split(","):
            found = OPENJD_PIECE.fullmatch(piece.strip())
            first = int(found["first"]) if found else 0
            last = int(found["last"]) if found and found["last"] else first
            step = int(found["step"]) if found and found["step"] else 1
            if found is None or step == 0 or (last - first) * step < 0:
                raise UsageError(f'"{text}" is not a frame range of OpenJD. Write it like {OPENJD_EXAMPLE}.')
            frames += range(first, last + (1 if step > 0 else -1), step)
        return cls.of(frames)

    @classmethod
    def of(cls, frames: Iterable[int]) -> FrameRange:
        """The range of some frame numbers, in their order; it may be empty."""
        kept = tuple(dict.fromkeys(int(frame) for frame in frames))
        result = cls.__new__(cls)
        result._frames = kept
        result._text = FrameSet.framesToFrameRange(kept, sort=False) if kept else ""
        return result

    def chunk(self, index: int, count: int) -> FrameRange:
        """Piece `index` (from 1) of `count` contiguous, near-equal pieces that together are the whole range.

        A piece is empty when there are more pieces than frames. Errors: UsageError.
        """
        if not 1 <= index <= count:
            raise UsageError(f"chunk {index} of {count}: chunks are numbered from 1 to their count, like 1/4.")
        size = len(self._frames)
        return FrameRange.of(self._frames[(index - 1) * size // count : index * size // count])

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, frame: object) -> bool:
        return frame in self._frames

    def __eq__(self, other: object) -> bool:
        return self._frames == other._frames if isinstance(other, FrameRange) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._frames)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"FrameRange({self._text!r})" if self._frames else "FrameRange.of(())"
