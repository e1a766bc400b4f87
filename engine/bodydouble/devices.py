"""Choosing a torch device and running well on it."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager

import torch

from bodydouble.errors import UsageError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def pick_device(name: str) -> torch.device:
    """ "auto" is the first accelerator torch finds, else the CPU.

    Raises:
        UsageError: a device torch does not know or this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]}); see 'bodydouble doctor'."
        ) from error
    return device


def run_on(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Autocast to bfloat16 where `precision` is "bf16"; nothing for "fp32"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def keep_memory() -> None:
    """Let glibc keep freed memory for the next tensor, for the life of the process.

    By default each large tensor is mapped anew and its pages cleared by the kernel: about half of a training step on
    the CPU. No effect where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 64 * 2**20)
