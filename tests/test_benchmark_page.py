"""The benchmark page: what its tables are made of. The page itself takes a minute: `make bench`."""

from __future__ import annotations

import sys
import time

import pytest
import torch

from bodydouble.network.comb import Comb, CombDims
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import bench
import peers
import timing


def test_cpu_seconds_are_of_the_process_and_not_of_the_clock():
    assert timing.cpu_seconds(lambda: time.sleep(0.05), 2) < 0.04
    assert timing.cpu_seconds(lambda: sum(range(300_000)), 2) > 0


def test_a_table_has_a_cell_for_every_head():
    lines = timing.table(("what", "ms"), [timing.Row("read", ("7.1",))]).splitlines()
    assert lines == ["| what | ms |", "|---|---|", "| read | 7.1 |"]


def test_the_arithmetic_of_a_network_is_counted_with_two_operations_per_weight_and_pixel():
    comb = Comb(CombDims(level=0, width=1 / 64), (bench.PERSONA,))
    shapes = [tuple(one.weight.shape) for one in comb.modules() if isinstance(one, torch.nn.Conv2d)]
    most = sum(2 * out * into * high * wide * 16 for out, into, high, wide in shapes)
    assert 0 < bench.network_flops(comb) <= most


def test_the_pyramid_that_is_timed_is_a_laplacian_pyramid():
    image = torch.rand(1, 3, 128, 128)
    *bands, rest = peers._pyramid(peers.halve, peers.enlarge, image)
    for band in reversed(bands):
        rest = band + peers.enlarge(rest, band.shape[-2:])
    torch.testing.assert_close(rest, image)


def test_every_peer_agrees_on_ms_ssim():
    # Pictures without any likeness have negative contrast terms, which each implementation clips in its own way.
    truth = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    near = torch.lerp(truth, truth.flip(-1), 0.2)
    values = [float(row.cells[2]) for row in peers._ms_ssim_rows(near, truth, 1.0, 1) if row.cells[2]]
    assert values == pytest.approx([float(peers.ms_ssim(near, truth))] * len(values), abs=2e-4)
