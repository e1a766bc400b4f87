"""Devices by name, autocast, and memory that is kept."""

from __future__ import annotations

import platform
import sys

import pytest
import torch

from bodydouble.errors import UsageError
from bodydouble.network.devices import keep_memory, pick_device, run_on

COUNT_FAULTS = """
import resource, sys, torch
from bodydouble.network.devices import keep_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    keep_memory()
    keep_memory()
def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(10 * 1024 * 1024)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(10)  # the heap grows until a freed piece fits the next request
print(faults(10))
"""


def test_auto_is_a_device_that_works():
    device = pick_device("auto")
    assert device.type in ("cpu", "cuda")
    assert torch.zeros(1, device=device).item() == 0


def test_the_processor_is_always_there():
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "way"),
    [("cuda:99", "doctor"), ("", "write auto, cpu"), ("gpu", "write auto, cpu"), ("cpu:x", "write auto, cpu")],
)
def test_a_device_that_cannot_be_used_is_a_usage_error_that_names_it_and_the_way_out(name, way):
    with pytest.raises(UsageError, match=way) as caught:
        pick_device(name)
    assert repr(name) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_precision_is_that_of_matrix_products_inside_the_block_only(precision, dtype):
    ones = torch.ones(2, 2)
    with run_on(torch.device("cpu"), precision):
        assert (ones @ ones).dtype == dtype
    assert (ones @ ones).dtype == torch.float32


def test_keeping_memory_is_harmless_wherever_it_is_called(monkeypatch):
    keep_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_kept_memory_is_not_cleared_by_the_kernel_again(python):
    faults = {}
    for way in ("keep", "leave"):
        done = python("-c", COUNT_FAULTS, way)
        assert done.returncode == 0, done.stderr
        faults[way] = int(done.stdout)
    # Ten tensors of 40 MiB are 102,400 pages of 4 KiB, or fewer and larger ones.
    assert faults["keep"] <= faults["leave"] / 5
    assert faults["keep"] < 11_000
