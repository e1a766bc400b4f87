"""How many crops fit into memory at once, by measuring what one takes."""

from __future__ import annotations

import torch
from torch import Tensor

from bodydouble.network.comb import Comb, level_size
from bodydouble.network.devices import free_memory, run_on
from bodydouble.settings import TrainSettings
from bodydouble.training.losses import level_loss

LARGEST = 16
MEMORY_SHARE = 0.6
HEADROOM = 2.0
"""Gradients of the activations and workspace, over what the forward pass keeps."""


def automatic_batch(comb: Comb, level: int, settings: TrainSettings, device: torch.device) -> int:
    """The largest power of two up to 16 whose training step fits into the free memory, at least 1."""
    free = free_memory(device)
    if free is None:
        return LARGEST
    pictures = len(comb.personas) if settings.update == "joint" else 1
    return fitting(free, HEADROOM * pictures * kept_bytes(comb, level, settings, device))


def fitting(free: int, bytes_each: float) -> int:
    """Largest power of two up to `LARGEST` that fits into 60 % of `free` bytes."""
    batch = LARGEST
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
        level_loss(result.float(), picture, picture[:, :1], level, settings)
    return sum(kept.values())
