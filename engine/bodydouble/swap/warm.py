"""What a worker keeps between runs: loaded models, and what the network returned for recent frames.

A look is tried out by swapping the same few frames again and again with other settings; the network's part of that,
which is nearly all of it, is the same each time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from threading import Lock

import torch

from bodydouble.network.checkpoint import CombCard, read_card
from bodydouble.swap.swapframe import SwapModel, load_swap_model, rights_notice

MODELS = 2
SWAP_BYTES = 1 << 30


class Warm:
    """Kept models and swaps, the ones used least recently dropped first. Safe to use from several threads."""

    def __init__(self, models: int = MODELS, swap_bytes: int = SWAP_BYTES) -> None:
        self._models: OrderedDict[tuple[str, ...], SwapModel] = OrderedDict()
        self._swaps: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._limits = models, swap_bytes
        self._lock = Lock()

    def model(self, folder: Path, persona: str, device: str, production: str | None) -> SwapModel:
        """As `load_swap_model`, loaded anew only when the files have changed; rights are checked each time."""
        card = read_card(folder)
        key = (str(folder.resolve()), persona, device, *_digests(card, persona))
        with self._lock:
            kept = self._models.pop(key, None)
        if kept is None:
            kept = load_swap_model(folder, persona, device, production)
        notice = rights_notice(card, folder, persona, production)
        with self._lock:
            self._models[key] = kept
            while len(self._models) > self._limits[0]:
                self._models.popitem(last=False)
        return replace(kept, card=card, notice=notice, production=production)

    def swap(self, key: str) -> torch.Tensor | None:
        """What the network returned for this key, None if that is not kept (any more)."""
        with self._lock:
            if key in self._swaps:
                self._swaps.move_to_end(key)
            return self._swaps.get(key)

    def keep(self, key: str, swap: torch.Tensor) -> None:
        """Remember what the network returned; a swap larger than all the room is not."""
        with self._lock:
            self._swaps[key] = swap
            room = self._limits[1] - sum(kept.nbytes for kept in self._swaps.values())
            while room < 0:
                room += self._swaps.popitem(last=False)[1].nbytes

    def drop(self) -> None:
        """Forget everything: the memory is needed."""
        with self._lock:
            self._models.clear()
            self._swaps.clear()


def _digests(card: CombCard, persona: str) -> tuple[str, ...]:
    return card.encoder_digest, card.trunk_digest, card.persona(persona).digest
