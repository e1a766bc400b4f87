"""Choosing a torch device and running well on it."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from bodydouble.errors import UsageError

DEVICE_NAMES = r"auto|(?:cpu|cuda|mps|xpu)(?::\d+)?"

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
        if re.fullmatch(DEVICE_NAMES, name) is None:
            raise UsageError(f"{name!r} is no device; write auto, cpu, cuda, cuda:1 or mps.") from error
        raise UsageError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]}); see 'bodydouble doctor'."
        ) from error
    return device


def run_on(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Autocast to bfloat16 where `precision` is "bf16"; nothing for "fp32"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """Let torch share each operation on the CPU among `count` cores; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be taken now on `device`; None where that cannot be known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        return min(available, *_cgroup_room())
    except (OSError, ValueError, StopIteration):
        return None


def _cgroup_room() -> tuple[int, ...]:
    """What a container, such as a farm's job slot, may still take; at least one number, without limit a large one."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return (2**62,) if limit == "max" else (max(0, int(limit) - int(used)),)
    except (OSError, ValueError):
        return (2**62,)


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


def limit_memory(bytes: int) -> None:
    """Let this process's allocations fail, for the rest of its life, when it would hold more than `bytes`.

    Without effect where the system has no such limit.
    """
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (bytes if most == resource.RLIM_INFINITY else min(bytes, most), most))


def memory_in_use() -> int:
    """Bytes of the host's memory that this process holds now; the most it ever held where the system says no more."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
