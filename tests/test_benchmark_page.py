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
import scaling
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
    # torchmetrics pads pictures and crops what comes out; at this size that shows in the fourth digit.
    assert values == pytest.approx([float(peers.ms_ssim(near, truth))] * len(values), abs=5e-4)


def test_scaling_counts_from_the_first_frames_and_compares_with_the_first_run():
    assert scaling.rate([10.0, 11.0, 12.0, 13.0], threads=1) == pytest.approx(1.0)
    assert scaling.rate([10.0, 10.0, 11.0, 11.0], threads=2) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="too few"):
        scaling.rate([10.0], threads=1)
    one, two = scaling.arrangements(2)[:2]
    rows = scaling.scaling_rows([(one, scaling.Pace(4, 0.25, 0)), (two, scaling.Pace(6, 0.5, 0))])
    assert rows[1].name == "2 processes, 1 thread each"
    assert rows[1].cells == ("6.00", "0.50", "1.50", "1.00", "0.00")
    assert [len(row.cells) for row in rows] == [len(scaling.HEADS) - 1] * 2


def test_scaling_is_said_to_mean_little_where_others_took_the_cores():
    (one,) = scaling.arrangements(1)
    assert "was idle" in scaling.verdict([(one, scaling.Pace(4, 0.25, 0.02))])
    assert "not idle" in scaling.verdict([(one, scaling.Pace(4, 0.25, 0.02)), (one, scaling.Pace(4, 0.25, 0.9))])
