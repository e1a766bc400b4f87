"""The training schedule: level, gain α and learning rate as a pure function of progress.

Progress runs from 0 to 1 over the whole training. Each level gets a share of it; during the first half of its share a
new level fades in with α from 0 to 1 (the patent's "L/2 iterations", read as half of the level's iterations); after
the last level a settling phase runs at a lower learning rate. Resuming needs one number.
"""

from __future__ import annotations

from dataclasses import dataclass

BUDGET_WEIGHTS = (0.5, 0.5, 2.0, 6.0, 14.0, 30.0, 40.0, 50.0, 60.0)
"""Shares of the levels under a time budget: a pixel of a high level costs more time and carries more to learn."""


@dataclass(frozen=True)
class Phase:
    """Where training stands: the level trained, its gain, the learning rate, whether it settles."""

    level: int
    alpha: float
    learning_rate: float
    settling: bool = False


@dataclass(frozen=True)
class Schedule:
    """Shares of progress per level, ending with the settling phase.

    Attributes:
        shares: one share per level 0.., sum with `settle` to 1.
        settle: share of the phase after the last level.
        learning_rate, settle_learning_rate: of the two.
    """

    shares: tuple[float, ...]
    settle: float
    learning_rate: float
    settle_learning_rate: float

    def __post_init__(self) -> None:
        if not self.shares or min(self.shares) <= 0 or abs(sum(self.shares) + self.settle - 1) > 1e-9:
            raise ValueError(f"shares of a schedule are positive and sum to one: {self}")

    def at(self, progress: float) -> Phase:
        """The phase at `progress` in [0, 1]."""
        start = 0.0
        for level, share in enumerate(self.shares):
            if progress < start + share:
                alpha = 1.0 if level == 0 else min(1.0, 2 * (progress - start) / share)
                return Phase(level, alpha, self.learning_rate)
            start += share
        return Phase(len(self.shares) - 1, 1.0, self.settle_learning_rate, settling=True)


def by_weights(
    weights: tuple[float, ...], settle: float, learning_rate: float, settle_learning_rate: float
) -> Schedule:
    """Schedule whose levels share progress in proportion to `weights`, with `settle` in [0, 1) left for the end."""
    total = sum(weights)
    shares = tuple(weight / total * (1 - settle) for weight in weights)
    return Schedule(shares, settle, learning_rate, settle_learning_rate)
