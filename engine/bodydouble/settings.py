"""Settings of the engine's verbs: one frozen dataclass per owner, checked when made."""

from __future__ import annotations

from dataclasses import dataclass

from bodydouble.errors import UsageError


@dataclass(frozen=True)
class AlignSettings:
    """How `align` finds and steadies faces.

    `beta`: shift of the face box in the nine-fold average, in box widths. `detect_size`: longer side of the picture
    that the detector sees, in pixels, before it is doubled `upsample` times; faces narrower than about 80 /
    2^upsample pixels of it are not found. `threshold`: added to the detector's own; below 0 more faces and more
    false ones. `bridge`: longest gap in a person's frames, in frames, that is filled in; longer ones stay without a
    face. `smoothing`: strength of the shot solve's smoother, 0 for none.
    """

    beta: float = 0.05
    detect_size: int = 960
    upsample: int = 1
    threshold: float = -0.2
    bridge: int = 5
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 0.5:
            raise UsageError(f"beta must be in 0..0.5, got {self.beta}.")
        if self.detect_size < 80:
            raise UsageError(f"detect_size must be 80 or more, got {self.detect_size}.")
        if not 0 <= self.upsample <= 3:
            raise UsageError(f"upsample must be in 0..3, got {self.upsample}.")
        if not -1 <= self.threshold <= 2:
            raise UsageError(f"threshold must be in -1..2, got {self.threshold}.")
        if self.bridge < 0:
            raise UsageError(f"bridge must not be negative, got {self.bridge}.")
        if self.smoothing < 0:
            raise UsageError(f"smoothing must not be negative, got {self.smoothing}.")
