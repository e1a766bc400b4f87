"""How many crops a batch has: pixels enough to keep the optimiser's share of the time small, as far as they fit."""

from __future__ import annotations

import torch
from torch import Tensor

from bodydouble.network.comb import Comb, level_size
from bodydouble.network.devices import free_memory, run_on
from bodydouble.settings import TrainSettings
from bodydouble.training.losses import level_loss

USUAL = 16
"""Crops of a batch at 32 px and above."""
PIXELS = USUAL * 32**2
"""Pixels of a batch below 32 px: an update of the weights costs as much for small crops as for large ones."""
MEMORY_SHARE = 0.6
HEADROOM = 2.0
"""Gradients of the activations and workspace, over what the forward pass keeps."""


def wanted_batch(level: int, by_time: bool = False) -> int:
    """Crops of a batch at `level` where memory does not limit it: 1024 at 4 px, 256, 64, 16 from 32 px on.

    By time 16 at every level: there more updates teach more than more crops to each.
    """
    return USUAL if by_time else max(USUAL, PIXELS // level_size(level) ** 2)


def automatic_batch(comb: Comb, level: int, settings: TrainSettings, device: torch.device) -> int:
    """The largest power of two up to the wanted batch whose training step fits into the free memory, at least 1."""
    free, wanted = free_memory(device), wanted_batch(level, by_time=settings.time_budget_s is not None)
    if free is None:
        return wanted
    pictures = len(comb.personas) if settings.update == "joint" else 1
    return fitting(wanted, free, HEADROOM * pictures * kept_bytes(comb, level, settings, device))


def fitting(wanted: int, free: int, bytes_each: float) -> int:
    """`wanted`, halved until the batch fits into 60 % of `free` bytes."""
    batch = wanted
    while batch > 1 and batch * bytes_each > MEMORY_SHARE * free:
        batch //= 2
    return batch


def kept_bytes(comb: Comb, level: int, settings: TrainSettings, device: torch.device) -> int:
    """Bytes that the forward pass of one crop and its loss keep for the backward pass, weights not counted."""
    weights = {one.untyped_storage().data_ptr() for one in comb.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    size = level_size(level)
    picture = torch.full((1, 3, size, size), 0.5, device=device).contiguous(memory_format=torch.channels_last)
    persona = next(iter(comb.personas))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with run_on(device, settings.precision):
            result = comb(picture, persona, level, 1.0)
        level_loss(result.float(), picture, picture[:, :1], level, settings, picture[:, :1])
    return sum(kept.values())
