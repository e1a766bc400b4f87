"""What a worker keeps between runs: loaded models, what the network returned for recent frames, and faces being tuned.

A look is tried out by swapping the same few frames again and again with other settings; what does not depend on the
look, which is nearly all of the work, is the same each time.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import torch

from bodydouble.network.checkpoint import CombCard, read_card
from bodydouble.plates.colour import Colour
from bodydouble.swap.swapframe import SwapModel, SwappedFace, load_swap_model, rights_notice
from bodydouble.writing import file_version

MODELS = 2
SWAP_BYTES = 1 << 30
FACE_BYTES = 1 << 29
DIGESTS = 10_000
CONFIGS = 4

Kept = TypeVar("Kept")


class Recent(Generic[Kept]):
    """Things by key, those used least recently dropped first when they are too large together. Safe between threads.

    limit: how large they may be together; size: how large one is.
    """

    def __init__(self, limit: int, size: Callable[[Kept], int]) -> None:
        self._limit, self._size = limit, size
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Kept | None:
        """What was kept under this key, None if it is not (any more)."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, thing: Kept) -> None:
        """Keep it; one larger than all the room is not."""
        with self._lock:
            self._kept[key] = thing
            self._kept.move_to_end(key)
            room = self._limit - sum(map(self._size, self._kept.values()))
            while room < 0:
                room += self._size(self._kept.popitem(last=False)[1])

    def drop(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


class Warm:
    """What is kept. Safe to use from several threads.

    Attributes:
        swaps: what the network returned, by what it was made of (`FrameJob.swap_key`).
        faces: all of a frame that stays the same whatever its look (`FrameJob.face_key`).
    """

    def __init__(self, models: int = MODELS, swap_bytes: int = SWAP_BYTES, face_bytes: int = FACE_BYTES) -> None:
        self.swaps: Recent[torch.Tensor] = Recent(swap_bytes, lambda swap: swap.nbytes)
        self.faces: Recent[SwappedFace] = Recent(face_bytes, lambda face: face.nbytes)
        self._models: Recent[SwapModel] = Recent(models, lambda _: 1)
        self._digests: Recent[str] = Recent(DIGESTS, lambda _: 1)
        self._configs: Recent[Colour] = Recent(CONFIGS, lambda _: 1)

    def model(self, folder: Path, persona: str, device: str, production: str | None) -> SwapModel:
        """As `load_swap_model`, loaded anew only when the files have changed; rights are checked each time."""
        card = read_card(folder)
        key = (str(folder.resolve()), persona, device, *_digests(card, persona))
        kept = self._models.get(key)
        if kept is None:
            kept = load_swap_model(folder, persona, device, production)
            self._models.keep(key, kept)
        notice = rights_notice(card, folder, persona, production)
        return replace(kept, card=card, notice=notice, production=production)

    def colour(self, config: str | None) -> Colour:
        """As `Colour`, read anew only when the config's file has changed."""
        source = config or os.environ.get("OCIO") or ""
        key = source, _version(Path(source))
        kept = self._configs.get(key)
        if kept is None:
            kept = Colour(config)
            self._configs.keep(key, kept)
        return kept

    def digest(self, path: Path, digest: Callable[[Path], str]) -> str:
        """The digest of a file, made anew only when the file has changed."""
        key = str(path), _version(path)
        kept = self._digests.get(key)
        if kept is None:
            kept = digest(path)
            self._digests.keep(key, kept)
        return kept

    def drop(self) -> None:
        """Forget what is large: the memory is needed."""
        for kept in (self._models, self.swaps, self.faces):
            kept.drop()


def _digests(card: CombCard, persona: str) -> tuple[str, ...]:
    return card.encoder_digest, card.trunk_digest, card.persona(persona).digest


def _version(path: Path) -> tuple[int, ...] | None:
    """As `file_version`; None where there is no file, such as for a config's built-in name."""
    try:
        return file_version(path)
    except OSError:
        return None
