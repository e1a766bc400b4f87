"""Weighted sums of entries of a table: what the filters of `pyramids` and `pixellists` are made of.

One step for all sums of a filter (`embedding_bag`), which every device has as one kernel with a fixed order of summing:
the same bits for a frame alone or in a batch, and with any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch

Taps = tuple[float, ...]
Size = tuple[int, int]

BINOMIAL: Taps = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)

Terms = list[list[tuple[int, float]]]
"""For each sum the entries that it is of, and their weights."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Which entries, those of one sum after those of another, their weights, and where each sum begins."""

    places: torch.Tensor
    weights: torch.Tensor
    starts: torch.Tensor

    def of(self, table: torch.Tensor) -> torch.Tensor:
        """Sums × K of a table, entries × K."""
        return torch.embedding_bag(table.contiguous(), self.places, self.starts, False, 0, False, self.weights)[0]


def sums_of(terms: Terms, count: int, batch: int, device: torch.device) -> Sums:
    """The same sums for every item of a batch, each of `count` entries."""
    places = [item * count + place for item in range(batch) for one in terms for place, _ in one]
    weights = [weight for one in terms for _, weight in one] * batch
    lengths = [len(one) for one in terms] * batch
    starts = list(accumulate(lengths, initial=0))[:-1]
    return Sums(
        torch.tensor(places, dtype=torch.int32, device=device),
        torch.tensor(weights, dtype=torch.float32, device=device),
        torch.tensor(starts, dtype=torch.int32, device=device),
    )


def filtering(count: int, taps: Taps, step: int) -> Terms:
    """A filter at every `step`-th entry of a line, the border continued."""
    reach = len(taps) // 2
    return [
        [(min(max(at + offset, 0), count - 1), tap) for offset, tap in enumerate(taps, start=-reach)]
        for at in range(0, count, step)
    ]


def expansion(count: int, wanted: int) -> Terms:
    """EXPAND of a line: (1 6 1)/8 on the coarse entries, (4 4)/8 between them."""
    kinds = (((-1, 1 / 8), (0, 6 / 8), (1, 1 / 8)), ((0, 4 / 8), (1, 4 / 8)))
    return [
        [(min(max(at // 2 + offset, 0), count - 1), weight) for offset, weight in kinds[at % 2]] for at in range(wanted)
    ]
