"""The arithmetic of the full schedule, and that the speed benchmark measures what it says, at the smallest level."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bodydouble.network.comb import Comb, CombDims
from bodydouble.training.optimisers import as_matrix, is_hidden, orthogonal
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import training_hours
import training_speed

CPU = torch.device("cpu")


def test_a_crop_costs_six_operations_per_multiply_add_and_the_full_comb_171_gigaflop_forward():
    top = training_hours.schedule_work(1.0, [16] * 9)[8]
    assert top.crop_flop / 3 == pytest.approx(171e9, rel=0.005)


def test_hours_are_operations_over_peak_and_share_and_the_settling_is_a_tenth_of_the_iterations():
    works = training_hours.schedule_work(1.0, [16] * 9)
    updates = [one.updates for one in works]
    assert updates[:8] == [200_000] * 8 and (updates[8] - 200_000) / sum(updates) == pytest.approx(0.1)
    flop = sum(one.crop_flop * 16 * one.updates for one in works)
    assert training_hours.hours_at_share(works, 100.0, 0.25) == pytest.approx(flop / 25e12 / 3600)
    speeds = {one.level: one.crop_flop / 25e12 for one in works}
    assert training_hours.hours_at_speeds(works, speeds) == pytest.approx(flop / 25e12 / 3600)
    table = training_hours.hours_table(works, {"made up": 100.0}, (0.25, 0.5))
    assert f"{flop / 25e12 / 3600:,.1f} h | {flop / 50e12 / 3600:,.1f} h |" in table


def test_muons_operations_on_an_accelerator_are_those_of_its_products():
    with FlopCounterMode(display=False) as counter:
        orthogonal(torch.randn(8, 72, device="meta"))
    assert counter.get_total_flops() == 4 * 8**2 * 72 + training_hours.STEP_PRODUCTS * 8**3
    comb = Comb(CombDims(0, 1 / 64), ("A",))
    with FlopCounterMode(display=False) as counter:
        for kernel in filter(is_hidden, comb.parameters()):
            orthogonal(as_matrix(kernel.detach()).to("meta"))
    assert sum(training_hours.muon_flop(1 / 64, 0)) == counter.get_total_flops()


def test_a_level_is_measured_from_the_bare_network_to_the_whole_step(monkeypatch, tmp_path):
    monkeypatch.setattr(training_speed, "LEVEL_SECONDS", 0)
    speed = training_speed.measure(0, 1 / 64, 4, False, CPU, tmp_path, rounds=1)
    assert 0 < speed.bare_bf16 < speed.step_adam and speed.bare_fp32 > 0
    parts = training_speed.measure_parts(0, 1 / 64, 4, CPU, tmp_path, rounds=1)
    assert min(parts.bare, parts.augmenting, parts.loss, parts.adam, parts.muon) > 0
    assert parts.share(0.0, 16) == pytest.approx(parts.bare / (parts.bare + parts.augmenting + parts.loss))
    assert parts.share(parts.muon, 16) < parts.share(parts.muon, 1024) < parts.share(0.0, 16)


def test_a_row_says_the_shares_of_peak_and_step():
    speed = training_speed.Speed(bare_bf16=0.09, bare_fp32=0.27, step_adam=0.1, step_muon=0.12)
    cells = training_speed.speed_row(3, 16, gflop=9.0, one=speed, peak=200e9).split("|")
    assert [cell.strip() for cell in cells[6:11]] == ["50%", "3.00", "90%", "75%", "38%"]
    assert replace(speed, compiled=0.045).compiled == 0.045


def test_the_peak_that_is_measured_is_one_of_products(monkeypatch):
    monkeypatch.setitem(training_speed.PEAK_SIDE, "cpu", 64)
    assert 1e6 < training_speed.matrix_peak(CPU, torch.bfloat16) < 1e15


def test_on_a_gpu_the_clock_is_the_walls_and_every_deed_is_waited_for(monkeypatch):
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(training_speed, "LEVEL_SECONDS", 0)
    seconds = training_speed.by_turns([lambda: None, lambda: None], torch.device("cuda", 0), rounds=2)
    assert len(seconds) == 2 and waited == [torch.device("cuda", 0)] * 6
