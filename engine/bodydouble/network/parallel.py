"""Several processes that train one comb: ranks under torchrun, on one machine or many.

Each rank works on its own slice of every batch; gradients are averaged before each update, so that all ranks hold the
same weights and do the same steps. Rank 0 decides, reports and writes. Not torch's DistributedDataParallel: every
update uses another set of decoders, and one flat reduction of the gradients at hand is all that is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone it is rank 0 of 1."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process decides, reports and writes."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """The mean over the ranks, of those parameters that have a gradient: the same ones in every rank."""
        if self.world == 1:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        for gradient, mean in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """`values`, averaged over the ranks."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.world
        return values

    def agree(self, *numbers: float) -> list[float]:
        """Rank 0's numbers, in every rank."""
        if self.world == 1:
            return list(numbers)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        values = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.broadcast(values, src=0)
        return [float(value) for value in values]

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Rank 0's values, in every rank's tensors."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Until every rank is here."""
        self.agree(0.0)


def local_device(name: str) -> str:
    """The device a rank takes when asked for `name`: "auto" and "cuda" are its own GPU of the machine."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local and name in ("auto", "cuda") and torch.cuda.is_available() else name


@contextmanager
def join_ranks(device: torch.device) -> Iterator[Ranks]:
    """The ranks torchrun started ($RANK, $WORLD_SIZE), or this process alone; NCCL between GPUs, Gloo between CPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
